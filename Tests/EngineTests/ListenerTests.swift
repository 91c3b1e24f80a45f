import Foundation
import Testing

/// Where the daemon listens, and for whom.
@Suite(.serialized)
struct ListenerTests {
    private static let stock = "/usr/local/bin/docker"
    private static let hasStock = FileManager.default.isExecutableFile(atPath: stock)

    /// A directory that goes with the value.
    final class Folder: Sendable {
        let path = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/listener-\(UUID().uuidString)"
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    /// Two authorities, a server's certificate of the first, and a client's of each.
    private static let certificates = """
        set -e
        cd "$1"
        authority() {
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout $1.key -out $1.pem
        }
        issue() {
            openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout $1.key -out $1.csr
            openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
        }
        printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n' > server.ext
        printf 'extendedKeyUsage=clientAuth\\n' > client.ext
        cp client.ext stranger.ext
        authority ca
        authority other
        issue server ca
        issue client ca
        issue stranger other
        """

    static func makeCertificates(_ folder: Folder) throws {
        let made = try Lab.run("/bin/sh", ["-c", certificates, "sh", folder.path])
        guard made.code == 0 else { throw LabFailure("openssl: \(made.err)") }
    }

    // MARK: TLS

    @Test(.enabled(if: hasStock)) func `Docker's own client works over TLS, and nobody without a certificate does`()
        throws
    {
        let folder = try Folder()
        try Self.makeCertificates(folder)
        let address = "127.0.0.1:\(Int.random(in: 20_000...31_999))"
        let lab = try Lab(
            configuration: """
                {"hosts": ["tcp://\(address)"], "tlsverify": true, "tlscacert": "\(folder.path)/ca.pem",
                 "tlscert": "\(folder.path)/server.pem", "tlskey": "\(folder.path)/server.key"}
                """)
        let image = try lab.loadedImage()
        func docker(_ name: String, _ arguments: String..., input: String? = nil) throws -> Lab.Output {
            let flags = [
                "--tlsverify", "--tlscacert", folder.path + "/ca.pem", "--tlscert", folder.path + "/\(name).pem",
                "--tlskey",
                folder.path + "/\(name).key", "-H", "tcp://\(address)",
            ]
            return try Lab.run(
                Self.stock, flags + arguments, environment: ["PATH": "/usr/bin:/bin", "HOME": folder.path], input: input
            )
        }
        #expect(try docker("client", "version", "-f", "{{.Server.Version}}").code == 0)
        // The client ends its input; what the container answers to that must still arrive.
        let text = String(repeating: "0123456789abcdef", count: 1 << 16)
        let run = try docker("client", "run", "-i", "--rm", "--network", "none", image, "wc", "-c", input: text)
        #expect(run.code == 0 && run.text == "1048576", "\(run.err)")
        let cat = try docker("client", "run", "-i", "--rm", "--network", "none", image, "cat", input: text)
        #expect(cat.code == 0 && cat.out == text, "\(cat.out.count) \(cat.err)")
        #expect(
            try docker("client", "run", "-d", "--name", "live", "--network", "none", image, "sleep", "600").code == 0)
        let exec = try docker("client", "exec", "-i", "live", "sh", "-c", "cat; echo end; exit 3", input: "hello\n")
        #expect(exec.code == 3 && exec.out == "hello\nend\n", "\(exec)")
        #expect(try docker("client", "logs", "live").code == 0)
        #expect(try docker("client", "rm", "-f", "live").code == 0)

        let stranger = try docker("stranger", "ps")
        #expect(stranger.code == 1 && stranger.out.isEmpty, "\(stranger)")
        for arguments in [["-k", "https://\(address)/_ping"], ["http://\(address)/_ping"]] {
            let anonymous = try Lab.run("/usr/bin/curl", ["-s", "--max-time", "60"] + arguments)
            #expect(anonymous.code != 0 && !anonymous.out.contains("OK"), "\(arguments): \(anonymous)")
        }
        let known = [
            "--cacert", folder.path + "/ca.pem", "--cert", folder.path + "/client.pem", "--key",
            folder.path + "/client.key",
        ]
        let pinged = try Lab.run("/usr/bin/curl", ["-s", "--max-time", "60"] + known + ["https://\(address)/_ping"])
        #expect(pinged.text == "OK", "\(pinged)")
        #expect(try lab.docker("version").code == 0)
    }

