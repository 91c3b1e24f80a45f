import Foundation
import OCI
import RegistryStore
import Synchronization
import TestServers
import Testing

/// A registry that is a copy of others, as far as somebody has asked for it.
@Suite struct MirrorTests {
    private static let layer = noise(3_000_000)

    @Test func `an image comes once, and stays when its registry is gone`() throws {
        let origin = try Origin()
        let digest = origin.image(Self.layer)
        let blob = StreamHash.digest(of: Self.layer, .sha256)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\",\"ttl\":\"1h\"}}")
        for _ in 0..<2 {
            let manifest = try mirror.get("up.example/team/app/manifests/latest")
            #expect(manifest.status == 200 && manifest.headers["docker-content-digest"] == digest.description)
            #expect(manifest.headers["content-type"] == MediaType.ociManifest)
            #expect(StreamHash.digest(of: manifest.body, .sha256) == digest)
            #expect(try mirror.get("up.example/team/app/manifests/\(digest)").body == manifest.body)
            #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        }
        #expect(origin.count("GET", "/manifests/latest") == 1)
        #expect(origin.count("GET", "/manifests/\(digest)") == 0)
        #expect(origin.count("GET", "/blobs/\(blob)") == 1)
        #expect(mirror.registry.blobFiles == [blob.hex] && mirror.partial == [])
        origin.replace { _, answer in
            answer.reply(503)
            return true
        }
        mirror.registry.crash()
        try mirror.registry.start()
        let part = try mirror.get("up.example/team/app/blobs/\(blob)", ["Range: bytes=1000-1999"])
        #expect(part.status == 206 && part.body == Array(Self.layer[1000..<2000]))
        #expect(try mirror.registry.ask("HEAD", "/v2/up.example/team/app/manifests/latest").status == 200)
        #expect(try mirror.registry.ask("HEAD", "/v2/up.example/team/app/blobs/\(blob)").status == 200)
    }

    @Test func `names are those of the registry, by path, by ns and by host`() throws {
        let origin = try Origin()
        let digest = origin.image(Self.layer, of: "library/x")
        let mirror = try MirrorLab(
            """
            {"docker.io":{"url":"\(origin.url)","hosts":["hub.example"]},"a.b/c":{"url":"\(origin.url)"}}
            """)
        let paths = [
            "docker.io/library/x/manifests/latest", "docker.io/x/manifests/latest",
            "library/x/manifests/latest?ns=docker.io", "x/manifests/latest?ns=docker.io",
            "a.b/c/library/x/manifests/latest",
        ]
        for path in paths {
            let reply = try mirror.get(path)
            #expect(reply.headers["docker-content-digest"] == digest.description, "\(path)")
            #expect(reply.headers["oci-namespace"] == (path.contains("?ns=") ? "docker.io" : nil), "\(path)")
        }
        let byHost = try Wire(mirror.registry.port)
        byHost.send(
            Array("GET /v2/x/manifests/latest HTTP/1.1\r\nHost: hub.example:5000\r\nConnection: close\r\n\r\n".utf8))
        #expect(String(decoding: byHost.receive(), as: UTF8.self).hasPrefix("HTTP/1.1 200"))
        for path in ["library/x/manifests/latest", "library/x/manifests/latest?ns=other.example"] {
            #expect(try mirror.get(path).status == 404, "\(path)")
        }
        #expect(try mirror.get("docker.io/UPPER/manifests/latest").code == "NAME_INVALID")
        // What was pushed here is no other registry's.
        let own = try mirror.registry.image("own", in: "library/own")
        #expect(try mirror.registry.put(own, "latest", in: "library/own").status == 201)
        #expect(try mirror.get("library/own/manifests/latest").status == 200)
        #expect(try mirror.get("library/own/manifests/latest?ns=other.example").code == "NAME_UNKNOWN")
        #expect(origin.count("GET", "/manifests/latest") == 2)
    }

    @Test func `nobody writes to a copy`() throws {
        let origin = try Origin()
        let digest = origin.image(Self.layer)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        _ = try mirror.get("up.example/team/app/manifests/latest")
        let asked = origin.server.asked.count
        for (method, path) in [
            ("PUT", "manifests/latest"), ("DELETE", "manifests/\(digest)"), ("DELETE", "blobs/\(digest)"),
            ("POST", "blobs/uploads/"), ("PATCH", "blobs/uploads/x"), ("PUT", "blobs/uploads/x"),
            ("GET", "blobs/uploads/x"),
        ] {
            let reply = try mirror.registry.ask(method, "/v2/up.example/team/app/\(path)", [], [1])
            #expect(reply.status == 405 && reply.code == "UNSUPPORTED", "\(method) \(path) \(reply.text)")
        }
        #expect(origin.server.asked.count == asked)
        #expect(try mirror.registry.push([1, 2, 3], to: "own/app").description.hasPrefix("sha256:"))
    }

