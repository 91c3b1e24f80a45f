import Foundation
import Testing

/// Contexts: the files of Docker's own client, and what a daemon is spoken to through.
@Suite(.serialized)
final class ContextTests {
    private let answered: AnsweredFolder
    private var folder: String { answered.path }
    private var daemon: RecordingDaemon { answered.daemon }

    init() throws {
        answered = try AnsweredFolder("contexts")
        try TestCertificates.make(in: folder + "/cwd")
        try FileManager.default.createDirectory(atPath: folder + "/bin", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder + "/bin/docker", withDestinationPath: StockClient.ours)
    }

    /// Runs a command line without `DOCKER_HOST`, in the home that earlier ones left.
    private func run(
        _ line: String, _ program: String = StockClient.ours, environment: [String: String] = [:]
    ) throws -> StockClient.Result {
        let path = ["PATH": folder + "/bin:/usr/bin:/bin"].merging(environment) { $1 }
        return try StockClient.run(program, line, in: folder, host: "", environment: path, keepsHome: true)
    }

    /// Installs an `ssh` that does not leave the machine.
    private func installSSH(_ script: String) throws {
        let path = folder + "/bin/ssh"
        try ("#!/bin/bash\n" + script).write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    // MARK: Files

    /// Command lines that follow each other in one home.
    private static let session = [
        "context create aa --docker host=tcp://1.2.3.4:2376 --description 'my a'",
        "context create tls --docker host=tcp://h:2376,ca=ca.pem,cert=cert.pem,key=key.pem,skip-tls-verify=true",
        "context create bb --from aa", "context create cc --from tls --description c", "context create dd",
        "context create aa", "context ls", "context ls -q", "context ls --format json", "context use aa",
        "context ls --format 'table {{.Name}}\\t{{.Current}}'", "context show", "context inspect",
        "context inspect tls cc",
        "context inspect -f '{{.Name}} {{json .TLSMaterial}} {{.Endpoints.docker.Host}}' tls nope", "context rm aa",
        "context update bb --description new --docker host=unix:///x", "context inspect bb", "context rm aa -f",
        "context show", "context export tls", "context export tls", "context import tt tls.dockercontext",
        "context inspect tt", "context import tt tls.dockercontext", "-c tt context show", "-c nope context ls",
        "-c nope ps", "context rm bb cc nope", "context ls",
    ]

    @Test(.enabled(if: StockClient.stock != nil, "needs Docker's client 28.2"))
    func `contexts are told and kept as Docker's own client does`() throws {
        var told: [[String]] = []
        var files: [[String: String]] = []
        for program in [StockClient.ours, StockClient.stock ?? ""] {
            try? FileManager.default.removeItem(atPath: folder + "/home")
            try? FileManager.default.removeItem(atPath: folder + "/cwd/tls.dockercontext")
            told.append(
                try Self.session.map { line in
                    let result = try run(line, program)
                    return "\(line): \(result.code)\n\(result.output)\(result.errors)"
                })
            files.append(try contents(of: folder + "/home/.docker"))
        }
        for (ours, stock) in zip(told[0], told[1]) { #expect(ours == stock) }
        #expect(files[0] == files[1])
        #expect(files[0].count > 4, "there are descriptions and certificates")
    }

    private func contents(of folder: String) throws -> [String: String] {
        var files: [String: String] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)") else { continue }
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")[.posixPermissions]
            files[name] = "\(mode ?? "") \(String(decoding: data, as: UTF8.self))"
        }
        return files
    }

