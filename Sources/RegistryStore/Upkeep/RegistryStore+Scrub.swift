import Glibc
import Kernel
package import OCI

/// Blobs that were found damaged.
package struct Quarantined: Sendable, Hashable, Codable {
    package let digest: String
    /// Bytes.
    package let size: Int64
    /// When it was found; seconds since 1970.
    package let found: Int64
}

extension RegistryStore {
    static let isSound = "damaged = 0"

    /// Blobs in the order of their digests, those that are damaged excepted.
    ///
    /// - Parameter condition: SQL.
    package nonisolated func blobs(
        after last: String, countMax: Int, where condition: String = isSound
    ) async throws -> [StoredBlob] {
        let folder = folder
        return try await index.read { connection in
            try connection.rows(
                "SELECT digest, size, object FROM blobs WHERE digest > ? AND \(condition) ORDER BY digest LIMIT ?",
                [.text(last), .integer(Int64(countMax))]
            ).map { row in
                let digest = try Digest(try row.text("digest"))
                return StoredBlob(
                    digest: digest, size: try row.integer("size"),
                    place: BlobPlace(try row.optionalText("object"), digest, folder))
            }
        }
    }

    /// Reads a blob against its digest.
    ///
    /// - Parameter rate: bytes a second.
    package nonisolated func condition(of blob: StoredBlob, rate: Int64) async throws -> BlobCondition {
        switch blob.place {
        case .file(let path): return try await BlobReader().condition(of: path, blob, rate: rate)
        case .object(let key): return try await bucket.use?.storage.condition(of: blob, key, rate: rate) ?? .skipped
        }
    }

    /// Sets a damaged blob aside: its file goes to `quarantine`, its object stays where it is until the blob is healed or
    /// removed. The blob is unknown to everybody until somebody pushes it again.
    ///
    /// - Returns: false when it has changed since it was read: it was removed, or pushed anew.
    package nonisolated func quarantine(_ blob: StoredBlob, _ damage: BlobDamage) async throws -> Bool {
        let now = Self.now
        return try await writer.change { change in
            guard try change.isStill(blob, damage) else { return false }
            if case .file(let path) = blob.place, damage.file != nil {
                let target = change.folder.quarantined(blob.digest)
                try Files.makeDirectories(change.folder.quarantine)
                try checked("rename", target) { rename(path, target) }
                try Files.syncDirectory(of: target)
                change.effects.added(path, blob.digest.algorithm)
            }
            try change.connection.execute(
                "UPDATE blobs SET damaged = ? WHERE digest = ?", [.integer(now), .text(blob.digest.description)])
            return true
        }
    }

    /// Blobs that are damaged, and were not pushed again yet.
    package nonisolated func quarantined(countMax: Int) async throws -> [Quarantined] {
        try await index.read { connection in
            try connection.rows(
                "SELECT digest, size, damaged FROM blobs WHERE damaged > 0 ORDER BY digest LIMIT ?",
                [.integer(Int64(countMax))]
            ).map { row in
                Quarantined(
                    digest: try row.text("digest"), size: try row.integer("size"), found: try row.integer("damaged"))
            }
        }
    }
}

extension Change {
    /// Whether a blob is where it was read, and that is as it was then: no other bytes ever have an object's key.
    fileprivate func isStill(_ blob: StoredBlob, _ damage: BlobDamage) throws -> Bool {
        let row = try connection.row(
            "SELECT object FROM blobs WHERE digest = ? AND \(RegistryStore.isSound)", [.text(blob.digest.description)])
        guard let row, BlobPlace(try row.optionalText("object"), blob.digest, folder) == blob.place else {
            return false
        }
        guard case .file(let path) = blob.place else { return true }
        return FileIdentity(path) == damage.file
    }

    /// Whether a blob's bytes are what they should be; true for one that is not known.
    func isSound(_ digest: Digest) throws -> Bool {
        try !connection.isAny(
            "SELECT 1 AS found FROM blobs WHERE digest = ? AND damaged > 0", [.text(digest.description)])
    }
}
