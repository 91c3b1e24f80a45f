import struct Crypto.HMAC
import struct Crypto.SHA256
import struct Crypto.SymmetricKey
import Foundation
import OCI
import RegistryStore
import S3
import Testing

/// Clients that are sent to other servers for bytes.
@Suite struct RedirectTests {
    /// A registry that sends clients elsewhere, and one that has what they are sent for.
    private final class World: Sendable {
        let folder: String
        let registry: RegistryLab
        /// Has blobs because somebody has pushed them there, too.
        let mirror: RegistryLab

        /// - Parameter rules: of the configuration, where MIRROR is the mirror's URL.
        init(_ rules: String, _ options: [String] = []) throws {
            folder = try AccessTests.folder()
            mirror = try RegistryLab()
            let rules = rules.replacingOccurrences(of: "MIRROR", with: "http://\(mirror.address)")
            try "{\"redirects\":\(rules)}".write(toFile: folder + "/config", atomically: true, encoding: .utf8)
            registry = try RegistryLab(["--config", folder + "/config"] + options)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func push(_ blob: [UInt8], to name: String) throws -> Digest {
            try mirror.push(blob, to: name)
            return try registry.push(blob, to: name)
        }

        func get(_ name: String, _ digest: Digest, _ headers: [String] = []) throws -> RegistryLab.Reply {
            try registry.ask("GET", "/v2/\(name)/blobs/\(digest)", headers)
        }
    }

    /// All servers that an answer names, in the order that it gives them.
    private static func sources(_ reply: RegistryLab.Reply) -> [String] {
        let links = reply.values("link").enumerated().compactMap { index, link -> String? in
            let end = ">; rel=\"duplicate\"; pri=\(index + 1)"
            return link.hasPrefix("<") && link.hasSuffix(end) ? String(link.dropFirst().dropLast(end.count)) : nil
        }
        return (reply.headers["location"].map { [$0] } ?? []) + links
    }

    /// What a client gets that follows a redirect, as curl does.
    private static func followed(_ url: String, _ options: [String] = []) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/curl")
        process.arguments = ["-fsSL"] + options + [url]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let bytes = Array(pipe.fileHandleForReading.readDataToEndOfFile())
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return bytes
    }

    @Test func `the digest says which of several servers comes first`() throws {
        let world = try World(
            #"[{"repositories":"public/*","to":["MIRROR","https://a.example/","https://b.example/Some/path"]}]"#)
        let bases = ["http://\(world.mirror.address)", "https://a.example", "https://b.example/Some/path"]
        var first: Set<Int> = []
        for seed in 0..<24 {
            let digest = try world.push(noise(100, UInt64(seed)), to: "public/app")
            let reply = try world.get("public/app", digest)
            #expect(reply.status == 307 && reply.body == [])
            #expect(reply.headers["docker-content-digest"] == digest.description)
            let urls = bases.map { "\($0)/v2/public/app/blobs/\(digest)" }
            let start = try #require(urls.firstIndex(of: reply.headers["location"] ?? ""))
            first.insert(start)
            #expect(Self.sources(reply) == Array(urls[start...] + urls[..<start]))
            #expect(try Self.sources(world.get("public/app", digest)) == Self.sources(reply))
        }
        #expect(first == [0, 1, 2])
        let metrics = try world.registry.ask("GET", "/metrics").text
        let counts = bases.compactMap { base in
            metrics.split(separator: "\n").first {
                $0.hasPrefix("docker_registry_blob_redirects_total{server=\"\(base)\"} ")
            }?.split(separator: " ").last.flatMap { Int($0) }
        }
        #expect(counts.count == 3 && counts.reduce(0, +) == 48)
        // What names no blob, and what has no rule, is answered as ever.
        let own = try world.push([1, 2, 3], to: "own")
        #expect(try world.get("own", own).body == [1, 2, 3])
        #expect(try world.get("public/app", own).code == "BLOB_UNKNOWN")
        let manifest = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[]}".utf8)
        #expect(try world.registry.put(manifest, "x", in: "public/app", type: MediaType.ociIndex).status == 201)
        #expect(try world.registry.ask("GET", "/v2/_catalog").json["repositories"] as? [String] == ["public/app"])
        #expect(try world.registry.ask("GET", "/v2/public/app/tags/list").json["tags"] as? [String] == ["x"])
        #expect(try world.registry.ask("GET", "/v2/public/app/manifests/x").body == manifest)
    }

