import Foundation
import Kernel
import NIOCore
import OCI
import RegistryStore
import S3
import Testing

/// Garbage is collected while everything else goes on.
@Suite(.onBothIndexes) struct GarbageTests {
    /// A store of its own; its folder goes with it.
    final class Place: Sendable {
        let store: RegistryStore
        let root: String

        init(_ change: (inout RegistryStore.Settings) -> Void = { _ in }) throws {
            root =
                (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp")
                + "/registry-store-\(UUID().uuidString.prefix(8))"
            var settings = RegistryStore.Settings(root: root)
            // What nothing names is garbage at once.
            settings.grace = .seconds(-10)
            settings.database = try OnBothIndexes.server.map { try PostgresSettings(url: try $0.database().url) }
            change(&settings)
            store = try RegistryStore(settings)
        }

        deinit { try? FileManager.default.removeItem(atPath: root) }

        var files: [String] { (try? FileManager.default.contentsOfDirectory(atPath: root + "/blobs/sha256")) ?? [] }

        @discardableResult
        func push(_ blob: [UInt8], to name: RepositoryName) async throws -> Descriptor {
            let digest = StreamHash.digest(of: blob, .sha256)
            let store = store
            try await store.upload(try await store.beginUpload(to: name), in: name) { upload in
                try await upload.append(ByteBuffer(bytes: blob))
                try await store.finish(upload, as: digest)
            }
            return Descriptor(mediaType: MediaType.ociLayer, digest: digest, size: Int64(blob.count))
        }

        func read(_ blob: Descriptor, in name: RepositoryName) async throws -> [UInt8] {
            let found = try await store.blob(blob.digest, in: name)
            switch try await store.content(of: found, 0..<found.size) {
            case .file(let file): return try file.readAll(bytesMax: 1 << 20)
            case .stream(let stream): return try await stream.reduce(into: []) { $0 += $1.readableBytesView }
            }
        }
    }

    static func manifest(_ config: Descriptor, _ layers: [Descriptor]) throws -> [UInt8] {
        Array(try JSONEncoder().encode(Manifest(mediaType: MediaType.ociManifest, config: config, layers: layers)))
    }

    @Test func `what nothing names goes, what a manifest names stays, and goes with the last manifest`() async throws {
        let place = try Place()
        let (a, b) = (try RepositoryName("a"), try RepositoryName("b"))
        let config = try await place.push(Array("config".utf8), to: a)
        let layer = try await place.push(Array("layer".utf8), to: a)
        let lone = try await place.push(Array("lone".utf8), to: a)
        #expect(try await place.store.mount(layer.digest, from: a, to: b))
        let one = try Self.manifest(config, [layer])
        let two = try Self.manifest(config, [layer, layer])
        for (tag, body) in [("one", one), ("two", two)] {
            _ = try await place.store.putManifest(body, contentType: nil, as: .tag(tag), in: a)
        }
        #expect(try await place.store.collectGarbage().blobs == 1)
        #expect(Set(place.files) == [config.digest.hex, layer.digest.hex])
        await #expect(throws: Refusal.self) { try await place.store.blob(lone.digest, in: a) }
        // The mount was garbage, too: no manifest of b names it.
        await #expect(throws: Refusal.self) { try await place.store.blob(layer.digest, in: b) }
        try await place.store.deleteManifest(.digest(StreamHash.digest(of: one, .sha256)), in: a)
        #expect(try await place.store.collectGarbage().blobs == 0)
        try await place.store.deleteManifest(.digest(StreamHash.digest(of: two, .sha256)), in: a)
        let last = try await place.store.collectGarbage()
        #expect(last.blobs == 2 && last.bytes == 11)
        #expect(place.files == [])
    }

    @Test func `a blob that was asked for is kept for another while`() async throws {
        let place = try Place { $0.grace = .seconds(3600) }
        let a = try RepositoryName("a")
        let blob = try await place.push([1], to: a)
        #expect(try await place.store.collectGarbage().blobs == 0)
        #expect(try await place.store.blob(blob.digest, in: a).size == 1)
        #expect(place.files == [blob.digest.hex])
    }

