import Foundation
import OCI
import RegistryStore
import Synchronization
import Testing

/// How much a part of the registry may have.
@Suite(.onBothIndexes) struct QuotaTests {
    private static func start(_ folder: String, _ quotas: String, _ options: [String] = []) throws -> RegistryLab {
        let path = folder + "/config.json"
        try "{\"quotas\":\(quotas)}".write(toFile: path, atomically: true, encoding: .utf8)
        return try RegistryLab(["--config", path] + options)
    }

    /// Bytes that a quota has counted.
    private static func used(_ lab: RegistryLab, _ pattern: String, recount: Bool = false) throws -> Int {
        let done = try lab.operate(["quota"] + (recount ? ["--recount"] : []))
        let line = done.out.split(separator: "\n").map { $0.split(separator: " ") }.first { $0.first == pattern[...] }
        return try #require(line.flatMap { $0.last }.flatMap { Int($0) }, "\(done)")
    }

    private static func blob(_ seed: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: seed, count: count) }

    private static func push(_ lab: RegistryLab, _ blob: [UInt8], _ name: String) throws -> RegistryLab.Reply {
        let digest = StreamHash.digest(of: blob, .sha256)
        return try lab.ask("POST", "/v2/\(name)/blobs/uploads/?digest=\(digest)", [], blob)
    }

    @Test func `what a quota has no room for is refused, and what is removed makes room`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try Self.start(
            folder, "{\"team/\":\"100KB\",\"team/app\":\"60KB\",\"*\":\"1GB\"}",
            ["--gc-grace", "0s", "--gc-interval", "1h"])
        #expect(try Self.push(lab, Self.blob(1, 40_000), "team/app").status == 201)
        // Once for a repository, however often it comes.
        #expect(try Self.push(lab, Self.blob(1, 40_000), "team/app").status == 201)
        #expect(try Self.used(lab, "team/app") == 40_000)
        let files = lab.blobFiles
        let refused = try Self.push(lab, Self.blob(2, 40_000), "team/app")
        #expect(refused.status == 403 && refused.code == "DENIED")
        #expect(
            refused.text.contains(
                "adding 40.0KB to team/app would exceed the quota of team/app, which has 40.0KB of 60.0KB"),
            "\(refused.text)")
        #expect(lab.blobFiles == files && lab.uploadFiles == [])
        #expect(try Self.push(lab, Self.blob(2, 40_000), "team/web").status == 201)
        // Again in another repository of the same team.
        let digest = StreamHash.digest(of: Self.blob(1, 40_000), .sha256)
        let mount = "/v2/team/web/blobs/uploads/?mount=\(digest)&from=team/app"
        #expect(try lab.ask("POST", mount).status == 403)
        #expect(try Self.push(lab, Self.blob(1, 40_000), "teams").status == 201)
        #expect(try Self.used(lab, "team") == 80_000 && Self.used(lab, "*") == 120_000)
        // What nothing names goes, and is not counted any more. The grace is counted in whole seconds.
        sleep(2)
        #expect(try lab.operate(["gc"]).status == 0)
        #expect(try Self.used(lab, "team") == 0 && Self.used(lab, "*") == 0)
        #expect(try Self.push(lab, Self.blob(2, 40_000), "team/app").status == 201)
    }

    @Test func `a repository that is deleted makes room, all of it and once`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try Self.start(folder, "{\"team\":\"1MB\"}")
        for name in ["team/app", "team/web"] {
            #expect(try lab.put(try lab.image("one", in: name), "latest", in: name).status == 201)
        }
        let used = try Self.used(lab, "team")
        #expect(used > 0)
        #expect(try lab.operate(["rm", "team/app"]).status == 0)
        #expect(try soon { try Self.used(lab, "team") == used / 2 })
        #expect(try Self.used(lab, "team", recount: true) == used / 2)
        #expect(try lab.operate(["rm", "team/web"]).status == 0)
        #expect(try soon { try Self.used(lab, "team") == 0 })
    }

    @Test func `manifests count, a full quota takes none, and what is counted is what is there`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try Self.start(folder, "{\"a\":\"10KB\"}")
        let manifest = try lab.image("one", in: "a/b")
        let before = try Self.used(lab, "a")
        #expect(try lab.put(manifest, "x", in: "a/b").status == 201)
        #expect(try Self.used(lab, "a") == before + manifest.count)
        #expect(try lab.put(manifest, "y", in: "a/b").status == 201)
        #expect(try Self.used(lab, "a") == before + manifest.count)
        let large = Array(
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[],\"annotations\":{\"a\":\"\(String(repeating: "x", count: 10_000))\"}}"
                .utf8)
        let refused = try lab.put(large, "large", in: "a/b", type: MediaType.ociIndex)
        #expect(refused.status == 403 && refused.code == "DENIED")
        #expect(try lab.ask("HEAD", "/v2/a/b/manifests/large").status == 404)
        #expect(try Self.push(lab, Self.blob(3, 10_000 - before - manifest.count), "a").status == 201)
        // Nothing is begun where there is no room at all.
        #expect(try lab.ask("POST", "/v2/a/b/blobs/uploads/").status == 403)
        #expect(try lab.ask("POST", "/v2/elsewhere/blobs/uploads/").status == 202)
        #expect(try Self.used(lab, "a") == 10_000 && Self.used(lab, "a", recount: true) == 10_000)
        let digest = StreamHash.digest(of: manifest, .sha256)
        #expect(try lab.ask("DELETE", "/v2/a/b/manifests/\(digest)").status == 202)
        #expect(try Self.used(lab, "a") == 10_000 - manifest.count)
        lab.crash()
        try lab.start()
        let counted = try Self.used(lab, "a")
        #expect(try counted == 10_000 - manifest.count && Self.used(lab, "a", recount: true) == counted)
        // A quota that comes later counts what was there before.
        try "{\"quotas\":{\"a/b\":\"1MB\"}}".write(
            toFile: folder + "/config.json", atomically: true, encoding: .utf8)
        lab.crash()
        try lab.start()
        #expect(try Self.used(lab, "a/b") == before)
    }

    @Test func `pushes at once do not go over a quota together`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try Self.start(folder, "{\"*\":\"350KB\"}")
        let taken = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 12) { number in
            let reply = try? Self.push(lab, Self.blob(UInt8(number), 100_000), "team/\(number)")
            if reply?.status == 201 { taken.withLock { $0 += 1 } }
        }
        #expect(taken.withLock { $0 } == 3)
        #expect(try Self.used(lab, "*") == 300_000 && Self.used(lab, "*", recount: true) == 300_000)
        #expect(lab.blobFiles.count == 3)
    }

    @Test(arguments: ["{\"Team\":\"1GB\"}", "{\"a\":\"lots\"}", "{\"a\":\"99999999TB\"}", "{\"a\":-1}"])
    func `a quota that says nothing is refused`(quotas: String) throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/config.json"
        try "{\"quotas\":\(quotas)}".write(toFile: path, atomically: true, encoding: .utf8)
        let done = try RegistryLab.run(
            RegistryLab.binaries + "/docker",
            ["registry", "serve", "--addr", "127.0.0.1:0", "--data", folder + "/data", "--config", path])
        #expect(done.status == 1 && done.err.contains("quotas"), "\(done.err)")
    }
}