    @Test func `bytes, and parts of them, come from a server that has them`() throws {
        let world = try World(#"[{"to":["MIRROR"],"smallest":"10KB"}]"#)
        let blob = noise(200_000)
        let digest = try world.push(blob, to: "a")
        let url = "http://\(world.registry.address)/v2/a/blobs/\(digest)"
        #expect(try Self.followed(url) == blob)
        #expect(try Self.followed(url, ["-r", "1000-1999"]) == Array(blob[1000..<2000]))
        #expect(try world.registry.ask("GET", "/metrics").text.contains("docker_registry_blob_bytes_total 0"))
        #expect(try world.mirror.ask("GET", "/metrics").text.contains("docker_registry_blob_bytes_total 201000"))
        #expect(try world.get("a", digest, ["Range: bytes=5-6"]).status == 307)
        // What has no bytes of a blob is said here.
        let head = try world.registry.ask("HEAD", "/v2/a/blobs/\(digest)")
        #expect(head.status == 200 && head.headers["content-length"] == "200000")
        #expect(try world.get("a", digest, ["If-None-Match: \"\(digest)\""]).status == 304)
        #expect(try world.get("a", digest, ["Range: bytes=200000-"]).status == 416)
        let small = try world.push(noise(9_999), to: "a")
        #expect(try world.get("a", small).status == 200)
        #expect(try world.get("a", try world.push(noise(10_000), to: "a")).status == 307)
    }

    @Test func `who prefers the registry's own bytes gets them`() throws {
        let world = try World(#"[{"to":["MIRROR"]}]"#)
        let blob = noise(5000)
        let digest = try world.push(blob, to: "a")
        for header in ["Prefer: respond-directly", "prefer: wait=5, Respond-Directly"] {
            let direct = try world.get("a", digest, [header])
            #expect(direct.status == 200 && direct.body == blob)
            #expect(direct.headers["preference-applied"] == "respond-directly")
            let part = try world.get("a", digest, [header, "Range: bytes=10-19"])
            #expect(part.status == 206 && part.body == Array(blob[10..<20]))
        }
        #expect(try world.get("a", digest, ["Prefer: respond-async"]).status == 307)
    }

    @Test func `who may not pull is sent nowhere`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let world = try World(
            #"[{"to":["MIRROR"],"advertise":true}]"#,
            ["--htpasswd", try AccessTests.passwordFile(folder), "--audit", folder + "/audit"])
        let lab = world.registry
        let user = [AccessTests.basic("user:secret")]
        let blob = noise(100)
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("POST", "/v2/team/app/blobs/uploads/?digest=\(digest)", user, blob).status == 201)
        try lab.addUser("ann", "word")
        for (headers, status) in [([], 401), ([AccessTests.basic("ann:word")], 403)] {
            for path in ["blobs/\(digest)", "manifests/latest"] {
                let refused = try lab.ask("GET", "/v2/team/app/\(path)", headers)
                #expect(refused.status == status && Self.sources(refused) == [])
                #expect(refused.headers["x-docker-endpoints"] == nil && !refused.text.contains(world.mirror.address))
            }
        }
        let allowed = try lab.ask("GET", "/v2/team/app/blobs/\(digest)", user)
        #expect(allowed.status == 307 && !allowed.text.contains("secret"))
        // What was had elsewhere is written down as what was had here.
        #expect(
            soon {
                let audit = (try? String(contentsOfFile: folder + "/audit", encoding: .utf8)) ?? ""
                return audit.split(separator: "\n").contains { line in
                    ["\"action\":\"pull\"", "\"status\":307", "\"user\":\"user\"", "\"digest\":\"\(digest)\""]
                        .allSatisfy(line.contains)
                }
            })
        // A blob of another repository is none of this one.
        #expect(try lab.ask("GET", "/v2/team/web/blobs/\(digest)", user).status == 404)
    }

    @Test func `a URL proves that it is from the registry`() throws {
        let world = try World(#"[{"to":["https://cdn.example/base"],"secret":"shared"}]"#)
        let digest = try world.push([1, 2, 3], to: "a")
        let location = try #require(try world.get("a", digest).headers["location"])
        let parts = location.components(separatedBy: "?")
        let path = "/base/v2/a/blobs/\(digest)"
        #expect(parts.count == 2 && parts[0] == "https://cdn.example\(path)")
        let query = parts[1].components(separatedBy: CharacterSet(charactersIn: "=&"))
        #expect(query.count == 4 && query[0] == "expires" && query[2] == "signature")
        let expires = try #require(Int(query[1]))
        #expect((1190...1200).contains(expires - Int(Date().timeIntervalSince1970)))
        let code = HMAC<SHA256>.authenticationCode(
            for: Data("\(path)\n\(expires)".utf8), using: SymmetricKey(data: Data("shared".utf8)))
        #expect(query[3] == code.map { String(format: "%02x", $0) }.joined())
        #expect(!world.registry.log.contains("shared"))
    }

    @Test func `the first rule of a repository counts, and manifests tell of servers where it says so`() throws {
        let world = try World(
            """
            [{"repositories":"a/own","redirect":false},
            {"repositories":["a/*"],"to":["https://m.example:8443/base","MIRROR"],"advertise":true,"redirect":false},
            {"to":["MIRROR"],"advertise":true}]
            """)
        for (name, servers) in [
            ("a/own", nil), ("a/b", "m.example:8443/base, http://\(world.mirror.address)"),
            ("c", "http://\(world.mirror.address)"),
        ] {
            let manifest = try world.registry.image("1", in: name)
            #expect(try world.registry.put(manifest, "x", in: name).headers["x-docker-endpoints"] == nil)
            let digest = StreamHash.digest(of: manifest, .sha256)
            for (method, headers) in [("GET", []), ("HEAD", []), ("GET", ["If-None-Match: \"\(digest)\""])] {
                let reply = try world.registry.ask(method, "/v2/\(name)/manifests/x", headers)
                #expect(reply.headers["x-docker-endpoints"] == servers, "\(method) \(name) \(reply.status)")
            }
            let layer = StreamHash.digest(of: Array("layer 1".utf8), .sha256)
            #expect(try world.get(name, layer).status == (name == "c" ? 307 : 200))
        }
    }

    @Test func `skopeo takes its layers from the server that it is sent to`() throws {
        let world = try World(#"[{"to":["MIRROR"]}]"#)
        let layout = try TokenTests.layout(world.folder)
        func skopeo(_ arguments: String...) throws -> RegistryLab.Outcome {
            try RegistryLab.run("/usr/bin/skopeo", ["copy", "-q"] + arguments)
        }
        for lab in [world.registry, world.mirror] {
            let pushed = try skopeo("--dest-tls-verify=false", "oci:\(layout)", "docker://\(lab.address)/a/b:1")
            #expect(pushed.status == 0, "\(pushed.err)")
        }
        let pulled = try skopeo(
            "--src-tls-verify=false", "docker://\(world.registry.address)/a/b:1", "dir:\(world.folder)/out")
        #expect(pulled.status == 0, "\(pulled.err)")
        let metrics = try world.registry.ask("GET", "/metrics").text
        // The configuration and the layer.
        #expect(metrics.contains("docker_registry_blob_redirects_total{server=\"http://\(world.mirror.address)\"} 2"))
        #expect(metrics.contains("docker_registry_blob_bytes_total 0\n"))
    }

    @Test func `a mirror that clients are sent to does not send its own requests back to itself`() throws {
        let world = try World(#"[{"repositories":"none","to":["MIRROR"]}]"#)
        let mirror = try MirrorLab(
            "{\"up.example\":{\"url\":\"http://\(world.registry.address)\",\"hosts\":[\"127.0.0.1\"]}}")
        try "{\"redirects\":[{\"to\":[\"http://\(mirror.registry.address)\"]}]}".write(
            toFile: world.folder + "/config", atomically: true, encoding: .utf8)
        world.registry.crash()
        try world.registry.start()
        let blob = noise(300_000)
        let digest = try world.registry.push(blob, to: "team/app")
        let url = "http://\(world.registry.address)/v2/team/app/blobs/\(digest)"
        for _ in 0..<2 { #expect(try Self.followed(url) == blob) }
        #expect(soon { mirror.registry.blobFiles == [digest.hex] })
        #expect(try world.registry.ask("GET", "/metrics").text.contains("docker_registry_blob_bytes_total 300000"))
    }

    @Test func `a mirror sends clients elsewhere for what it has, and serves the rest`() throws {
        let origin = try Origin()
        let blob = noise(100_000)
        let digest = origin.blob(blob)
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try WebhookTests.lab(
            """
            {"mirrors":{"up.example":{"url":"\(origin.url)"}},
            "redirects":[{"repositories":"up.example/*","to":["https://m.example"]}]}
            """, in: folder)
        let path = "/v2/up.example/team/app/blobs/\(digest)"
        #expect(try lab.ask("GET", path).body == blob)
        #expect(soon { (try? lab.ask("GET", path))?.headers["location"] == "https://m.example\(path)" })
        #expect(try lab.ask("GET", path, ["Prefer: respond-directly"]).body == blob)
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is not installed: make deps"))
    func `the bucket comes behind the servers of a rule`() throws {
        let bucket = try BucketLab(checks: false)
        let lab = try bucket.registry(rules: #"[{"repositories":"a","to":["https://m.example"]}]"#) {
            $0.redirect = true
        }
        let blob = noise(100_000)
        let digest = try lab.push(blob, to: "a")
        let sources = try Self.sources(lab.ask("GET", "/v2/a/blobs/\(digest)"))
        #expect(sources.count == 2 && sources[0] == "https://m.example/v2/a/blobs/\(digest)")
        #expect(try Self.followed(#require(sources.last)) == blob)
        let direct = try lab.ask("GET", "/v2/a/blobs/\(digest)", ["Prefer: respond-directly"])
        #expect(direct.status == 200 && direct.body == blob)
        try lab.push(blob, to: "b")
        let alone = try lab.ask("GET", "/v2/b/blobs/\(digest)")
        #expect(alone.status == 307 && Self.sources(alone).count == 1)
        #expect(try lab.ask("GET", "/metrics").text.contains("blob_redirects_total{server=\"bucket\"} 1"))
    }

    @Test func `a configuration that cannot be meant is refused`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let many = (0..<17).map { "\"https://m\($0).example\"" }.joined(separator: ",")
        for (rule, reason) in [
            (#"{}"#, "redirects.[0].to: no server is named"),
            (#"{"to":[]}"#, "no server is named"),
            (#"{"to":["https://m.example"],"redirect":false}"#, "nobody is told of these servers"),
            (#"{"to":["m.example"]}"#, "\"m.example\" is no server: want http(s)://host[:port][/path]"),
            (#"{"to":["ftp://m.example"]}"#, "is no server"), (#"{"to":["https://u:p@m.example"]}"#, "is no server"),
            (#"{"to":["https://m.example/?x=1"]}"#, "is no server"),
            (#"{"to":["https://m.example/a b"]}"#, "is no server"),
            (#"{"to":["https://m.example/\">"]}"#, "is no server"),
            (#"{"to":["https://m.example#x"]}"#, "is no server"),
            (#"{"to":["https://m.example","https://M.example/"]}"#, "each once"),
            ("{\"to\":[\(many)]}", "at most 16 servers"),
            (#"{"to":["https://m.example"],"smallest":"some"}"#, "invalid size some"),
            (#"{"to":["https://m.example"],"secret":""}"#, "secret: it is empty"),
            (#"{"to":["https://m.example"],"secret":"x","advertise":true}"#, "clients cannot sign"),
            (#"{"to":["https://m.example/x"],"advertise":true}"#, "want servers without"),
            (#"{"to":["https://m.example/Up"],"advertise":true,"redirect":false}"#, "cannot begin a repository's name"),
            (#"{"too":["https://m.example"]}"#, "unknown key \"too\""),
        ] {
            do {
                _ = try WebhookTests.lab("{\"redirects\":[\(rule)]}", in: folder)
                Issue.record("\(rule) was taken")
            } catch let failure as LabFailure {
                #expect(failure.description.contains(reason), "\(failure)")
            }
        }
    }
}
