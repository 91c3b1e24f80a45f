import Foundation
import NIOCore
import OCI
import RegistryStore
import S3
import Synchronization
import Testing

@testable import RegistryUpkeep

/// Damage is found, is served to nobody, and is healed by a push.
@Suite(.onBothIndexes) struct ScrubTests {
    private enum Damage: CaseIterable { case flipped, cut, longer, gone }

    private static func damage(_ path: String, _ how: Damage) throws {
        switch how {
        case .gone: try FileManager.default.removeItem(atPath: path)
        default:
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            defer { try? file.close() }
            let size = try file.seekToEnd()
            switch how {
            case .flipped:
                try file.seek(toOffset: size / 2)
                try file.write(contentsOf: Data([0xff]))
            case .cut: try file.truncate(atOffset: size - 1)
            default: try file.write(contentsOf: Data([0]))
            }
        }
    }

    @Test func `a damaged blob is set aside, and a push heals it`() throws {
        let lab = try RegistryLab()
        let manifest = try lab.image("1", in: "a")
        #expect(try lab.put(manifest, "v1", in: "a").status == 201)
        let big = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var pushed: [(digest: Digest, bytes: [UInt8], how: Damage)] = []
        for (number, how) in Damage.allCases.enumerated() {
            let bytes = big + [UInt8(number)]
            pushed.append((try lab.push(bytes, to: "a", number == 3 ? .sha512 : .sha256), bytes, how))
        }
        let sound = try lab.push(big, to: "a")
        for blob in pushed {
            try Self.damage(
                "\(lab.directory)/data/blobs/\(blob.digest.algorithm.rawValue)/\(blob.digest.hex)", blob.how)
        }
        #expect(try lab.operate(["scrub"]).out == "No blob was read yet\n")
        #expect(try lab.operate(["scrub", "--now"]).status == 0)
        #expect(try soon(60) { try lab.operate(["scrub", "--status"]).out.hasPrefix("Ended") })
        let shown = try lab.operate(["scrub", "--status"]).out
        #expect(shown.contains(": 7 blobs") && shown.contains("4 damaged"), "\(shown)")
        for blob in pushed {
            #expect(shown.contains("\(blob.digest)"))
            #expect(lab.log.contains("blob \(blob.digest) is damaged"))
            #expect(try lab.ask("GET", "/v2/a/blobs/\(blob.digest)").code == "BLOB_UNKNOWN")
            #expect(try lab.ask("HEAD", "/v2/a/blobs/\(blob.digest)").status == 404)
            // Nor does it go anywhere else.
            #expect(try lab.ask("POST", "/v2/b/blobs/uploads/?mount=\(blob.digest)&from=a").status == 202)
        }
        #expect(try lab.ask("GET", "/v2/a/blobs/\(sound)").body == big)
        let aside = try FileManager.default.contentsOfDirectory(atPath: lab.directory + "/data/quarantine")
        #expect(aside.count == 3)
        lab.crash()
        try lab.start()
        for blob in pushed {
            #expect(try lab.ask("GET", "/v2/a/blobs/\(blob.digest)").status == 404)
            #expect(try lab.push(blob.bytes, to: "a", blob.digest.algorithm) == blob.digest)
            #expect(try lab.ask("GET", "/v2/a/blobs/\(blob.digest)").body == blob.bytes)
        }
        #expect(try !lab.operate(["scrub", "--status"]).out.contains("DAMAGED"))
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
    func `objects are read at their rate, and what is damaged is set aside until a push`() async throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry()
        let big = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let sound = try lab.push(try BucketTests.blob(9 << 20), to: "a")
        var pushed: [(digest: Digest, bytes: [UInt8], how: Damage)] = []
        for (number, how) in Damage.allCases.enumerated() {
            let (bytes, known) = (big + [UInt8(number)], Set(try await bucket.objects()))
            pushed.append((try lab.push(bytes, to: "a", number == 3 ? .sha512 : .sha256), bytes, how))
            let key = try #require(try await bucket.objects().first { !known.contains($0) })
            try await bucket.withClient { client in
                switch how {
                case .gone: try await client.remove(key)
                case .flipped: try await client.put(key, ByteBuffer(bytes: [bytes[0] ^ 1] + bytes.dropFirst()))
                case .cut: try await client.put(key, ByteBuffer(bytes: bytes.dropLast()))
                case .longer: try await client.put(key, ByteBuffer(bytes: bytes + [0]))
                }
            }
        }
        #expect(try lab.operate(["scrub", "--now"]).status == 0)
        #expect(try soon(60) { try lab.operate(["scrub", "--status"]).out.hasPrefix("Ended") })
        let shown = try lab.operate(["scrub", "--status"]).out
        #expect(shown.contains(": 5 blobs") && shown.contains("4 damaged"), "\(shown)\(lab.log)")
        for blob in pushed {
            #expect(shown.contains("\(blob.digest)"))
            #expect(try lab.ask("GET", "/v2/a/blobs/\(blob.digest)").code == "BLOB_UNKNOWN")
            #expect(try lab.push(blob.bytes, to: "a", blob.digest.algorithm) == blob.digest)
            #expect(try lab.ask("GET", "/v2/a/blobs/\(blob.digest)").body == blob.bytes)
        }
        #expect(try lab.ask("GET", "/v2/a/blobs/\(sound)").status == 200)
        #expect(try !lab.operate(["scrub", "--status"]).out.contains("DAMAGED"))
        // The damaged objects are gone.
        var count = 0
        for _ in 0..<40 where count != 5 {
            try await Task.sleep(for: .milliseconds(250))
            count = try await bucket.objects().count
        }
        #expect(count == 5)
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
    func `a bucket that is away damages nothing, and a rate is kept`() async throws {
        let bucket = try BucketLab()
        let isDown = Mutex(false)
        let way = try FaultyWay(to: bucket.port) { _, _ in isDown.withLock { $0 } ? .status(404) : nil }
        let settings = bucket.configuration(port: way.port)
        let place = try GarbageTests.Place { $0.bucket = settings }
        let name = try RepositoryName("a")
        let pushed = try await place.push(try BucketTests.blob(400_000), to: name)
        let blob = try await place.store.blob(pushed.digest, in: name)
        let began = ContinuousClock.now
        #expect(try await place.store.condition(of: blob, rate: 200_000) == .sound)
        #expect(.now - began > .seconds(1.9))
        isDown.withLock { $0 = true }
        // Not even with answers as those for objects that are not there.
        await #expect(throws: StorageFailure.self) { try await place.store.condition(of: blob, rate: 1 << 30) }
    }

    @Test func `a manifest is not taken with a blob that is damaged, and a blob that came anew is not set aside`()
        async throws
    {
        let place = try GarbageTests.Place()
        let store = place.store
        let name = try RepositoryName("a")
        let config = try await place.push([1], to: name)
        let blob = try await store.blob(config.digest, in: name)
        guard case .file(let path) = blob.place else { throw LabFailure("no file") }
        #expect(try await store.condition(of: blob, rate: 1 << 20) == .sound)
        try Self.damage(path, .flipped)
        guard case .damaged(let damage) = try await store.condition(of: blob, rate: 1 << 20) else {
            throw LabFailure("sound")
        }
        try FileManager.default.removeItem(atPath: path)
        try Data([1]).write(to: URL(filePath: path))
        #expect(try await store.quarantine(blob, damage) == false)
        #expect(try await place.read(config, in: name) == [1])
        try Self.damage(path, .flipped)
        guard case .damaged(let second) = try await store.condition(of: blob, rate: 1 << 20) else {
            throw LabFailure("sound")
        }
        #expect(try await store.quarantine(blob, second))
        let manifest = try GarbageTests.manifest(config, [])
        await #expect(throws: Refusal.self) {
            try await store.putManifest(manifest, contentType: nil, as: .tag("x"), in: name)
        }
        try await place.push([1], to: name)
        _ = try await store.putManifest(manifest, contentType: nil, as: .tag("x"), in: name)
        #expect(try await store.quarantined(countMax: 9) == [])
    }

