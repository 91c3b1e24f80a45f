import Foundation
import OCI
import RegistryStore
import Testing

@testable import RegistryUpkeep

/// What is pushed here comes to another registry, whatever happens in between.
@Suite struct ReplicationTests {
    /// Debian's docker-registry in a folder of its own.
    private final class DebianRegistry: Sendable {
        let port: Int
        private let folder: String
        private let process: Process

        init(in folder: String) throws {
            // Its own choice would not be told: one that was free a moment ago.
            port = Int.random(in: 20_000..<30_000)
            self.folder = folder
            try """
            version: 0.1
            storage: {filesystem: {rootdirectory: \(folder)/data}}
            http: {addr: "127.0.0.1:\(port)"}
            """.write(toFile: folder + "/config.yml", atomically: true, encoding: .utf8)
            process = Process()
            process.executableURL = URL(filePath: "/usr/bin/docker-registry")
            process.arguments = ["serve", folder + "/config.yml"]
            process.standardError = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            let port = UInt16(port)
            try #require(soon(60) { (try? Wire(port)) != nil })
        }

        deinit {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }

        func get(_ path: String) throws -> String {
            let wire = try Wire(UInt16(port))
            let accept = "\(MediaType.ociManifest), \(MediaType.ociIndex)"
            wire.send(
                Array(
                    "GET \(path) HTTP/1.1\r\nHost: x\r\nAccept: \(accept)\r\nConnection: close\r\n\r\n".utf8))
            return String(decoding: wire.receive(), as: UTF8.self)
        }
    }

    private static func descriptor(_ manifest: [UInt8]) -> String {
        let digest = StreamHash.digest(of: manifest, .sha256)
        return
            #"{"mediaType":"\#(MediaType.ociManifest)","digest":"\#(digest)","size":\#(manifest.count)}"#
    }

    /// Pushes an index of two manifests under `tag`.
    private static func pushIndex(_ lab: RegistryLab, _ tag: String, in name: String) throws -> [UInt8] {
        var members: [String] = []
        for seed in ["\(tag)-amd64", "\(tag)-arm64"] {
            let manifest = try lab.image(seed, in: name)
            let digest = StreamHash.digest(of: manifest, .sha256)
            #expect(try lab.put(manifest, "\(digest)", in: name).status == 201)
            members.append(descriptor(manifest))
        }
        let index = Array(
            #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociIndex)","manifests":[\#(members.joined(separator: ","))]}"#
                .utf8)
        #expect(try lab.put(index, tag, in: name, type: MediaType.ociIndex).status == 201)
        return index
    }

