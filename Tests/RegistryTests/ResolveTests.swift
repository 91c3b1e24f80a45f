import OCI
import Synchronization
import TestServers
import Testing

@testable import Registry

/// Serves fixed documents: path -> (content type, bytes).
private func serving(_ documents: [String: (type: String, bytes: [UInt8])]) throws -> FaultyServer {
    try FaultyServer { asked, answer in
        guard let document = documents[asked.target] else {
            return answer.reply(
                404, [], Array(#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.utf8))
        }
        answer.reply(200, ["Content-Type: \(document.type)"], document.bytes)
    }
}

private let config = pattern(100)
private let layer = pattern(1000)
private let manifest = Manifest(
    mediaType: MediaType.ociManifest, config: descriptor(config, MediaType.ociConfig), layers: [descriptor(layer)])

private func entry(_ bytes: [UInt8], _ type: String, _ platform: String?) throws -> Descriptor {
    var result = descriptor(bytes, type)
    result.platform = try platform.map { try Platform($0) }
    return result
}

private func resolve(_ server: FaultyServer, _ platform: String = "linux/amd64", suffix: String = ":1") async throws
    -> ResolvedImage
{
    try await withClient(impatient()) { client in
        try await client.resolve(Reference("\(server.authority)/a/b\(suffix)"), platform: Platform(platform))
    }
}

@Suite struct `resolving` {
    @Test func `a tag gives the manifest with its exact bytes`() async throws {
        let bytes = try json(manifest)
        let image = try await resolve(serving(["/v2/a/b/manifests/1": (MediaType.ociManifest, bytes)]))
        #expect(image.manifest == manifest)
        #expect(image.manifestBytes == bytes)
        #expect(image.digest == descriptor(bytes).digest)
        #expect(image.index == nil)
    }

    @Test(arguments: [("linux/amd64", 0), ("linux/arm64/v8", 1), ("linux/arm/v7", 2), ("linux/arm/v6", 3)])
    func `an index chooses the entry of the platform`(platform: String, position: Int) async throws {
        let names = ["linux/amd64", "linux/arm64/v8", "linux/arm/v7", "linux/arm/v6"]
        var documents: [String: (type: String, bytes: [UInt8])] = [:]
        var entries: [Descriptor] = []
        for name in names {
            var own = manifest
            own.annotations = ["platform": name]
            let bytes = try json(own)
            entries.append(try entry(bytes, MediaType.ociManifest, name))
            documents["/v2/a/b/manifests/\(entries[entries.count - 1].digest)"] = (MediaType.ociManifest, bytes)
        }
        let index = try json(ImageIndex(mediaType: MediaType.ociIndex, manifests: entries))
        documents["/v2/a/b/manifests/1"] = (MediaType.ociIndex, index)
        let image = try await resolve(serving(documents), platform)
        #expect(image.manifest.annotations?["platform"] == names[position])
        #expect(image.index?.bytes == index)
        #expect(image.referenceDigest == descriptor(index).digest)
    }

    @Test func `a platform that is not there is named`() async throws {
        let bytes = try json(manifest)
        let index = try json(
            ImageIndex(mediaType: MediaType.ociIndex, manifests: [entry(bytes, MediaType.ociManifest, "linux/amd64")]))
        let server = try serving(["/v2/a/b/manifests/1": (MediaType.ociIndex, index)])
        let error = try await failure { _ = try await resolve(server, "linux/arm64") }
        #expect(error?.code == .noPlatform)
        #expect(error?.message == "no matching manifest for linux/arm64 in the manifest list entries")
    }

    @Test func `a missing tag is told as Docker tells it`() async throws {
        let server = try serving([:])
        let error = try await failure { _ = try await resolve(server) }
        #expect(
            error?.message == "manifest for \(server.authority)/a/b:1 not found: manifest unknown: manifest unknown")
    }

    @Test(arguments: [
        (
            #"{"schemaVersion":2,"mediaType":"T","manifests":[],"layers":[],"config":{}}"#, MediaType.ociIndex,
            RegistryError.Code.malformed
        ),
        (#"{"schemaVersion":2,"mediaType":"T","manifests":[],"layers":[]}"#, MediaType.ociManifest, .malformed),
        (
            #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
            MediaType.ociManifest, .malformed
        ),
        (
            #"{"schemaVersion":1,"name":"x","fsLayers":[]}"#,
            "application/vnd.docker.distribution.manifest.v1+prettyjws", .unsupported
        ),
        (#"{"schemaVersion":2}"#, "application/vnd.example", .unsupported),
        ("[]", MediaType.ociManifest, .malformed), ("{", MediaType.ociManifest, .malformed),
        (
            #"{"schemaVersion":2,"config":{"digest":"sha256:../../x","size":1,"mediaType":"a"},"layers":[]}"#,
            MediaType.ociManifest, .malformed
        ),
        (String(repeating: "[", count: 100_000), MediaType.ociManifest, .malformed),
    ])
    func `a document of two kinds, another kind or none is refused`(
        text: String, type: String, code: RegistryError.Code
    ) async throws {
        let bytes = Array(text.replacing("\"T\"", with: "\"\(type)\"").utf8)
        let server = try serving(["/v2/a/b/manifests/1": (type, bytes)])
        let error = try await failure { _ = try await resolve(server) }
        #expect(error?.code == code)
    }

    @Test func `bytes that are not what the digest names are refused`() async throws {
        let digest = descriptor(pattern(5)).digest
        let server = try serving(["/v2/a/b/manifests/\(digest)": (MediaType.ociManifest, json(manifest))])
        #expect(try await failure { _ = try await resolve(server, suffix: "@\(digest)") }?.code == .digestMismatch)
    }

    @Test func `bytes that are not what the header names are refused`() async throws {
        let bytes = try json(manifest)
        let wrong = descriptor(pattern(5)).digest
        let server = try FaultyServer { _, answer in
            answer.reply(200, ["Content-Type: \(MediaType.ociManifest)", "Docker-Content-Digest: \(wrong)"], bytes)
        }
        #expect(try await failure { _ = try await resolve(server) }?.code == .digestMismatch)
    }

    @Test func `indexes nested without end are cut short`() async throws {
        var documents: [String: (type: String, bytes: [UInt8])] = [:]
        var bytes = try json(manifest)
        var type = MediaType.ociManifest
        for _ in 0..<6 {
            let child = descriptor(bytes, type)
            documents["/v2/a/b/manifests/\(child.digest)"] = (type, bytes)
            bytes = try json(ImageIndex(mediaType: MediaType.ociIndex, manifests: [child]))
            type = MediaType.ociIndex
        }
        documents["/v2/a/b/manifests/1"] = (type, bytes)
        let server = try serving(documents)
        #expect(try await failure { _ = try await resolve(server) }?.code == .unsupported)
        // The https attempt is answered before a request is read, so every request counted is one document.
        #expect(server.asked.count <= 4)
    }

    @Test func `an index of very many children is refused`() async throws {
        let child = try entry(json(manifest), MediaType.ociManifest, "linux/s390x")
        let index = try json(
            ImageIndex(mediaType: MediaType.ociIndex, manifests: Array(repeating: child, count: 12_000)))
        let server = try serving(["/v2/a/b/manifests/1": (MediaType.ociIndex, index)])
        #expect(try await failure { _ = try await resolve(server) }?.code == .tooLarge)
    }

    @Test func `a mirror that lies is named, skipped, and gets no credentials`() async throws {
        // A mirror of a loopback domain, so that the test needs no Docker Hub.
        let bytes = try json(manifest)
        let origin = try serving(["/v2/a/b/manifests/1": (MediaType.ociManifest, bytes)])
        let liar = try FaultyServer { _, answer in
            answer.reply(
                200,
                ["Content-Type: \(MediaType.ociManifest)", "Docker-Content-Digest: \(descriptor(pattern(3)).digest)"],
                bytes)
        }
        let asksForPassword = try FaultyServer { _, answer in answer.reply(401, ["WWW-Authenticate: Basic realm=\"x\""])
        }
        var configuration = try impatient()
        configuration.mirrors[origin.authority] = [
            try configuration.endpoint(mirror: "http://\(asksForPassword.authority)"),
            try configuration.endpoint(mirror: "http://\(liar.authority)"),
        ]
        let notices = Mutex<[String]>([])
        let image = try await withClient(configuration, notice: { text in notices.withLock { $0.append(text) } }) {
            client in
            try await client.resolve(
                Reference("\(origin.authority)/a/b:1"), platform: Platform("linux/amd64"),
                credentials: Credentials(username: "u", password: "p"))
        }
        #expect(image.endpoint.isMirror == false)
        #expect(notices.withLock { $0.count } == 2)
        #expect(notices.withLock { $0[1] }.contains(liar.authority))
        #expect((liar.asked + asksForPassword.asked).allSatisfy { $0.headers["authorization"] == nil })
    }
}

@Suite struct `limits` {
    @Test func `a manifest larger than 4 MiB is cut off`() async throws {
        let server = try FaultyServer { _, answer in
            answer.send(
                "HTTP/1.1 200 OK\r\nContent-Type: \(MediaType.ociManifest)\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = Array("100000\r\n".utf8) + [UInt8](repeating: 0x20, count: 1 << 20) + Array("\r\n".utf8)
            for _ in 0..<5000 where !answer.send(chunk) { return }
        }
        #expect(try await failure { _ = try await resolve(server) }?.code == .tooLarge)
    }

    @Test func `endless headers are cut off`() async throws {
        let server = try FaultyServer { _, answer in
            answer.send("HTTP/1.1 200 OK\r\n")
            let line = Array("X-Filler: \(String(repeating: "a", count: 1000))\r\n".utf8)
            for _ in 0..<100_000 where !answer.send(line) { return }
        }
        #expect(try await failure { _ = try await resolve(server) }?.code == .tooLarge)
    }

    @Test func `garbage instead of HTTP is an error`() async throws {
        let server = try FaultyServer { _, answer in answer.send(pattern(5000)) }
        let error = try await failure { _ = try await resolve(server) }
        #expect(error?.code == .malformed)
    }

    @Test func `a silent registry is given up`() async throws {
        let server = try FaultyServer { _, _ in sleepSeconds(3) }
        var configuration = try impatient(idle: .milliseconds(100))
        configuration.patience.attempts = 2
        let limited = configuration
        let error = try await failure {
            _ = try await withClient(limited) { client in
                try await client.resolve(Reference("\(server.authority)/a:1"), platform: Platform("linux/amd64"))
            }
        }
        #expect(error?.code == .timeout)
    }

    @Test func `nobody listening is told as Docker tells it`() async throws {
        let port = try FaultyServer.freePort()
        let error = try await failure {
            _ = try await withClient(impatient()) { client in
                try await client.resolve(Reference("127.0.0.1:\(port)/a:1"), platform: Platform("linux/amd64"))
            }
        }
        #expect(error?.code == .unreachable)
        #expect(
            error?.message
                == "Get \"http://127.0.0.1:\(port)/v2/\": dial tcp 127.0.0.1:\(port): connect: connection refused")
    }

    @Test func `a name that does not exist is told as Docker tells it`() async throws {
        let error = try await failure {
            _ = try await withClient(impatient()) { client in
                try await client.resolve(Reference("registry.invalid/a:1"), platform: Platform("linux/amd64"))
            }
        }
        #expect(
            error?.message == "Get \"https://registry.invalid/v2/\": dial tcp: lookup registry.invalid: no such host")
    }
}
