import Foundation
import OCI
import RegistryStore
import S3
import TestServers
import Testing

/// Two registries behind one name: a database and a bucket between them, nothing else.
@Suite(.enabled(if: BucketLab.isThere)) struct TwinTests {
    private static let tagCount = 24

    @Test func `two registries push, delete and collect at once, and give the same`() async throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        let options = ["--gc-grace", "3s", "--gc-interval", "1s"]
        let twins = [
            try bucket.registry(options, database: database), try bucket.registry(options, database: database),
        ]
        let digests = try await withThrowingTaskGroup(of: (String, Digest)?.self) { group in
            for number in 0..<Self.tagCount {
                group.addTask {
                    // What is pushed here is deleted there, and the layers of neighbours are the same.
                    let (here, there) = (twins[number % 2], twins[(number + 1) % 2])
                    let manifest = try here.image("seed \(number / 2)", in: "team/app\(number % 3)")
                    let name = "team/app\(number % 3)"
                    let reply = try here.put(manifest, "t\(number)", in: name)
                    #expect(reply.status == 201, "\(reply.text)")
                    guard number % 4 == 3 else {
                        return ("\(name):t\(number)", StreamHash.digest(of: manifest, .sha256))
                    }
                    #expect(try there.ask("DELETE", "/v2/\(name)/manifests/t\(number)").status == 202)
                    return nil
                }
            }
            return try await group.reduce(into: [(String, Digest)]()) { found, next in
                if let next { found.append(next) }
            }
        }
        #expect(digests.count == Self.tagCount * 3 / 4)
        for (image, digest) in digests {
            let parts = image.split(separator: ":").map(String.init)
            for twin in twins {
                let reply = try twin.ask("GET", "/v2/\(parts[0])/manifests/\(parts[1])")
                #expect(reply.status == 200 && reply.headers["docker-content-digest"] == digest.description, "\(image)")
                let document = try JSONDecoder().decode(Manifest.self, from: Data(reply.body))
                for blob in [document.config] + document.layers {
                    let bytes = try twin.ask("GET", "/v2/\(parts[0])/blobs/\(blob.digest)").body
                    #expect(StreamHash.digest(of: bytes, .sha256) == blob.digest, "\(image)")
                }
            }
        }
    }

    @Test func `what a mirror has got once is there for all who are behind one name`() async throws {
        struct Settings: Encodable {
            let storage: [String: S3Configuration]
            let mirrors: [String: [String: String]]
        }
        let bucket = try BucketLab()
        let origin = try Origin()
        let layer = noise(7_000_000)
        let digest = StreamHash.digest(of: layer, .sha256)
        origin.image(layer)
        let file = try bucket.file(
            Settings(
                storage: ["s3": bucket.configuration()], mirrors: ["up.example": ["url": origin.url, "ttl": "1h"]]))
        let database = try PostgresServer.shared.get().database()
        let twins = try (0..<2).map { _ in try RegistryLab(["--config", file], database: database) }
        let path = "/v2/up.example/team/app"
        let manifest = try twins[0].ask("GET", path + "/manifests/latest").body
        #expect(try twins[0].ask("GET", path + "/blobs/\(digest)").body == layer)
        // Who follows it has all of it before the bucket has.
        #expect(try soon { try database.query("SELECT count(*) FROM blobs") == "1" })
        origin.replace { _, answer in
            answer.reply(503)
            return true
        }
        for twin in twins {
            #expect(try twin.ask("GET", path + "/manifests/latest").body == manifest)
            #expect(try twin.ask("GET", path + "/blobs/\(digest)").body == layer, "\(twin.log)")
            #expect(twin.blobFiles == [])
        }
        #expect(origin.count("GET", "/blobs/\(digest)") == 1)
        let partial = try FileManager.default.contentsOfDirectory(atPath: twins[0].directory + "/data/mirror")
        #expect(try await bucket.objects().count == 1 && partial == [])
    }

    @Test func `blobs are read by one of them at a time, and both know what was found`() async throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        let twins = try (0..<2).map { _ in try bucket.registry(database: database) }
        for number in 0..<5 { try twins[0].push([UInt8(number)], to: "a") }
        let key = try #require(try await bucket.objects().first)
        try await bucket.withClient { try await $0.remove(key) }
        #expect(try twins[1].operate(["scrub"]).out == "No blob was read yet\n")
        #expect(try twins[0].operate(["scrub", "--now"]).status == 0)
        for twin in twins {
            #expect(try soon(60) { try twin.operate(["scrub"]).out.contains("5 blobs (5 bytes) read, 1 damaged") })
        }
        // The other may be asked next, when the lease of the first has ended.
        try twins[0].push([9], to: "a")
        #expect(try twins[1].operate(["scrub", "--now"]).status == 0)
        #expect(try soon(60) { try twins[0].operate(["scrub"]).out.contains("5 blobs (5 bytes) read, 0 damaged") })
    }

    @Test func `while one reads blobs, both tell the same of it`() throws {
        struct Settings: Encodable {
            let storage: [String: S3Configuration]
            let scrub: [String: String]
        }
        let bucket = try BucketLab()
        let file = try bucket.file(Settings(storage: ["s3": bucket.configuration()], scrub: ["rate": "60KB"]))
        let database = try PostgresServer.shared.get().database()
        let twins = try (0..<2).map { _ in try RegistryLab(["--config", file], database: database) }
        // The first pass of all finds nothing.
        #expect(try soon(30) { try twins[0].operate(["scrub"]).out.hasPrefix("Ended") })
        for seed: UInt64 in 1...6 { try twins[0].push(noise(100_000, seed), to: "a") }
        #expect(try twins[0].operate(["scrub", "--now"]).status == 0)
        var compared = 0
        let isOver = try soon(60) {
            let (before, other) = (try twins[0].operate(["scrub"]).out, try twins[1].operate(["scrub"]).out)
            // It may have been written down meanwhile.
            guard try before == twins[0].operate(["scrub"]).out else { return false }
            #expect(before == other)
            compared += 1
            return before.contains("6 blobs (600000 bytes) read")
        }
        #expect(isOver && compared > 3)
    }

    @Test func `an upload that one has begun goes on with the other`() async throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        let (one, other) = (try bucket.registry(database: database), try bucket.registry(database: database))
        let blob = [UInt8]((0..<(7 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        let digest = StreamHash.digest(of: blob, .sha256)
        let begun = try one.ask("POST", "/v2/a/blobs/uploads/")
        let path = try #require(begun.headers["location"])
        #expect(try other.ask("PATCH", path, [], Array(blob[..<(6 << 20)])).status == 202)
        #expect(try one.ask("GET", path).headers["range"] == "0-\((6 << 20) - 1)")
        #expect(try one.ask("PUT", path + "?digest=\(digest)", [], Array(blob[(6 << 20)...])).status == 201)
        #expect(try other.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
    }

    @Test func `an index whose blobs are in a bucket moves, and others join it`() throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        let lab = try bucket.registry()
        let digest = try lab.push(Array("x".utf8), to: "a")
        #expect(try lab.operate(["move", "--database", database.url]).status == 0)
        lab.crash()
        lab.use(database)
        try lab.start()
        let other = try bucket.registry(database: database)
        #expect(try other.ask("GET", "/v2/a/blobs/\(digest)").text == "x")
    }

    @Test func `a request that has lost its turn takes nothing from who has it`() throws {
        let bucket = try BucketLab()
        let database = try PostgresServer.shared.get().database()
        let (one, other) = (try bucket.registry(database: database), try bucket.registry(database: database))
        let blob = Array("what has arrived".utf8)
        let digest = StreamHash.digest(of: blob, .sha256)
        let path = try #require(try one.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        #expect(try one.ask("PATCH", path, [], blob).status == 202)
        let slow = try Wire(one.port)
        slow.send(
            Array("PATCH \(path) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nmore".utf8))
        #expect(try soon(20) { try database.query("SELECT lease > 0 FROM uploads") == "t" })
        // As if the one had not been there for longer than it has its turn.
        try database.query("UPDATE uploads SET lease = 0")
        #expect(try other.ask("PUT", path + "?digest=\(digest)").status == 201)
        slow.send(Array(" late".utf8))
        #expect(String(decoding: slow.receive(), as: UTF8.self).hasPrefix("HTTP/1.1 404"))
        // What is removed is removed behind the answers.
        usleep(1_000_000)
        #expect(try other.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
        #expect(try other.ask("GET", path).status == 404)
    }
}
