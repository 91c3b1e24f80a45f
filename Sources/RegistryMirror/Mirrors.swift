import Glibc
import Kernel
package import Logging
import OCI
package import Registry
package import RegistryStore
import Synchronization

/// Registries that this one is a copy of, as far as somebody has asked for it: `docker.io/library/x` is `library/x` of docker.io.
///
/// What comes is verified by its digest and lies in the store beside what was pushed. What a tag names is asked again when that
/// is older than the registry's ``MirrorSettings/ttl``; what a digest names never.
package final class Mirrors: Sendable {
    let store: RegistryStore
    package let logger: Logger
    let spool: Spool
    let blobs = BlobFlights()
    private let upstreams: [String: Upstream]
    /// Upstreams by the `Host` of requests.
    private let hosts: [String: String]
    /// By the names of registries.
    let shrinking = Flights<String, Void>()
    private let manifests = Flights<Key, StoredManifest>()
    private let times = Mutex(Times())

    private struct Key: Hashable, Sendable {
        let repository: RepositoryName
        let name: ManifestName
    }

    /// In seconds since 1970. What is not here is looked up in the index, or written once more.
    private struct Times {
        var checked: [Key: Int64] = [:]
        var used: [Key: Int64] = [:]
        /// Entries of each; when there are more, all are forgotten.
        static let countMax = 50_000
    }

    /// - Parameters:
    ///   - settings: by what the names of repositories begin with.
    ///   - folder: of the store; what is on its way lies there.
    /// - Throws: what is wrong with the settings, `SystemError` of the folder.
    package init(_ settings: [String: MirrorSettings], store: RegistryStore, folder: String, logger: Logger) throws {
        self.store = store
        self.logger = logger
        spool = try Spool(folder + "/mirror")
        let plans = try settings.map { try Upstream.plan($0.key, $0.value) }
        upstreams = Dictionary(uniqueKeysWithValues: plans.map { ($0.name, Upstream($0)) })
        var hosts: [String: String] = [:]
        for (name, one) in settings { for host in one.hosts { hosts[host.lowercased()] = name } }
        self.hosts = hosts
    }

    /// Ends all connections to other registries; what is on its way fails.
    package func close() async {
        for upstream in upstreams.values { await upstream.close() }
    }

    private static var now: Int64 { Int64(time(nil)) }

    // MARK: Names

    /// What a repository is called here that a client calls `name`.
    ///
    /// - Parameters:
    ///   - host: of the request, as the client typed it.
    ///   - namespace: the registry that containerd means (`ns` of its requests), see ``has(namespace:)``.
    package func localName(_ name: String, host: String?, namespace: String?) -> String {
        guard !name.isEmpty else { return name }
        let meant = namespace.flatMap { upstreams[$0]?.name } ?? host.flatMap(hostUpstream)
        let full = meant.map { "\($0)/\(name)" } ?? name
        guard let upstream = upstream(of: full), upstream.isHub else { return full }
        let path = full.dropFirst(upstream.name.utf8.count + 1)
        return path.isEmpty || path.contains("/") ? full : "\(upstream.name)/library/\(path)"
    }

    /// Whether repositories of a registry are here, as containerd calls it (`ns`).
    package func has(namespace: String) -> Bool { upstreams[namespace] != nil }

    private func hostUpstream(_ host: String) -> String? {
        let host = host.lowercased()
        return hosts[host] ?? host.lastIndex(of: ":").flatMap { hosts[String(host[..<$0])] }
    }

    private func upstream(of name: String) -> Upstream? {
        // The longest one that fits.
        var parts = name.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        while !parts.isEmpty {
            if let found = upstreams[parts.joined(separator: "/")] { return found }
            parts = parts.dropLast()
        }
        return nil
    }

    /// nil for a repository of this registry.
    ///
    /// - Parameter name: a ``localName(_:host:namespace:)``.
    /// - Throws: ``Refusal`` NAME_INVALID.
    package func repository(_ name: String) throws(Refusal) -> MirroredRepository? {
        guard let upstream = upstream(of: name) else { return nil }
        return MirroredRepository(
            upstream: upstream, name: try RepositoryName(name),
            path: String(name.dropFirst(upstream.name.utf8.count + 1)))
    }

    // MARK: Manifests

    package struct Served: Sendable {
        package let manifest: StoredManifest
        /// What the client should know of it.
        package let warning: String?
    }

    /// A manifest that is here and fresh, or the registry's.
    ///
    /// - Throws: ``Refusal``.
    package func manifest(_ name: ManifestName, of repository: MirroredRepository) async throws -> Served {
        let kept = try await kept(name, repository)
        let key = Key(repository: repository.name, name: name)
        guard case .tag(let tag) = name else {
            if let kept { return Served(manifest: kept, warning: nil) }
            let manifest = try await manifests.value(key) { try await self.fetch(name, repository) }
            return Served(manifest: manifest, warning: nil)
        }
        let age = try await age(tag, key, repository)
        if let kept, let age, age < repository.upstream.settings.ttl.components.seconds {
            return Served(manifest: kept, warning: nil)
        }
        if let kept, let age, let silent = repository.upstream.silent, repository.upstream.maySay(ageSeconds: age) {
            return stale(kept, tag, repository, age, silent)
        }
        do {
            let manifest = try await manifests.value(key) { try await self.refresh(tag, kept, repository) }
            return Served(manifest: manifest, warning: nil)
        } catch let error as RegistryError {
            if let kept, let age, error.isOutage, repository.upstream.maySay(ageSeconds: age) {
                return stale(kept, tag, repository, age, error)
            }
            throw repository.upstream.refusal(error, name)
        }
    }

    private func kept(_ name: ManifestName, _ repository: MirroredRepository) async throws -> StoredManifest? {
        do {
            let manifest = try await store.manifest(name, in: repository.name)
            noteUse(manifest.digest, repository)
            return manifest
        } catch let error as Refusal where error.code == .manifestUnknown { return nil }
    }

    private func stale(
        _ manifest: StoredManifest, _ tag: String, _ repository: MirroredRepository, _ age: Int64,
        _ error: RegistryError
    ) -> Served {
        logger.warning("\(repository.name):\(tag) is served as it was \(age) s ago: \(error)")
        return Served(
            manifest: manifest,
            warning: "\(repository.upstream.name) does not answer: this is what the tag named \(age) seconds ago")
    }

    /// Seconds since the tag was compared with the registry's; nil for never.
    private func age(_ tag: String, _ key: Key, _ repository: MirroredRepository) async throws -> Int64? {
        let known = times.withLock { $0.checked[key] }
        let checked =
            if let known { known } else { try await store.checkedTag(tag, in: repository.name)?.checked }
        return checked.map { max(0, Self.now - $0) }
    }

    private func noteChecked(_ key: Key) {
        times.withLock { times in
            if times.checked.count >= Times.countMax { times.checked = [:] }
            times.checked[key] = Self.now
        }
    }

    private func refresh(
        _ tag: String, _ kept: StoredManifest?, _ repository: MirroredRepository
    ) async throws -> StoredManifest {
        let upstream = repository.upstream
        let key = Key(repository: repository.name, name: .tag(tag))
        if let kept {
            do throws(RegistryError) {
                let digest = try await upstream.asked { () throws(RegistryError) in
                    try await upstream.client.digest(
                        of: repository.reference(.tag(tag)), from: upstream.endpoint, credentials: upstream.credentials)
                }
                if digest == kept.digest {
                    noteChecked(key)
                    try? await store.noteChecked(tag, in: repository.name)  // else it is compared again after a restart
                    return kept
                }
            } catch {
                guard error.code == .notFound || error.code == .manifestUnknown else { throw error }
                times.withLock { $0.checked[key] = nil }
                try await store.forgetTag(tag, in: repository.name)
                throw error
            }
        }
        return try await load(.tag(tag), repository)
    }

    private func fetch(_ name: ManifestName, _ repository: MirroredRepository) async throws -> StoredManifest {
        do { return try await load(name, repository) } catch let error as RegistryError {
            throw repository.upstream.refusal(error, name)
        }
    }

    /// - Throws: `RegistryError`, ``Refusal``.
    private func load(_ name: ManifestName, _ repository: MirroredRepository) async throws -> StoredManifest {
        let upstream = repository.upstream
        do {
            let document = try await upstream.asked { () throws(RegistryError) in
                try await upstream.client.document(
                    repository.reference(name), from: upstream.endpoint, credentials: upstream.credentials)
            }
            return try await keep(document, name, repository)
        } catch let error as RegistryError {
            if error.isOutage { logger.warning("\(repository.name) \(name): \(error)") }
            throw error
        }
    }

    private func keep(
        _ document: ResolvedImage.Document, _ name: ManifestName, _ repository: MirroredRepository
    ) async throws -> StoredManifest {
        var tag: String?
        if case .tag(let typed) = name { tag = typed }
        do {
            let manifest = try await store.keepManifest(
                document.bytes, mediaType: document.mediaType.isEmpty ? nil : document.mediaType,
                digest: document.digest, tag: tag, in: repository.name)
            if tag != nil { noteChecked(Key(repository: repository.name, name: name)) }
            return manifest
        } catch let error as Refusal where error.code == .manifestInvalid {
            throw Refusal(.manifestInvalid, 502, "\(repository.upstream.name) has sent this: \(error.message)")
        }
    }

    /// Remembers that somebody wants a manifest, now and then: each costs a sync.
    private func noteUse(_ digest: Digest, _ repository: MirroredRepository) {
        let key = Key(repository: repository.name, name: .digest(digest))
        let settings = repository.upstream.settings
        // What was asked for longest ago has to be known better where it may have to go.
        let longest: Int64 = settings.bytesMax == nil ? 86400 : 600
        let interval = min(longest, settings.keep.components.seconds / 8)
        let now = Self.now
        let isDue = times.withLock { times in
            if let used = times.used[key], now - used < interval { return false }
            if times.used.count >= Times.countMax { times.used = [:] }
            times.used[key] = now
            return true
        }
        guard isDue else { return }
        // The client does not wait for it.
        Task {
            do { try await store.noteMirrored(digest, in: repository.name) } catch {
                logger.error("the use of \(repository.name)@\(digest) is not noted: \(error)")
            }
        }
    }

    // MARK: Lists

    /// One page of the registry's list, as it is.
    ///
    /// - Returns: nil when the registry does not answer, and what is known here may be said instead.
    /// - Throws: ``Refusal``.
    package func page(
        _ list: RegistryClient.List, query: [(name: String, value: String)], of repository: MirroredRepository
    ) async throws -> RegistryClient.Listing? {
        let upstream = repository.upstream
        do throws(RegistryError) {
            return try await upstream.asked { () throws(RegistryError) in
                try await upstream.client.page(
                    list, query: query, of: repository.reference(), from: upstream.endpoint,
                    credentials: upstream.credentials)
            }
        } catch {
            if error.isOutage, upstream.settings.stale != .never {
                logger.warning("a list of \(repository.name) is what is known here: \(error)")
                return nil
            }
            if error.code == .notFound {
                throw Refusal(.nameUnknown, 404, "repository name not known to \(upstream.name): \(repository.path)")
            }
            throw upstream.refusal(error, repository.name)
        }
    }

    // MARK: Upkeep

    func names(of upstream: Upstream) -> MirroredNames { MirroredNames(upstream.name, among: upstreams.keys) }

    /// Removes what nobody has asked for in the time that its registry's settings give, what is too much, and what is left of downloads that nobody
    /// has gone on with.
    ///
    /// - Returns: manifests that nobody has asked for.
    package func expire() async throws -> Int {
        var count = 0
        for upstream in upstreams.values {
            let oldest = Self.now - upstream.settings.keep.components.seconds
            count += try await store.expireMirrored(names(of: upstream), before: oldest)
            try await makeRoom(in: upstream)
        }
        let underWay = await blobs.underWay
        let spool = spool
        try await BlockingPool.shared.run { () throws(SystemError) in try spool.expire(except: underWay) }
        return count
    }
}
