import Foundation
import Testing

/// Pulls by our CLI and daemon from a registry that lies, cuts, stalls and floods.
@Suite(.serialized)
final class HostileRegistryTests {
    let lab: Lab
    let registry: FaultyRegistry

    init() throws {
        registry = try FaultyRegistry()
        lab = try Lab()
    }

    private func pull(_ tag: String) throws -> Lab.Output { try lab.docker("pull", registry.image(tag)) }

    /// The honest image still comes, runs, and goes without a trace.
    private func expectHealth() throws {
        try registry.obey([])
        let pulled = try pull("good-plain")
        #expect(pulled.code == 0, "\(pulled.err)")
        #expect(try lab.docker("run", "--rm", ["--network", "none", registry.image("good-plain")]).out == "ran\n")
        #expect(try lab.docker("rmi", registry.image("good-plain")).code == 0)
        #expect(try lab.names("layers/sha256").isEmpty)
        #expect(try lab.names("blobs/sha256").isEmpty)
    }

    // MARK: Documents

    /// Every "bad-" tag of hostile-images with the words of its refusal.
    static let refusals: [String: String] = [
        "bad-both": "is a manifest and an index at once",
        "bad-both-index": "is a manifest and an index at once",
        "bad-index-as-manifest": "but is served as",
        "bad-other-type": "but is served as",
        "bad-unknown-type": "unsupported manifest media type and no default available: \"application/x\"",
        "bad-nested": "are nested deeper than 2",
        "bad-platform": "no matching manifest for linux/amd64 in the manifest list entries",
        "bad-children": "has 10001 entries",
        "bad-5MiB": "is larger than 4194304 bytes",
        "bad-deep": "is not well formed: it is nested deeper than 512",
        "bad-json": "is not a JSON object of the expected form",
        "bad-array": "it is not a JSON object in UTF-8",
        "bad-null": "it is not a JSON object in UTF-8",
        "bad-utf8": "it is not UTF-8",
        "bad-utf16": "it is not a JSON object in UTF-8",
        "bad-duplicate-keys": "member \"layers\" is there twice",
        "bad-size-less": "has 141 bytes, but bytes from 0 on were answered with status 200, length 142",
        "bad-size-more": "has 143 bytes, but bytes from 0 on were answered with status 200, length 142",
        "bad-size-negative": "has a negative size",
        "bad-size-zero": "the layer's diff ID is",
        "bad-size-max": "has 9223372036854775807 bytes, but",
        "bad-size-over": "is malformed",
        "bad-size-absurd": "is malformed",
        "bad-size-fraction": "is malformed",
        "bad-size-text": "is malformed",
        "bad-digest-path": "is malformed",
        "bad-digest-upper": "is malformed",
        "bad-digest-md5": "is malformed",
        "bad-digest-short": "is malformed",
        "bad-digest-missing": "blob unknown",
        "bad-layer-type":
            "unsupported media type \"application/vnd.cncf.helm.chart.content.v1.tar+gzip\": this is not a container image",
        "bad-foreign": "blob unknown",
        "bad-layer-sha512": "layers named by sha512 are not taken; use sha256",
        "bad-config-size": "but bytes from 0 on were answered",
        "bad-config-huge": "has 1099511627776 bytes: more than 8388608",
        "bad-config-negative": "has a negative size",
        "bad-config-json": "is not well formed",
        "bad-config-null": "it is not a JSON object in UTF-8",
        "bad-config-artifact":
            "unsupported media type \"application/vnd.oci.empty.v1+json\": this is not a container image",
        "bad-config-windows": "image operating system \"windows\" cannot be used on this platform",
        "bad-config-type": "is not well formed: config.Env: ",
        "bad-config-deep": "it is nested deeper than 512",
        "bad-layers-more": "names 1 layers, its manifest 2",
        "bad-layers-fewer": "names 2 layers, its manifest 1",
        "bad-layers-none": "names 2 layers, its manifest 0",
        "bad-diffid": "the layer's diff ID is",
        "bad-diffid-swapped": "the layer's diff ID is",
        "bad-diffid-two": "the layer's diff ID is",
        "bad-diffid-text": "invalid digest \"nonsense\"",
        "bad-schema1": "schema 1 support has been removed",
        "bad-schema-number": "is not a JSON object of the expected form",
        "bad-layer-garbage": "tar archive at byte 0: header checksum is wrong",
        "bad-layer-cut": "the compressed layer is truncated",
    ]

