import Foundation
import OCI
import RegistryStore
import Testing

/// Requests that nobody should send: each has its status and code, and leaves nothing.
@Suite(.onBothIndexes) struct RefusalTests {
    struct Bad: Sendable {
        let method: String
        let path: String
        let status: Int
        let code: String
        var headers: [String] = []
        var body: [UInt8] = []

        init(
            _ method: String, _ path: String, _ status: Int, _ code: String, _ headers: [String] = [],
            _ body: String = ""
        ) {
            (self.method, self.path, self.status, self.code) = (method, path, status, code)
            (self.headers, self.body) = (headers, Array(body.utf8))
        }
    }

    static let digest = "sha256:" + String(repeating: "a", count: 64)
    static let names = [
        "A", "a//b", "a/", "/a", "-a", "a-", "a..b", "a___b", "a/%2e%2e%2fb", "a%00b", "a%2f", "%20", "a@b", "a:b", "ä",
        "a/b!", String(repeating: "a", count: 300), "a/../b", "_catalog", "a%0d%0ab",
    ]
    static let digests = [
        "sha256:", "sha256:abc", "sha256:" + String(repeating: "A", count: 64),
        "md5:" + String(repeating: "a", count: 32),
        "sha256:" + String(repeating: "a", count: 63) + "g", "sha512:" + String(repeating: "a", count: 64),
        "sha256:..%2f..%2fetc", String(repeating: "b", count: 5000),
    ]

    /// Every route with every name and digest that is none.
    static var table: [Bad] {
        var rows: [Bad] = []
        for name in names {
            for (method, rest) in [
                ("GET", "tags/list"), ("GET", "manifests/x"), ("HEAD", "manifests/x"), ("PUT", "manifests/x"),
                ("DELETE", "manifests/x"), ("GET", "blobs/\(digest)"), ("DELETE", "blobs/\(digest)"),
                ("POST", "blobs/uploads/"), ("GET", "blobs/uploads/x"), ("PATCH", "blobs/uploads/x"),
                ("PUT", "blobs/uploads/x?digest=\(digest)"), ("DELETE", "blobs/uploads/x"),
                ("GET", "referrers/\(digest)"),
            ] { rows.append(Bad(method, "/v2/\(name)/\(rest)", 400, "NAME_INVALID")) }
        }
        for bad in digests {
            for (method, path) in [
                ("GET", "/v2/a/blobs/\(bad)"), ("HEAD", "/v2/a/blobs/\(bad)"), ("DELETE", "/v2/a/blobs/\(bad)"),
                ("GET", "/v2/a/referrers/\(bad)"), ("POST", "/v2/a/blobs/uploads/?digest=\(bad)"),
            ] { rows.append(Bad(method, path, 400, "DIGEST_INVALID")) }
        }
        for bad in ["-x", ".x", "x%20y", "x%2fy", String(repeating: "x", count: 129), "x%00"] {
            for method in ["GET", "PUT", "DELETE"] {
                rows.append(Bad(method, "/v2/a/manifests/\(bad)", 400, "TAG_INVALID"))
            }
        }
        for bad in ["x", "-1", "1.5", "0x1", "99999999999999999999", ""] {
            for list in ["/v2/_catalog", "/v2/a/tags/list", "/v2/a/referrers/\(digest)"] {
                rows.append(Bad("GET", "\(list)?n=\(bad)", 400, "PAGINATION_NUMBER_INVALID"))
            }
        }
        return rows + others + manifests
    }

