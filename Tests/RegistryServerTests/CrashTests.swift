import Foundation
import OCI
import RegistryStore
import Synchronization
import Testing

/// What a registry has answered for is there after it was killed, and what it has not answered for is whole or not there.
@Suite(.onBothIndexes) struct CrashTests {
    private struct Stored: Sendable {
        let repository: String
        let tag: String
        let manifest: [UInt8]
    }

    /// Pushes images until the registry is gone.
    private static func pushUntilGone(_ lab: RegistryLab, _ client: Int, _ stored: borrowing Mutex<[Stored]>) {
        let name = "client/\(client)"
        for number in 0... {
            do {
                let manifest = try lab.image("\(client)-\(number)", in: name)
                guard try lab.put(manifest, "t\(number)", in: name).status == 201 else { return }
                stored.withLock { $0.append(Stored(repository: name, tag: "t\(number)", manifest: manifest)) }
            } catch { return }
        }
    }

    @Test func `a killed registry has all that it has answered for`() throws {
        let lab = try RegistryLab()
        let stored = Mutex<[Stored]>([])
        for round in 0..<2 {
            let clients = (0..<4).map { client in
                let thread = Thread { Self.pushUntilGone(lab, round * 4 + client, stored) }
                thread.start()
                return thread
            }
            let wanted = (round + 1) * 20
            #expect(soon(60) { stored.withLock { $0.count } >= wanted })
            lab.crash()
            #expect(soon(90) { clients.allSatisfy(\.isFinished) })
            try lab.start()
        }
        for item in stored.withLock({ $0 }) {
            let reply = try lab.ask("GET", "/v2/\(item.repository)/manifests/\(item.tag)")
            #expect(reply.body == item.manifest, "\(item.repository):\(item.tag)")
            for digest in try Self.blobs(item.manifest) {
                let blob = try lab.ask("GET", "/v2/\(item.repository)/blobs/\(digest)")
                #expect(blob.status == 200 && StreamHash.digest(of: blob.body, .sha256) == digest)
            }
        }
        // Every file is what its name says.
        for name in lab.blobFiles {
            let file = try Data(contentsOf: URL(filePath: "\(lab.directory)/data/blobs/sha256/\(name)"))
            #expect(StreamHash.digest(of: Array(file), .sha256).hex == name)
        }
    }

    private static func blobs(_ manifest: [UInt8]) throws -> [Digest] {
        let parsed = try JSONDecoder().decode(Manifest.self, from: Data(manifest))
        return [parsed.config.digest] + parsed.layers.map(\.digest)
    }

    @Test func `an upload goes on after a crash`() throws {
        let lab = try RegistryLab()
        let blob = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let upload = try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        #expect(try lab.ask("PATCH", upload, [], Array(blob[..<200_000])).status == 202)
        lab.crash()
        try lab.start()
        #expect(try lab.ask("GET", upload).headers["range"] == "0-199999")
        #expect(try lab.ask("PATCH", upload, ["Content-Range: 200000-299999"], Array(blob[200_000...])).status == 202)
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("PUT", upload + "?digest=\(digest)").status == 201)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
    }

    @Test func `files of a crash that belong to nothing are removed`() throws {
        let lab = try RegistryLab()
        let kept = try lab.push([1, 2, 3], to: "a")
        lab.crash()
        let data = lab.directory + "/data"
        for path in ["blobs/sha256/" + String(repeating: "0", count: 64), "uploads/x", "uploads/y.repository"] {
            try "left".write(toFile: "\(data)/\(path)", atomically: true, encoding: .utf8)
        }
        try lab.start()
        #expect(soon { lab.blobFiles == [kept.hex] && lab.uploadFiles == [] })
        #expect(try lab.ask("GET", "/v2/a/blobs/\(kept)").body == [1, 2, 3])
    }
}