    @Test func `a context chosen by use, variable or option is the one that is asked`() throws {
        let host = "unix://\(daemon.path)"
        #expect(try run("context create here --docker host=\(host)").code == 0)
        #expect(try run("context create gone --docker host=unix:///nowhere").code == 0)
        #expect(try run("-c here ps -n 2 -q").output == "cccccccccccc\ndddddddddddd\n")
        #expect(try run("ps -n 2 -q", environment: ["DOCKER_CONTEXT": "here"]).code == 0)
        #expect(try run("context use gone").code == 0)
        #expect(
            try run("ps").errors
                == "Cannot connect to the Docker daemon at unix:///nowhere. Is the docker daemon running?\n")
        #expect(try run("ps -n 2 -q", environment: ["DOCKER_HOST": host]).code == 0)
        #expect(try run("-H \(host) ps -n 2 -q").code == 0)
        #expect(try run("info -f '{{.ClientInfo.Context}}'", environment: ["DOCKER_HOST": host]).output == "default\n")
    }

    // MARK: ssh

    @Test func `a daemon elsewhere is spoken to by ssh, in all ways that a client speaks`() throws {
        try installSSH(
            """
            printf '[%s]' "$@" >> \(folder)/ssh.log
            while [ "$1" != -- ]; do shift; done
            shift 2
            DOCKER_HOST=unix://\(daemon.path) exec "$@"
            """)
        let host = "ssh://me@far.example:2222"
        #expect(try run("-H \(host) ps -n 2 -q").output == "cccccccccccc\ndddddddddddd\n")
        #expect(try run("-H \(host) run img").code == 0)
        #expect(daemon.take().contains { $0.path.hasSuffix("/attach") && $0.headers["upgrade"] == "tcp" })
        #expect(try run("-H \(host) load -i t.tar").code == 0)
        #expect(daemon.take().contains { $0.path == "/images/load" && $0.body.count == 1024 })
        let log = try String(contentsOfFile: folder + "/ssh.log", encoding: .utf8)
        let words = "[-o ConnectTimeout=30][-T][-l][me][-p][2222][--][far.example][docker][system][dial-stdio]"
        #expect(log.hasPrefix(words))
    }

    @Test func `what ssh says is told`() throws {
        try installSSH("echo 'ssh: no route' >&2; exit 255\n")
        let result = try run("-H ssh://far ps")
        #expect(result.code == 1)
        #expect(
            result.errors.hasSuffix(
                "command [ssh -o ConnectTimeout=30 -T -- far docker system dial-stdio] has exited with exit status 255, "
                    + "make sure the URL is valid, and Docker 18.09 or later is installed on the remote host: "
                    + "stderr=ssh: no route\n\n"))
        #expect(result.errors.hasPrefix("error during connect: Get \"http://docker.example.com/v1."))
    }

    // MARK: Configuration file

    @Test func `the configuration file's headers go with every request`() throws {
        try FileManager.default.createDirectory(atPath: folder + "/home/.docker", withIntermediateDirectories: true)
        try #"{"HttpHeaders":{"X-Meta":"a b","Content-Length":"7"},"volumesFormat":"{{.Name}}"}"#.write(
            toFile: folder + "/home/.docker/config.json", atomically: true, encoding: .utf8)
        let result = try run("-H unix://\(daemon.path) volume ls")
        #expect(result.output == "\(String(repeating: "b", count: 64))\ndata2\ndata10\n")
        let requests = daemon.take()
        #expect(!requests.isEmpty && requests.allSatisfy { $0.headers["x-meta"] == "a b" })
        #expect(requests.allSatisfy { $0.headers["content-length"] == nil })
    }

    // MARK: The first versions of Docker

    @Test func `spellings of the first versions are understood`() throws {
        let host = "-H unix://\(daemon.path)"
        #expect(try run("\(host) create -volumes-from a -dns 1.1.1.1 -name n img").code == 0)
        #expect(try run("\(host) commit -author me -m x c").code == 0)
        #expect(try run("\(host) ps -n 2 -notrunc -q").output.hasPrefix(String(repeating: "c", count: 64)))
        let requests = daemon.take()
        let body = requests.first { $0.path == "/containers/create" }?.body ?? Data()
        #expect(String(decoding: body, as: UTF8.self).contains(#""VolumesFrom":["a"]"#))
        #expect(requests.contains { $0.path == "/commit" && $0.query.contains(["author", "me"]) })
        let insert = try run("insert img http://x /y")
        #expect(insert.code == 1 && insert.errors.contains("docker commit"))
    }
}
