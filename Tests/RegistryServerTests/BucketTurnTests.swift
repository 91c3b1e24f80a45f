import Foundation
import NIOCore
import OCI
import RegistryStore
import S3
import Synchronization
import TestServers
import Testing

/// Requests that go on with an upload one after another, at two registries that share a bucket and a database.
@Suite(.enabled(if: BucketLab.isThere, "moto is installed by make deps")) struct BucketTurnTests {
    /// A way to the bucket on which one kind of request waits until it is let go.
    private final class Gate: Sendable {
        private final class Bar: Sendable { let isOpen = Mutex(false) }

        private let bar: Bar
        private let way: FaultyWay
        var port: UInt16 { way.port }
        /// Whether somebody waits at it, or has.
        var isReached: Bool { way.spoilt > 0 }

        init(to bucket: BucketLab, holding isHeld: @escaping @Sendable (_ method: String, _ path: String) -> Bool)
            throws
        {
            let bar = Bar()
            self.bar = bar
            way = try FaultyWay(to: bucket.port) { method, path in
                guard path.contains("/registry/blobs/"), isHeld(method, path) else { return nil }
                return .held { while !bar.isOpen.withLock({ $0 }) { usleep(10_000) } }
            }
        }

        deinit { open() }

        func open() { bar.isOpen.withLock { $0 = true } }
    }

    /// Sends the request that ends an upload, and does not wait for its answer.
    private static func finish(_ upload: String, at lab: RegistryLab, _ body: [UInt8], as digest: Digest) throws -> Wire
    {
        let wire = try Wire(lab.port)
        let head = "PUT \(upload)?digest=\(digest) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        wire.send(Array("\(head)Content-Length: \(body.count)\r\n\r\n".utf8) + body)
        return wire
    }

    private static func status(_ wire: Wire) -> Int {
        Int(String(decoding: wire.receive().dropFirst(9).prefix(3), as: UTF8.self)) ?? 0
    }

    @Test(arguments: [1000, 6 << 20])
    func `what a request writes that has lost its turn never becomes another's blob`(size: Int) async throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        // What makes an object of all bytes.
        let gate = try Gate(to: bucket) { method, path in
            method == "POST" ? path.contains("uploadId=") : method == "PUT" && !path.contains("partNumber")
        }
        let late = try bucket.registry(port: gate.port, database: database)
        let other = try bucket.registry(database: database)
        let (lost, kept) = (try BucketTests.blob(size), try BucketTests.blob(size))
        let digest = StreamHash.digest(of: kept, .sha256)
        let upload = try #require(try late.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        let wire = try Self.finish(upload, at: late, lost, as: StreamHash.digest(of: lost, .sha256))
        #expect(soon(20) { gate.isReached })
        // As if the one had not been there for longer than it has its turn.
        try database.query("UPDATE uploads SET lease = 0")
        #expect(try other.ask("PUT", "\(upload)?digest=\(digest)", [], kept).status == 201)
        gate.open()
        #expect(Self.status(wire) == 404)
        #expect(try other.ask("GET", "/v2/a/blobs/\(digest)").body == kept)
        var left: [String] = []
        for _ in 0..<40 where left.count != 1 {
            try await Task.sleep(for: .milliseconds(250))
            left = try await bucket.objects() + bucket.withClient { try await $0.unfinished("").uploads.map(\.key) }
        }
        #expect(left.count == 1)
        #expect(try other.ask("GET", "/v2/a/blobs/\(digest)").body == kept)
    }

    @Test func `parts that another request has made an object are no blob of other bytes`() async throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        let (early, late) = (
            try Gate(to: bucket) { method, path in method == "PUT" && path.contains("partNumber=2") },
            try Gate(to: bucket) { method, path in method == "POST" && path.contains("uploadId=") }
        )
        let one = try bucket.registry(port: early.port, database: database)
        let other = try bucket.registry(port: late.port, database: database)
        let begin = try BucketTests.blob(6 << 20)
        let (lost, mistaken) = (try BucketTests.blob(1000), try BucketTests.blob(1000))
        let upload = try #require(try one.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        #expect(try one.ask("PATCH", upload, [], begin).status == 202)
        let first = try Self.finish(upload, at: one, lost, as: StreamHash.digest(of: begin + lost, .sha256))
        #expect(soon(20) { early.isReached })
        try database.query("UPDATE uploads SET lease = 0")
        let digest = StreamHash.digest(of: begin + mistaken, .sha256)
        let second = try Self.finish(upload, at: other, mistaken, as: digest)
        #expect(soon(20) { late.isReached })
        // The last part is now that of the first request, which makes the object.
        early.open()
        #expect(Self.status(first) == 404)
        late.open()
        #expect(Self.status(second) == 400)
        for lab in [one, other] { #expect(try lab.ask("HEAD", "/v2/a/blobs/\(digest)").status == 404) }
        var left = ["?"]
        for _ in 0..<40 where left != [] {
            try await Task.sleep(for: .milliseconds(250))
            left = try await bucket.objects()
        }
        #expect(left == [])
    }

    /// Uploads of one page.
    private static let pageUploads = 3

    /// What moto says of all uploads, in pages as other servers give them.
    private static func page(_ text: String, _ path: String) -> String {
        func of(_ name: String, in text: some StringProtocol) -> String {
            String(text.components(separatedBy: "<\(name)>").last?.components(separatedBy: "</\(name)>").first ?? "")
        }
        let query = URLComponents(string: path)?.queryItems ?? []
        let key = query.first { $0.name == "key-marker" }?.value ?? ""
        let uploads = text.components(separatedBy: "<Upload>").dropFirst()
            .map { $0.components(separatedBy: "</Upload>")[0] }.sorted { of("Key", in: $0) < of("Key", in: $1) }
            .filter { of("Key", in: $0) > key }
        let page = uploads.prefix(pageUploads)
        let end = page.last.map {
            "<NextKeyMarker>\(of("Key", in: $0))</NextKeyMarker><NextUploadIdMarker>\(of("UploadId", in: $0))"
                + "</NextUploadIdMarker>"
        }
        return "<ListMultipartUploadsResult><IsTruncated>\(uploads.count > pageUploads)</IsTruncated>\(end ?? "")"
            + page.map { "<Upload>\($0)</Upload>" }.joined() + "</ListMultipartUploadsResult>"
    }

    @Test func `all parts of no upload are swept, however many pages there are of them`() async throws {
        let bucket = try BucketLab()
        let asked = Mutex(0)
        let way = try FaultyWay(to: bucket.port) { method, path in
            guard method == "GET", path.contains("uploads=") else { return nil }
            asked.withLock { $0 += 1 }
            return .rewritten { Self.page($0, path) }
        }
        let configuration = bucket.configuration(port: way.port)
        let place = try GarbageTests.Place { $0.bucket = configuration }
        try await place.store.openBucket()
        let name = try RepositoryName("a")
        let blob = try BucketTests.blob((5 << 20) + 1)
        let upload = try await place.store.beginUpload(to: name)
        try await place.store.upload(upload, in: name) { try await $0.append(ByteBuffer(bytes: blob)) }
        try await bucket.withClient { client in
            for number in 0..<10 { _ = try await client.beginParts("blobs/00/\(number)") }
        }
        #expect(try await place.store.sweepBucket() == 10)
        #expect(asked.withLock { $0 } == 4)
        let left = try await bucket.withClient { try await $0.unfinished("blobs/").uploads }
        #expect(left.count == 1)
        let (store, digest) = (place.store, StreamHash.digest(of: blob, .sha256))
        try await store.upload(upload, in: name) { try await store.finish($0, as: digest) }
        #expect(try await store.blob(digest, in: name).size == Int64(blob.count))
    }
}