    @Test func `a pass goes on where a crash has cut it`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // Some twelve seconds, of which the first are kept.
        let lab = try WebhookTests.lab(#"{"scrub":{"rate":"3MB","interval":"100d"}}"#, in: folder)
        #expect(try soon(60) { try lab.operate(["scrub"]).out.hasPrefix("Ended") })
        let block = [UInt8](repeating: 7, count: 3 << 20)
        for number in 0..<12 { try lab.push(block + [UInt8(number)], to: "a") }
        #expect(try lab.operate(["scrub", "--now"]).status == 0)
        func read() throws -> Int {
            let out = try lab.operate(["scrub"]).out
            return Int(out.split(separator: " blobs").first?.split(separator: " ").last ?? "") ?? 0
        }
        #expect(try soon(90) { try read() >= 11 })
        lab.crash()
        try lab.start()
        #expect(try read() >= 8)
        #expect(try soon(90) { try lab.operate(["scrub"]).out.contains("12 blobs (37748748 bytes) read") })
    }

    @Test(arguments: [
        (#"{"rate":"0"}"#, "above 0"), (#"{"rate":"fast"}"#, "invalid size fast"), (#"{"speed":"1MB"}"#, "unknown key"),
    ])
    func `what is no rule is refused`(_ rule: String, _ words: String) throws {
        let (code, error) = try WebhookTests.refusedStart(#"{"scrub":\#(rule)}"#)
        #expect(code == 1 && error.contains(words), "\(error)")
    }
}
