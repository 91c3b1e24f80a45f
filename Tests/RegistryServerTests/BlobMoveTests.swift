import Foundation
import NIOCore
import OCI
import RegistryStore
import S3
import Synchronization
import Testing

/// Blobs move into a bucket while they are used.
@Suite(.enabled(if: BucketLab.isThere, "moto is installed by make deps"), .onBothIndexes)
struct BlobMoveTests {
    private let bucket: BucketLab

    init() throws { bucket = try BucketLab() }

    /// What `move --storage` reads.
    private func target(_ configuration: S3Configuration) throws -> String { try bucket.file(["s3": configuration]) }

    /// What the registry is started with from then on.
    private func settings(port: UInt16? = nil) throws -> [String] {
        ["--config", try bucket.file(["storage": ["s3": bucket.configuration(port: port)]])]
    }

    private func move(_ lab: RegistryLab, port: UInt16? = nil) throws -> RegistryLab.Outcome {
        try lab.operate(["move", "--storage", try target(bucket.configuration(port: port))])
    }

    private static func digests(_ manifest: [UInt8]) throws -> [Digest] {
        let parsed = try JSONDecoder().decode(Manifest.self, from: Data(manifest))
        return [parsed.config.digest] + parsed.layers.map(\.digest)
    }

    private static func push(_ count: Int, to lab: RegistryLab, _ name: String) throws -> [PostgresTests.Stored] {
        try (0..<count).map { number in
            let manifest = try lab.image("\(name) \(number)", in: name)
            #expect(try lab.put(manifest, "t\(number)", in: name).status == 201)
            return .init(repository: name, tag: "t\(number)", manifest: manifest)
        }
    }

    /// An image whose layer comes in parts.
    private static func pushLarge(to lab: RegistryLab, _ name: String) throws -> PostgresTests.Stored {
        let (config, layer) = (Array("{}".utf8), try BucketTests.blob(12 << 20))
        let (configDigest, layerDigest) = (try lab.push(config, to: name), try lab.push(layer, to: name))
        let manifest = try GarbageTests.manifest(
            Descriptor(mediaType: MediaType.ociConfig, digest: configDigest, size: Int64(config.count)),
            [Descriptor(mediaType: MediaType.ociLayer, digest: layerDigest, size: Int64(layer.count))])
        #expect(try lab.put(manifest, "large", in: name).status == 201)
        return .init(repository: name, tag: "large", manifest: manifest)
    }

    private static func isWhole(_ lab: RegistryLab, _ item: PostgresTests.Stored) throws -> Bool {
        guard try lab.ask("GET", "/v2/\(item.repository)/manifests/\(item.tag)").body == item.manifest else {
            return false
        }
        return try digests(item.manifest).allSatisfy { digest in
            let reply = try lab.ask("GET", "/v2/\(item.repository)/blobs/\(digest)")
            return reply.status == 200 && StreamHash.digest(of: reply.body, .sha256) == digest
        }
    }

