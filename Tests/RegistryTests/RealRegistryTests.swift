import Glibc
import Kernel
import OCI
import TestServers
import Testing

@testable import Registry

private let config = pattern(400, seed: 3)
private let layer = pattern(5_000_000, seed: 4)
private let manifest = Manifest(
    mediaType: MediaType.ociManifest, config: descriptor(config, MediaType.ociConfig), layers: [descriptor(layer)])

/// Pushes the image of these tests.
private func push(_ client: RegistryClient, _ reference: Reference, _ credentials: Credentials? = nil) async throws
    -> Digest
{
    for blob in [layer, config] {
        let placement = try await client.push(
            descriptor(blob), BlobSource(blob), to: reference, credentials: credentials)
        #expect(placement == .uploaded)
    }
    return try await client.put(
        manifest: json(manifest), mediaType: MediaType.ociManifest, as: reference, credentials: credentials)
}

@Suite(.serialized, .enabled(if: Files.exists("/usr/bin/docker-registry"), "needs Debian's docker-registry"))
struct `with a real registry` {
    @Test func `what was pushed is pulled`() async throws {
        let registry = try await RealRegistry()
        try await withClient(impatient()) { client in
            let reference = try Reference("\(registry.authority)/team/app:1")
            let digest = try await push(client, reference)
            let image = try await client.resolve(reference, platform: Platform("linux/amd64"))
            #expect(image.digest == digest)
            #expect(image.manifest == manifest)
            let byDigest = try await client.resolve(
                Reference("\(registry.authority)/team/app@\(digest)"), platform: Platform("linux/amd64"))
            #expect(byDigest.manifestBytes == image.manifestBytes)
            #expect(try await client.fetchSmall(manifest.config, of: reference, from: image.endpoint) == config)
            #expect(
                try await client.blob(manifest.layers[0], of: reference, from: image.endpoint).collect().bytes == layer)
            let rest = try client.blob(manifest.layers[0], of: reference, from: image.endpoint, offset: 4_999_000)
            #expect(try await rest.collect().bytes == Array(layer[4_999_000...]))
        }
    }

    @Test func `a blob that is there is found, and mounted elsewhere`() async throws {
        let registry = try await RealRegistry()
        try await withClient(impatient()) { client in
            let reference = try Reference("\(registry.authority)/team/app:1")
            _ = try await push(client, reference)
            #expect(try await client.push(descriptor(layer), BlobSource(layer), to: reference) == .existed)
            let other = try Reference("\(registry.authority)/team/other:1")
            let placement = try await client.push(
                descriptor(layer), BlobSource(layer), to: other, mountingFrom: ["team/app"])
            #expect(placement == .mounted(from: "team/app"))
            #expect(try await client.exists(descriptor(layer), in: other))
            #expect(try await client.exists(descriptor(config), in: other) == false)
        }
    }

    @Test func `a mount from where it is not uploads instead`() async throws {
        let registry = try await RealRegistry()
        try await withClient(impatient()) { client in
            let reference = try Reference("\(registry.authority)/a:1")
            #expect(
                try await client.push(descriptor(layer), BlobSource(layer), to: reference, mountingFrom: ["b"])
                    == .uploaded)
            #expect(try await client.exists(descriptor(layer), in: reference))
        }
    }

    @Test func `a file is pushed from disk`() async throws {
        let registry = try await RealRegistry()
        let path = "/var/tmp/registry-blob-\(registry.port)"
        try Files.replace(path, with: layer)
        defer { unlink(path) }
        try await withClient(impatient()) { client in
            let reference = try Reference("\(registry.authority)/a:1")
            #expect(try await client.push(descriptor(layer), .file(path), to: reference) == .uploaded)
            let endpoint = try client.configuration.origin(of: reference.domain)
            #expect(try await client.blob(descriptor(layer), of: reference, from: endpoint).collect().bytes == layer)
        }
    }

    @Test func `bytes that are not the digest's are refused by the registry`() async throws {
        let registry = try await RealRegistry()
        try await withClient(impatient()) { client in
            let reference = try Reference("\(registry.authority)/a:1")
            var wrong = layer
            wrong[17] ^= 1
            let source = BlobSource(wrong)
            let error = try await failure { _ = try await client.push(descriptor(layer), source, to: reference) }
            #expect(error != nil)
            #expect(try await client.exists(descriptor(layer), in: reference) == false)
        }
    }

    @Test func `tags are listed`() async throws {
        let registry = try await RealRegistry()
        try await withClient(impatient()) { client in
            _ = try await push(client, Reference("\(registry.authority)/a:1"))
            for tag in ["2", "3"] {
                _ = try await client.put(
                    manifest: json(manifest), mediaType: MediaType.ociManifest,
                    as: Reference("\(registry.authority)/a:\(tag)"))
            }
            #expect(try await client.tags(of: Reference("\(registry.authority)/a")).sorted() == ["1", "2", "3"])
        }
    }

    @Test func `a missing tag and a missing repository are told as Docker tells them`() async throws {
        let registry = try await RealRegistry()
        try await withClient(impatient()) { client in
            let error = try await failure {
                _ = try await client.resolve(
                    Reference("\(registry.authority)/a:nope"), platform: Platform("linux/amd64"))
            }
            #expect(
                error?.message
                    == "manifest for \(registry.authority)/a:nope not found: manifest unknown: manifest unknown")
        }
    }

    @Test(.enabled(if: Files.exists("/usr/bin/htpasswd"), "needs apache2-utils"))
    func `a password is asked for, checked and used`() async throws {
        let registry = try await RealRegistry(user: ("user", "secret"))
        let right = Credentials(username: "user", password: "secret")
        let wrong = Credentials(username: "user", password: "guess")
        try await withClient(impatient()) { client in
            let reference = try Reference("\(registry.authority)/a:1")
            let digest = try await push(client, reference, right)
            #expect(
                try await client.resolve(reference, platform: Platform("linux/amd64"), credentials: right).digest
                    == digest)
            let none = try await failure { _ = try await client.resolve(reference, platform: Platform("linux/amd64")) }
            #expect(none?.code == .unauthorized)
            #expect(none?.message.hasSuffix("no basic auth credentials") == true)
            let bad = try await failure {
                _ = try await client.resolve(reference, platform: Platform("linux/amd64"), credentials: wrong)
            }
            #expect(bad?.code == .unauthorized)
            #expect(
                try await client.checkAuth(serverAddress: registry.authority, credentials: right).status
                    == "Login Succeeded")
            let login = try await failure {
                _ = try await client.checkAuth(serverAddress: registry.authority, credentials: wrong)
            }
            #expect(
                login?.message
                    == "login attempt to http://\(registry.authority)/v2/ failed with status: 401 Unauthorized")
        }
    }
}

