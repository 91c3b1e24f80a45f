import Glibc
import GRDB
import Kernel
import OCI

/// The statements of one change, inside the writer's transaction.
struct Change {
    let connection: Database
    let folder: StoreFolder
    let effects = Effects()

    init(_ connection: Database, _ folder: StoreFolder) {
        self.connection = connection
        self.folder = folder
    }

    /// What a transaction does beside the database, as far as it can be undone: used on the writer's thread alone.
    final class Effects {
        private struct State {
            var changedFolders: Set<Digest.Algorithm> = []
            var removals: Set<String> = []
        }
        private var state = State()
        /// Whose manifests or tags have changed. What a change that was undone adds does no harm.
        private(set) var repositories: Set<RepositoryName> = []

        func touch(_ repository: RepositoryName) { repositories.insert(repository) }

        /// A file came to be.
        func added(_ path: String, _ algorithm: Digest.Algorithm) {
            state.changedFolders.insert(algorithm)
            // The same blob may have been collected in this transaction.
            state.removals.remove(path)
        }

        /// A file is not needed when the transaction has been committed.
        func remove(_ path: String) { state.removals.insert(path) }

        func undoingFailure<Value>(_ body: () throws -> Value) throws -> Value {
            let before = state
            do { return try body() } catch {
                state.removals = before.removals
                throw error
            }
        }

        func syncFolders(_ folder: StoreFolder) throws {
            for algorithm in state.changedFolders { try Files.syncDirectory(of: folder.blobs(algorithm) + "/") }
        }

        /// A file that stays is found by the sweep of the next start.
        func removeFiles() { for path in state.removals { unlink(path) } }
    }

    /// Runs `body` so that nothing of it stays when it throws.
    func undoingFailure<Value>(_ body: (Change) throws -> Value) throws -> Value {
        var result: Result<Value, any Error>?
        try connection.inSavepoint {
            do {
                result = .success(try effects.undoingFailure { try body(self) })
                return .commit
            } catch {
                result = .failure(error)
                return .rollback
            }
        }
        guard let result else { throw StoreFailure("a savepoint has not been run") }
        return try result.get()
    }

    // MARK: Repositories and blobs

    func repository(_ name: RepositoryName) throws -> Int64 {
        if let id = try Self.find(name, connection) { return id }
        try connection.execute(sql: "INSERT INTO repositories (name) VALUES (?)", arguments: [name.description])
        return connection.lastInsertedRowID
    }

    static func find(_ name: RepositoryName, _ connection: Database) throws -> Int64? {
        try Int64.fetchOne(
            connection, sql: "SELECT id FROM repositories WHERE name = ?", arguments: [name.description])
    }

    /// Takes the file at `path`, whose bytes are durable and have that digest, as a blob.
    func addBlob(_ digest: Digest, size: Int64, from path: String) throws {
        let known = try Bool.fetchOne(
            connection, sql: "SELECT TRUE FROM blobs WHERE digest = ?", arguments: [digest.description])
        if known == true { return effects.remove(path) }
        let target = folder.blob(digest)
        try checked("rename", target) { rename(path, target) }
        effects.added(target, digest.algorithm)
        try connection.execute(
            sql: "INSERT INTO blobs (digest, size, links) VALUES (?, ?, 0)", arguments: [digest.description, size])
    }

    /// Makes a blob part of a repository, or fresh again when it is.
    func link(_ digest: Digest, to repository: Int64, now: Int64) throws {
        let text = digest.description
        try connection.execute(
            sql: "UPDATE links SET touched = ? WHERE repository = ? AND digest = ?", arguments: [now, repository, text])
        guard connection.changesCount == 0 else { return }
        try connection.execute(
            sql: "INSERT INTO links (repository, digest, uses, touched) VALUES (?, ?, 0, ?)",
            arguments: [repository, text, now])
        try connection.execute(sql: "UPDATE blobs SET links = links + 1 WHERE digest = ?", arguments: [text])
    }

    func unlinkBlob(_ digest: String, from repository: Int64) throws {
        try connection.execute(
            sql: "DELETE FROM links WHERE repository = ? AND digest = ?", arguments: [repository, digest])
        guard connection.changesCount > 0 else { return }
        try connection.execute(sql: "UPDATE blobs SET links = links - 1 WHERE digest = ?", arguments: [digest])
    }

    /// How many manifests of the repository name the blob; nil when it has no such blob.
    func uses(_ digest: Digest, in repository: Int64) throws -> Int? {
        try Int.fetchOne(
            connection, sql: "SELECT uses FROM links WHERE repository = ? AND digest = ?",
            arguments: [repository, digest.description])
    }

