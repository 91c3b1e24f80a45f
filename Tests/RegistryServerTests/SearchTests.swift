import Foundation
import OCI
import RegistryStore
import Testing

/// What searches and lists find, and what they keep to themselves.
@Suite(.onBothIndexes) struct SearchTests {
    /// Pushes an image whose configuration has labels.
    @discardableResult
    static func push(
        _ lab: RegistryLab, _ name: String, _ tag: String, labels: [String: String] = [:],
        annotations: [String: String] = [:], platform: String = "amd64"
    ) throws -> Digest {
        let config = try JSONSerialization.data(withJSONObject: [
            "architecture": platform, "os": "linux", "created": "2026-01-02T03:04:05Z", "config": ["Labels": labels],
            "rootfs": ["type": "layers", "diff_ids": [String]()],
        ])
        let layer = Array("layer of \(name):\(tag)".utf8)
        let (configDigest, layerDigest) = (try lab.push(Array(config), to: name), try lab.push(layer, to: name))
        let manifest = try JSONSerialization.data(withJSONObject: [
            "schemaVersion": 2, "mediaType": MediaType.ociManifest, "annotations": annotations,
            "config": ["mediaType": MediaType.ociConfig, "digest": "\(configDigest)", "size": config.count],
            "layers": [["mediaType": MediaType.ociLayer, "digest": "\(layerDigest)", "size": layer.count]],
        ])
        let reply = try lab.put(Array(manifest), tag, in: name)
        guard reply.status == 201 else { throw LabFailure("push: \(reply.status) \(reply.text)") }
        return StreamHash.digest(of: Array(manifest), .sha256)
    }

    static func describe(_ text: String) -> [String: String] { ["org.opencontainers.image.description": text] }

    private func escaped(_ text: String) -> String {
        text.utf8.map { "%" + Digest.hex([$0]) }.joined()
    }