    private func check(_ lab: RegistryLab, _ stored: [PostgresTests.Stored]) throws {
        for item in stored { #expect(try Self.isWhole(lab, item), "\(item.repository):\(item.tag)") }
    }

    private static func lines(_ done: RegistryLab.Outcome) throws -> [[String: Any]] {
        try done.out.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test func `blobs move while there are pushes, pulls, deletes and collections, and none is missing`() async throws {
        let lab = try RegistryLab(["--gc-grace", "30s", "--gc-interval", "1s"])
        var before = try Self.push(40, to: lab, "old")
        before.append(try Self.pushLarge(to: lab, "large"))
        let gone = try Self.push(10, to: lab, "gone")
        let begun = try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        let blob = try BucketTests.blob(300_000)
        #expect(try lab.ask("PATCH", begun, [], Array(blob[..<100_000])).status == 202)
        let storm = PostgresTests.Storm()
        var clients = storm.begin(lab)
        let pulls = Mutex(0)
        let missing = Mutex<[String]>([])
        let pulled = before
        clients.append(
            Thread {
                while !storm.isOver.load(ordering: .relaxed) {
                    for item in pulled where !storm.isOver.load(ordering: .relaxed) {
                        if (try? Self.isWhole(lab, item)) != true { missing.withLock { $0.append(item.tag) } }
                        pulls.withLock { $0 += 1 }
                    }
                }
            })
        clients.last?.start()
        #expect(storm.has(10))
        for item in gone[..<5] {
            #expect(try lab.ask("DELETE", "/v2/gone/manifests/\(item.tag)").status == 202)
        }
        let done = try move(lab)
        #expect(done.status == 0 && done.err.contains("Moved."), "\(done)")
        let lines = try Self.lines(done)
        let last = try #require(lines.last { $0["blobs"] != nil }?["blobs"] as? [String: Any])
        #expect(lines.last?["isMoved"] as? Bool == true)
        #expect(try #require(last["blobs"] as? Int) >= 80 && #require(last["bytesTotal"] as? Int) > 12 << 20, "\(last)")
        for item in gone[5...] { #expect(try lab.ask("DELETE", "/v2/gone/manifests/\(item.tag)").status == 202) }
        #expect(storm.has(storm.count + 10))
        storm.isOver.store(true, ordering: .relaxed)
        #expect(soon(90) { clients.allSatisfy(\.isFinished) })
        #expect(storm.strange.withLock { $0 } == [] && missing.withLock { $0 } == [] && pulls.withLock { $0 } > 41)
        // An upload that began in the folder ends in the bucket.
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("PUT", begun + "?digest=\(digest)", [], Array(blob[100_000...])).status == 201)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
        #expect(lab.blobFiles == [] && lab.uploadFiles == [])
        let stored = before + storm.stored.withLock { $0 }
        try check(lab, stored)
        let again = try move(lab)
        #expect(again.status == 0, "\(again)")
        lab.crash()
        #expect(throws: LabFailure.self) { try lab.start() }
        #expect(
            lab.log.contains("in a bucket: say in which one") || lab.log.contains("the bucket that it was made with"))
        try lab.start(try settings())
        try check(lab, stored)
        #expect(lab.blobFiles == [])
        // Every object is a blob's.
        var (objects, blobs) = (0, -1)
        for _ in 0..<200 where objects != blobs {
            try await Task.sleep(for: .milliseconds(250))
            objects = try await bucket.objects().count
            blobs = try Self.blobCount(lab)
        }
        #expect(objects == blobs)
    }

    private static func blobCount(_ lab: RegistryLab) throws -> Int {
        let lines = try lab.ask("GET", "/metrics").text.split(separator: "\n")
        let line = lines.first { $0.hasPrefix("docker_registry_blobs ") }
        return try #require(line?.split(separator: " ").last.flatMap { Int($0) })
    }

    @Test func `a move that is killed at any time loses nothing, and goes on`() throws {
        let lab = try RegistryLab()
        var stored = try Self.push(60, to: lab, "a") + [try Self.pushLarge(to: lab, "large")]
        let (file, settings) = (try target(bucket.configuration()), try settings())
        var options: [String] = []
        // Before the first, and when some have moved.
        for (round, files) in [1000, 118, 80, 30].enumerated() {
            let process = Process()
            process.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
            process.arguments = ["registry", "move", "--storage", file, "--data", lab.directory + "/data"]
            (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
            try process.run()
            #expect(soon(30) { lab.blobFiles.count < files })
            lab.crash()
            process.waitUntilExit()
            do { try lab.start(options) } catch {
                #expect(lab.log.contains("bucket: say in which one"), "\(lab.log)")
                options = settings
                try lab.start(options)
            }
            try check(lab, stored)
            stored += try Self.push(3, to: lab, "after\(round)")
        }
        let done = try move(lab)
        #expect(done.status == 0, "\(done)")
        #expect(lab.blobFiles == [])
        try check(lab, stored)
        lab.crash()
        try lab.start(settings)
        try check(lab, stored)
    }

    @Test func `a bucket that fails now and then is tried again, one that is away ends the move and loses nothing`()
        throws
    {
        let counts = Mutex(0)
        let isDown = Mutex(false)
        let way = try FaultyWay(to: bucket.port) { _, _ in
            if isDown.withLock({ $0 }) { return .status(503) }
            let number = counts.withLock { count in
                count += 1
                return count
            }
            let faults: [FaultyWay.Fault] = [.status(503), .cutRequest, .cutAnswer, .status(500)]
            return number > 3 && number % 5 == 0 ? faults[number / 5 % faults.count] : nil
        }
        let lab = try RegistryLab()
        var stored = try Self.push(20, to: lab, "a") + [try Self.pushLarge(to: lab, "large")]
        #expect(try move(lab, port: way.port).status == 0)
        #expect(way.spoilt > 5 && lab.blobFiles == [])
        try check(lab, stored)
        let other = try RegistryLab()
        stored = try Self.push(30, to: other, "b")
        var elsewhere = bucket.configuration(port: way.port)
        let taken = try move(other, port: way.port)
        #expect(taken.status == 1 && taken.err.contains("the blobs of another index"), "\(taken)")
        elsewhere.prefix = "other"
        let file = try target(elsewhere)
        let process = Process()
        process.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
        process.arguments = ["registry", "move", "--storage", file, "--data", other.directory + "/data"]
        let output = Pipe()
        (process.standardOutput, process.standardError) = (output, FileHandle.nullDevice)
        try process.run()
        #expect(soon(30) { other.blobFiles.count < 55 })
        isDown.withLock { $0 = true }
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 1 && text.contains("status 503"), "\(text)")
        // What is new goes to the bucket, and cannot now; files are served.
        #expect(
            try other.ask("POST", "/v2/b/blobs/uploads/?digest=\(StreamHash.digest(of: [1], .sha256))", [], [1]).status
                == 503)
        let left = try #require(other.blobFiles.first)
        #expect(try other.ask("GET", "/v2/b/blobs/sha256:\(left)").status == 200)
        isDown.withLock { $0 = false }
        let done = try other.operate(["move", "--storage", file])
        #expect(done.status == 0 && other.blobFiles == [], "\(done)")
        try check(other, stored)
    }