    // MARK: Refused at start

    @Test func `a listener that would let anybody in, or cannot be, is refused with what to do`() throws {
        let folder = try Folder()
        let file = folder.path + "/daemon.json"
        try "{}".write(toFile: file, atomically: true, encoding: .utf8)
        let missing = ["--tlsverify", "--tlscacert", "/nope", "--tlscert", "/nope", "--tlskey", "/nope"]
        let rows: [(arguments: [String], words: String)] = [
            (
                ["-H", "tcp://0.0.0.0:2375"],
                "without TLS, since whoever connects gets root on this host: give --tlsverify"
            ),
            (["-H", "tcp://127.0.0.1:2375"], "--insecure-tcp allows it to every user and program of this host"),
            (["-H", "tcp://0.0.0.0:2375", "--insecure-tcp"], "without TLS, since whoever connects gets root"),
            (["-H", "tcp://:2375", "--insecure-tcp"], "without TLS, since whoever connects gets root"),
            (["-H", "tcp://127.0.0.1:2376", "--tls"], "--tls alone lets every client in: give --tlsverify"),
            (["-H", "tcp://127.0.0.1:x"], "invalid address tcp://127.0.0.1:x: want tcp://host:port"),
            (["-H", "tcp://1:2:3"], "invalid address tcp://1:2:3"), (["-H", "tcp://"], "invalid address tcp://"),
            (["-H", "tcp://127.0.0.1:2376"] + missing, "cannot read /nope"),
            (["-H", "npipe:////./pipe"], "cannot listen on npipe:////./pipe: want unix:///path, fd:// or tcp://"),
            (["-H", "unix://relative"], "cannot listen on unix://relative"),
            (["-H", "fd://"], "no sockets found via socket activation: make sure the service was started by systemd"),
            (["-H", "unix://\(folder.path)/s", "-G", "no-such-group"], "group no-such-group not found"),
            (["-H", "unix://\(folder.path)/s", "--socket-mode", "999"], "invalid socket-mode 999"),
        ]
        for (number, row) in rows.enumerated() {
            let own = "\(folder.path)/\(number)"
            let ran = try Lab.run(
                Lab.binaries + "/dockerd",
                row.arguments + [
                    "--config-file", file, "--data-root", own + "/root", "--exec-root", own + "/run", "--bridge",
                    "none",
                ])
            #expect(ran.code == 1, "\(row.arguments)")
            #expect(ran.err.contains(row.words), "\(row.arguments): \(ran.err)")
        }
    }

