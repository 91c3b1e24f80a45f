import Logging
import NIOCore
import OCI
import Registry
package import RegistryStore

/// Copies what is pushed here to another registry: blobs that it has not, then manifests, then the tag. What a crash or a failure
/// cuts is tried again; what is there already is not sent again.
package struct Replicator: Sendable {
    /// How often an empty queue is looked at.
    private static let idlePause = Duration.seconds(1)
    /// Blobs of one manifest at once.
    private static let blobsAtOnce = 4
    private static let leaseDuration = Duration.seconds(600)
    /// Index inside of an index, referrers of referrers: honest ones have a few.
    private static let depthMax = 8
    private static let pageCount = 500

    let rule: ReplicationRule
    let store: RegistryStore
    let logger: Logger

    package var name: String { rule.name }

    /// Runs until it is cancelled.
    func run() async {
        let client: RegistryClient
        do throws(RegistryError) {
            client = RegistryClient(
                try RegistryConfiguration(
                    insecureRegistries: rule.isPlain ? [rule.domain] : [], userAgent: "docker-registry"))
        } catch {
            return logger.error("replication \(rule.name): \(error)")
        }
        while !Task.isCancelled {
            var isIdle = true
            do { isIdle = try await !step(client) } catch { logger.error("replication \(rule.name): \(error)") }
            // Cancelled, which the loop looks at.
            if isIdle { try? await Task.sleep(for: Self.idlePause) }
        }
        await client.close()
    }

    /// Queues all that is here already.
    ///
    /// - Returns: how many tags.
    package func queueAll() async throws -> Int {
        var (count, last) = (0, String?.none)
        while true {
            let page = try await store.repositories(after: last, countMax: Self.pageCount)
            for name in page.items { count += try await store.queueAll(for: rule.watch, in: try RepositoryName(name)) }
            guard page.hasMore, let end = page.items.last else { return count }
            last = end
        }
    }

    /// - Returns: false when there was nothing to do.
    private func step(_ client: RegistryClient) async throws -> Bool {
        guard let entry = try await store.nextCopy(for: rule.name),
            try await store.lease("replication \(rule.name)", for: Self.leaseDuration)
        else { return false }
        do {
            let flight = Flight(replicator: self, client: client, repository: entry.repository)
            try await flight.run(entry)
            try await store.copied(entry)
        } catch {
            try Task.checkCancellation()
            let pause = ReplicationRule.pause(attempts: entry.attempts, random: Double.random(in: 0...1))
            logger.warning(
                "replication \(rule.name): \(entry.repository):\(entry.reference) is tried again in \(pause)s: \(error)"
            )
            try await store.postpone(entry, seconds: pause, "\(error)")
        }
        return true
    }

    /// One entry on its way.
    private struct Flight: Sendable {
        let replicator: Replicator
        let client: RegistryClient
        let repository: RepositoryName

        private var store: RegistryStore { replicator.store }
        private var rule: ReplicationRule { replicator.rule }
        private var credentials: Credentials? {
            rule.username.map { Credentials(username: $0, password: rule.password ?? "") }
        }

        private func target(tag: String? = nil, _ digest: Digest? = nil) -> Reference {
            Reference(
                domain: rule.domain, path: rule.prefix + repository.description, tag: tag, digest: digest)
        }

        func run(_ entry: CopyEntry) async throws {
            guard let digest = entry.digest else {
                guard case .tag(let tag) = entry.reference else { return }
                _ = try await client.deleteManifest(target(tag: tag), credentials: credentials)
                return
            }
            guard let manifest = try await find(digest) else { return }
            switch entry.reference {
            case .tag(let tag):
                // A signature by tag goes where what it signs is.
                if !rule.tags.matches(tag), let subject = SignatureTag(tag)?.subject,
                    try await !client.hasManifest(target(subject), credentials: credentials)
                {
                    return
                }
                try await copy(manifest, depth: 0)
                _ = try await client.put(
                    manifest: manifest.body, mediaType: manifest.mediaType, as: target(tag: tag),
                    credentials: credentials)
            case .digest:
                // The subject takes its referrers along when it goes.
                guard let subject = try store.subject(of: manifest),
                    try await client.hasManifest(target(subject), credentials: credentials)
                else { return }
                try await copy(manifest, depth: 0)
            }
        }

        /// nil when it was deleted since.
        private func find(_ digest: Digest) async throws -> StoredManifest? {
            do { return try await store.manifest(.digest(digest), in: repository) } catch let error as Refusal
                where error.code == .manifestUnknown
            { return nil }
        }

        /// Copies a manifest, what it names before it and what refers to it behind it.
        private func copy(_ manifest: StoredManifest, depth: Int) async throws {
            guard depth < Replicator.depthMax else { return }
            let parts = try store.parts(of: manifest)
            for member in parts.manifests {
                if let found = try await find(member.digest) { try await copy(found, depth: depth + 1) }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, blob) in Set(parts.blobs).enumerated() {
                    if number >= Replicator.blobsAtOnce { try await group.next() }
                    group.addTask { try await push(blob) }
                }
                try await group.waitForAll()
            }
            _ = try await client.put(
                manifest: manifest.body, mediaType: manifest.mediaType, as: target(manifest.digest),
                credentials: credentials)
            var last: String?
            repeat {
                let page = try await store.referrers(
                    of: manifest.digest, in: repository, artifactType: nil, after: last, countMax: Replicator.pageCount)
                for referrer in page.items {
                    if let found = try await find(referrer.digest) { try await copy(found, depth: depth + 1) }
                }
                last = page.hasMore ? page.items.last?.digest.description : nil
            } while last != nil
        }

        /// What is in a bucket is asked for a chunk at a time.
        private func source(of blob: StoredBlob) async throws -> BlobSource {
            if case .file = blob.place, case .file(let file) = try await store.content(of: blob, 0..<blob.size) {
                return try BlobSource.file(file)
            }
            return BlobSource(byteCount: blob.size) { [store] offset, bytesMax in
                let range = offset..<min(offset + Int64(bytesMax), blob.size)
                var bytes = ByteBuffer()
                guard case .stream(let stream) = try await store.content(of: blob, range) else {
                    throw StoreFailure("\(blob.digest) has moved to a file: it is copied again")
                }
                for try await part in stream { bytes.writeImmutableBuffer(part) }
                return BlobChunk(bytes)
            }
        }

        private func push(_ descriptor: Descriptor) async throws {
            let blob = try await store.blob(descriptor.digest, in: repository)
            let source = try await source(of: blob)
            let other = try await store.repository(with: blob.digest, except: repository)
            let known = other.flatMap { rule.repositories.matches($0) ? rule.prefix + $0 : nil }
            _ = try await client.push(
                descriptor, source, to: target(), mountingFrom: known.map { [$0] } ?? [], credentials: credentials)
        }
    }
}
