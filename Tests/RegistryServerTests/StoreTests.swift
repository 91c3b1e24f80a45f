import Foundation
import NIOCore
import OCI
import Synchronization
import Testing

@testable import RegistryStore

/// What a store does without anybody who asks by HTTP.
@Suite(.onBothIndexes) struct StoreTests {
    typealias Place = GarbageTests.Place

    @Test func `what a failed write has left of an upload is no part of the blob`() async throws {
        let (place, name) = (try Place(), try RepositoryName("a"))
        let id = try await place.store.beginUpload(to: name)
        try await place.store.upload(id, in: name) { try await $0.append(ByteBuffer(string: "abc")) }
        // A part of what the disk was too full for.
        let file = try #require(FileHandle(forWritingAtPath: "\(place.root)/uploads/\(id)"))
        try file.seekToEnd()
        try file.write(contentsOf: Data("d".utf8))
        try file.close()
        let digest = StreamHash.digest(of: Array("abcdef".utf8), .sha256)
        let store = place.store
        try await store.upload(id, in: name) { upload in
            #expect(await upload.count == 3)
            try await upload.append(ByteBuffer(string: "def"))
            try await store.finish(upload, as: digest)
        }
        let blob = Descriptor(mediaType: MediaType.ociLayer, digest: digest, size: 6)
        #expect(try await place.read(blob, in: name) == Array("abcdef".utf8))
    }

    @Test func `referrers with much to say come in short pages`() async throws {
        let (place, name) = (try Place(), try RepositoryName("a"))
        let config = try await place.push(Array("{}".utf8), to: name)
        let subject = StreamHash.digest(of: [1], .sha256)
        for number in 0..<4 {
            let manifest = """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","layers":[],
                "config":{"mediaType":"\(config.mediaType)","digest":"\(config.digest)","size":2},
                "subject":{"mediaType":"\(MediaType.ociManifest)","digest":"\(subject)","size":1},
                "annotations":{"a":"\(number)\(String(repeating: "x", count: 3 << 20))"}}
                """
            _ = try await place.store.putManifest(
                Array(manifest.utf8), contentType: nil, as: .tag("t\(number)"), in: name)
        }
        var (found, last): ([Digest], String?) = ([], nil)
        repeat {
            let page = try await place.store.referrers(
                of: subject, in: name, artifactType: nil, after: last, countMax: 3)
            #expect(page.items.count == 1)
            found += page.items.map(\.digest)
            last = page.hasMore ? found.last?.description : nil
        } while last != nil
        #expect(Set(found).count == 4 && found.count == 4)
    }

    @Test func `whoever may see thousands of repositories is told of them`() async throws {
        let (place, name) = (try Place(), try RepositoryName("team/r1234"))
        let config = try await place.push(Array("{}".utf8), to: name)
        _ = try await place.store.putManifest(
            try GarbageTests.manifest(config, []), contentType: nil, as: .tag("t"), in: name)
        let visibility = Visibility.only((0..<3000).map { "team/r\($0)" })
        #expect(try await place.store.repositories(after: nil, countMax: 9, visibility).items == ["team/r1234"])
        for text in ["", "r1234"] {
            #expect(try await place.store.search(SearchQuery(text), visibility).items.map(\.name) == ["team/r1234"])
        }
    }

    @Test func `pulls that are too many for webhooks are counted, and the operator is told once`() async throws {
        let notes = Mutex<[String]>([])
        let place = try Place {
            $0.watches = Watches(hooks: [
                Watches.Hook(name: "ci", kinds: [.pull], repositories: [NamePattern("*")])
            ])
            $0.note = { note in notes.withLock { $0.append(note) } }
        }
        let name = try RepositoryName("a")
        let body = try GarbageTests.manifest(try await place.push([1], to: name), [])
        _ = try await place.store.putManifest(body, contentType: nil, as: .tag("t"), in: name)
        let manifest = try await place.store.manifest(.tag("t"), in: name)
        for _ in 0..<2 {
            for _ in 0..<10_003 { place.store.notePull(manifest, .tag("t"), from: name) { .init() } }
            try await place.store.writePulls()
        }
        #expect(place.store.pullNotices.lost == 6)
        #expect(notes.withLock { $0.filter { $0.hasPrefix("webhooks are not told of 3 pulls") } }.count == 1)
        #expect(try await place.store.hookStatus("ci").waiting == 20_000)
    }