    @Test func `loopback without TLS is served to those who ask for it`() throws {
        let address = "127.0.0.1:\(Int.random(in: 20_000...31_999))"
        let lab = try Lab(configuration: #"{"hosts": ["tcp://\#(address)"], "insecure-tcp": true}"#)
        #expect(try Lab.run("/usr/bin/curl", ["-s", "http://\(address)/_ping"]).text == "OK")
        #expect(try lab.docker("version").code == 0)
    }

    // MARK: Unix sockets

    @Test func `a unix socket has the group and the permissions it is given, and there may be several`() throws {
        let folder = try Folder()
        let lab = try Lab(
            configuration: #"{"hosts": ["unix://\#(folder.path)/a/second.sock"], "group": "1", "socket-mode": "0600"}"#)
        for path in [lab.directory + "/docker.sock", folder.path + "/a/second.sock"] {
            var status = stat()
            #expect(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600 && status.st_gid == 1, "\(path)")
            let pinged = try Lab.run("/usr/bin/curl", ["-s", "--unix-socket", path, "http://docker/_ping"])
            #expect(pinged.text == "OK", "\(path)")
        }
    }

    // MARK: systemd

    /// What systemd does: makes a socket and names it, executes the daemon, and hears it say that it is ready.
    private static let activation = """
        import os, socket, sys
        folder, line = sys.argv[1], sys.argv[2:]
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(folder + "/notify")
        if os.fork() == 0:
            notify.settimeout(120)
            with open(folder + "/heard", "wb") as heard: heard.write(notify.recv(1000))
            os._exit(0)
        notify.close()
        api = socket.socket(socket.AF_UNIX)
        api.bind(folder + "/api.sock")
        api.listen(10)
        os.dup2(api.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(
            LISTEN_FDS="1", LISTEN_FDNAMES="api", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=folder + "/notify")
        os.execv(line[0], line)
        """

    @Test(arguments: ["fd://", "fd://api"])
    func `a socket of the service manager is served, and the manager is told`(_ host: String) throws {
        let folder = try Folder()
        let lab = try Lab(
            configuration: #"{"hosts": ["\#(host)"]}"#,
            wrapper: ["/usr/bin/env", "python3", "-c", Self.activation, folder.path])
        func heard() -> String { (try? String(contentsOfFile: folder.path + "/heard", encoding: .utf8)) ?? "" }
        let pinged = try Lab.run(
            "/usr/bin/curl", ["-s", "--unix-socket", folder.path + "/api.sock", "http://docker/_ping"])
        #expect(pinged.text == "OK")
        #expect(soon(60) { heard() == "READY=1" }, "\(heard())")
        #expect(try lab.docker("version").code == 0)
    }

    // MARK: Limits

    private static let crowd = """
        import socket, sys
        def connect():
            link = socket.socket(socket.AF_UNIX)
            link.connect(sys.argv[1])
            return link
        others = [connect() for _ in range(int(sys.argv[2]))]
        for link in others[::4]:
            try: link.send(b"GET /_ping HTTP/1.1\\r\\n")
            except OSError: pass
        served = 0
        for _ in range(20):
            link = connect()
            link.settimeout(60)
            link.sendall(b"GET /_ping HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            served += link.recv(1000).startswith(b"HTTP/1.1 200")
        print(served)
        """

    @Test func `more connections than there may be keep nobody from being served, and containers get no raised limit`()
        throws
    {
        let lab = try Lab(wrapper: ["/usr/bin/prlimit", "--nofile=64:300"])
        let image = try lab.loadedImage()
        let served = try Lab.run("/usr/bin/python3", ["-c", Self.crowd, lab.directory + "/docker.sock", "400"])
        #expect(served.text == "20", "\(served)")
        let shown = try lab.docker("run", "--rm", "--network", "none", image, "sh", "-c", "ulimit -Sn; ulimit -Hn")
        #expect(shown.text == "64\n300", "\(shown)")
        let asked = try lab.docker(
            "run", "--rm", "--network", "none", "--ulimit", "nofile=100:200", image, "sh", "-c",
            "ulimit -Sn; ulimit -Hn")
        #expect(asked.text == "100\n200", "\(asked)")
        let log = try String(contentsOfFile: lab.directory + "/dockerd.log", encoding: .utf8)
        #expect(log.components(separatedBy: "too many connections").count == 2, "\(log)")
    }

    @Test func `a daemon without a descriptor left waits for one, and goes on`() throws {
        let lab = try Lab()
        func setLimit(_ text: String) throws {
            #expect(try Lab.run("/usr/bin/prlimit", ["--pid", "\(lab.daemonPID)", "--nofile=" + text]).code == 0)
        }
        /// Ticks of processor time.
        func processor() throws -> Int {
            let fields = try String(contentsOfFile: "/proc/\(lab.daemonPID)/stat", encoding: .utf8).split(
                separator: " ")
            return (Int(fields[13]) ?? 0) + (Int(fields[14]) ?? 0)
        }
        try setLimit("10:4096")
        let curl = Process()
        curl.executableURL = URL(filePath: "/usr/bin/curl")
        curl.arguments = [
            "-s", "-o", "/dev/null", "--max-time", "120", "--unix-socket", lab.directory + "/docker.sock",
            "http://docker/_ping",
        ]
        try curl.run()
        func log() -> String { (try? String(contentsOfFile: lab.directory + "/dockerd.log", encoding: .utf8)) ?? "" }
        #expect(soon(60) { log().contains("no more descriptors") }, "\(log())")
        let before = try processor()
        sleep(2)
        #expect(try processor() - before < 100, "it tries without a pause")
        try setLimit("4096:4096")
        curl.waitUntilExit()
        #expect(curl.terminationStatus == 0)
        #expect(try lab.docker("version").code == 0)
    }
}