    @Test func `blobs move back to files while there are pushes, and a killed move goes on`()
        async throws
    {
        let lab = try RegistryLab()
        let early = try lab.operate(["move", "--storage", "files"])
        #expect(early.status == 1 && early.err.contains("no blob is in a bucket"), "\(early)")
        var stored = try Self.push(40, to: lab, "a")
        #expect(try move(lab).status == 0)
        stored.append(try Self.pushLarge(to: lab, "large"))
        let damaged = try lab.push(Array("damaged".utf8), to: "a")
        guard lab.database == nil else {
            let done = try lab.operate(["move", "--storage", "files"])
            return #expect(done.status == 1 && done.err.contains("by \"replication\" of --config"), "\(done)")
        }
        for key in try await bucket.objects() {
            try await bucket.withClient { client in
                if try await client.size(key) == 7 { try await client.put(key, ByteBuffer(string: "DAMAGED")) }
            }
        }
        let begun = try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        let blob = try BucketTests.blob(6_000_000)
        #expect(try lab.ask("PATCH", begun, [], Array(blob[..<5_500_000])).status == 202)
        let process = Process()
        process.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
        process.arguments = ["registry", "move", "--storage", "files", "--data", lab.directory + "/data"]
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
        #expect(soon(30) { lab.blobFiles.count > 10 })
        lab.crash()
        process.waitUntilExit()
        #expect(throws: LabFailure.self) { try lab.start() }
        try lab.start(try settings())
        try check(lab, stored)
        let storm = PostgresTests.Storm()
        let clients = storm.begin(lab)
        #expect(storm.has(5))
        let done = try lab.operate(["move", "--storage", "files"])
        #expect(done.status == 0 && done.out.contains("\"damaged\":1"), "\(done)")
        #expect(storm.has(storm.count + 5))
        storm.isOver.store(true, ordering: .relaxed)
        #expect(soon(90) { clients.allSatisfy(\.isFinished) })
        #expect(storm.strange.withLock { $0 } == [])
        // An upload that began in the bucket ends in the folder.
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("PUT", begun + "?digest=\(digest)", [], Array(blob[5_500_000...])).status == 201)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(damaged)").status == 404)
        try lab.push(Array("damaged".utf8), to: "a")
        #expect(lab.uploadFiles == [])
        // What the crash has left in the bucket is needed by nobody.
        lab.crash()
        try lab.start()
        try check(lab, stored + storm.stored.withLock { $0 })
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(damaged)").body == Array("damaged".utf8))
    }

    @Test func `of two moves at once the second is refused, and the first loses nothing`() throws {
        let isOpen = Mutex(false)
        let puts = Mutex(0)
        let way = try FaultyWay(to: bucket.port) { method, path in
            guard method == "PUT", path.contains("/registry/blobs/") else { return nil }
            let number = puts.withLock { count in
                count += 1
                return count
            }
            // The look whether objects can be stored, and some blobs, pass.
            guard number > 4 else { return nil }
            return .held { while !isOpen.withLock({ $0 }) { usleep(10_000) } }
        }
        defer { isOpen.withLock { $0 = true } }
        let lab = try RegistryLab()
        let stored = try Self.push(6, to: lab, "a")
        let file = try target(bucket.configuration(port: way.port))
        let first = Process()
        first.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
        first.arguments = ["registry", "move", "--storage", file, "--data", lab.directory + "/data"]
        (first.standardOutput, first.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try first.run()
        #expect(soon(30) { way.spoilt > 0 })
        let again = try lab.operate(["move", "--storage", file])
        #expect(again.status == 1 && again.err.contains("the blobs are being moved"), "\(again)")
        let back = try lab.operate(["move", "--storage", "files"])
        #expect(back.status == 1, "\(back)")
        try check(lab, stored)
        isOpen.withLock { $0 = true }
        first.waitUntilExit()
        #expect(first.terminationStatus == 0 && lab.blobFiles == [], "\(lab.log)")
        try check(lab, stored)
        lab.crash()
        try lab.start(try settings())
        try check(lab, stored)
    }

    @Test func `what cannot be moved to is refused, and nothing has begun`() throws {
        let lab = try RegistryLab()
        let stored = try Self.push(3, to: lab, "a")
        func refusal(_ change: (inout S3Configuration) -> Void) throws -> String {
            var configuration = bucket.configuration()
            change(&configuration)
            let done = try lab.operate(["move", "--storage", try target(configuration)])
            #expect(done.status == 1)
            return done.err
        }
        #expect(try refusal { $0.secretKey = "another" }.contains("SignatureDoesNotMatch"))
        #expect(try refusal { $0.accessKey = "another" }.contains("InvalidAccessKeyId"))
        #expect(try refusal { $0.bucket = "no-such-bucket" }.contains("NoSuchBucket"))
        #expect(try refusal { $0.bucket = "?" }.contains("invalid bucket"))
        #expect(try refusal { $0.secretKey = nil }.contains("secret key"))
        for text in ["{}", "{\"s3\":{}}", "{\"S3\":{}}", "no JSON"] {
            let path = try bucket.file("")
            try Data(text.utf8).write(to: URL(filePath: path))
            #expect(try lab.operate(["move", "--storage", path]).status == 1, "\(text)")
        }
        #expect(try lab.operate(["move"]).status != 0)
        // New blobs are files still.
        #expect(lab.blobFiles.count == 6)
        try lab.push([1], to: "a")
        #expect(lab.blobFiles.count == 7)
        #expect(try move(lab).status == 0)
        #expect(try refusal { $0.prefix = "other" }.contains("the bucket blobs already"))
        try check(lab, stored)
    }

    @Test func `a damaged file is set aside, and a push heals the blob into the bucket`() throws {
        let lab = try RegistryLab()
        let (blob, lost) = (try BucketTests.blob(100_000), try BucketTests.blob(1000))
        let digests = [try lab.push(blob, to: "a"), try lab.push(lost, to: "a")]
        let folder = "\(lab.directory)/data/blobs/sha256/"
        try Data(blob.dropLast()).write(to: URL(filePath: folder + digests[0].hex))
        try FileManager.default.removeItem(atPath: folder + digests[1].hex)
        let done = try move(lab)
        #expect(done.status == 0 && done.out.contains("\"damaged\":2"), "\(done)")
        for digest in digests { #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").status == 404) }
        #expect(lab.log.contains("blob \(digests[0]) is damaged"))
        try lab.push(blob, to: "a")
        try lab.push(lost, to: "a")
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digests[0])").body == blob)
        #expect(lab.blobFiles == [])
    }

    @Test func `a registry is not started with a bucket that has none of its blobs`() throws {
        let lab = try RegistryLab()
        let stored = try Self.push(3, to: lab, "a")
        if lab.database != nil {
            // A database that others may have has to be told first.
            lab.crash()
            let options = try settings()
            #expect(throws: LabFailure.self) { try lab.start(options) }
            #expect(lab.log.contains("without \"storage\", and move them"), "\(lab.log)")
            try lab.start()
        }
        #expect(try move(lab).status == 0)
        lab.crash()
        var other = bucket.configuration()
        other.prefix = "elsewhere"
        let file = try bucket.file(["storage": ["s3": other]])
        #expect(throws: LabFailure.self) { try lab.start(["--config", file]) }
        #expect(lab.log.contains("has none of the blobs") || lab.log.contains("index of other blobs"), "\(lab.log)")
        try lab.start(try settings())
        try check(lab, stored)
    }
}
