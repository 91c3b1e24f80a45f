import Glibc
import Kernel
import OCI

/// The statements of one change, inside the writer's transaction.
struct Change {
    let connection: any SQLConnection
    let folder: StoreFolder
    let effects = Effects()

    init(_ connection: any SQLConnection, _ folder: StoreFolder) {
        self.connection = connection
        self.folder = folder
    }

    /// What a transaction does beside the database, as far as it can be undone: used on the transaction's thread alone.
    final class Effects {
        private struct State {
            var changedFolders: Set<Digest.Algorithm> = []
            var removals: Set<BlobPlace> = []
            var facts: [FactsKey: FactsRow] = [:]
        }

        private struct FactsKey: Hashable {
            let repository: Int64
            let digest: String
        }
        private var state = State()
        /// Whose manifests or tags have changed. What a change that was undone adds does no harm.
        private(set) var repositories: Set<RepositoryName> = []

        /// What quotas count; nil until it was asked for.
        var countedPatterns: CountedPatterns?

        func touch(_ repository: RepositoryName) { repositories.insert(repository) }

        /// Repositories whose profile may be another now, by their numbers.
        private(set) var profiles: Set<Int64> = []

        func touchProfile(_ repository: Int64) { profiles.insert(repository) }

        /// What a manifest tells that this transaction has added: its profile is worked out from that.
        func facts(_ digest: String, in repository: Int64) -> FactsRow? {
            state.facts[FactsKey(repository: repository, digest: digest)]
        }

        /// - Parameter facts: nil when they have to be looked for.
        func keep(_ facts: FactsRow?, _ digest: String, in repository: Int64) {
            state.facts[FactsKey(repository: repository, digest: digest)] = facts
        }

        /// A file came to be.
        func added(_ path: String, _ algorithm: Digest.Algorithm) {
            state.changedFolders.insert(algorithm)
            // The same blob may have been collected in this transaction.
            state.removals.remove(.file(path))
        }

        /// Bytes are not needed when the transaction has been committed.
        func remove(_ place: BlobPlace) { state.removals.insert(place) }

        func undoingFailure<Value>(_ body: () throws -> Value) throws -> Value {
            let before = state
            do { return try body() } catch {
                state.removals = before.removals
                state.facts = before.facts
                throw error
            }
        }

        func syncFolders(_ folder: StoreFolder) throws {
            for algorithm in state.changedFolders { try Files.syncDirectory(of: folder.blobs(algorithm) + "/") }
        }

        /// What nobody needs once the transaction is durable.
        var removals: Set<BlobPlace> { state.removals }
    }

    /// Runs `body` so that nothing of it stays when it throws.
    func undoingFailure<Value>(_ body: (Change) throws -> Value) throws -> Value {
        try connection.savepoint { try effects.undoingFailure { try body(self) } }
    }

    // MARK: Repositories and blobs

    func repository(_ name: RepositoryName) throws -> Int64 {
        if let id = try Self.find(name, connection) { return id }
        let row = try connection.row(Self.insertRepository(connection.dialect), [.text(name.description)])
        guard let row else { throw StoreFailure("the index gave \(name) no number") }
        return try row.integer("id")
    }

    /// A number is not given again while rows of a repository that had it are left.
    private static func insertRepository(_ dialect: SQLDialect) -> String {
        switch dialect {
        case .sqlite:
            """
            INSERT INTO repositories (id, name) SELECT 1 + max(coalesce((SELECT max(id) FROM repositories), 0),
            coalesce((SELECT max(repository) FROM departed), 0)), ? RETURNING id
            """
        case .postgres: "INSERT INTO repositories (name) VALUES (?) RETURNING id"
        }
    }

    static func find(_ name: RepositoryName, _ connection: any SQLConnection) throws -> Int64? {
        try connection.row("SELECT id FROM repositories WHERE name = ?", [.text(name.description)])?.integer("id")
    }

    /// Takes bytes that are whole and durable, and have that digest, as a blob.
    ///
    /// - Parameter repositories: that have it from now on; each of them once.
    func addBlob(
        _ digest: Digest, size: Int64, from place: BlobPlace, to repositories: [Int64], now: Int64
    ) throws {
        guard try !Self.knows(digest.description, connection) else {
            try heal(digest, from: place)
            for repository in repositories { try link(digest, to: repository, now: now) }
            return
        }
        // Without links it would come into the index of garbage, to leave it at once.
        try connection.execute(
            "INSERT INTO blobs (digest, size, links, object) VALUES (?, ?, ?, ?)",
            [
                .text(digest.description), .integer(size), .integer(Int64(repositories.count)),
                .text(try takeOver(place, as: digest)),
            ])
        for repository in repositories {
            try insertLink(digest, to: repository, now: now)
            try count(in: repository) { size }
        }
    }

    /// Gives a blob that is damaged its bytes again; one that is sound needs none.
    private func heal(_ digest: Digest, from place: BlobPlace) throws {
        guard try !isSound(digest) else { return try discard(place) }
        let object = try takeOver(place, as: digest)
        let damaged = try connection.row("SELECT object FROM blobs WHERE digest = ?", [.text(digest.description)])
        if let key = try damaged?.optionalText("object") { effects.remove(.object(key)) }
        try connection.execute(
            "UPDATE blobs SET damaged = 0, object = ? WHERE digest = ?", [.text(object), .text(digest.description)])
    }