    // MARK: Manifests and tags

    func addManifest(_ manifest: StoredManifest, _ document: ManifestDocument, to repository: Int64, now: Int64) throws
    {
        let digest = manifest.digest.description
        let known = try Bool.fetchOne(
            connection, sql: "SELECT TRUE FROM manifests WHERE repository = ? AND digest = ?",
            arguments: [repository, digest])
        if known == true { return }
        try requireMembers(of: document, in: repository)
        try connection.execute(
            sql: """
                INSERT INTO manifests (repository, digest, media_type, artifact_type, subject, annotations, body, pushed)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: try Self.row(manifest, document, repository, now))
        for blob in Set((document.blobs + document.foreignBlobs).map(\.digest.description)) {
            try connection.execute(
                sql: "UPDATE links SET uses = uses + 1 WHERE repository = ? AND digest = ?",
                arguments: [repository, blob])
            // A layer that is kept elsewhere.
            guard connection.changesCount > 0 else { continue }
            try connection.execute(
                sql: "INSERT INTO members (repository, manifest, digest) VALUES (?, ?, ?)",
                arguments: [repository, digest, blob])
        }
    }

    private static func row(
        _ manifest: StoredManifest, _ document: ManifestDocument, _ repository: Int64, _ now: Int64
    ) throws -> StatementArguments {
        let subject: String? = document.subject?.description
        let values: [(any DatabaseValueConvertible)?] = [
            repository, manifest.digest.description, manifest.mediaType, document.artifactType, subject,
            try Annotations.text(document.annotations), Annotations.data(manifest.body), now,
        ]
        return StatementArguments(values)
    }

    private func requireMembers(of document: ManifestDocument, in repository: Int64) throws {
        for blob in document.blobs {
            let size = try Int64.fetchOne(
                connection,
                sql: "SELECT size FROM blobs JOIN links USING (digest) WHERE repository = ? AND digest = ?",
                arguments: [repository, blob.digest.description])
            guard let size else {
                throw Refusal(.manifestBlobUnknown, 400, "blob unknown to registry: \(blob.digest): push it first")
            }
            guard size == blob.size else {
                throw Refusal(
                    .sizeInvalid, 400,
                    "manifest invalid: \(blob.digest) has \(size) bytes, the manifest says \(blob.size)")
            }
        }
        for member in document.manifests {
            let isKnown = try Bool.fetchOne(
                connection, sql: "SELECT TRUE FROM manifests WHERE repository = ? AND digest = ?",
                arguments: [repository, member.digest.description])
            guard isKnown == true else {
                throw Refusal(
                    .manifestBlobUnknown, 400, "manifest unknown to registry: \(member.digest): push it first")
            }
        }
    }

    func setTag(_ tag: String, to digest: Digest, in repository: Int64, now: Int64) throws {
        try connection.execute(
            sql: """
                INSERT INTO tags (repository, name, digest, pushed) VALUES (?, ?, ?, ?)
                ON CONFLICT (repository, name) DO UPDATE SET digest = excluded.digest, pushed = excluded.pushed
                """, arguments: [repository, tag, digest.description, now])
    }

    /// - Returns: false when there was none.
    func removeTag(_ tag: String, from repository: Int64) throws -> Bool {
        try connection.execute(sql: "DELETE FROM tags WHERE repository = ? AND name = ?", arguments: [repository, tag])
        return connection.changesCount > 0
    }

    /// Removes a manifest with its tags; its blobs become garbage when nothing else names them.
    ///
    /// - Returns: false when there was none.
    func removeManifest(_ digest: Digest, from repository: Int64, now: Int64) throws -> Bool {
        let key: StatementArguments = [repository, digest.description]
        try connection.execute(sql: "DELETE FROM manifests WHERE repository = ? AND digest = ?", arguments: key)
        guard connection.changesCount > 0 else { return false }
        try connection.execute(
            sql: """
                UPDATE links SET uses = uses - 1, touched = ? WHERE repository = ? AND digest IN
                (SELECT digest FROM members WHERE repository = ? AND manifest = ?)
                """, arguments: [now, repository, repository, digest.description])
        try connection.execute(sql: "DELETE FROM members WHERE repository = ? AND manifest = ?", arguments: key)
        try connection.execute(sql: "DELETE FROM tags WHERE repository = ? AND digest = ?", arguments: key)
        return true
    }
}