    @Test func `an image that is not what it must be is refused, named, and leaves nothing`() throws {
        try expectHealth()
        let before = try lab.daemonMemory()
        let tags = try registry.tags().keys.filter { $0.hasPrefix("bad-") }.sorted()
        #expect(Set(tags) == Set(Self.refusals.keys))
        for tag in tags {
            // Nothing to take from the tag before: layers that were whole are kept for the next try until they are pruned.
            try lab.docker("image", "prune", ["-f"])
            let refused = try pull(tag)
            #expect(refused.code == 1, "\(tag)")
            #expect(refused.err.contains(Self.refusals[tag] ?? "-"), "\(tag): \(refused.err)")
            #expect(try lab.holdsNothing(), "\(tag)")
        }
        try lab.docker("image", "prune", ["-f"])
        #expect(try lab.names("layers/sha256").isEmpty)
        #expect(try lab.daemonMemory() - before < 64 << 10)
        #expect(try !registry.served().contains { $0.target.contains("stolen") })
        try expectHealth()
    }

    @Test func `its benign twin works`() throws {
        let tags = try registry.tags().keys.filter { $0.hasPrefix("good-") }.sorted()
        #expect(tags.count >= 12)
        for tag in tags {
            let pulled = try pull(tag)
            #expect(pulled.code == 0, "\(tag): \(pulled.err)")
            if !["good-single", "good-layers-zero"].contains(tag) {
                let ran = try lab.docker("run", "--rm", ["--network", "none", registry.image(tag)])
                #expect(ran.out == "ran\n", "\(tag): \(ran.err)")
            }
            #expect(try lab.docker("rmi", registry.image(tag)).code == 0, "\(tag)")
            #expect(try lab.holdsNothing(), "\(tag)")
        }
        #expect(try lab.names("layers/sha256").isEmpty)
    }

    // MARK: Connections