    private func names(_ reply: RegistryLab.Reply) -> [String] {
        (reply.json["items"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
    }

    private func found(_ lab: RegistryLab, _ text: String, _ rest: String = "", _ headers: [String] = []) throws
        -> [String]
    {
        let reply = try lab.ask("GET", "/api/v1/search?q=\(escaped(text))\(rest)", headers)
        guard reply.status == 200 else { throw LabFailure("\(text): \(reply.status) \(reply.text)") }
        return names(reply)
    }

    @Test func `everything that a push tells is found, and nothing of it when it is deleted`() throws {
        let lab = try RegistryLab()
        try Self.push(
            lab, "team/store", "7.2-alpine",
            labels: [
                "org.opencontainers.image.description": "In-memory Böhmian data structures",
                "org.opencontainers.image.vendor": "Widgets Limited", "maintainer": "jane@example.org",
            ],
            annotations: [
                "org.opencontainers.image.readme": "# Quickstart\nrun the flibber", "org.example.custom": "zanzibar",
                "org.opencontainers.image.licenses": "BSD-3-Clause",
            ], platform: "riscv64")
        try Self.push(lab, "other", "1", labels: Self.describe("something else"))
        let texts = [
            "store", "team", "sto", "team/store", "team/st", "memory", "BÖHMIAN", "widgets", "jane", "flibber",
            "quickst", "zanzibar", "bsd", "riscv64", "alpine", "7.2", "7.2-alp", "store 7.2", "data alpine", "stroe",
            "sotre", "storee", "stor", "stare", "ttore", "storr", "tore", "astore", "tores", "störe",
        ]
        for text in texts { #expect(try found(lab, text) == ["team/store"], "\(text)") }
        for text in ["nothing", "memory nothing", "store 7.3", "xyz"] { #expect(try found(lab, text) == [], "\(text)") }
        let detail = try lab.ask("GET", "/api/v1/repositories/team/store").json
        #expect(detail["readme"] as? String == "# Quickstart\nrun the flibber")
        #expect(detail["owner"] as? String == "Widgets Limited")
        #expect(detail["platforms"] as? [String] == ["linux/riscv64"])
        #expect(detail["tag"] as? String == "7.2-alpine")
        let digest = try #require(detail["digest"] as? String)
        #expect(try lab.ask("DELETE", "/v2/team/store/manifests/7.2-alpine").status == 202)
        #expect(try found(lab, "alpine") == [])
        #expect(try found(lab, "memory") == ["team/store"])
        #expect(try lab.ask("DELETE", "/v2/team/store/manifests/\(digest)").status == 202)
        for text in texts { #expect(try found(lab, text) == [], "\(text)") }
        #expect(try lab.ask("GET", "/api/v1/repositories/team/store").code == "NAME_UNKNOWN")
        #expect(try names(lab.ask("GET", "/api/v1/repositories")) == ["other"])
    }

    @Test func `what a repository is called comes before what it says, latest before other tags`() throws {
        let lab = try RegistryLab()
        try Self.push(lab, "a/mentions", "1", labels: Self.describe("works with redis"))
        try Self.push(lab, "redis-exporter", "1")
        try Self.push(lab, "mirror/redis", "1")
        try Self.push(lab, "redis", "1")
        try Self.push(lab, "z/tagged", "redis")
        #expect(
            try found(lab, "redis") == ["redis", "mirror/redis", "redis-exporter", "a/mentions", "z/tagged"])
        try Self.push(lab, "redis", "latest", labels: Self.describe("the newest"))
        try Self.push(lab, "redis", "2", labels: Self.describe("an afterthought"))
        #expect(try found(lab, "newest") == ["redis"])
        #expect(try found(lab, "afterthought") == [])
    }

    @Test func `pushed texts are a repository's README, the newest counts, and a deleted one does not`() throws {
        let lab = try RegistryLab()
        let image = try Self.push(lab, "app", "1", annotations: ["org.opencontainers.image.readme": "annotated"])
        func readme(_ text: String) throws -> Digest {
            let (empty, body) = (Array("{}".utf8), Array(text.utf8))
            let (config, layer) = (try lab.push(empty, to: "app"), try lab.push(body, to: "app"))
            let manifest = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"text/markdown",\
                "config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"\(config)","size":2},\
                "layers":[{"mediaType":"text/markdown","digest":"\(layer)","size":\(body.count)}],\
                "subject":{"mediaType":"\(MediaType.ociManifest)","digest":"\(image)","size":1}}
                """.utf8)
            let digest = StreamHash.digest(of: manifest, .sha256)
            #expect(try lab.put(manifest, "\(digest)", in: "app").status == 201)
            return digest
        }
        func shown() throws -> String? { try lab.ask("GET", "/api/v1/repositories/app").json["readme"] as? String }
        #expect(try shown() == "annotated")
        let pushed = try readme("# All about\u{0}\u{7} gnomes")
        #expect(try shown() == "# All about gnomes")
        #expect(try found(lab, "gnomes") == ["app"])
        #expect(try lab.ask("DELETE", "/v2/app/manifests/\(pushed)").status == 202)
        #expect(try shown() == "annotated")
        #expect(try found(lab, "gnomes") == [])
    }

    @Test func `an index tells what its members do, and a pull of it counts once`() throws {
        let lab = try RegistryLab()
        let members = try ["amd64", "arm64"].map { platform in
            (
                platform,
                try Self.push(lab, "multi", platform, labels: Self.describe("many machines"), platform: platform)
            )
        }
        let items = try members.map { platform, digest in
            let size = try lab.ask("GET", "/v2/multi/manifests/\(digest)").body.count
            return """
                {"mediaType":"\(MediaType.ociManifest)","digest":"\(digest)","size":\(size),\
                "platform":{"architecture":"\(platform)","os":"linux"}}
                """
        }
        let index = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[\(items.joined(separator: ","))]}
            """.utf8)
        #expect(try lab.put(index, "latest", in: "multi", type: MediaType.ociIndex).status == 201)
        let detail = try lab.ask("GET", "/api/v1/repositories/multi").json
        #expect(detail["platforms"] as? [String] == ["linux/amd64", "linux/arm64"])
        #expect(detail["description"] as? String == "many machines")
        #expect((detail["size"] as? Int ?? 0) > 0)
        for _ in 0..<3 {
            #expect(try lab.ask("GET", "/v2/multi/manifests/latest").status == 200)
            #expect(try lab.ask("GET", "/v2/multi/manifests/\(members[0].1)").status == 200)
            #expect(try lab.ask("HEAD", "/v2/multi/manifests/latest").status == 200)
        }
        func pulls() throws -> Int? { try lab.ask("GET", "/api/v1/repositories/multi").json["pulls"] as? Int }
        // Two were pulled by themselves, for their sizes, before the index was there.
        #expect(try soon { try (3...5).contains(pulls() ?? 0) })
        let counted = try pulls()
        lab.crash()
        try lab.start()
        #expect(try pulls() == counted)
    }

    /// A mirror of a registry with an index of images whose configurations are `configs`, by platform.
    private static func mirrored(_ configs: [String: [UInt8]]) throws -> (MirrorLab, RegistryLab, members: [Digest]) {
        let origin = try RegistryLab()
        var members: [Digest] = []
        var items: [String] = []
        for (platform, config) in configs.sorted(by: { $0.key < $1.key }) {
            let digest = try origin.push(config, to: "app")
            let manifest = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","layers":[],\
                "config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(digest)","size":\(config.count)}}
                """.utf8)
            members.append(StreamHash.digest(of: manifest, .sha256))
            #expect(try origin.put(manifest, platform, in: "app").status == 201)
            items.append(
                """
                {"mediaType":"\(MediaType.ociManifest)","digest":"\(members[members.count - 1])",\
                "size":\(manifest.count),"platform":{"architecture":"\(platform)","os":"linux"}}
                """)
        }
        let index = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[\(items.joined(separator: ","))]}
            """.utf8)
        #expect(try origin.put(index, "latest", in: "app", type: MediaType.ociIndex).status == 201)
        return (try MirrorLab("{\"up\":{\"url\":\"http://\(origin.address)\"}}"), origin, members)
    }

    private static func config(_ platform: String, _ text: String) -> [UInt8] {
        Array(
            """
            {"architecture":"\(platform)","os":"linux","config":{"Labels":{"org.opencontainers.image.description":"\(text)"}}}
            """.utf8)
    }

    @Test func `a mirrored image tells what its configuration does when that has come`() throws {
        let config = Self.config("amd64", "flibber for many machines")
        let (mirror, origin, members) = try Self.mirrored(["amd64": config, "arm64": Self.config("arm64", "the other")])
        let lab = mirror.registry
        func pulls() throws -> [Int] {
            let tags = try lab.ask("GET", "/api/v1/repositories/up/app/tags").json["items"] as? [[String: Any]] ?? []
            return tags.compactMap { $0["pulls"] as? Int }
        }
        for _ in 0..<2 { #expect(try mirror.get("up/app/manifests/latest").status == 200) }
        #expect(try mirror.get("up/app/manifests/\(members[0])").status == 200)
        #expect(try soon { try pulls() == [2] })
        #expect(try found(lab, "flibber") == [])
        let blob = StreamHash.digest(of: config, .sha256)
        #expect(try mirror.get("up/app/blobs/\(blob)").body == config)
        #expect(try soon { try found(lab, "flibber") == ["up/app"] })
        let detail = try lab.ask("GET", "/api/v1/repositories/up/app").json
        #expect(detail["description"] as? String == "flibber for many machines")
        #expect(detail["platforms"] as? [String] == ["linux/amd64", "linux/arm64"])
        #expect(try pulls() == [2])
        withExtendedLifetime(origin) {}
    }

    @Test func `a mirrored image does not tell of a configuration that is another repository's`() throws {
        let config = Self.config("amd64", "zanzibar")
        let (mirror, origin, members) = try Self.mirrored(["amd64": config])
        let lab = mirror.registry
        let blob = try lab.push(config, to: "private/app")
        #expect(try mirror.get("up/app/manifests/latest").status == 200)
        #expect(try mirror.get("up/app/manifests/\(members[0])").status == 200)
        lab.crash()
        try lab.start()
        #expect(try lab.ask("GET", "/v1/repositories/up/app/images").text == "[]")
        sleep(6)
        #expect(try found(lab, "zanzibar") == [])
        // Its registry has it there, too.
        #expect(try mirror.get("up/app/blobs/\(blob)").body == config)
        #expect(try soon { try found(lab, "zanzibar") == ["up/app"] })
        withExtendedLifetime(origin) {}
    }

    @Test func `pages go on where the one before has ended, in every order`() throws {
        let lab = try RegistryLab()
        let all = (0..<23).map { "r\($0 / 10)/app\($0 % 10)" }
        for name in all { try Self.push(lab, name, "1", labels: Self.describe("common words")) }
        for order in ["relevance", "pulls", "updated", "pushed", "name", "size"] {
            for path in ["/api/v1/search?q=common", "/api/v1/repositories?q="] {
                for direction in ["", "&order=asc", "&order=desc"] {
                    var (seen, cursor): ([String], String?) = ([], "")
                    while let next = cursor, seen.count < 100 {
                        let from = next.isEmpty ? "" : "&cursor=\(escaped(next))"
                        let reply = try lab.ask("GET", "\(path)&n=5&sort=\(order)\(direction)\(from)")
                        #expect(reply.json["total"] as? Int == 23)
                        seen += names(reply)
                        cursor = reply.json["next"] as? String
                    }
                    #expect(seen.count == 23 && Set(seen) == Set(all), "\(path) \(order) \(direction)")
                    if order == "name" { #expect(seen == (direction == "&order=desc" ? all.reversed() : all)) }
                }
            }
        }
        let tags = (0..<12).map { "t\($0 + 10)" }
        for tag in tags { try Self.push(lab, "tagged", tag) }
        for order in ["name", "pushed"] {
            var (seen, cursor): ([String], String?) = ([], "")
            while let next = cursor, seen.count < 100 {
                let from = next.isEmpty ? "" : "&cursor=\(next)"
                let reply = try lab.ask("GET", "/api/v1/repositories/tagged/tags?n=5&sort=\(order)\(from)")
                seen += names(reply)
                cursor = reply.json["next"] as? String
            }
            #expect(seen.sorted() == tags && seen.count == 12, "\(order)")
        }
    }

    @Test func `hostile texts and parameters find nothing and break nothing`() throws {
        let lab = try RegistryLab()
        try Self.push(lab, "app", "1", labels: ["x": "'; DROP TABLE profiles; --\u{0} \u{202e} <script>"])
        let texts = [
            "\"", "\"\"", "'", "*", "a*", "^a", "name:x", "{name} : x", "a NEAR b", "NOT x", "AND", "-", "(", ")", "\\",
            "'; DROP TABLE profiles; --", "%00", "\u{0}", "\u{ffff}", "\u{10ffff}", "\u{202e}", "🦀", "\u{d7ff}",
            String(repeating: "a ", count: 128), String(repeating: "ü", count: 128), "/", "//", "../../x", "_", "%",
        ]
        for text in texts {
            let reply = try lab.ask("GET", "/api/v1/search?q=\(escaped(text))")
            // The server itself takes no NUL.
            #expect(reply.status == (text.contains("\u{0}") ? 400 : 200), "\(text): \(reply.text)")
        }
        // Bytes that are no UTF-8.
        #expect(try [200, 400].contains(lab.ask("GET", "/api/v1/search?q=%ff%fe%c0%80").status))
        #expect(try lab.ask("GET", "/api/v1/search?q=" + String(repeating: "a", count: 257)).status == 400)
        let bad = [
            "sort=x", "order=x", "n=0", "n=-1", "n=x", "n=99999999999999999999", "cursor=x", "cursor=o-1",
            "cursor=o99999999999", "cursor=i1.1", "cursor=",
        ]
        for parameter in bad {
            #expect(try lab.ask("GET", "/api/v1/search?q=app&\(parameter)").status == 400, "\(parameter)")
        }
        for cursor in ["o1", "i", "i1", "ix.y", "t1.x", "i9223372036854775808.1", ""] {
            #expect(try lab.ask("GET", "/api/v1/repositories?cursor=\(cursor)").status == 400, "\(cursor)")
            #expect(try lab.ask("GET", "/api/v1/repositories/app/tags?cursor=\(cursor)").status == 400, "\(cursor)")
        }
        for path in ["/v1/search?q=x&page=0", "/v1/search?q=x&n=0", "/v1/search?page=x"] {
            #expect(try lab.ask("GET", path).status == 400, "\(path)")
        }
        #expect(try lab.ask("GET", "/v1/search?q=app&page=1000&n=100").json["num_results"] as? Int == 1)
        #expect(try lab.ask("GET", "/api/v1/search?q=app&n=999999").status == 200)
        #expect(try lab.ask("GET", "/api/v1/repositories/APP").code == "NAME_INVALID")
        #expect(try lab.ask("POST", "/api/v1/search").status == 405)
        #expect(try found(lab, "script") == ["app"])
        #expect(try found(lab, "drop table") == ["app"])
    }

    @Test func `a configuration tells what it does, whether it is in memory or has to be read`() throws {
        let lab = try RegistryLab()
        let padding = String(repeating: "x ", count: 20_000)
        try Self.push(lab, "short", "1", labels: Self.describe("remembered"))
        try Self.push(lab, "long", "1", labels: Self.describe("reread").merging(["padding": padding]) { $1 })
        #expect(try found(lab, "remembered") == ["short"])
        #expect(try found(lab, "reread") == ["long"])
    }

    @Test func `a configuration that is no JSON, or huge, or another type's tells nothing`() throws {
        let lab = try RegistryLab()
        let configs = [
            Array("no JSON".utf8), Array("[]".utf8), Array("{\"config\":{\"Labels\":[1]}}".utf8),
            Array("{\"architecture\":7,\"os\":null}".utf8), [UInt8](repeating: 0x20, count: 2 << 20), [0xff, 0xfe],
        ]
        for (number, config) in configs.enumerated() {
            let name = "broken/number\(number)"
            let digest = try lab.push(config, to: name)
            let manifest = """
                {"schemaVersion":2,"config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(digest)",\
                "size":\(config.count)},"layers":[]}
                """
            #expect(try lab.put(Array(manifest.utf8), "1", in: name).status == 201)
            #expect(try found(lab, name) == [name])
        }
    }

    @Test func `nobody is told of what is not theirs`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = try AccessTests.passwordFile(folder)
        let open = try RegistryLab()
        for name in ["public/app", "public", "private/app", "publicity"] {
            try Self.push(open, name, "secretive", labels: Self.describe("shared words"))
        }
        open.crash()
        let lab = try RegistryLab(["--htpasswd", file, "--anonymous-pull", "public"])
        lab.crash()
        try FileManager.default.removeItem(atPath: lab.directory + "/data")
        try FileManager.default.moveItem(atPath: open.directory + "/data", toPath: lab.directory + "/data")
        lab.use(open.database)
        try lab.start()
        let user = [AccessTests.basic("user:secret")]
        let all = ["private/app", "public", "public/app", "publicity"]
        for text in ["shared", "secretive", "app", "privat", "publicity", "privte"] {
            let mine = try found(lab, text)
            #expect(mine.allSatisfy { $0 == "public" || $0 == "public/app" }, "\(text): \(mine)")
            #expect(try !lab.ask("GET", "/api/v1/search?q=\(text)").text.contains("private"))
        }
        #expect(try found(lab, "shared", "&sort=name") == ["public", "public/app"])
        #expect(try found(lab, "shared", "&sort=name", user) == all)
        let list = try lab.ask("GET", "/api/v1/repositories?sort=name")
        #expect(names(list) == ["public", "public/app"])
        #expect(list.json["total"] as? Int == 2)
        let index = try lab.ask("GET", "/v1/search?q=shared").json
        #expect(index["num_results"] as? Int == 2)
        #expect(try lab.ask("GET", "/api/v1/repositories/private/app").status == 401)
        #expect(try lab.ask("GET", "/api/v1/repositories/private/app", user).status == 200)
    }
}
