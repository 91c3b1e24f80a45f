"""The world that `network` measures in: a network namespace per engine, one outside of them, bare ones, and the engines.

It is made inside the mount namespace of `run`: named namespaces lie on a tmpfs there, and nothing of it is seen elsewhere.
"""
import ctypes, http.client, json, os, shutil, signal, socket, subprocess, sys, time

PR_SET_CHILD_SUBREAPER = 36
# podman raises limits that a container of CI may not raise.
PODMAN_LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--cgroup-parent", "/peers"]


def run(*command, check=True):
    """The output of a command; its last words of error when it fails and must not."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"…{' '.join(map(str, command))[-100:]}: {done.stderr.strip()[-400:]}")
    return done.stdout.strip()


def await_true(probe, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if probe():
            return
        time.sleep(0.005)
    raise RuntimeError(f"no {what} within {seconds} s")


def supervise():
    """Forks. The child returns and works; every process that is orphaned below it becomes the parent's, which reaps them,
    and kills what is left when the child has ended. So all processes of all engines are known: `descendants`."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    worker = os.fork()
    if worker == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(worker, signal.SIGTERM))
    status = None
    while status is None or descendants(os.getpid()):
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            break
        if pid == worker:
            status = ended
        if status is not None:
            for orphan in descendants(os.getpid()):
                try:
                    os.kill(orphan, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    os._exit(os.waitstatus_to_exitcode(status) & 255)


def descendants(root):
    parents = {}
    for name in os.listdir("/proc"):
        try:
            parents[int(name)] = int(open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[1])
        except (ValueError, OSError):
            continue
    found, front = set(), {root}
    while front:
        front = {pid for pid, parent in parents.items() if parent in front}
        found |= front
    return found


def proportional_memory(*others):
    """KiB of all processes of all engines but those at and below `others`: proportional shares, so that what they share
    counts once."""
    aside = {os.getpid()}.union(others, *map(descendants, others))
    total = 0
    for pid in descendants(os.getppid()) - aside:
        try:
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total


class Namespace:
    """A named network namespace."""

    def __init__(self, name):
        self.name, self.path = name, f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def enter(self, *command):
        return ["nsenter", f"--net={self.path}", *map(str, command)]

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def pair(self, name, other, other_name, address=None, other_address=None):
        """A veth pair between two namespaces."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", other_name, "netns", other.name)
        for namespace, interface, own in (self, name, address), (other, other_name, other_address):
            if own:
                namespace.ip("address", "add", own, "dev", interface)
            namespace.ip("link", "set", interface, "up")


def prepare_namespaces():
    """Hides the machine's named namespaces and returns the one outside of all engines."""
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    return Namespace("outside")


class Bare:
    """What no engine touches: two namespaces on a bridge of a third, and a veth pair between the first and the third.

    With `tracks`, the kernel tracks connections there, for one rule that matches nothing: the least that any engine costs
    which masquerades or publishes ports."""

    bridge_address, veth_address, second_address = "10.98.0.1", "10.97.0.1", "10.98.0.3"

    def __init__(self, name, tracks=False):
        self.host, self.first, self.second = (Namespace(f"{name}-{part}") for part in ("host", "first", "second"))
        self.host.ip("link", "add", "br0", "type", "bridge")
        self.host.ip("address", "add", f"{self.bridge_address}/24", "dev", "br0")
        self.host.ip("link", "set", "br0", "up")
        self.host.pair("one", self.first, "eth0", None, "10.98.0.2/24")
        self.host.pair("two", self.second, "eth0", None, f"{self.second_address}/24")
        for port in "one", "two":
            self.host.ip("link", "set", port, "master", "br0")
        self.host.pair("veth", self.first, "eth1", f"{self.veth_address}/24", "10.97.0.2/24")
        if tracks:
            run(*self.host.enter("nft", "add table inet tracks; add chain inet tracks unused;"
                                 " add rule inet tracks unused ct state invalid drop"))

    def remove(self):
        for namespace in self.first, self.second, self.host:
            run("ip", "netns", "delete", namespace.name)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Engine:
    """One engine in a network namespace of its own, with a link to the namespace outside."""

    user_network = "usernet"

    def __init__(self, name, number, lab, binaries, outside):
        self.name, self.outside, self.binaries = name, outside, binaries
        self.root, self.state = f"{lab}/root/net-{name}", f"{lab}/run/net-{name}"
        self.socket, self.log = f"{self.state}.sock", f"{self.state}.log"
        self.namespace = Namespace(name)
        self.address, gateway = f"10.99.{number}.2", f"10.99.{number}.1"
        self.namespace.pair("up0", outside, f"to-{name}", f"{self.address}/24", f"{gateway}/24")
        self.namespace.ip("route", "add", "default", "via", gateway)
        self.process = None
        self.has_api = name != "podman"
        for folder in self.root, self.state:
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)

    def start(self):
        empty = f"{self.state}/empty.json"
        with open(empty, "w") as file:
            file.write("{}")
        roots = ["-H", f"unix://{self.socket}", "--data-root", self.root, "--exec-root", f"{self.state}/exec"]
        self.client = [f"{self.binaries}/docker", "-H", f"unix://{self.socket}"]
        if self.name == "ours":
            daemon = [f"{self.binaries}/dockerd", *roots, "--config-file", empty]
        elif self.name == "docker20":
            daemon = ["/usr/sbin/dockerd", *roots, "--config-file", empty, "-p", f"{self.state}/pid",
                      "--cgroup-parent", "/peers"]
        else:
            settings = f"{self.state}/containers.conf"
            with open(settings, "w") as file:
                file.write('[network]\nnetwork_backend = "netavark"\n')
            self.client = self.namespace.enter(
                "env", f"CONTAINERS_CONF={settings}", "podman", "--root", self.root, "--runroot", f"{self.state}/run",
                "--network-config-dir", f"{self.state}/networks", "--cgroup-manager", "cgroupfs",
                "--storage-driver", "overlay", "--log-level", "error")
            return
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(
            self.namespace.enter(*daemon), stdin=subprocess.DEVNULL, stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        await_true(self.answers, f"answer of {self.name}: {self.log}")

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {open(self.log).read()[-500:]}")
        return not subprocess.run([*self.client, "version"], capture_output=True).returncode

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def cli(self, *words, check=True):
        return run(*self.client, *words, check=check)

    def api(self, method, path, body=None):
        connection = UnixConnection(self.socket)
        connection.request(
            method, f"/v1.41{path}", json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if response.status >= 300:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.decode()[-300:]}")
        return json.loads(answer) if answer.strip() else None

    def run_line(self, network, *flags):
        """`run` of the image with the network: "none", "default" or a network's name."""
        return [*self.client, "run", *(PODMAN_LIMITS if self.name == "podman" else []),
                *([] if network == "default" else ["--network", network]), *flags, "small"]

    def sleeper(self, name, network, *flags):
        """A container that sleeps; its process, its address and its gateway."""
        run(*self.run_line(network, "-d", "--name", name, *flags), "sleep", "3600")
        return self.place(name)

    def place(self, name):
        found = json.loads(self.cli("inspect", "--type", "container", name))[0]
        (place,) = found["NetworkSettings"]["Networks"].values()
        return found["State"]["Pid"], place["IPAddress"], place["Gateway"]

    def remove(self, *names):
        self.cli("rm", "-f", *(["-t", "0"] if self.name == "podman" else []), *names)

    def clear(self):
        """Removes all containers."""
        names = self.cli("ps", "-aq").split()
        if names:
            self.remove(*names)


def inside(pid, *command):
    """A command of the machine in the network of a container's process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", *map(str, command)]