    @Test func `uploads that nobody goes on with are ended`() async throws {
        let place = try Place {
            $0.uploadExpiry = .seconds(-1); $0.uploadsMax = 2
        }
        let a = try RepositoryName("a")
        let first = try await place.store.beginUpload(to: a)
        _ = try await place.store.beginUpload(to: a)
        await #expect(throws: Refusal.self) { try await place.store.beginUpload(to: a) }
        #expect(try await place.store.expireUploads() == 2)
        await #expect(throws: Refusal.self) { try await place.store.uploadedBytes(first, in: a) }
        _ = try await place.store.beginUpload(to: a)
    }

    /// Clients push the same few blobs to repositories of their own, mount them from one another, delete what they have pushed,
    /// and garbage is collected all the time: whatever a manifest was accepted with is there for as long as it is.
    @Test func `a storm of pushes, mounts, deletes and collections loses nothing that a manifest names`() async throws {
        // Of the second that is over: a push has a part of one to come to its manifest, or comes too late.
        let place = try Place { $0.grace = .seconds(0) }
        try await Self.storm(place, rounds: 60)
        try await Task.sleep(for: .seconds(2))
        try await place.store.collectGarbage()
        #expect(place.files == [])
        #expect(try await place.store.sweep() == 0)
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
    func `a storm over a bucket loses nothing that a manifest names, and leaves no object`() async throws {
        let bucket = try BucketLab()
        let settings = bucket.configuration()
        let place = try Place {
            // A push takes some answers of the bucket to come to its manifest.
            $0.grace = .seconds(2)
            $0.bucket = settings
        }
        try await Self.storm(place, rounds: 12)
        try await Task.sleep(for: .seconds(4))
        try await place.store.collectGarbage()
        var left = ["?"]
        for _ in 0..<60 where left != [] {
            try await Task.sleep(for: .milliseconds(250))
            left = try await bucket.objects() + bucket.withClient { try await $0.unfinished("").uploads.map(\.key) }
        }
        #expect(left == [] && place.files == [])
    }

    private static func storm(_ place: Place, rounds: Int) async throws {
        let blobs = (0..<6).map { Array("blob \($0)".utf8) }
        let accepted = try await withThrowingTaskGroup(of: Int.self) { group in
            for client in 0..<8 {
                group.addTask { try await work(client, place, blobs, rounds: rounds) }
            }
            let collector = Task {
                while !Task.isCancelled {
                    try await place.store.collectGarbage()
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            defer { collector.cancel() }
            return try await group.reduce(0, +)
        }
        #expect(accepted >= 8)
    }

    /// - Returns: manifests that were accepted.
    private static func work(_ client: Int, _ place: Place, _ blobs: [[UInt8]], rounds: Int) async throws -> Int {
        let (name, other) = (try RepositoryName("client\(client)"), try RepositoryName("client\((client + 1) % 8)"))
        var accepted = 0
        for round in 0..<rounds {
            let (config, layer) = (
                blobs[(client + round) % blobs.count], blobs[(client * 5 + round * 3 + 1) % blobs.count]
            )
            let layerDigest = StreamHash.digest(of: layer, .sha256)
            let pushed = try await place.push(config, to: name)
            var layerBlob = Descriptor(mediaType: MediaType.ociLayer, digest: layerDigest, size: Int64(layer.count))
            if try await !place.store.mount(layerDigest, from: other, to: name) {
                layerBlob = try await place.push(layer, to: name)
            }
            let body = try manifest(pushed, [layerBlob])
            do {
                _ = try await place.store.putManifest(body, contentType: nil, as: .tag("t"), in: name)
            } catch let error as Refusal where error.code == .manifestBlobUnknown {
                // Collected before a manifest named it: this store waits for nobody.
                continue
            }
            accepted += 1
            #expect(try await place.read(pushed, in: name) == config)
            #expect(try await place.read(layerBlob, in: name) == layer)
            try await place.store.deleteManifest(.digest(StreamHash.digest(of: body, .sha256)), in: name)
        }
        return accepted
    }
}
