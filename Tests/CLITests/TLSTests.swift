import Foundation
import Testing

/// A daemon that wants TLS, and certificates of those who speak with it.
@Suite(.serialized)
final class TLSTests {
    private let answered: AnsweredFolder
    private var folder: String { answered.path }
    private var daemon: RecordingDaemon { answered.daemon }
    private let server: Process
    private let port: Int

    /// Takes TLS connections of clients that the authority vouches for, and passes them on to a unix socket.
    private static let script = """
        import socket, ssl, sys, threading
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("server.pem", "server-key.pem")
        context.load_verify_locations("ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)

        def copy(source, target):
            try:
                while part := source.recv(65536): target.sendall(part)
            except OSError: pass
            try: target.shutdown(socket.SHUT_WR)
            except OSError: pass

        def serve(plain):
            try: secured = context.wrap_socket(plain, server_side=True)
            except OSError: return plain.close()
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(sys.argv[1])
            threading.Thread(target=copy, args=(secured, daemon), daemon=True).start()
            copy(daemon, secured)
            secured.close()

        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        """

    init() throws {
        answered = try AnsweredFolder("tls")
        try TestCertificates.make(in: answered.path + "/cwd")
        server = Process()
        server.executableURL = URL(filePath: "/usr/bin/env")
        server.arguments = ["python3", "-c", Self.script, answered.daemon.path]
        server.currentDirectoryURL = URL(filePath: answered.path + "/cwd")
        let output = Pipe()
        server.standardOutput = output
        server.standardError = FileHandle.nullDevice
        try server.run()
        let text = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        port = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    deinit {
        // A child of a thread of the pool has its mask of signals, in which all that can be are blocked.
        kill(server.processIdentifier, SIGKILL)
        server.waitUntilExit()
    }

    private func run(_ line: String, environment: [String: String] = [:]) throws -> StockClient.Result {
        try StockClient.run(
            StockClient.ours, line, in: folder, host: "", environment: environment, keepsHome: true)
    }

    private static let ids = "cccccccccccc\ndddddddddddd\n"

    @Test func `a daemon that wants TLS is reached by flags, variables and contexts`() throws {
        let files = "--tlscacert ca.pem --tlscert cert.pem --tlskey key.pem"
        let address = "tcp://127.0.0.1:\(port)"
        #expect(try run("--tlsverify \(files) -H \(address) ps -n 2 -q").output == Self.ids)
        let variables = [
            "DOCKER_HOST": address, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": folder + "/cwd",
        ]
        #expect(try run("ps -n 2 -q", environment: variables).output == Self.ids)
        #expect(try run("run img", environment: variables).code == 0)
        #expect(daemon.take().contains { $0.path.hasSuffix("/attach") })
        #expect(try run("load -i t.tar", environment: variables).code == 0)
        #expect(daemon.take().contains { $0.body.count == 1024 })
        #expect(
            try run("context create far --docker host=\(address),ca=ca.pem,cert=cert.pem,key=key.pem").code == 0)
        #expect(try run("-c far ps -n 2 -q").output == Self.ids)
    }

    @Test func `a certificate that nobody vouches for is refused`() throws {
        try FileManager.default.createDirectory(atPath: folder + "/cwd/other", withIntermediateDirectories: true)
        try TestCertificates.make(in: folder + "/cwd/other")
        let own = "--tlscert cert.pem --tlskey key.pem -H tcp://127.0.0.1:\(port)"
        let result = try run("--tlsverify --tlscacert other/ca.pem \(own) ps")
        #expect(result.code == 1)
        #expect(result.errors.hasPrefix("error during connect: Get \"https://127.0.0.1:\(port)/v1."))
        #expect(result.errors.contains("tls: "))
        #expect(
            try run("--tls --tlscacert other/ca.pem \(own) ps -n 2 -q").output == Self.ids, "it was not to be verified")
        #expect(daemon.take().allSatisfy { $0.path != "/containers/create" })
    }

    @Test func `nobody listening and files that are not there are told in Docker's words`() throws {
        let missing = try run("--tlsverify -H tcp://127.0.0.1:\(port) ps")
        #expect(
            missing.errors
                == "Failed to initialize: unable to resolve docker endpoint: open \(folder)/home/.docker/ca.pem: "
                + "no such file or directory\n")
        let closed = try run("--tlsverify --tlscacert ca.pem -H tcp://127.0.0.1:1 ps")
        #expect(
            closed.errors
                == "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?\n")
    }
}