    /// Manifests that came before their blobs may name it: such are a mirror's alone.
    private func insertLink(_ digest: Digest, to repository: Int64, now: Int64) throws {
        let key: [SQLValue] = [.integer(repository), .text(digest.description)]
        try connection.execute(
            """
            INSERT INTO links (repository, digest, uses, touched) VALUES (?, ?,
                (SELECT count(*) FROM members WHERE repository = ? AND digest = ? AND mirrored = 1), ?)
            """, key + key + [.integer(now)])
    }

    /// Makes bytes those of a digest.
    ///
    /// - Returns: the key of their object; nil for a file.
    func takeOver(_ place: BlobPlace, as digest: Digest) throws -> String? {
        switch place {
        case .file(let path):
            let target = folder.blob(digest)
            try checked("rename", target) { rename(path, target) }
            effects.added(target, digest.algorithm)
            return nil
        case .object(let key): return key
        }
    }

    /// Removes bytes once this is durable, unless a blob has them: one and the same object may be offered twice.
    func discard(_ place: BlobPlace) throws {
        if case .object(let key) = place {
            guard try !connection.isAny("SELECT 1 AS found FROM blobs WHERE object = ?", [.text(key)]) else { return }
        }
        effects.remove(place)
    }

    /// Makes a blob part of a repository, or fresh again when it is.
    func link(_ digest: Digest, to repository: Int64, now: Int64) throws {
        let text = SQLValue.text(digest.description)
        let known = try connection.execute(
            "UPDATE links SET touched = ? WHERE repository = ? AND digest = ?",
            [.integer(now), .integer(repository), text])
        guard known == 0 else { return }
        try insertLink(digest, to: repository, now: now)
        try connection.execute("UPDATE blobs SET links = links + 1 WHERE digest = ?", [text])
        try count(in: repository) { try blobSize(digest.description) }
    }

    func unlinkBlob(_ digest: String, from repository: Int64) throws {
        let known = try connection.execute(
            "DELETE FROM links WHERE repository = ? AND digest = ?", [.integer(repository), .text(digest)])
        guard known > 0 else { return }
        try connection.execute("UPDATE blobs SET links = links - 1 WHERE digest = ?", [.text(digest)])
        try count(in: repository) { -(try blobSize(digest)) }
    }

    /// How many manifests of the repository name the blob; nil when it has no such blob.
    func uses(_ digest: Digest, in repository: Int64) throws -> Int64? {
        try connection.row(
            "SELECT uses FROM links WHERE repository = ? AND digest = ?",
            [.integer(repository), .text(digest.description)]
        )?.integer("uses")
    }

    // MARK: Manifests and tags