@Suite struct `an upload` {
    @Test func `that is cut goes on where the registry stopped`() async throws {
        let size = layer.count
        let server = try FaultyServer { asked, answer in
            switch (asked.method, asked.headers["content-range"]) {
            case ("HEAD", _): answer.reply(404)
            case ("POST", _): answer.reply(202, ["Location: /v2/a/blobs/uploads/1"])
            case ("PATCH", nil): return  // the connection ends without an answer
            case ("GET", _): answer.reply(204, ["Location: /v2/a/blobs/uploads/1?s=2", "Range: 0-2999999"])
            case ("PATCH", "3000000-\(size - 1)"): answer.reply(202, ["Location: /v2/a/blobs/uploads/1?s=3"])
            case ("PUT", _): answer.reply(201)
            default: answer.reply(400)
            }
        }
        try await withClient(impatient()) { client in
            let placement = try await client.push(
                descriptor(layer), BlobSource(layer), to: Reference("\(server.authority)/a:1"))
            #expect(placement == .uploaded)
        }
        let patches = server.asked.filter { $0.method == "PATCH" }
        #expect(patches.map(\.body.count) == [size, size - 3_000_000])
        #expect(patches.last?.body == Array(layer[3_000_000...]))
        let put = try #require(server.asked.last)
        #expect(put.target.hasPrefix("/v2/a/blobs/uploads/1?s=3&digest=sha256%3A"))
    }

    @Test func `to a location on another host carries no credentials`() async throws {
        let other = try FaultyServer { asked, answer in
            answer.reply(asked.method == "PUT" ? 201 : 202, ["Location: /next"])
        }
        let location = "http://\(other.authority)/up"
        let server = try FaultyServer { asked, answer in
            if asked.headers["authorization"] == nil { return answer.reply(401, ["WWW-Authenticate: Basic realm=r"]) }
            answer.reply(asked.method == "HEAD" ? 404 : 202, ["Location: \(location)"])
        }
        try await withClient(impatient()) { client in
            _ = try await client.push(
                descriptor(config), BlobSource(config), to: Reference("\(server.authority)/a:1"),
                credentials: Credentials(username: "u", password: "p"))
        }
        #expect(other.asked.count == 1)
        #expect(other.asked.allSatisfy { $0.headers["authorization"] == nil && $0.body == config })
    }
}
