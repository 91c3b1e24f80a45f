import Foundation
import OCI
import RegistryStore
import Testing

/// A repository goes at once, what it had by and by.
@Suite(.onBothIndexes) struct DepartureTests {
    @Test func `a large repository is gone at once, its name is free, and its blobs go`() async throws {
        let place = try GarbageTests.Place()
        let store = place.store
        let name = try RepositoryName("big")
        let config = try await place.push([1], to: name)
        let layer = try await place.push([2], to: name)
        let body = try GarbageTests.manifest(config, [layer])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<1500 {
                group.addTask {
                    _ = try await store.putManifest(body, contentType: nil, as: .tag("t\(number)"), in: name)
                }
            }
            try await group.waitForAll()
        }
        try await store.deleteRepository(name)
        await #expect(throws: Refusal.self) { try await store.tags(in: name, after: nil, countMax: 1) }
        await #expect(throws: Refusal.self) { try await store.manifest(.tag("t0"), in: name) }
        await #expect(throws: Refusal.self) { try await store.blob(layer.digest, in: name) }
        await #expect(throws: Refusal.self) { try await store.deleteRepository(name) }
        // The name again, before what it had has gone: it begins empty.
        let other = try await place.push([3], to: name)
        _ = try await store.putManifest(
            try GarbageTests.manifest(other, []), contentType: nil, as: .tag("new"), in: name)
        #expect(try await store.clearDeparted() == 1)
        #expect(try await store.clearDeparted() == 0)
        #expect(try await store.tags(in: name, after: nil, countMax: 9).items == ["new"])
        #expect(try await store.collectGarbage().blobs == 2)
        #expect(place.files == [other.digest.hex])
    }

    @Test func `an operator removes a repository, and a crash does not bring it back`() throws {
        let lab = try RegistryLab()
        let manifest = try lab.image("1", in: "team/app")
        #expect(try lab.put(manifest, "v1", in: "team/app").status == 201)
        #expect(try lab.operate(["rm", "team/app"]).status == 0)
        lab.crash()
        try lab.start()
        #expect(try lab.ask("GET", "/v2/team/app/tags/list").code == "NAME_UNKNOWN")
        #expect(try lab.ask("GET", "/v2/_catalog").json["repositories"] as? [String] == [])
        let again = try lab.operate(["rm", "team/app"])
        #expect(again.status == 1 && again.err.contains("not known to registry"))
        #expect(try lab.operate(["rm", "../gc"]).err.contains("invalid repository name"))
        #expect(try lab.ask("DELETE", "/api/v1/repositories/team/app").code == "NAME_UNKNOWN")
        #expect(try lab.ask("DELETE", "/api/v1/repositories/UPPER").code == "NAME_INVALID")
    }
}
