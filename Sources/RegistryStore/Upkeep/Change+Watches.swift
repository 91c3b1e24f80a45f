package import OCI

extension Change {
    /// Puts an event into the outbox of everybody who wants it.
    func tell(_ notice: Notice, _ settings: RegistryStore.Settings, now: Int64) throws {
        let hooks = settings.watches.hooks(for: notice.kind, in: notice.repository.description)
        guard !hooks.isEmpty else { return }
        let text = try notice.text(settings)
        for hook in hooks {
            try connection.execute(
                "INSERT INTO outbox (hook, event, created) VALUES (?, ?, ?)",
                [.text(hook.name), .text(text), .integer(now)])
        }
    }

    /// Puts a manifest into the queue of every registry that wants it. A later push to the same tag takes the place of one that
    /// still waits.
    func queueCopies(
        of manifest: StoredManifest, _ document: ManifestDocument, tag: String?, in name: RepositoryName,
        _ watches: Watches, now: Int64
    ) throws {
        for copy in watches.copies where copy.repositories.matches(name.description) {
            if let tag {
                guard copy.tags.matches(tag) || SignatureTag(tag) != nil else { continue }
            } else if document.subject == nil {
                // What has neither a tag nor a subject goes with the index that names it.
                continue
            }
            try queueCopy(copy, name, tag ?? manifest.digest.description, manifest.digest, now)
        }
    }

    /// Puts the end of tags into the queue of every registry that wants it.
    func queueDeletions(of tags: [String], in name: RepositoryName, _ watches: Watches, now: Int64) throws {
        for copy in watches.copies where copy.deletes && copy.repositories.matches(name.description) {
            for tag in tags where copy.tags.matches(tag) { try queueCopy(copy, name, tag, nil, now) }
        }
    }

    func queueCopy(
        _ copy: Watches.Copy, _ name: RepositoryName, _ reference: String, _ digest: Digest?, _ now: Int64
    ) throws {
        try connection.execute(
            """
            INSERT INTO copies (rule, repository, reference, digest, created, due) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (rule, repository, reference) DO UPDATE SET digest = excluded.digest,
            created = excluded.created, attempts = 0, due = excluded.due, failure = NULL
            """,
            [
                .text(copy.name), .text(name.description), .text(reference), .text(digest?.description), .integer(now),
                .integer(now),
            ])
    }

    /// Tags of a manifest.
    func tags(of digest: Digest, in repository: Int64) throws -> [String] {
        try connection.rows(
            "SELECT name FROM tags WHERE repository = ? AND digest = ?",
            [.integer(repository), .text(digest.description)]
        ).map { try $0.text("name") }
    }
}

/// A tag that clients without referrers keep a signature under: `sha256-<hex>`, with a suffix or not (OCI distribution
/// specification, "Referrers Tag Schema"; cosign's `.sig`, `.att` and `.sbom`).
package struct SignatureTag: Sendable, Hashable {
    /// What is signed.
    package let subject: Digest

    package init?(_ tag: String) {
        let parts = tag.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let names = parts[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard names.count == 2, let digest = try? Digest("\(names[0]):\(names[1])") else { return nil }
        subject = digest
    }
}