    /// - Parameters:
    ///   - facts: what it tells; nil for what the document alone does.
    ///   - readme: the text that it is.
    ///   - isMirrored: what it names comes later, when somebody asks for it.
    func addManifest(
        _ manifest: StoredManifest, _ document: ManifestDocument, to repository: Int64, now: Int64,
        facts: ManifestFacts? = nil, readme: String? = nil, isMirrored: Bool = false
    ) throws {
        let digest = SQLValue.text(manifest.digest.description)
        let isKnown = try hasManifest(manifest.digest, in: repository)
        // Before anything that takes long: each of what is named is here then, but for what a mirror had.
        if !isMirrored, try !isKnown || wasMirrored(manifest.digest, in: repository) {
            try requireMembers(of: document, in: repository)
        }
        // What a push has relied on is not what a rule may remove at the same time. Each time it is another number, whatever the
        // clock says: within one second, or of another registry.
        let relied = (isKnown ? [manifest.digest] : []) + document.manifests.map(\.digest)
        for relied in Set(relied + [document.subject].compactMap({ $0 })) {
            try connection.execute(
                """
                UPDATE manifests SET relied = CASE WHEN ? > relied AND ? > pushed THEN ?
                WHEN relied > pushed THEN relied + 1 ELSE pushed + 1 END WHERE repository = ? AND digest = ?
                """,
                [
                    .integer(now), .integer(now), .integer(now), .integer(repository), .text(relied.description),
                ])
        }
        guard !isKnown else { return }
        try connection.execute(
            """
            INSERT INTO manifests (repository, digest, media_type, artifact_type, subject, annotations, body, pushed)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .integer(repository), digest, .text(manifest.mediaType), .text(document.artifactType),
                .text(document.subject?.description), .text(try Annotations.text(document.annotations)),
                .bytes(manifest.body), .integer(now),
            ])
        try count(in: repository) { Int64(manifest.body.count) }
        try addFacts(
            facts ?? ManifestFacts(document, config: nil), readme: readme, of: manifest.digest, document,
            in: repository, now: now)
        try addMembers(of: manifest.digest, document, in: repository, isMirrored: isMirrored)
    }

    private func addMembers(
        of manifest: Digest, _ document: ManifestDocument, in repository: Int64, isMirrored: Bool
    ) throws {
        let named = Array(Set((document.blobs + document.foreignBlobs).map(\.digest.description)))
        try SQLList.parts(named) { part in
            let known = try connection.rows(
                """
                UPDATE links SET uses = uses + 1 WHERE repository = ? AND digest IN \(SQLList.marks(part.count))
                RETURNING digest
                """, [.integer(repository)] + part.map { .text($0) }
            ).map { try $0.text("digest") }
            // A layer that is kept elsewhere is none; what a mirror has not yet will come.
            let members = isMirrored ? Array(part) : known
            guard !members.isEmpty else { return }
            try connection.execute(
                """
                INSERT INTO members (repository, manifest, digest, mirrored)
                VALUES \(SQLList.rows(members.count, of: 4))
                """,
                members.flatMap { member -> [SQLValue] in
                    [
                        .integer(repository), .text(manifest.description), .text(member),
                        .integer(isMirrored ? 1 : 0),
                    ]
                })
        }
    }

    func hasManifest(_ digest: Digest, in repository: Int64) throws -> Bool {
        try connection.isAny(
            "SELECT 1 AS found FROM manifests WHERE repository = ? AND digest = ?",
            [.integer(repository), .text(digest.description)])
    }

    private func requireMembers(of document: ManifestDocument, in repository: Int64) throws {
        // One that is named often is looked for once.
        var sizes: [String: Int64] = [:]
        try SQLList.parts(Array(Set(document.blobs.map(\.digest.description)))) { part in
            let found = try connection.rows(
                """
                SELECT digest, size FROM blobs JOIN links USING (digest)
                WHERE repository = ? AND digest IN \(SQLList.marks(part.count)) AND damaged = 0
                """, [.integer(repository)] + part.map { .text($0) })
            for row in found { sizes[try row.text("digest")] = try row.integer("size") }
        }
        for blob in document.blobs {
            guard let size = sizes[blob.digest.description] else {
                throw Refusal(.manifestBlobUnknown, 400, "blob unknown to registry: \(blob.digest): push it first")
            }
            guard size == blob.size else {
                throw Refusal(
                    .sizeInvalid, 400,
                    "manifest invalid: \(blob.digest) has \(size) bytes, the manifest says \(blob.size)")
            }
        }
        var members: Set<Digest> = []
        for member in document.manifests where members.insert(member.digest).inserted {
            guard try hasManifest(member.digest, in: repository) else {
                throw Refusal(
                    .manifestBlobUnknown, 400, "manifest unknown to registry: \(member.digest): push it first")
            }
        }
    }

    /// A tag that is pushed again is younger than it was, within one second, too.
    func setTag(_ tag: String, to digest: Digest, in repository: Int64, now: Int64) throws {
        effects.touchProfile(repository)
        let known = try connection.execute(
            """
            UPDATE tags SET digest = ?, pushed = CASE WHEN ? > pushed THEN ? ELSE pushed + 1 END
            WHERE repository = ? AND name = ?
            """, [.text(digest.description), .integer(now), .integer(now), .integer(repository), .text(tag)])
        guard known == 0 else { return }
        try connection.execute(
            "INSERT INTO tags (digest, pushed, repository, name) VALUES (?, ?, ?, ?)",
            [.text(digest.description), .integer(now), .integer(repository), .text(tag)])
        try addTagWords(tag, in: repository)
    }

    /// - Returns: false when there was none.
    func removeTag(_ tag: String, from repository: Int64) throws -> Bool {
        let removed = try connection.execute(
            "DELETE FROM tags WHERE repository = ? AND name = ?", [.integer(repository), .text(tag)])
        guard removed > 0 else { return false }
        try removeTagWords(tag, in: repository)
        effects.touchProfile(repository)
        return true
    }

    /// Removes a manifest with its tags; its blobs become garbage when nothing else names them.
    ///
    /// - Returns: false when there was none.
    func removeManifest(_ digest: Digest, from repository: Int64, now: Int64) throws -> Bool {
        let key: [SQLValue] = [.integer(repository), .text(digest.description)]
        let bytes = try connection.row(
            "SELECT length(body) AS bytes FROM manifests WHERE repository = ? AND digest = ?", key
        )?.integer("bytes")
        guard let bytes else { return false }
        try connection.execute("DELETE FROM manifests WHERE repository = ? AND digest = ?", key)
        try count(in: repository) { -bytes }
        try connection.execute(
            """
            UPDATE links SET uses = uses - 1, touched = ? WHERE repository = ? AND digest IN
            (SELECT digest FROM members WHERE repository = ? AND manifest = ?)
            """, [.integer(now), .integer(repository)] + key)
        try connection.execute("DELETE FROM members WHERE repository = ? AND manifest = ?", key)
        for row in try connection.rows("SELECT name FROM tags WHERE repository = ? AND digest = ?", key) {
            _ = try removeTag(try row.text("name"), from: repository)
        }
        try connection.execute("DELETE FROM pulls WHERE repository = ? AND digest = ?", key)
        try removeFacts(of: digest, in: repository)
        effects.touchProfile(repository)
        return true
    }
}
