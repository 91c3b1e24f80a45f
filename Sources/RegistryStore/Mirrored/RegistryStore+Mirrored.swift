import Glibc
import Kernel
package import OCI

/// What is kept of other registries. It lies beside what was pushed, in repositories of its own, and is counted and collected as
/// that is; but a manifest comes before its blobs, and goes when nobody has asked for it for long.
extension RegistryStore {
    /// What a tag named when its registry was asked last.
    package struct CheckedTag: Sendable, Hashable {
        package let digest: Digest
        /// Seconds since 1970.
        package let checked: Int64
    }

    /// Keeps a manifest of another registry, whose digest has been verified, and what the tag names now.
    ///
    /// - Parameter mediaType: nil leaves the type to the document.
    /// - Throws: ``Refusal`` MANIFEST_INVALID.
    package nonisolated func keepManifest(
        _ body: [UInt8], mediaType: String?, digest: Digest, tag: String?, in name: RepositoryName
    ) async throws -> StoredManifest {
        let document = try ManifestDocument(parsing: body, contentType: mediaType)
        let manifest = StoredManifest(digest: digest, mediaType: document.mediaType, body: body)
        let now = Self.now
        let told = await told(by: document, in: name)
        try await writer.change { change in
            change.effects.touch(name)
            let repository = try change.repository(name)
            try change.addManifest(
                manifest, document, to: repository, now: now, facts: told.facts, readme: told.readme, isMirrored: true)
            try change.describeLater(indexesOf: digest, in: repository)
            try change.noteMirrored(digest, in: repository, now: now)
            guard let tag else { return }
            try change.setTag(tag, to: digest, in: repository, now: now)
            try change.noteChecked(tag, in: repository, now: now)
        }
        return manifest
    }

    /// A tag still names what it named.
    package nonisolated func noteChecked(_ tag: String, in name: RepositoryName) async throws {
        let now = Self.now
        try await writer.change { change in
            guard let repository = try Change.find(name, change.connection) else { return }
            try change.noteChecked(tag, in: repository, now: now)
        }
    }

    /// Somebody has asked for a manifest.
    package nonisolated func noteMirrored(_ digest: Digest, in name: RepositoryName) async throws {
        let now = Self.now
        try await writer.change { change in
            // It may have gone since it was read.
            guard let repository = try Change.find(name, change.connection),
                try change.hasManifest(digest, in: repository)
            else { return }
            try change.noteMirrored(digest, in: repository, now: now)
        }
    }

    /// nil for a tag that is not known.
    package nonisolated func checkedTag(_ tag: String, in name: RepositoryName) async throws -> CheckedTag? {
        try await index.read { connection in
            let row = try connection.row(
                """
                SELECT tags.digest, mirror_tags.checked FROM repositories
                JOIN tags ON tags.repository = repositories.id AND tags.name = ?
                JOIN mirror_tags ON mirror_tags.repository = repositories.id AND mirror_tags.name = tags.name
                WHERE repositories.name = ?
                """, [.text(tag), .text(name.description)])
            return try row.map {
                CheckedTag(digest: try Digest(try $0.text("digest")), checked: try $0.integer("checked"))
            }
        }
    }

    /// The other registry has the tag no more.
    package nonisolated func forgetTag(_ tag: String, in name: RepositoryName) async throws {
        try await writer.change { change in
            change.effects.touch(name)
            guard let repository = try Change.find(name, change.connection) else { return }
            _ = try change.removeTag(tag, from: repository)
            try change.connection.execute(
                "DELETE FROM mirror_tags WHERE repository = ? AND name = ?", [.integer(repository), .text(tag)])
        }
    }

    /// Bytes of a blob that is in any repository; nil for none.
    package nonisolated func storedBlobSize(_ digest: Digest) async throws -> Int64? {
        try await index.read { connection in
            try connection.row(
                "SELECT size FROM blobs WHERE digest = ? AND damaged = 0", [.text(digest.description)]
            )?.integer("size")
        }
    }

    /// Takes a file whose bytes have that digest as a blob of all of `names`; durable when this returns.
    package nonisolated func keepBlob(
        _ digest: Digest, size: Int64, from path: String, in names: Set<RepositoryName>
    ) async throws {
        try await BlockingPool.shared.run { () throws(SystemError) in
            try OwnedFD.open(path, O_RDWR).syncData()
        }
        let now = Self.now
        try await keep(digest, size: size, at: .file(path)) { change, place in
            let repositories = try names.map(change.repository)
            try change.addBlob(digest, size: size, from: place, to: repositories, now: now)
            for repository in repositories { try change.describeLater(whatNames: digest, in: repository) }
        }
    }

    /// Makes a blob that is here a blob of a repository, too.
    ///
    /// - Returns: false when it is not here any more.
    package nonisolated func linkMirrored(_ digest: Digest, in name: RepositoryName) async throws -> Bool {
        let now = Self.now
        return try await writer.change { change in
            guard try Change.knows(digest.description, change.connection), try change.isSound(digest) else {
                return false
            }
            let repository = try change.repository(name)
            try change.link(digest, to: repository, now: now)
            try change.describeLater(whatNames: digest, in: repository)
            return true
        }
    }

    /// Manifests of one transaction: pushes go on in between.
    private static let expiredAtOnce = 200

    /// Removes manifests of a mirror which nobody has asked for since `oldest`, in seconds since 1970. Their blobs become garbage.
    ///
    /// - Returns: how many.
    @discardableResult
    package nonisolated func expireMirrored(_ names: MirroredNames, before oldest: Int64) async throws -> Int {
        var total = 0
        while true {
            let now = Self.now
            let count = try await writer.change {
                try $0.expireMirrored(names, before: oldest, countMax: Self.expiredAtOnce, now: now)
            }
            total += count
            if count < Self.expiredAtOnce { return total }
        }
    }
}
