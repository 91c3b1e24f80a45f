import Foundation
import OCI
import RegistryStore
import Synchronization
import Testing

/// An index moves into PostgreSQL while it is used.
@Suite struct MoveTests {
    private let database: PostgresServer.Database

    init() throws { database = try PostgresServer.shared.get().database() }

    /// `docker-registry move`, as it runs.
    private func move(_ lab: RegistryLab, to url: String) throws -> (process: Process, output: Pipe) {
        let process = Process()
        process.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
        process.arguments = ["registry", "move", "--database", url, "--data", lab.directory + "/data"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        return (process, output)
    }

    private func moved(_ lab: RegistryLab, to url: String) throws -> (status: Int32, text: String) {
        let (process, output) = try move(lab, to: url)
        let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
    }

    private func check(_ lab: RegistryLab, _ stored: [PostgresTests.Stored]) throws {
        for item in stored {
            let reply = try lab.ask("GET", "/v2/\(item.repository)/manifests/\(item.tag)")
            #expect(reply.body == item.manifest, "\(item.repository):\(item.tag)")
        }
    }

    @Test func `an index moves while it is pushed to, and nothing that was answered for is missing`() throws {
        let lab = try RegistryLab()
        let storm = PostgresTests.Storm()
        let clients = storm.begin(lab)
        #expect(storm.has(30))
        for number in 0..<10 {
            let manifest = try lab.image("gone \(number)", in: "gone")
            #expect(try lab.put(manifest, "t\(number)", in: "gone").status == 201)
        }
        for number in 0..<5 { #expect(try lab.ask("DELETE", "/v2/gone/manifests/t\(number)").status == 202) }
        let result = try moved(lab, to: database.url)
        #expect(result.status == 0 && result.text.contains("Moved."), "\(result.text)")
        #expect(storm.has(storm.count + 10))
        storm.isOver.store(true, ordering: .relaxed)
        #expect(soon(90) { clients.allSatisfy(\.isFinished) })
        #expect(storm.strange.withLock { $0 } == [])
        let stored = storm.stored.withLock { $0 }
        try check(lab, stored)
        let again = try moved(lab, to: database.url)
        #expect(again.status == 1 && again.text.contains("in a database"), "\(again.text)")
        lab.crash()
        // The index of before is no more.
        #expect(throws: LabFailure.self) { try lab.start() }
        #expect(lab.log.contains("was moved to"))
        lab.use(database)
        try lab.start()
        try check(lab, stored)
        #expect(try lab.ask("GET", "/v2/gone/manifests/t1").status == 404)
        #expect(try lab.ask("GET", "/v2/gone/manifests/t7").status == 200)
        let found = try lab.ask("GET", "/api/v1/search?q=client")
        #expect((found.json["items"] as? [Any])?.count == 4, "\(found.text)")
        // Numbers go on behind those that came with it.
        #expect(try lab.put(try lab.image("new", in: "new"), "t", in: "new").status == 201)
    }

    @Test func `a move that is killed leaves the index that was there, and can be begun again`() throws {
        let lab = try RegistryLab()
        var stored: [PostgresTests.Stored] = []
        for number in 0..<40 {
            let manifest = try lab.image("\(number)", in: "a/\(number)")
            #expect(try lab.put(manifest, "t", in: "a/\(number)").status == 201)
            stored.append(.init(repository: "a/\(number)", tag: "t", manifest: manifest))
        }
        for milliseconds in [150, 400, 700] {
            let (process, _) = try move(lab, to: database.url)
            usleep(useconds_t(milliseconds * 1000))
            lab.crash()
            process.waitUntilExit()
            // It may have come to its end before.
            guard process.terminationStatus != 0 else { lab.use(database); break }
            do { try lab.start() } catch {
                // Killed between its end and the client's knowing of it.
                #expect(lab.log.contains("was moved to"))
                lab.use(database)
                break
            }
            try check(lab, stored)
            let manifest = try lab.image("after \(milliseconds)", in: "after")
            #expect(try lab.put(manifest, "t\(milliseconds)", in: "after").status == 201)
            stored.append(.init(repository: "after", tag: "t\(milliseconds)", manifest: manifest))
        }
        if lab.database == nil {
            let result = try moved(lab, to: database.url)
            #expect(result.status == 0, "\(result.text)")
            lab.crash()
            lab.use(database)
        }
        try lab.start()
        try check(lab, stored)
    }

    @Test func `a move that is cut at its very end has either come to it or can be begun again`() throws {
        let lab = try RegistryLab()
        let manifest = try lab.image("x", in: "a")
        #expect(try lab.put(manifest, "t", in: "a").status == 201)
        let stored = [PostgresTests.Stored(repository: "a", tag: "t", manifest: manifest)]
        let first = try moved(lab, to: database.url)
        #expect(first.status == 0, "\(first.text)")
        lab.crash()
        // Before the folder says where the index is.
        let mark = "INSERT INTO registry_state SELECT 'moving', value FROM registry_state WHERE name = 'storage'"
        _ = try database.query(mark)
        try FileManager.default.removeItem(atPath: lab.directory + "/data/index.moved")
        try lab.start()
        try check(lab, stored)
        let again = try moved(lab, to: database.url)
        #expect(again.status == 0, "\(again.text)")
        lab.crash()
        // Behind it.
        _ = try database.query(mark)
        #expect(throws: LabFailure.self) { try RegistryLab(database: database) }
        lab.use(database)
        try lab.start()
        try check(lab, stored)
        #expect(try database.query("SELECT count(*) FROM registry_state WHERE name = 'moving'") == "0")
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
    func `the index of blobs that are half in a bucket moves, and the other half after it`() throws {
        let bucket = try BucketLab()
        let lab = try RegistryLab()
        let old = try lab.image("old", in: "a")
        #expect(try lab.put(old, "old", in: "a").status == 201)
        lab.crash()
        let storage = ["s3": bucket.configuration()]
        let options = ["--config", try bucket.file(["storage": storage])]
        try lab.start(options)
        let new = try lab.image("new", in: "a")
        #expect(try lab.put(new, "new", in: "a").status == 201)
        let result = try moved(lab, to: database.url)
        #expect(result.status == 0, "\(result.text)")
        lab.crash()
        lab.use(database)
        #expect(throws: LabFailure.self) { try lab.start() }
        #expect(lab.log.contains("say in which one"), "\(lab.log)")
        try lab.start(options)
        let stored = [("old", old), ("new", new)].map { PostgresTests.Stored(repository: "a", tag: $0, manifest: $1) }
        try check(lab, stored)
        // Nobody else may join while some of the blobs are files.
        #expect(throws: LabFailure.self) { try bucket.registry(database: database) }
        #expect(lab.blobFiles.count == 2)
        #expect(try lab.operate(["move", "--storage", try bucket.file(storage)]).status == 0)
        #expect(lab.blobFiles == [])
        let twin = try bucket.registry(database: database)
        for lab in [lab, twin] {
            try check(lab, stored)
            #expect(
                try lab.ask("GET", "/v2/a/blobs/\(StreamHash.digest(of: Array("layer old".utf8), .sha256))").status
                    == 200)
        }
    }

    @Test func `a database that has an index, or does not answer, is not moved to`() throws {
        let other = try RegistryLab(database: database)
        #expect(try other.put(try other.image("x", in: "x"), "t", in: "x").status == 201)
        let lab = try RegistryLab()
        let manifest = try lab.image("y", in: "y")
        #expect(try lab.put(manifest, "t", in: "y").status == 201)
        let result = try moved(lab, to: database.url)
        #expect(result.status == 1 && result.text.contains("has an index already"), "\(result.text)")
        #expect(try moved(lab, to: "mysql://h/d").status == 1)
        #expect(try lab.ask("GET", "/v2/y/manifests/t").body == manifest)
        #expect(try other.ask("GET", "/v2/x/manifests/t").status == 200)
    }
}
