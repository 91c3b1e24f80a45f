import Foundation
import OCI
import RegistryStore
import Synchronization
import Testing

/// An index in PostgreSQL loses nothing that was answered for, whatever becomes of connections and of the server.
@Suite struct PostgresTests {
    private let database: PostgresServer.Database

    init() throws { database = try PostgresServer.shared.get().database() }

    @Test func `a registry that starts again has everything, and others keep away from its database`() throws {
        let lab = try RegistryLab(database: database)
        let manifest = try lab.image("one", in: "a/b")
        #expect(try lab.put(manifest, "v1", in: "a/b").status == 201)
        lab.crash()
        try lab.start()
        #expect(try lab.ask("GET", "/v2/a/b/manifests/v1").body == manifest)
        #expect(!FileManager.default.fileExists(atPath: lab.directory + "/data/index.db"))
        // Another one has other blobs: with this index it would have half of them.
        #expect(throws: LabFailure.self) { try RegistryLab(database: database) }
        #expect(try database.query("SELECT count(*) FROM tags") == "1")
    }

    @Test func `a folder with an index of its own is not served with another one`() throws {
        let lab = try RegistryLab()
        let manifest = try lab.image("one", in: "a")
        #expect(try lab.put(manifest, "v1", in: "a").status == 201)
        lab.crash()
        var settings = RegistryStore.Settings(root: lab.directory + "/data")
        settings.database = try PostgresSettings(url: database.url)
        #expect(throws: StoreFailure.self) { try RegistryStore(settings) }
        try lab.start()
        #expect(try lab.ask("GET", "/v2/a/manifests/v1").body == manifest)
    }

    @Test(arguments: ["mysql://x", "postgres://h/d?nonsense=1", ""])
    func `what is no URL of PostgreSQL is refused`(_ url: String) {
        #expect(throws: StoreFailure.self) { try PostgresSettings(url: url) }
    }

    @Test func `the place of a database is told without its password`() throws {
        #expect(try PostgresSettings(url: "postgres://u:secret@h:1/d").place == "d at h:1")
    }

    // MARK: Commits

    @Test func `a commit whose answer is lost is found, and one that never came is not answered for`() throws {
        let proxy = try CuttingProxy(database.server)
        let lab = try RegistryLab(
            database: .init(
                server: database.server, name: database.name,
                url: "postgres://postgres@127.0.0.1:\(proxy.port)/\(database.name)?sslmode=disable"))
        for number in 0..<6 {
            let manifest = try lab.image("\(number)", in: "a")
            let cuts = proxy.cuts
            proxy.cut(number % 2 == 0 ? .afterCommit : .beforeCommit)
            let reply = try lab.put(manifest, "t\(number)", in: "a")
            #expect(proxy.cuts == cuts + 1)
            #expect(reply.status == (number % 2 == 0 ? 201 : 503), "\(reply.text)")
            let found = try lab.ask("GET", "/v2/a/manifests/t\(number)")
            #expect(found.status == (number % 2 == 0 ? 200 : 404))
            // What was not taken can be pushed again.
            #expect(try lab.put(manifest, "t\(number)", in: "a").status == 201)
        }
        #expect(try database.query("SELECT count(*) FROM tags") == "6")
        #expect(lab.log.contains("the answer to a commit is lost"))
    }

    // MARK: Lost connections

    struct Stored: Sendable {
        let repository: String
        let tag: String
        let manifest: [UInt8]
    }

    /// Pushes images until it is told to end; what was refused is pushed no more.
    private static func push(
        _ lab: RegistryLab, _ client: Int, _ isOver: borrowing Atomic<Bool>, _ stored: borrowing Mutex<[Stored]>,
        _ strange: borrowing Mutex<[String]>
    ) {
        let name = "client/\(client)"
        var number = 0
        while !isOver.load(ordering: .relaxed) {
            number += 1
            guard let manifest = try? lab.image("\(client)-\(number)", in: name),
                let reply = try? lab.put(manifest, "t\(number)", in: name)
            else { continue }
            switch reply.status {
            case 201: stored.withLock { $0.append(Stored(repository: name, tag: "t\(number)", manifest: manifest)) }
            case 503: break
            default: strange.withLock { $0.append("\(reply.status) \(reply.text)") }
            }
        }
    }