    @Test func `tags, indexes and signatures come to a registry that was away, after a crash, too`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let target = try RegistryLab(["--htpasswd", try AccessTests.passwordFile(folder)])
        let login = AccessTests.basic("user:secret")
        let lab = try WebhookTests.lab(
            """
            {"replication":[{"name":"copy","repositories":"team/*","tags":"v*","to":"http://\(target.address)/mirror",
            "username":"user","password":"secret","deletes":true}]}
            """, in: folder)
        target.crash()
        let index = try Self.pushIndex(lab, "v1", in: "team/app")
        #expect(try lab.put(try lab.image("1", in: "team/app"), "latest", in: "team/app").status == 201)
        #expect(try lab.put(try lab.image("1", in: "other"), "v1", in: "other").status == 201)
        #expect(try soon(90) { try lab.operate(["replication"]).out.contains("connect") })
        lab.crash()
        try lab.start()
        try target.start()
        func got(_ path: String) throws -> RegistryLab.Reply { try target.ask("GET", path, [login]) }
        #expect(try soon(90) { try got("/v2/mirror/team/app/manifests/v1").body == index })
        for seed in ["v1-amd64", "v1-arm64"] {
            let layer = Array("layer \(seed)".utf8)
            #expect(
                try got("/v2/mirror/team/app/blobs/\(StreamHash.digest(of: layer, .sha256))").body == layer)
        }
        #expect(try got("/v2/mirror/team/app/manifests/latest").status == 404)
        // A signature of what is there goes there; one of what is not, does not.
        let subject = StreamHash.digest(of: index, .sha256)
        let signature = try lab.image(
            "signature", in: "team/app",
            extra: #","subject":{"mediaType":"\#(MediaType.ociIndex)","digest":"\#(subject)","size":\#(index.count)}"#)
        let digest = StreamHash.digest(of: signature, .sha256)
        #expect(try lab.put(signature, "\(digest)", in: "team/app").status == 201)
        #expect(try soon(60) { try got("/v2/mirror/team/app/referrers/\(subject)").text.contains("\(digest)") })
        #expect(try lab.ask("DELETE", "/v2/team/app/manifests/v1").status == 202)
        #expect(try soon(60) { try got("/v2/mirror/team/app/manifests/v1").status == 404 })
        #expect(try soon(60) { try lab.operate(["replication"]).out.contains("copy          0         -     0") })
        #expect(try target.ask("GET", "/v2/_catalog", [login]).json["repositories"] as? [String] == ["mirror/team/app"])
        // A repository that goes takes its tags along.
        _ = try Self.pushIndex(lab, "v2", in: "team/app")
        #expect(try soon(60) { try got("/v2/mirror/team/app/manifests/v2").status == 200 })
        #expect(try lab.operate(["rm", "team/app"]).status == 0)
        #expect(try soon(60) { try got("/v2/mirror/team/app/manifests/v2").status == 404 })
    }

    @Test(.enabled(if: FileManager.default.fileExists(atPath: "/usr/bin/docker-registry"), "needs docker-registry"))
    func `what is here already is copied when it is asked for, to Debian's registry, too`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let target = try DebianRegistry(in: folder)
        let lab = try RegistryLab()
        let index = try Self.pushIndex(lab, "v1", in: "team/app")
        // The same blobs once more: they are mounted there.
        _ = try Self.pushIndex(lab, "v1", in: "team/other")
        lab.crash()
        try #"{"replication":[{"name":"debian","to":"http://127.0.0.1:\#(target.port)","prefix":"a/b"}]}"#
            .write(toFile: folder + "/config", atomically: true, encoding: .utf8)
        try lab.start(["--config", folder + "/config"])
        #expect(try lab.operate(["replication", "--all", "debian"]).out == "2 tags wait to be copied to debian\n")
        #expect(
            try soon(90) {
                try target.get("/v2/a/b/team/app/manifests/v1").hasSuffix(String(decoding: index, as: UTF8.self))
            })
        #expect(try soon(90) { try target.get("/v2/a/b/team/other/manifests/v1").hasPrefix("HTTP/1.1 200") })
        let layer = StreamHash.digest(of: Array("layer v1-arm64".utf8), .sha256)
        #expect(try target.get("/v2/a/b/team/other/blobs/\(layer)").hasSuffix("layer v1-arm64"))
        #expect(try lab.operate(["replication", "--all", "nobody"]).err.contains("no replication is called nobody"))
    }

    @Test func `what has failed is tried less and less often`() {
        let pauses: [Int64] = [0, 1, 2, 3, 8, 100].map { ReplicationRule.pause(attempts: $0, random: 1) }
        #expect(pauses == [2, 4, 8, 16, 512, 600])
        #expect(ReplicationRule.pause(attempts: 1, random: 0) == 2)
    }

    @Test(arguments: [
        (#"{"to":"ftp://x"}"#, "https://HOST"), (#"{"to":"https://x.example/UP"}"#, "no repository's name"),
        (#"{"to":"https://"}"#, "no repository's name"), (#"{}"#, "to is missing"),
        (#"{"to":"https://x.example"},{"to":"https://x.example/"}"#, "of its own"),
    ])
    func `what is no rule is refused`(_ rule: String, _ words: String) throws {
        let (code, error) = try WebhookTests.refusedStart(#"{"replication":[\#(rule)]}"#)
        #expect(code == 1 && error.contains(words), "\(error)")
    }
}
