"""A disk and a daemon for the benchmarks of volumes. Needs root."""
import json, os, shutil, subprocess, tempfile, time

home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
binaries = os.environ.get("DOCKER_SWIFT_BINARIES", home + "/.build/release")


class Lab:
    """A folder below TMPDIR (or /var/tmp) that is gone at the end, with all that was mounted and started in it."""

    def __enter__(self):
        self.base = tempfile.mkdtemp(prefix="bench-volumes-", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.engines = []
        return self

    def __exit__(self, *_):
        for engine in self.engines:
            engine.end()
        # What the daemons keep mounted for images, too.
        subprocess.run(f"grep -o '{self.base}[^ ]*' /proc/self/mounts | sort -ru | xargs -r -n1 umount -l 2> /dev/null", shell=True, check=False)
        shutil.rmtree(self.base, ignore_errors=True)

    def disk(self, kind, gib):
        """Mounts a new file system on a loop device that goes past the host's page cache; ext4 has its journal.

        Returns where it is mounted, and its image."""
        mount, image = f"{self.base}/{kind}", f"{self.base}/{kind}.img"
        os.makedirs(mount)
        with open(image, "wb") as file:
            file.truncate(int(gib * (1 << 30)))
        subprocess.run(
            f"mkfs.{kind} -q {image} && device=$(losetup -f --show --direct-io=on {image}) && mount $device {mount} && losetup -d $device",
            shell=True, check=True, stderr=subprocess.DEVNULL)
        return mount, image

    def engine(self, root):
        engine = Engine(root, f"{self.base}/{os.path.basename(root)}")
        self.engines.append(engine)
        return engine


class Engine:
    """A daemon of its own, without networks, whose data is below `root`; `name` is the start of its other files' paths."""

    def __init__(self, root, name):
        self.root = root
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{name}.sock"}
        with open(name + ".json", "w") as file:
            json.dump({}, file)
        self.process = subprocess.Popen(
            [binaries + "/dockerd", "-H", self.environment["DOCKER_HOST"], "--data-root", root + "/data", "--exec-root", name + ".run",
             "--bridge", "none", "--config-file", name + ".json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self.docker("version", check=False, stderr=subprocess.DEVNULL).returncode:
            assert self.process.poll() is None, "the daemon has ended"
            time.sleep(0.05)

    def docker(self, *arguments, **more):
        options = {"check": True, "stdout": subprocess.DEVNULL, **more}
        return subprocess.run([binaries + "/docker", *arguments], env=self.environment, **options)

    def path(self, volume):
        return f"{self.root}/data/volumes/{volume}/_data"

    def end(self):
        self.process.terminate()
        self.process.wait()