    /// What storms are made of.
    final class Storm: Sendable {
        let isOver = Atomic(false)
        let stored = Mutex<[Stored]>([])
        let strange = Mutex<[String]>([])

        func begin(_ lab: RegistryLab) -> [Thread] {
            (0..<4).map { client in
                let thread = Thread { PostgresTests.push(lab, client, self.isOver, self.stored, self.strange) }
                thread.start()
                return thread
            }
        }

        func has(_ count: Int) -> Bool { soon(60) { stored.withLock { $0.count } >= count } }
        var count: Int { stored.withLock { $0.count } }
    }

    @Test func `sessions that are cut and a server that starts again lose nothing that was answered for`() throws {
        let server = try PostgresServer()
        let database = try server.database()
        let lab = try RegistryLab(database: database)
        let storm = Storm()
        let clients = storm.begin(lab)
        for _ in 0..<8 {
            #expect(storm.has(storm.count + 5))
            try database.cutSessions()
        }
        for _ in 0..<2 {
            #expect(storm.has(storm.count + 5))
            server.stop()
            usleep(300_000)
            try server.start()
        }
        #expect(storm.has(storm.count + 5))
        storm.isOver.store(true, ordering: .relaxed)
        #expect(soon(90) { clients.allSatisfy(\.isFinished) })
        #expect(storm.strange.withLock { $0 } == [])
        for item in storm.stored.withLock({ $0 }) {
            let reply = try lab.ask("GET", "/v2/\(item.repository)/manifests/\(item.tag)")
            #expect(reply.body == item.manifest, "\(item.repository):\(item.tag)")
        }
        #expect(lab.log.contains("the database answers again"))
    }

    @Test func `a registry that has nothing to do writes nothing`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/config.json"
        try """
        {"webhooks":[{"url":"http://127.0.0.1:1"}],"replication":[{"name":"copy","to":"http://127.0.0.1:1"}],
        "retention":[{"keepLast":1}],"scrub":{},"quotas":{"*":"1GB"}}
        """.write(toFile: path, atomically: true, encoding: .utf8)
        let database = try PostgresServer.shared.get().database()
        let lab = try RegistryLab(["--config", path], database: database)
        func written() throws -> String { try database.query("SELECT sum(number) FROM registry_writers") }
        #expect(
            try soon(60) {
                let before = try written()
                // Longer than what looks often takes between two looks.
                sleep(7)
                return try written() == before
            })
        // What there is to do is done all the same.
        #expect(try lab.put(try lab.image("one", in: "a"), "v1", in: "a").status == 201)
        #expect(try lab.operate(["rm", "a"]).status == 0)
        #expect(try soon(30) { try database.query("SELECT count(*) FROM links") == "0" })
    }

    @Test func `a count of a quota that was cut goes on where it was`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/config.json"
        try #"{"quotas":{"*":"1GB"}}"#.write(toFile: path, atomically: true, encoding: .utf8)
        let database = try PostgresServer.shared.get().database()
        let lab = try RegistryLab(database: database)
        for name in ["a", "b", "c"] { try lab.push([UInt8](repeating: 1, count: 1000), to: name) }
        lab.crash()
        let first = try database.query("SELECT id FROM repositories WHERE name = 'a'")
        try database.query(
            "INSERT INTO progress (name, value) VALUES ('quota *', '{\"repository\":\(first),\"bytes\":7}')")
        try lab.start(["--config", path])
        #expect(try database.query("SELECT bytes FROM quotas WHERE pattern = '*'") == "2007")
        #expect(try database.query("SELECT count(*) FROM progress WHERE name LIKE 'quota%'") == "0")
    }

    @Test func `without its database a registry says so, and goes on when it is back`() throws {
        let server = try PostgresServer()
        let lab = try RegistryLab(database: try server.database())
        let manifest = try lab.image("one", in: "a")
        #expect(try lab.put(manifest, "v1", in: "a").status == 201)
        server.stop()
        let reply = try lab.ask("GET", "/v2/a/manifests/v1")
        #expect(reply.status == 503 && reply.text.contains("the registry's database does not answer"))
        #expect(try lab.ask("GET", "/healthz").status == 503)
        try server.start()
        #expect(try soon { try lab.ask("GET", "/v2/a/manifests/v1").body == manifest })
        // Who writes finds it out alone.
        #expect(try soon { try lab.put(manifest, "v2", in: "a").status == 201 })
    }
}
