import Foundation
import NIOCore
import OCI
import RegistryStore
import S3
import Synchronization
import Testing

/// A registry whose blobs are objects.
@Suite(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
struct BucketTests {
    /// Bytes of no other blob.
    static func blob(_ count: Int) throws -> [UInt8] {
        let random = try #require(FileHandle(forReadingAtPath: "/dev/urandom"))
        return Array(try random.read(upToCount: count) ?? Data())
    }

    private static func begin(_ lab: RegistryLab, _ name: String = "a") throws -> String {
        try #require(try lab.ask("POST", "/v2/\(name)/blobs/uploads/").headers["location"])
    }

    @Test func `blobs of all sizes come and go, and the folder stays empty`() async throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry(["--gc-interval", "1s"])
        var digests: [Digest] = []
        for size in [0, 1, 100_000, 5 << 20, (5 << 20) + 1, 12 << 20] {
            let blob = try Self.blob(size)
            let digest = try lab.push(blob, to: "a")
            let path = "/v2/a/blobs/\(digest)"
            let reply = try lab.ask("GET", path)
            #expect(reply.status == 200 && reply.body == blob, "\(size)")
            #expect(reply.headers["docker-content-digest"] == "\(digest)")
            #expect(try lab.ask("HEAD", path).headers["content-length"] == "\(size)")
            digests.append(digest)
            guard size > 10 else { continue }
            let part = try lab.ask("GET", path, ["Range: bytes=\(size - 10)-"])
            #expect(part.status == 206 && part.body == Array(blob.suffix(10)))
            #expect(try lab.ask("GET", path, ["Range: bytes=\(size)-"]).status == 416)
        }
        #expect(lab.blobFiles == [] && lab.uploadFiles == [])
        for digest in digests { #expect(try lab.ask("DELETE", "/v2/a/blobs/\(digest)").status == 202) }
        var left: [String] = ["?"]
        for _ in 0..<60 where left != [] {
            try await Task.sleep(for: .milliseconds(500))
            left = try await bucket.objects()
        }
        #expect(left == [])
    }

    @Test func `chunks of any size become one blob, by either algorithm`() async throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry()
        let blob = try Self.blob(13_000_000)
        for algorithm in Digest.Algorithm.allCases {
            let upload = try Self.begin(lab)
            var offset = 0
            for size in [1, 3_000_000, 4_000_000, 5_500_000] {
                let range = "\(offset)-\(offset + size - 1)"
                // One that is not the next is refused, and changes nothing.
                let early = try lab.ask("PATCH", upload, ["Content-Range: \(offset + 1)-\(offset + 1)"], [0])
                #expect(early.status == 416 && early.headers["range"] == "0-\(max(0, offset - 1))")
                // One that is longer than it says is taken back whole.
                let long = try lab.ask("PATCH", upload, ["Content-Range: \(range)"], Array(blob[..<size]) + [0])
                #expect(long.status == 400)
                let reply = try lab.ask(
                    "PATCH", upload, ["Content-Range: \(range)"], Array(blob[offset..<offset + size]))
                offset += size
                #expect(reply.status == 202 && reply.headers["range"] == "0-\(offset - 1)")
                #expect(try lab.ask("GET", upload).headers["range"] == "0-\(offset - 1)")
            }
            let digest = StreamHash.digest(of: blob, algorithm)
            #expect(try lab.ask("PUT", upload + "?digest=\(digest)", [], Array(blob[offset...])).status == 201)
            #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
            #expect(try lab.ask("GET", upload).status == 404)
        }
        // Two blobs, and nothing of what they were made of.
        var count = 0
        for _ in 0..<40 where count != 2 {
            try await Task.sleep(for: .milliseconds(250))
            count = try await bucket.objects().count
        }
        #expect(count == 2)
    }

    @Test func `what a client gives up, or gets wrong, leaves nothing`() async throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry()
        let blob = try Self.blob(6 << 20)
        let wrong = StreamHash.digest(of: [1], .sha256)
        let given = try Self.begin(lab)
        #expect(try lab.ask("PATCH", given, [], blob).status == 202)
        #expect(try lab.ask("DELETE", given).status == 204)
        let mistaken = try Self.begin(lab)
        #expect(try lab.ask("PATCH", mistaken, [], blob).status == 202)
        let reply = try lab.ask("PUT", mistaken + "?digest=\(wrong)")
        #expect(reply.status == 400 && reply.code == "DIGEST_INVALID")
        #expect(try lab.ask("POST", "/v2/a/blobs/uploads/?digest=\(wrong)", [], blob).status == 400)
        var left: [String] = ["?"]
        for _ in 0..<40 where left != [] {
            try await Task.sleep(for: .milliseconds(250))
            left = try await bucket.objects() + bucket.withClient { try await $0.unfinished("").uploads.map(\.key) }
        }
        #expect(left == [])
    }

    @Test func `an upload goes on after a crash, and a push of the same blob twice is one`() async throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry()
        let blob = try Self.blob(9 << 20)
        let upload = try Self.begin(lab)
        #expect(try lab.ask("PATCH", upload, [], Array(blob[..<(7 << 20)])).status == 202)
        lab.crash()
        try lab.start()
        #expect(try lab.ask("GET", upload).headers["range"] == "0-\((7 << 20) - 1)")
        #expect(try lab.ask("PATCH", upload, [], Array(blob[(7 << 20)...])).status == 202)
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("PUT", upload + "?digest=\(digest)").status == 201)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
        #expect(try lab.push(blob, to: "b") == digest)
        var count = 0
        for _ in 0..<40 where count != 1 {
            try await Task.sleep(for: .milliseconds(250))
            count = try await bucket.objects().count
        }
        #expect(count == 1)
        #expect(try lab.ask("GET", "/v2/b/blobs/\(digest)").body == blob)
    }

    @Test func `a bucket that fails now and then is tried again`() async throws {
        let bucket = try BucketLab()
        // Requests of each kind: every second fails, so that what is tried again is done, however many are under way.
        let counts = Mutex<[String: Int]>([:])
        let way = try FaultyWay(to: bucket.port) { method, path in
            let (number, all) = counts.withLock { counts in
                counts[method + path, default: 0] += 1
                return (counts[method + path, default: 0], counts.values.reduce(0, +))
            }
            // Not the list that the registry begins with, to see it start.
            guard all > 2, number % 2 == 1 else { return nil }
            let faults: [FaultyWay.Fault] = [
                .status(503), .cutRequest, .cutAnswer, .status(429), .longLength, .status(500),
            ]
            return faults[all % faults.count]
        }
        let lab = try bucket.registry(port: way.port)
        for _ in 0..<6 {
            let blob = try Self.blob(11 << 20)
            let upload = try Self.begin(lab)
            #expect(try lab.ask("PATCH", upload, [], Array(blob[..<(8 << 20)])).status == 202)
            let digest = StreamHash.digest(of: blob, .sha256)
            let reply = try lab.ask("PUT", upload + "?digest=\(digest)", [], Array(blob[(8 << 20)...]))
            #expect(reply.status == 201, "\(lab.log)")
            let got = try lab.ask("GET", "/v2/a/blobs/\(digest)")
            #expect(got.status == 200 && got.body == blob, "\(got.status), \(got.body.count) bytes: \(lab.log)")
        }
        #expect(way.spoilt > 15)
    }

    @Test func `a bucket that is silent or away is told as such, and what was acknowledged stays`() async throws {
        let bucket = try BucketLab()
        let isDown = Mutex(false)
        let way = try FaultyWay(to: bucket.port) { _, _ in isDown.withLock { $0 } ? .status(503) : nil }
        let lab = try bucket.registry(port: way.port)
        let blob = try Self.blob(7 << 20)
        let digest = StreamHash.digest(of: blob, .sha256)
        let upload = try Self.begin(lab)
        #expect(try lab.ask("PATCH", upload, [], Array(blob[..<1_000_000])).status == 202)
        isDown.withLock { $0 = true }
        #expect(try lab.ask("PATCH", upload, [], Array(blob[1_000_000...])).status == 503)
        isDown.withLock { $0 = false }
        #expect(try lab.ask("GET", upload).headers["range"] == "0-999999")
        #expect(try lab.ask("PUT", upload + "?digest=\(digest)", [], Array(blob[1_000_000...])).status == 201)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
        isDown.withLock { $0 = true }
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").status == 503)
        #expect(try lab.ask("HEAD", "/v2/a/blobs/\(digest)").status == 200)
    }

    @Test func `bytes that are not the blob's are never given whole`() async throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry()
        let blob = try Self.blob(300_000)
        let digest = try lab.push(blob, to: "a")
        let key = try #require(try await bucket.objects().first)
        var damaged = blob
        damaged[299_999] ^= 1
        try await bucket.withClient { try await $0.put(key, ByteBuffer(bytes: damaged)) }
        // The head has told the length: what is missing is seen.
        #expect(throws: LabFailure.self) { try lab.ask("GET", "/v2/a/blobs/\(digest)") }
        try await bucket.withClient { try await $0.put(key, ByteBuffer(bytes: blob.dropLast())) }
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").status == 503)
    }

    @Test func `clients are sent to the bucket where the operator wants it`() async throws {
        let bucket = try BucketLab(checks: false)
        let lab = try bucket.registry { $0.redirect = true }
        let blob = try Self.blob(200_000)
        let digest = try lab.push(blob, to: "a")
        let reply = try lab.ask("GET", "/v2/a/blobs/\(digest)")
        let location = try #require(reply.headers["location"])
        let path = String(try #require(location.split(separator: "\(bucket.port)", maxSplits: 1).last))
        #expect(reply.status == 307 && reply.body == [])
        #expect(try lab.ask("HEAD", "/v2/a/blobs/\(digest)").headers["content-length"] == "200000")
        let fetched = try RegistryLab.ask(bucket.port, "GET", path)
        #expect(fetched.status == 200 && fetched.body == blob)
        #expect(try RegistryLab.ask(bucket.port, "GET", path, ["Range: bytes=5-6"]).body == Array(blob[5...6]))
    }

    @Test func `a registry without its bucket does not start`() throws {
        let bucket = try BucketLab()
        #expect(throws: LabFailure.self) { try bucket.registry { $0.secretKey = "another" } }
        #expect(throws: LabFailure.self) { try bucket.registry { $0.bucket = "no-such-bucket" } }
    }

    @Test func `a bucket belongs to one index`() throws {
        let bucket = try BucketLab()
        let lab = try bucket.registry()
        let blob = try Self.blob(1000)
        let digest = try lab.push(blob, to: "a")
        // Another one would sweep what it does not know.
        #expect(throws: LabFailure.self) { try bucket.registry() }
        let other = try bucket.registry { $0.prefix = "other" }
        #expect(try other.ask("GET", "/v2/a/blobs/\(digest)").status == 404)
        lab.crash()
        try lab.start()
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
    }
}