    @Test func `a list is no page, whatever its registry calls it, and a blob that is followed counts once`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        origin.replace { asked, answer in
            guard asked.target.contains("/tags/list") || asked.target.contains("/referrers/") else { return false }
            answer.reply(200, ["Content-Type: text/html"], Array("{\"tags\":[\"<script>\"]}".utf8))
            return true
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        #expect(try mirror.get("up.example/team/app/tags/list").headers["content-type"] == "application/json")
        #expect(
            try mirror.get("up.example/team/app/referrers/\(blob)").headers["content-type"] == MediaType.ociIndex)
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        #expect(
            try mirror.registry.ask("GET", "/metrics").text
                .contains("docker_registry_blob_bytes_total \(Self.layer.count)\n"))
    }

    @Test func `fifty clients cause one download, and follow it`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        let gate = DispatchSemaphore(value: 0)
        origin.begins(Self.layer, with: 1_000_000) { answer in
            gate.wait()
            answer.send(Array(Self.layer[1_000_000...]))
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        let path = "/v2/up.example/team/app/blobs/\(blob)"
        // The first bytes come while the last ones are not here yet.
        let early = try Wire(mirror.registry.port)
        early.send(Array("GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
        let first = early.receive(atLeast: 800_000)
        #expect(first.count >= 800_000)
        let right = Mutex(0)
        let clients = (0..<50).map { number in
            let thread = Thread {
                // Some come for a part that is not here yet.
                let range = number % 5 == 0 ? ["Range: bytes=2000000-2999999"] : []
                let reply = try? mirror.registry.ask("GET", path, range)
                let wanted = range.isEmpty ? Self.layer : Array(Self.layer[2_000_000...])
                if reply?.body == wanted { right.withLock { $0 += 1 } }
            }
            thread.start()
            return thread
        }
        usleep(500_000)
        gate.signal()
        #expect(soon(60) { clients.allSatisfy(\.isFinished) })
        #expect(right.withLock { $0 } == 50)
        #expect((first + early.receive()).suffix(Self.layer.count) == Self.layer[...])
        #expect(origin.count("GET", blob) == 1)
        #expect(mirror.registry.blobFiles == [blob.hex])
    }

    @Test func `a download that is cut goes on where it was`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        origin.begins(Self.layer, with: 2_000_000)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        let ranges = origin.server.asked.map { $0.headers["range"] }
        #expect(ranges == [nil, "bytes=2000000-"])
    }

    @Test func `a killed mirror goes on where it was`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        let gate = DispatchSemaphore(value: 0)
        origin.begins(Self.layer, with: 2_000_000) { _ in gate.wait() }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        let client = try Wire(mirror.registry.port)
        client.send(Array("GET /v2/up.example/team/app/blobs/\(blob) HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        let file = "\(mirror.registry.directory)/data/mirror/sha256-\(blob.hex)"
        #expect(soon { (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) == 2_000_000 })
        mirror.registry.crash()
        gate.signal()
        try mirror.registry.start()
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        #expect(origin.server.asked.last?.headers["range"] == "bytes=1999999-")
        // Who follows it has all of it before it is durable.
        #expect(soon { mirror.partial == [] && mirror.registry.blobFiles == [blob.hex] })
        _ = client
    }

    @Test func `tags are asked again when they are old, and kept when nobody answers`() throws {
        let origin = try Origin()
        let first = origin.image(Self.layer)
        let mirror = try MirrorLab(
            """
            {"always":{"url":"\(origin.url)","ttl":"0s"},"never":{"url":"\(origin.url)","ttl":"0s","stale":false},
            "soon":{"url":"\(origin.url)","ttl":"0s","stale":"1s"}}
            """)
        func tag(_ name: String) throws -> RegistryLab.Reply { try mirror.get("\(name)/team/app/manifests/latest") }
        for name in ["always", "never", "soon"] {
            #expect(try tag(name).headers["docker-content-digest"] == first.description)
        }
        #expect(origin.count("GET", "/manifests/latest") == 3)
        // It is the same: nothing but its digest is asked for.
        #expect(try tag("always").headers["docker-content-digest"] == first.description)
        #expect(origin.count("GET", "/manifests/latest") == 3 && origin.count("HEAD", "/manifests/latest") == 1)
        let second = origin.image(noise(100, 2))
        #expect(try tag("always").headers["docker-content-digest"] == second.description)
        #expect(try tag("never").headers["docker-content-digest"] == second.description)
        for status in [500, 429] {
            origin.replace { _, answer in
                answer.reply(status, ["Retry-After: 100"])
                return true
            }
            let stale = try tag("always")
            #expect(stale.status == 200 && stale.headers["docker-content-digest"] == second.description)
            #expect(stale.headers["warning"]?.hasPrefix("299 - \"always does not answer") == true)
            #expect(try tag("never").status == (status == 429 ? 429 : 502))
        }
        sleep(2)
        #expect(try tag("soon").status == 429)
        #expect(mirror.registry.log.contains("always/team/app:latest is served as it was"))
    }

    @Test func `how long a registry wants to be left alone is told`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        for (asked, told) in [("60", "60"), ("9223372036854775807", "3600")] {
            origin.replace { _, answer in
                answer.reply(429, ["Retry-After: \(asked)"])
                return true
            }
            for path in ["manifests/latest", "blobs/\(blob)", "tags/list"] {
                let reply = try mirror.get("up.example/team/app/" + path)
                // What is known of tags is told instead.
                guard reply.status != 404 else { continue }
                #expect(reply.status == 429 && reply.headers["retry-after"] == told, "\(path) \(reply.status)")
            }
        }
    }

    @Test(arguments: ["a silent", "a dripping"])
    func `who follows a blob that does not advance is let go, and the next one gets it`(_ kind: String) throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        let gate = DispatchSemaphore(value: 0)
        origin.begins(Self.layer, with: 1_000_000) { answer in
            var place = 1_000_000
            while gate.wait(timeout: .now() + 0.1) == .timedOut {
                if kind == "a dripping" { answer.send([Self.layer[place]]) }
                place += 1
            }
        }
        defer { gate.signal() }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\",\"stall\":\"2s\"}}")
        let path = "up.example/team/app/blobs/\(blob)"
        let began = Date()
        let got = try mirror.raw(path)
        #expect(got.count > 900_000 && got.count < Self.layer.count)
        #expect(Date().timeIntervalSince(began) < 15)
        #expect(mirror.registry.log.contains("next to nothing"))
        // It goes on where it was.
        #expect(try mirror.get(path).body == Self.layer)
        #expect(origin.server.asked.last?.headers["range"]?.hasPrefix("bytes=") == true)
    }

    @Test func `a download that nobody waits for ends, and the next client goes on with it`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        let sent = Mutex(0)
        origin.begins(Self.layer, with: 1_000_000) { answer in
            // The rest comes slowly, but it does.
            for place in stride(from: 1_000_000, to: Self.layer.count, by: 40_000) {
                let end = min(place + 40_000, Self.layer.count)
                guard answer.send(Array(Self.layer[place..<end])) else { return }
                sent.withLock { $0 = end }
                usleep(500_000)
            }
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        let path = "up.example/team/app/blobs/\(blob)"
        func begin() throws {
            let client = try Wire(mirror.registry.port)
            client.send(Array("GET /v2/\(path) HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
            #expect(client.receive(atLeast: 500_000).count >= 500_000)
        }
        try begin()
        // Who comes back soon follows the same one.
        usleep(1_000_000)
        try begin()
        #expect(origin.count("GET", blob) == 1)
        #expect(soon(30) { mirror.registry.log.contains("nobody waits") })
        #expect(mirror.partial.count == 1 && sent.withLock { $0 } < Self.layer.count)
        #expect(try mirror.get(path).body == Self.layer)
        let range = try #require(origin.server.asked.last?.headers["range"])
        #expect(Int(range.dropFirst("bytes=".count).dropLast()) ?? 0 >= 1_000_000)
    }

    @Test(arguments: ["cut", "unknown"])
    func `who has come by another registry goes on with that when the first one fails`(_ failure: String) throws {
        let (first, second) = (try Origin(), try Origin())
        let blob = first.blob(Self.layer)
        second.blob(Self.layer)
        let gate = DispatchSemaphore(value: 0)
        first.replace { asked, answer in
            guard asked.method == "GET" else { return false }
            if failure == "cut", asked.headers["range"] == nil {
                answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.layer.count)\r\nConnection: close\r\n\r\n")
                answer.send(Array(Self.layer[..<1_000_000]))
            }
            gate.wait()
            gate.signal()
            if failure == "unknown" { answer.reply(404) }
            return true
        }
        let mirror = try MirrorLab(
            "{\"one.example\":{\"url\":\"\(first.url)\"},\"two.example\":{\"url\":\"\(second.url)\"}}")
        let replies = Mutex<[String: RegistryLab.Reply]>([:])
        let clients = ["one", "two"].map { name in
            let thread = Thread {
                let reply = try? mirror.get("\(name).example/team/app/blobs/\(blob)")
                if let reply { replies.withLock { $0[name] = reply } }
            }
            thread.start()
            #expect(soon { (name == "one" ? first : second).server.asked.contains { $0.target.hasSuffix("\(blob)") } })
            return thread
        }
        usleep(300_000)
        gate.signal()
        #expect(soon(60) { clients.allSatisfy(\.isFinished) })
        let (one, two) = replies.withLock { ($0["one"], $0["two"]) }
        #expect(two?.status == 200 && two?.body == Self.layer)
        #expect(one?.body != Self.layer)
        if failure == "unknown" { #expect(one?.code == "BLOB_UNKNOWN") }
        let gotten = second.server.asked.filter { $0.method == "GET" }.map { $0.headers["range"] }
        #expect(gotten == [failure == "cut" ? "bytes=1000000-" : nil])
        // The first registry does not have it: nor does its repository here.
        first.replace { _, answer in
            answer.reply(404)
            return true
        }
        #expect(try mirror.get("one.example/team/app/blobs/\(blob)").status == 404)
        #expect(mirror.registry.blobFiles == [blob.hex])
    }

    @Test func `skopeo pulls through a mirror`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let origin = try RegistryLab()
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"http://\(origin.address)\"}}")
        func skopeo(_ arguments: String...) throws {
            let done = try RegistryLab.run("/usr/bin/skopeo", ["copy", "-q"] + arguments)
            #expect(done.status == 0, "\(done.err)")
        }
        let layout = try TokenTests.layout(folder)
        try skopeo("--dest-tls-verify=false", "oci:\(layout)", "docker://\(origin.address)/a/b:1")
        let image = "docker://\(mirror.registry.address)/up.example/a/b:1"
        try skopeo("--src-tls-verify=false", image, "dir:\(folder)/first")
        origin.crash()
        try skopeo("--src-tls-verify=false", image, "dir:\(folder)/second")
        #expect(mirror.registry.blobFiles.sorted() == origin.blobFiles.sorted())
    }

    @Test func `a tag that is gone there is gone here`() throws {
        let origin = try Origin()
        let digest = origin.image(Self.layer)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\",\"ttl\":\"0s\"}}")
        #expect(try mirror.get("up.example/team/app/manifests/latest").status == 200)
        origin.replace { asked, answer in
            answer.reply(404)
            return true
        }
        #expect(try mirror.get("up.example/team/app/manifests/latest").code == "MANIFEST_UNKNOWN")
        #expect(try mirror.get("up.example/team/app/manifests/\(digest)").status == 200)
        #expect(try mirror.get("up.example/team/app/manifests/other").code == "MANIFEST_UNKNOWN")
        #expect(try mirror.get("up.example/team/app/blobs/\(digest)").code == "BLOB_UNKNOWN")
    }

    @Test func `what nobody asks for goes, blobs and all`() throws {
        let origin = try Origin()
        origin.image(Self.layer)
        let blob = StreamHash.digest(of: Self.layer, .sha256)
        let mirror = try MirrorLab(
            "{\"up.example\":{\"url\":\"\(origin.url)\",\"keep\":\"3s\"}}", ["--gc-grace", "1s", "--gc-interval", "1s"])
        #expect(try mirror.get("up.example/team/app/manifests/latest").status == 200)
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        // The manifest names it: the grace of blobs is not what it has.
        for _ in 0..<5 {
            #expect(try mirror.get("up.example/team/app/manifests/latest").status == 200)
            // The bytes are sent while they are made durable.
            #expect(soon { mirror.registry.blobFiles == [blob.hex] })
            usleep(500_000)
        }
        #expect(soon(60) { mirror.registry.blobFiles == [] })
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
    }

    @Test(.onBothIndexes) func `a mirror that may have so much keeps what was asked for last`() throws {
        let origin = try Origin()
        let layers = ["a", "b", "c"].enumerated().map { (tag: $1, bytes: noise(100_000, UInt64($0) + 20)) }
        for layer in layers { origin.image(layer.bytes, tag: layer.tag) }
        // The same bytes are the same bytes.
        origin.image(layers[0].bytes, tag: "d", of: "team/other")
        let mirror = try MirrorLab(
            "{\"up\":{\"url\":\"\(origin.url)\",\"max-bytes\":\"250KB\"},\"up/team/other\":{\"url\":\"\(origin.url)\"}}",
            ["--gc-grace", "1h", "--gc-interval", "1h"])
        func pull(_ name: String, _ tag: String, _ layer: [UInt8]) throws {
            #expect(try mirror.get("up/\(name)/manifests/\(tag)").status == 200)
            let digest = StreamHash.digest(of: layer, .sha256)
            #expect(try mirror.get("up/\(name)/blobs/\(digest)").body == layer)
            // When it was asked for is known by the second.
            usleep(1_100_000)
        }
        func hex(_ layer: Int) -> String { StreamHash.digest(of: layers[layer].bytes, .sha256).hex }
        for layer in layers.prefix(2) { try pull("team/app", layer.tag, layer.bytes) }
        try pull("team/other", "d", layers[0].bytes)
        #expect(try mirror.get("up/team/app/manifests/a").status == 200)
        usleep(1_100_000)
        #expect(mirror.registry.blobFiles.sorted() == [hex(0), hex(1)].sorted())
        try pull("team/app", "c", layers[2].bytes)
        #expect(soon { mirror.registry.blobFiles.sorted() == [hex(0), hex(2)].sorted() })
        #expect(mirror.registry.log.contains("1 manifests of up were removed"))
        // It comes again when it is wanted again.
        try pull("team/app", "b", layers[1].bytes)
        #expect(soon { mirror.registry.blobFiles.sorted() == [hex(1), hex(2)].sorted() })
    }

    @Test func `a mirror without room gives all the same`() throws {
        let origin = try Origin()
        origin.image(Self.layer)
        let blob = StreamHash.digest(of: Self.layer, .sha256)
        let mirror = try MirrorLab("{\"up\":{\"url\":\"\(origin.url)\",\"max-bytes\":\"1KB\"}}")
        for _ in 0..<3 {
            #expect(try mirror.get("up/team/app/manifests/latest").status == 200)
            #expect(try mirror.get("up/team/app/blobs/\(blob)").body == Self.layer)
        }
        #expect(soon { mirror.registry.blobFiles == [] })
    }

    @Test func `lists are those of the registry`() throws {
        let origin = try Origin()
        let digest = origin.image(Self.layer)
        origin.replace { asked, answer in
            guard asked.target.contains("/tags/list") || asked.target.contains("/referrers/") else { return false }
            let link = "Link: </v2/team/app/tags/list?n=2&last=b>; rel=\"next\""
            answer.reply(200, ["Content-Type: application/json", link], Array("{\"tags\":[\"a\",\"b\"]}".utf8))
            return true
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\",\"ttl\":\"0s\"}}")
        let tags = try mirror.get("up.example/team/app/tags/list?n=2")
        #expect(tags.json["tags"] as? [String] == ["a", "b"])
        #expect(tags.headers["link"] == "</v2/up.example/team/app/tags/list?n=2&last=b>; rel=\"next\"")
        #expect(origin.server.asked.last?.target == "/v2/team/app/tags/list?n=2")
        #expect(try mirror.get("up.example/team/app/referrers/\(digest)?artifactType=a/b").status == 200)
        #expect(origin.server.asked.last?.target == "/v2/team/app/referrers/\(digest)?artifactType=a%2Fb")
        #expect(try mirror.get("up.example/team/app/manifests/latest").status == 200)
        origin.replace { _, answer in
            answer.reply(500)
            return true
        }
        let known = try mirror.get("up.example/team/app/tags/list")
        #expect(known.json["tags"] as? [String] == ["latest"] && known.headers["warning"] != nil)
    }

    @Test func `a configuration that cannot be meant is refused`() throws {
        for (text, reason) in [
            ("{\"up.example\":{}}", "mirrors.up.example: url is missing"),
            ("{\"up.example\":{\"url\":\"ftp://x\"}}", "invalid mirror"),
            ("{\"UP\":{\"url\":\"http://x\"}}", "invalid repository name"),
            ("{\"up.example\":{\"url\":\"http://x\",\"tll\":\"5m\"}}", "unknown key \"tll\""),
            ("{\"up.example\":{\"url\":\"http://x\",\"ttl\":\"5\"}}", "want a number and s, m, h or d"),
            ("{\"up.example\":{\"url\":\"http://x\",\"stall\":\"0s\"}}", "stall: want 1s at least"),
        ] {
            do {
                _ = try MirrorLab(text)
                Issue.record("\(text) was taken")
            } catch let failure as LabFailure {
                #expect(failure.description.contains(reason), "\(failure)")
            }
        }
    }
}
