import Foundation
import HTTP
import OCI
import RegistryStore
import Testing

@testable import RegistryServer

/// Who may do what: every row of the routes' table, for everybody, in every mode.
@Suite struct AccessTests {
    /// A password file with one account, `user` and `secret`.
    static func passwordFile(_ folder: String, _ name: String = "user", _ password: String = "secret") throws -> String
    {
        let path = folder + "/htpasswd"
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/htpasswd")
        process.arguments = ["-B", "-b", "-C", "5", "-c", path + ".new", name, password]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        try #require(rename(path + ".new", path) == 0)
        return path
    }

    static func folder() throws -> String {
        let path =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/access-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    static func basic(_ text: String) -> String { "Authorization: Basic " + Data(text.utf8).base64EncodedString() }

    static let digest = "sha256:" + String(repeating: "a", count: 64)

    static func path(_ kind: DistributionRoute.Kind, in name: String) -> String {
        switch kind {
        case .base: "/v2/"
        case .health: "/healthz"
        case .metrics: "/metrics"
        case .token: "/token"
        case .tokenKeys: "/token/keys"
        case .catalog: "/v2/_catalog"
        case .tags: "/v2/\(name)/tags/list"
        case .manifest: "/v2/\(name)/manifests/x"
        case .blob: "/v2/\(name)/blobs/\(digest)"
        case .uploads: "/v2/\(name)/blobs/uploads/"
        case .upload: "/v2/\(name)/blobs/uploads/x"
        case .referrers: "/v2/\(name)/referrers/\(digest)"
        case .indexPing: "/v1/_ping"
        case .indexSearch: "/v1/search?q=x"
        case .legacyImages: "/v1/repositories/\(name)/images"
        case .legacyTags: "/v1/repositories/\(name)/tags"
        case .legacyTag: "/v1/repositories/\(name)/tags/x"
        case .legacyImage: "/v1/images/\(digest.dropFirst(7))/json"
        case .search: "/api/v1/search?q=x"
        case .repositories: "/api/v1/repositories"
        case .repository: "/api/v1/repositories/\(name)"
        case .repositoryTags: "/api/v1/repositories/\(name)/tags"
        case .home: "/"
        case .list: "/repositories"
        case .found: "/search?q=x"
        case .page: "/r/\(name)"
        case .login: "/login"
        }
    }

    @Test func `what is no Basic header of an account is refused`() throws {
        let folder = try Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try RegistryLab(["--htpasswd", try Self.passwordFile(folder)])
        let bad = [
            "Authorization: Bearer x", "Authorization: Basic", "Authorization: Basic !!!",
            "Authorization: Basic \(String(repeating: "A", count: 9000))",
            Self.basic("user"), Self.basic(":secret"), Self.basic("user:"), Self.basic("user:secret\0x"),
            Self.basic("nobody:secret"), Self.basic("USER:secret"), Self.basic("user:secret "),
        ]
        for header in bad { #expect(try lab.ask("GET", "/v2/", [header]).status == 401, "\(header.prefix(60))") }
        #expect(try lab.ask("GET", "/v2/", [Self.basic("user:secret")]).status == 200)
    }

    @Test func `a changed password file is read again, a broken one is not taken`() throws {
        let folder = try Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = try Self.passwordFile(folder)
        let lab = try RegistryLab(["--htpasswd", path])
        func works(_ text: String) throws -> Bool { try lab.ask("GET", "/v2/", [Self.basic(text)]).status == 200 }
        #expect(try works("user:secret"))
        _ = try Self.passwordFile(folder, "user", "other")
        #expect(try soon { try works("user:other") })
        #expect(try !works("user:secret"))
        try "user:plain\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(
            soon {
                _ = try? works("user:other"); return lab.log.contains("line 1 is not NAME:HASH")
            })
        #expect(try works("user:other"))
    }

    @Test func `counts of answers and of bytes are told`() throws {
        let lab = try RegistryLab()
        let digest = try lab.push([1, 2, 3], to: "a")
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").status == 200)
        #expect(try lab.ask("BREW", "/v2/a/blobs/\(digest)").status == 405)
        let text = try lab.ask("GET", "/metrics").text
        for line in [
            "docker_registry_requests_total{route=\"blob\",method=\"GET\",code=\"200\"} 1",
            "docker_registry_requests_total{route=\"blob\",method=\"other\",code=\"405\"} 1",
            "docker_registry_requests_total{route=\"uploads\",method=\"POST\",code=\"201\"} 1",
            "docker_registry_blob_bytes_total 3",
        ] { #expect(text.contains(line), "\(text)") }
    }

    @Test func `over TLS blobs come whole, and a new certificate is taken up`() throws {
        let folder = try Self.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func shell(_ script: String) throws -> (code: Int32, out: Data) {
            let process = Process()
            process.executableURL = URL(filePath: "/bin/bash")
            process.arguments = ["-c", script]
            process.currentDirectoryURL = URL(filePath: folder)
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = FileHandle.nullDevice
            try process.run()
            let data = pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return (process.terminationStatus, data)
        }
        func certificate(_ name: String) throws {
            let made = try shell(
                """
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=\(name) \
                -addext subjectAltName=IP:127.0.0.1 -keyout new.key -out new.pem && mv new.key key.pem && mv new.pem cert.pem
                """)
            try #require(made.code == 0)
        }
        try certificate("first")
        let lab = try RegistryLab(["--tlscert", folder + "/cert.pem", "--tlskey", folder + "/key.pem"])
        let blob = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        try Data(blob).write(to: URL(filePath: folder + "/blob"))
        let digest = StreamHash.digest(of: blob, .sha256)
        let url = "https://\(lab.address)/v2/a/blobs"
        let curl = "curl -fsS --cacert cert.pem"
        #expect(try shell("\(curl) -X POST --data-binary @blob '\(url)/uploads/?digest=\(digest)'").code == 0)
        #expect(try Array(shell("\(curl) \(url)/\(digest)").out) == blob)
        #expect(
            try Array(shell("\(curl) -r 1000000-2500000 \(url)/\(digest)").out) == Array(blob[1_000_000...2_500_000]))
        let subject = "openssl s_client -connect \(lab.address) </dev/null | openssl x509 -noout -subject"
        #expect(try String(decoding: shell(subject).out, as: UTF8.self).contains("first"))
        try certificate("second")
        #expect(try soon { try String(decoding: shell(subject).out, as: UTF8.self).contains("second") })
        // Nobody speaks plain HTTP to it.
        #expect(try shell("curl -fsS http://\(lab.address)/v2/").code != 0)
    }
}