    @Test func `a blob that is cut again and again comes whole and no byte twice`() throws {
        let layer = try #require(try registry.layers("good-single").first)
        try registry.obey(
            [5_000_000, 7_000_000, 9_000_000].map { #"{"path": "\#(layer.digest)", "times": 1, "cut": \#($0)}"# })
        let pulled = try pull("good-single")
        #expect(pulled.code == 0, "\(pulled.err)")
        let replies = try registry.served().filter { $0.target.contains(layer.digest) && $0.sent > 0 }
        #expect(replies.map(\.start) == [0, 5_000_000, 12_000_000, 21_000_000])
        #expect(replies.reduce(0) { $0 + $1.sent } == layer.size)
    }

    @Test(
        arguments: [
            (#""ignoreRange": true"#, nil), (#""status": 503, "headers": {"Retry-After": "1"}"#, nil),
            (#""status": 429, "headers": {"Retry-After": "1"}"#, nil), (#""status": 500"#, nil),
            (#""range": "bytes 0-99/100""#, "bytes from 5000000 on were answered with status 206"),
            (#""range": "bytes 5000001-25165824/25165825""#, "were answered with status 206"),
            (#""length": 17"#, "length 17"), (#""status": 404"#, "404"),
            (#""headers": {"Content-Encoding": "gzip"}"#, "is served with content-encoding \"gzip\""),
            (#""status": 429, "headers": {"Retry-After": "86400"}"#, "too many requests"),
        ] as [(String, String?)])
    func `after a cut the rest is taken or refused for what it is`(_ then: String, _ words: String?) throws {
        let layer = try #require(try registry.layers("good-single").first)
        try registry.obey([
            #"{"path": "\#(layer.digest)", "times": 1, "cut": 5000000}"#,
            #"{"path": "\#(layer.digest)", "times": 1, \#(then)}"#,
        ])
        let pulled = try pull("good-single")
        #expect((pulled.code == 0) == (words == nil), "\(pulled.err)")
        if let words {
            #expect(pulled.err.contains(words), "\(pulled.err)")
            #expect(try lab.docker("images", "-aq").text.isEmpty)
            #expect(try lab.partialBytes().allSatisfy { $0 <= 5_000_000 })
        }
        try expectHealthOfLarge(layer)
    }

    /// The same image comes whole afterwards, and is what it should be.
    private func expectHealthOfLarge(_ layer: (digest: String, size: Int)) throws {
        try registry.obey([])
        let pulled = try pull("good-large")
        #expect(pulled.code == 0, "\(pulled.err)")
        let hash = try lab.docker(
            "run", "--rm", ["--network", "none", registry.image("good-large"), "/bin/busybox", "sha256sum", "/noise"])
        #expect(hash.out.hasPrefix(Self.noise), "\(hash.err)")
        #expect(try lab.partialBytes().isEmpty)
    }

    /// SHA-256 of hostile-images' `noise`, which is made from a fixed seed.
    static let noise = "fa5d9906e9dcff16bf6422baf9419dd8c2bc68c70e95d4306f4ac620693c1444"

    @Test(arguments: [
        (#""flip": true"#, "pull"), (#""truncate": 100"#, "length 100"), (#""endless": true"#, "tar archive at byte 0"),
        (#""raw": "HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", "repeat": 100000"#, "header"),
        (#""raw": "SSH-2.0-OpenSSH_9.9\r\n""#, "malformed HTTP response"),
        (#""status": 301, "headers": {"Location": "/v2/hostile/blobs/again"}"#, "stopped after 5 redirects"),
        (#""status": 302"#, "redirects without a usable location"),
        (#""status": 307, "headers": {"Location": "ftp://127.0.0.1/x"}"#, "redirects without a usable location"),
        (#""status": 401, "headers": {"WWW-Authenticate": "Basic realm=\"x\""}"#, "no basic auth credentials"),
        (
            #""status": 401, "headers": {"WWW-Authenticate": "Bearer realm=\"http://198.51.100.1/t\",service=\"x\""}"#,
            "without TLS"
        ),
        (
            #""status": 403, "body": "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}""#,
            "pull access denied for"
        ),
    ])
    func `a blob that is served wrongly is refused and leaves nothing`(_ rule: String, _ words: String) throws {
        let layer = try #require(try registry.layers("good-single").first)
        try registry.obey([#"{"path": "\#(layer.digest)|again", \#(rule)}"#])
        let before = try lab.daemonMemory()
        let refused = try pull("good-single")
        #expect(refused.code == 1)
        #expect(refused.err.contains(words), "\(refused.err)")
        #expect(try lab.daemonMemory() - before < 64 << 10)
        try registry.obey([])
        #expect(try lab.docker("images", "-aq").text.isEmpty)
        #expect(try lab.names("layers/new").isEmpty)
        try expectHealthOfLarge(layer)
    }

    @Test(arguments: [
        (#""body": "<html>It works!</html>", "type": "text/html""#, "is not well formed"),
        (#""type": "text/html""#, "but is served as \"text/html\""),
        (#""endless": true"#, "is larger than 4194304 bytes"),
        (#""truncate": 50"#, "is not a JSON object of the expected form"),
        (
            #""headers": {"Docker-Content-Digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#,
            "verification failed"
        ),
        (#""headers": {"Docker-Content-Digest": "nonsense"}"#, "verification failed"),
        (#""status": 404, "body": "not JSON""#, "404"), (#""status": 418"#, "418"),
        (
            #""status": 401, "headers": {"WWW-Authenticate": "Bearer realm=\"http://REGISTRY/token\",service=\"x\""}"#,
            "did not include a token"
        ),
        (
            #""status": 401, "headers": {"WWW-Authenticate": "Bearer realm=\"http://REGISTRY/none\",service=\"x\""}"#,
            "404"
        ),
        (
            #""status": 401, "headers": {"WWW-Authenticate": "Bearer realm=\"file:///etc/shadow\",service=\"x\""}"#,
            "malformed token server"
        ),
        (#""status": 401, "headers": {"WWW-Authenticate": "Negotiate"}"#, "unauthorized"),
    ])
    func `a manifest that is served wrongly is refused and leaves nothing`(_ rule: String, _ words: String) throws {
        try registry.obey([
            #"{"path": "manifests/good-plain", \#(rule.replacing("REGISTRY", with: registry.authority))}"#,
            #"{"path": "/token", "status": 200, "body": "{\"expires_in\": -1, \"token\": \"\"}"}"#,
        ])
        let refused = try pull("good-plain")
        #expect(refused.code == 1)
        #expect(refused.err.contains(words), "\(refused.err)")
        #expect(try lab.holdsNothing())
        try expectHealth()
    }

    @Test func `a manifest that is not what its digest names is refused`() throws {
        let digest = try registry.tags()["good-plain"]?.digest ?? ""
        try registry.obey([#"{"path": "manifests/\#(digest)", "flip": true}"#])
        let refused = try lab.docker("pull", "\(registry.authority)/hostile@\(digest)")
        #expect(refused.code == 1)
        #expect(refused.err.contains("manifest verification failed for digest \(digest)"), "\(refused.err)")
        #expect(try lab.holdsNothing())
        try registry.obey([])
        #expect(try lab.docker("pull", "\(registry.authority)/hostile@\(digest)").code == 0)
    }

    @Test func `credentials stay with the registry they are for`() throws {
        let other = try FaultyRegistry()
        let layer = try #require(try registry.layers("good-single").first)
        try FileManager.default.createDirectory(atPath: lab.directory + "/config", withIntermediateDirectories: true)
        try #"{"auths": {"\#(registry.authority)": {"auth": "\#(Data("me:secret".utf8).base64EncodedString())"}}}"#
            .write(
                toFile: lab.directory + "/config/config.json", atomically: true, encoding: .utf8)
        try registry.obey([
            #"{"path": "/v2/.*manifests", "times": 1, "status": 401, "headers": {"WWW-Authenticate": "Basic realm=\"x\""}}"#,
            #"{"path": "\#(layer.digest)", "status": 307, "headers": {"Location": "http://\#(other.authority)/v2/x/blobs/\#(layer.digest)"}}"#,
        ])
        let pulled = try pull("good-single")
        #expect(pulled.code == 0, "\(pulled.err)")
        #expect(try registry.served().contains { $0.headers["authorization"] == "Basic bWU6c2VjcmV0" })
        #expect(try !other.served().isEmpty)
        #expect(try other.served().allSatisfy { $0.headers["authorization"] == nil && $0.headers["cookie"] == nil })
    }

    @Test func `plain HTTP is for loopback and configured registries alone`() throws {
        let port = registry.authority.split(separator: ":")[1]
        // An address of this machine that is not loopback by its number.
        let address = try Lab.run("/usr/bin/hostname", ["-I"]).text.split(separator: " ").first.map(String.init) ?? ""
        try #require(!address.isEmpty, "this machine has no address but loopback")
        let refused = try lab.docker("pull", "\(address):\(port)/hostile:good-plain")
        #expect(refused.code == 1)
        #expect(
            refused.err.contains("connection refused") || refused.err.contains("HTTP response to HTTPS client"),
            "\(refused.err)")
        #expect(try registry.served().isEmpty)
    }

    // MARK: Interruptions

    @Test func `a daemon killed in a pull goes on where it was and shows nothing half`() throws {
        let layers = try registry.layers("good-large")
        let noise = layers[1]
        try registry.obey([#"{"path": "\#(noise.digest)", "times": 1, "pace": 8000000}"#])
        let client = try lab.begin("pull", registry.image("good-large"))
        #expect(try soon { try lab.partialBytes().contains { $0 > 6_000_000 } })
        lab.killDaemon()
        client.waitUntilExit()
        let kept = try lab.partialBytes().max() ?? 0
        #expect(kept > 6_000_000)
        try lab.startDaemon()
        #expect(try lab.docker("images", "-aq").text.isEmpty)
        #expect(try soon { try lab.names("layers/new").isEmpty })
        let before = try registry.served().count
        try expectHealthOfLarge(noise)
        let replies = try registry.served().dropFirst(before).filter { $0.target.contains("/blobs/") && $0.sent > 0 }
        // What is no whole disk block is fetched again.
        #expect(replies.first { $0.target.contains(noise.digest) }?.start == kept / 4096 * 4096)
        #expect(!replies.contains { $0.target.contains(layers[0].digest) }, "a layer that was whole came again")
        #expect(try lab.docker("rmi", registry.image("good-large")).code == 0)
        #expect(try lab.names("layers/sha256").isEmpty)
        #expect(try lab.names("blobs/sha256").isEmpty)
    }

    @Test func `a pull that is interrupted at the keyboard keeps what it has`() throws {
        let layer = try #require(try registry.layers("good-single").first)
        try registry.obey([#"{"path": "\#(layer.digest)", "times": 1, "pace": 8000000}"#])
        let client = try lab.begin("pull", registry.image("good-single"))
        #expect(try soon { try lab.partialBytes().contains { $0 > 4_000_000 } })
        client.interrupt()
        client.waitUntilExit()
        #expect(client.terminationStatus != 0)
        #expect(try soon { try lab.names("layers/new").isEmpty })
        // The same pull at once, while the first may still be ending.
        let pulled = try pull("good-single")
        #expect(pulled.code == 0, "\(pulled.err)")
        let second = try registry.served().last { $0.target.contains(layer.digest) && $0.sent > 0 }
        #expect((second?.start ?? 0) > 4_000_000)
        #expect(try lab.partialBytes().isEmpty)
    }

    @Test func `a pull right after an interrupted one succeeds`() throws {
        let layer = try #require(try registry.layers("good-single").first)
        for _ in 0..<5 {
            try registry.obey([#"{"path": "\#(layer.digest)", "times": 1, "pace": 20000000}"#])
            let client = try lab.begin("pull", registry.image("good-single"))
            #expect(try soon { try lab.partialBytes().contains { $0 > 0 } })
            client.interrupt()
            let pulled = try pull("good-single")
            #expect(pulled.code == 0, "\(pulled.err)")
            client.waitUntilExit()
            try lab.docker("rmi", registry.image("good-single"))
        }
    }

    @Test func `two pulls of one image fetch each layer once, and ending one spares the other`() throws {
        let layer = try #require(try registry.layers("good-single").first)
        try registry.obey([#"{"path": "\#(layer.digest)", "pace": 6000000}"#])
        let clients = try (0..<3).map { _ in try lab.begin("pull", registry.image("good-single")) }
        #expect(try soon { try lab.partialBytes().contains { $0 > 2_000_000 } })
        clients[0].interrupt()
        clients.forEach { $0.waitUntilExit() }
        #expect(clients[0].terminationStatus != 0)
        #expect(clients[1].terminationStatus == 0)
        #expect(clients[2].terminationStatus == 0)
        let replies = try registry.served().filter { $0.target.contains(layer.digest) && $0.sent > 0 }
        #expect(replies.count == 1)
        #expect(replies.first?.sent == layer.size)
    }

    @Test func `a stalled registry does not hold a pull that is given up`() throws {
        let layer = try #require(try registry.layers("good-single").first)
        try registry.obey([#"{"path": "\#(layer.digest)", "stall": 5000000}"#])
        let client = try lab.begin("pull", registry.image("good-single"))
        #expect(try soon { try lab.partialBytes().contains { $0 > 4_000_000 } })
        let start = ContinuousClock.now
        client.interrupt()
        client.waitUntilExit()
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(try soon { try lab.names("layers/new").isEmpty })
        try expectHealthOfLarge(layer)
    }

    @Test func `a false image does not spoil the honest one whose blob it claims`() throws {
        let layer = try #require(try registry.layers("good-plain").last)
        try registry.obey([#"{"path": "\#(layer.digest)", "pace": 100}"#])
        let honest = try lab.begin("pull", registry.image("good-plain"))
        let liar = try lab.begin("pull", registry.image("bad-diffid"))
        honest.waitUntilExit()
        liar.waitUntilExit()
        #expect(honest.terminationStatus == 0)
        #expect(liar.terminationStatus != 0)
        #expect(try lab.names("blobs/sha256").contains(String(layer.digest.dropFirst("sha256:".count))))
        let copy = lab.registry + "/copy"
        try lab.docker("tag", registry.image("good-plain"), [copy])
        let pushed = try lab.docker("push", copy)
        #expect(pushed.code == 0, "\(pushed.err)")
    }
}

/// Mirrors, with the daemon's own fall-back.
@Suite struct MirrorTests {
    @Test func `servers that are trusted with nothing give the bytes, and what is not what was meant is named`() throws
    {
        let (liar, helper, own) = (try FaultyRegistry(), try FaultyRegistry(), try FaultyRegistry())
        let layer = try #require(try liar.layers("good-single").first)
        try liar.obey([#"{"path": "\#(layer.digest)", "flip": true}"#])
        let sources = #"["http://127.0.0.1:1", "http://\#(liar.authority)", "http://\#(helper.authority)"]"#
        let lab = try Lab(configuration: #"{"layer-mirrors": {"\#(own.authority)": \#(sources)}}"#)
        let pulled = try lab.docker("pull", "\(own.authority)/library/hostile:good-single")
        #expect(pulled.code == 0, "\(pulled.err)")
        let blobs = { (registry: FaultyRegistry) in try registry.served().filter { $0.target.contains(layer.digest) } }
        #expect(try !blobs(liar).isEmpty)
        #expect(try !blobs(helper).isEmpty)
        #expect(try blobs(own).isEmpty, "the bytes come from elsewhere")
        for server in [liar, helper] {
            #expect(
                try !(server.served().contains { $0.target.contains("/manifests/good-single") }),
                "who is not trusted is asked what a tag names")
        }
        #expect(try own.served().contains { $0.target.contains("/manifests/good-single") })
        let log = try String(contentsOfFile: lab.directory + "/dockerd.log", encoding: .utf8)
        #expect(log.contains("http://\(liar.authority)"), "a server that lies is named")
    }

    @Test func `a mirror that fails or lies is passed over for the next`() throws {
        let (liar, good) = (try FaultyRegistry(), try FaultyRegistry())
        let layer = try #require(try liar.layers("good-single").first)
        try liar.obey([#"{"path": "\#(layer.digest)", "flip": true}"#, #"{"path": "good-plain", "status": 500}"#])
        let lab = try Lab(
            configuration:
                #"{"registry-mirrors": ["http://127.0.0.1:1", "http://\#(liar.authority)", "http://\#(good.authority)"]}"#
        )
        let single = try lab.docker("pull", "library/hostile:good-single")
        #expect(single.code == 0, "\(single.err)")
        let plain = try lab.docker("pull", "hostile:good-plain")
        #expect(plain.code == 0, "\(plain.err)")
        #expect(try lab.docker("run", "--rm", ["--network", "none", "hostile:good-plain"]).out == "ran\n")
        #expect(try liar.served().contains { $0.target.contains(layer.digest) })
        #expect(try good.served().contains { $0.target.contains(layer.digest) })
    }
}