    @Test func `a quota is counted in steps, beside pushes and deletions`() async throws {
        let place = try Place {
            $0.grace = .seconds(3600)
            try? $0.quotas = JSONDecoder().decode(
                Quotas.self, from: Data(#"{"*":"1GB","team/":"1GB","team/app3":"1GB"}"#.utf8))
        }
        let store = place.store
        // Up to thirteen rows of each, among those that a quota does not cover.
        for number in 0..<12 {
            let name = try RepositoryName(number % 4 == 3 ? "other\(number)" : "team/app\(number)")
            for layer in 0...number { try await place.push(Array("\(number) \(layer)".utf8), to: name) }
            let config = try await place.push([1], to: name)
            _ = try await store.putManifest(
                try GarbageTests.manifest(config, []), contentType: nil, as: .tag("t"), in: name)
        }
        #expect(try await store.quotaUse().allSatisfy { $0.bytes == 0 })
        let pushes = Task {
            for number in 0..<40 {
                let name = try RepositoryName("team/app\(number % 14)")
                try await place.push(Array("new \(number)".utf8), to: name)
                if number % 10 == 9 { try await store.deleteRepository(name) }
                try await store.clearDeparted()
            }
        }
        try await store.countQuotas(rowsAtOnce: 5)
        try await pushes.value
        let counted = try await store.quotaUse()
        #expect(counted.map(\.pattern) == ["*", "team", "team/app3"] && counted[0].bytes > counted[1].bytes)
        for rowsAtOnce: Int64 in [1, 1000] {
            try await store.countQuotas(isAgain: true, rowsAtOnce: rowsAtOnce)
            #expect(try await store.quotaUse() == counted)
        }
    }

    @Test func `the first protocol tells of a configuration only where it is`() async throws {
        let place = try Place()
        let (own, mirrored) = (try RepositoryName("private"), try RepositoryName("docker.io/somebody/x"))
        let content = StreamHash.digest(of: [1], .sha256)
        let config = try await place.push(
            Array(
                """
                {"architecture":"amd64","os":"linux","config":{"Env":["SECRET=x"]},
                "rootfs":{"type":"layers","diff_ids":["\(content)"]}}
                """.utf8), to: own)
        let layer = Descriptor(mediaType: MediaType.ociLayer, digest: content, size: 1)
        // Whoever knows its digest can have a manifest elsewhere that names it.
        let manifest = try GarbageTests.manifest(config, [layer])
        let digest = StreamHash.digest(of: manifest, .sha256)
        _ = try await place.store.keepManifest(
            manifest, mediaType: MediaType.ociManifest, digest: digest, tag: "t", in: mirrored)
        #expect(try await place.store.legacyImages(of: digest, in: mirrored) == [])
        #expect(try await place.store.linkMirrored(config.digest, in: mirrored))
        #expect(try await place.store.legacyImages(of: digest, in: mirrored).count == 1)
    }

    @Test func `what is pushed to where a mirror was stays, though the mirror had its manifest`() async throws {
        let (place, name) = (try Place(), try RepositoryName("docker.io/somebody/x"))
        let (own, bytes) = (try RepositoryName("own"), Array("layer".utf8))
        let config = try await place.push(Array("{}".utf8), to: own)
        let manifest = try GarbageTests.manifest(config, [try await place.push(bytes, to: own)])
        _ = try await place.store.keepManifest(
            manifest, mediaType: nil, digest: StreamHash.digest(of: manifest, .sha256), tag: "t", in: name)
        // It has come without its blobs: a push does not.
        await #expect(throws: Refusal.self) {
            try await place.store.putManifest(manifest, contentType: nil, as: .tag("t"), in: name)
        }
        let layer = try await place.push(bytes, to: name)
        #expect(try await place.store.mount(config.digest, from: own, to: name))
        _ = try await place.store.putManifest(manifest, contentType: nil, as: .tag("t"), in: name)
        try await place.store.collectGarbage()
        #expect(try await place.read(layer, in: name) == bytes)
        try await place.store.deleteManifest(.digest(StreamHash.digest(of: manifest, .sha256)), in: name)
        #expect(try await place.store.collectGarbage().links == 2)
    }

    @Test func `who names a blob of a mirror is found by an index`() async throws {
        let place = try Place()
        let plan = try await place.store.index.read { connection -> [String] in
            guard connection.dialect == .sqlite else { return ["members_mirrored"] }
            return try connection.rows(
                "EXPLAIN QUERY PLAN SELECT count(*) FROM members WHERE repository = 1 AND digest = 'a' AND mirrored = 1",
                []
            ).map { try $0.text("detail") }
        }
        #expect(plan.count == 1 && plan[0].contains("members_mirrored"), "\(plan)")
    }

    @Test func `a repository is deleted and comes again in one transaction`() async throws {
        let place = try Place()
        let body = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[]}".utf8)
        let names = try (0..<24).map { try RepositoryName("r\($0)") }
        for name in names {
            _ = try await place.store.putManifest(body, contentType: nil, as: .tag("t"), in: name)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in names {
                group.addTask {
                    try await place.store.writer.change { change in
                        let old = try change.repository(name)
                        try change.connection.execute("DELETE FROM repositories WHERE id = ?", [.integer(old)])
                        try change.connection.execute(
                            "INSERT INTO departed (repository, name) VALUES (?, ?)",
                            [.integer(old), .text(name.description)])
                        change.effects.touchProfile(old)
                        let document = try ManifestDocument(parsing: body, contentType: nil)
                        let manifest = StoredManifest(
                            digest: StreamHash.digest(of: body, .sha256), mediaType: document.mediaType, body: body)
                        try change.addManifest(manifest, document, to: try change.repository(name), now: 1)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await place.store.search(SearchQuery(""), .all).items.count == names.count)
    }
}