    static let others: [Bad] = [
        Bad("GET", "/v2/a/blobs/\(digest)", 404, "BLOB_UNKNOWN"),
        Bad("DELETE", "/v2/a/blobs/\(digest)", 404, "BLOB_UNKNOWN"),
        Bad("GET", "/v2/a/manifests/x", 404, "MANIFEST_UNKNOWN"),
        Bad("DELETE", "/v2/a/manifests/x", 404, "MANIFEST_UNKNOWN"),
        Bad("DELETE", "/v2/a/manifests/\(digest)", 404, "MANIFEST_UNKNOWN"),
        Bad("GET", "/v2/a/blobs/uploads/x", 404, "BLOB_UPLOAD_UNKNOWN"),
        Bad("PATCH", "/v2/a/blobs/uploads/..", 400, "UNKNOWN"),
        Bad("PATCH", "/v2/a/blobs/uploads/a.repository", 404, "BLOB_UPLOAD_UNKNOWN"),
        Bad("PUT", "/v2/a/blobs/uploads/x", 400, "DIGEST_INVALID"),
        Bad("PUT", "/v2/a/blobs/uploads/x?digest=\(digest)", 404, "BLOB_UPLOAD_UNKNOWN"),
        Bad("POST", "/v2/a/blobs/uploads/?digest=\(digest)", 400, "DIGEST_INVALID", [], "other bytes"),
        Bad("PUT", "/v2/a/blobs/\(digest)", 405, "UNSUPPORTED"), Bad("POST", "/v2/a/tags/list", 405, "UNSUPPORTED"),
        Bad("PATCH", "/v2/a/manifests/x", 405, "UNSUPPORTED"), Bad("GET", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"),
        Bad("GET", "/v2/a", 404, "UNKNOWN"), Bad("GET", "/v1/a/tags/list", 404, "UNKNOWN"),
    ]

    static var manifests: [Bad] {
        let type = "Content-Type: \(MediaType.ociManifest)"
        let config = "\"config\":{\"mediaType\":\"x\",\"digest\":\"\(digest)\",\"size\":1}"
        let bodies = [
            "", "{", "[]", "null", "{}", "{\"schemaVersion\":1}", "{\"schemaVersion\":2}",
            "\u{feff}{\"schemaVersion\":2}",
            "{\"schemaVersion\":2,\"schemaVersion\":2}", "{\"schemaVersion\":2,\(config)}",
            "{\"schemaVersion\":2,\(config),\"layers\":[],\"manifests\":[]}",
            "{\"schemaVersion\":2,\(config),\"layers\":{}}", "{\"schemaVersion\":2,\(config),\"layers\":[1]}",
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\(config),\"layers\":[]}",
            "{\"schemaVersion\":2,\(config.replacingOccurrences(of: ":1}", with: ":-1}")),\"layers\":[]}",
            "{\"schemaVersion\":2,\(config.replacingOccurrences(of: "sha256:", with: "../")),\"layers\":[]}",
            String(repeating: "[", count: 100_000),
        ]
        return bodies.map { Bad("PUT", "/v2/a/manifests/x", 400, "MANIFEST_INVALID", [type], $0) } + [
            Bad(
                "PUT", "/v2/a/manifests/x", 400, "MANIFEST_INVALID", ["Content-Type: text/plain"],
                "{\"schemaVersion\":2}"),
            Bad(
                "PUT", "/v2/a/manifests/x", 400, "MANIFEST_INVALID", [], "{\"schemaVersion\":2,\(config),\"layers\":[]}"
            ),
            Bad(
                "PUT", "/v2/a/manifests/x", 400, "MANIFEST_BLOB_UNKNOWN", [type],
                "{\"schemaVersion\":2,\(config),\"layers\":[]}"),
        ]
    }

    @Test func `every request that is wrong is refused for what is wrong with it, and leaves nothing`() throws {
        let lab = try RegistryLab()
        for bad in Self.table {
            let reply = try lab.ask(bad.method, bad.path, bad.headers, bad.body)
            let what = "\(bad.method) \(bad.path.prefix(100)) \(String(decoding: bad.body.prefix(80), as: UTF8.self))"
            // What is no path at all is refused before anything is read from it.
            let isHostile = reply.status == 400 || reply.status == 404
            if bad.code == "NAME_INVALID" || bad.code == "TAG_INVALID" {
                #expect(isHostile, "\(what): \(reply.status)")
            } else if bad.code == "DIGEST_INVALID", bad.path.contains("%2f") {
                #expect(isHostile, "\(what): \(reply.status)")
            } else {
                #expect(reply.status == bad.status, "\(what): \(reply.text)")
                if bad.method != "HEAD" { #expect(reply.code == bad.code, "\(what): \(reply.text)") }
            }
        }
        #expect(lab.blobFiles == [] && lab.uploadFiles == [])
        #expect(try lab.ask("GET", "/v2/_catalog").json["repositories"] as? [String] == [])
    }

    @Test func `a manifest of more than 4 MiB is refused with 413`() throws {
        let lab = try RegistryLab()
        let limit = RegistryStore.manifestBytesMax
        let large = try lab.ask(
            "PUT", "/v2/a/manifests/x", ["Content-Type: \(MediaType.ociManifest)"],
            [UInt8](repeating: 0x20, count: limit + 1))
        #expect(large.status == 413 && large.code == "MANIFEST_INVALID")
        // One of exactly that size is a manifest.
        var manifest = try lab.image("x", in: "a")
        manifest += [UInt8](repeating: 0x20, count: limit - manifest.count)
        #expect(try lab.put(manifest, "x", in: "a").status == 201)
        #expect(try lab.ask("GET", "/v2/a/manifests/x").body == manifest)
    }

    @Test func `a manifest that gives a blob another size is refused`() throws {
        let lab = try RegistryLab()
        let manifest = try lab.image("x", in: "a")
        let wrong = String(decoding: manifest, as: UTF8.self).replacingOccurrences(of: "\"size\":7", with: "\"size\":8")
        let reply = try lab.put(Array(wrong.utf8), "x", in: "a")
        #expect(reply.status == 400 && reply.code == "SIZE_INVALID", "\(reply.text)")
    }

    @Test func `a second registry does not touch the folder of the first`() throws {
        let lab = try RegistryLab()
        #expect(throws: StoreFailure.self) { _ = try RegistryStore(.init(root: lab.directory + "/data")) }
    }

    @Test func `a flag of the environment that says neither yes nor no is refused`() throws {
        for flag in ["ACCOUNTS", "READ_ONLY", "FROM_ENGINE"] {
            let done = try RegistryLab.run(
                "/usr/bin/env",
                [
                    "DOCKER_REGISTRY_\(flag)=yes", RegistryLab.binaries + "/docker", "registry", "serve", "--addr",
                    "127.0.0.1:0", "--data", "/nonexistent/registry",
                ])
            #expect(done.status == 1 && done.err.contains("want true or false"), "\(flag): \(done.err)")
        }
    }

    @Test func `a registry without free descriptors says so, and when to ask again`() throws {
        let lab = try RegistryLab()
        let (first, second) = (try lab.push([1], to: "a"), try lab.push([2], to: "a"))
        // What a read of the index opens is open from then on.
        for _ in 0..<3 { #expect(try lab.ask("GET", "/v2/a/blobs/\(first)").status == 200) }
        let wire = try Wire(lab.port)
        usleep(300_000)
        let used = Set(
            try FileManager.default.contentsOfDirectory(atPath: "/proc/\(lab.pid)/fd").compactMap { Int($0) })
        let free = try #require((0...).first { !used.contains($0) })
        let limited = try RegistryLab.run(
            "/usr/bin/prlimit", ["--pid", "\(lab.pid)", "--nofile=\(free):"])
        #expect(limited.status == 0, "\(limited.err)")
        wire.send(Array("GET /v2/a/blobs/\(second) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
        let answer = String(decoding: wire.receive(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("too many open files"), "\(answer)")
        #expect(answer.lowercased().contains("retry-after: 5\r\n"), "\(answer)")
        _ = try RegistryLab.run("/usr/bin/prlimit", ["--pid", "\(lab.pid)", "--nofile=1024:"])
        #expect(try lab.ask("GET", "/v2/a/blobs/\(second)").body == [2])
    }

    @Test func `the index is nobody else's to read`() throws {
        let lab = try RegistryLab()
        guard lab.database == nil else { return }
        for file in ["index.db", "index.db-wal"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(lab.directory)/data/\(file)")
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
        }
    }
}
