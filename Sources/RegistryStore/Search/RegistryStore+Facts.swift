import Kernel
import NIOCore
package import OCI

extension RegistryStore {
    /// What a manifest tells: its own words, those of its configuration, and the text that it may be.
    struct Told: Sendable {
        let facts: ManifestFacts
        let readme: String?
    }

    /// Reads what a manifest names, as far as its repository has it: a manifest that came before its blobs may name those of
    /// others, too. What cannot be read tells nothing.
    nonisolated func told(by document: ManifestDocument, in name: RepositoryName) async -> Told {
        var config: [UInt8]?
        let types = [MediaType.ociConfig, MediaType.dockerConfig]
        if let blob = document.blobs.first, document.manifests.isEmpty, types.contains(blob.mediaType) {
            config = recentBlobs.find(blob.digest, in: name)
            if config == nil { config = await smallBlob(blob, in: name, bytesMax: ManifestFacts.configBytesMax) }
        }
        var readme: String?
        if let blob = ReadmeArtifact.blob(of: document),
            let bytes = await smallBlob(blob, in: name, bytesMax: ManifestFacts.readmeBytesMax)
        {
            readme = ManifestFacts.cleaned(
                String(decoding: bytes, as: UTF8.self), bytesMax: ManifestFacts.readmeBytesMax)
        }
        return Told(facts: ManifestFacts(document, config: config), readme: readme)
    }

    /// All bytes of a blob of a repository; nil for one that is larger, that is not there, or that cannot be read.
    nonisolated func smallBlob(_ blob: Descriptor, in name: RepositoryName, bytesMax: Int) async -> [UInt8]? {
        guard blob.size > 0, blob.size <= Int64(bytesMax), let stored = try? await self.blob(blob.digest, in: name)
        else { return nil }
        return try? await bytes(of: stored, bytesMax: bytesMax)
    }

    /// All bytes of a blob that is small.
    ///
    /// - Throws: ``Refusal`` BLOB_UNKNOWN, ``StoreFailure`` for one that is larger or damaged.
    package nonisolated func bytes(of blob: StoredBlob, bytesMax: Int) async throws -> [UInt8] {
        guard blob.size <= Int64(bytesMax) else {
            throw StoreFailure("\(blob.digest) has \(blob.size) bytes: more than \(bytesMax) are not read")
        }
        let descriptor: CInt
        switch try await content(of: blob, 0..<blob.size) {
        case .file(let file): descriptor = file.release()
        case .stream(let stream):
            var bytes: [UInt8] = []
            for try await part in stream { bytes.append(contentsOf: part.readableBytesView) }
            return bytes
        }
        return try await BlockingPool.shared.run {
            let file = OwnedFD(adopting: descriptor)
            var bytes = [UInt8](repeating: 0, count: Int(blob.size))
            let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
            guard count == bytes.count else { throw StoreFailure("\(blob.digest) ends early: it is damaged") }
            return bytes
        }
    }

    // MARK: Manifests that came before

    /// Works out what manifests tell that were pushed before the index kept it, or came before what they name; one repository
    /// after another.
    ///
    /// - Returns: of how many repositories.
    @discardableResult
    package nonisolated func describeOverdue() async throws -> Int {
        var count = 0
        while let repository = try await index.read({ connection in
            try connection.row("SELECT repository FROM undescribed LIMIT 1", [])?.integer("repository")
        }) {
            try await describe(repository)
            count += 1
        }
        return count
    }

    /// Manifests in one transaction.
    private static let describedAtOnce: Int64 = 200

    private nonisolated func describe(_ repository: Int64) async throws {
        let name = try await index.read { connection in
            try connection.row("SELECT name FROM repositories WHERE id = ?", [.integer(repository)]).map {
                try RepositoryName(try $0.text("name"))
            }
        }
        while true {
            // One more than is described: the last step has to know that it is.
            let found = try await index.read { connection in
                try connection.rows(
                    """
                    SELECT undescribed.digest AS digest, media_type, body FROM undescribed
                    LEFT JOIN manifests USING (repository, digest) WHERE repository = ?
                    ORDER BY (media_type IN (?, ?)), undescribed.digest LIMIT ?
                    """,
                    [.integer(repository)] + MediaType.indexes.map { .text($0) } + [.integer(Self.describedAtOnce + 1)]
                ).map { row in
                    OverdueManifest(
                        digest: try Digest(try row.text("digest")), mediaType: try row.optionalText("media_type"),
                        body: try row.bytes("body"))
                }
            }
            let (manifests, isLast) = (found.prefix(Int(Self.describedAtOnce)), found.count <= Self.describedAtOnce)
            var described: [(manifest: OverdueManifest, document: ManifestDocument, told: Told)] = []
            for manifest in manifests {
                // Deleted since, or one that would not be taken today.
                guard let name,
                    let document = try? ManifestDocument(parsing: manifest.body, contentType: manifest.mediaType)
                else { continue }
                described.append((manifest, document, await told(by: document, in: name)))
            }
            let now = Self.now
            try await writer.change { [described] change in
                change.effects.touchProfile(repository)
                for (manifest, document, told) in described {
                    try change.describe(manifest.digest, document, told, in: repository, now: now)
                }
                for manifest in manifests {
                    try change.connection.execute(
                        "DELETE FROM undescribed WHERE repository = ? AND digest = ?",
                        [.integer(repository), .text(manifest.digest.description)])
                }
                if isLast { try change.describeTags(repository) }
            }
            if isLast { return }
        }
    }

    private struct OverdueManifest: Sendable {
        let digest: Digest
        let mediaType: String?
        let body: [UInt8]
    }
}

extension Change {
    fileprivate func describe(
        _ digest: Digest, _ document: ManifestDocument, _ told: RegistryStore.Told, in repository: Int64, now: Int64
    ) throws {
        // Deleted since it was read.
        guard try hasManifest(digest, in: repository) else { return }
        let key: [SQLValue] = [.integer(repository), .text(digest.description)]
        let pulls = try connection.row("SELECT pulls FROM facts WHERE repository = ? AND digest = ?", key)?.integer(
            "pulls")
        try removeFacts(of: digest, in: repository)
        try addFacts(told.facts, readme: told.readme, of: digest, document, in: repository, now: now)
        try connection.execute(
            "UPDATE facts SET pulls = ? WHERE repository = ? AND digest = ?", [.integer(pulls ?? 0)] + key)
    }

    /// Counts the words of all tags anew.
    fileprivate func describeTags(_ repository: Int64) throws {
        let tags = try connection.rows("SELECT name FROM tags WHERE repository = ?", [.integer(repository)])
        try connection.execute("DELETE FROM tag_words WHERE repository = ?", [.integer(repository)])
        var uses: [String: Int64] = [:]
        for tag in tags { for word in SearchWords.ofTag(try tag.text("name")) { uses[word, default: 0] += 1 } }
        for (word, count) in uses {
            try connection.execute(
                "INSERT INTO tag_words (word, repository, uses) VALUES (?, ?, ?)",
                [.text(word), .integer(repository), .integer(count)])
        }
    }
}
