import FoundationEssentials
import Kernel
import LayerFS
import Logging
package import OCI
import Registry

/// An image and its names, as it was at one moment.
package struct ImageSnapshot: Sendable {
    package let record: ImageRecord
    /// Familiar `repository:tag`.
    package let repoTags: [String]
    /// Familiar `repository@digest`.
    package let repoDigests: [String]
    /// Containers that use it.
    package var containers = 0
}

/// What a removal did to one name or image.
package enum RemovedImage: Sendable, Hashable {
    case untagged(String)
    case deleted(Digest)
}

/// One line of an image's history.
package struct HistoryItem: Sendable {
    package let id: String
    /// Seconds since 1970.
    package let created: Int64
    package let createdBy: String
    package let tags: [String]
    /// Bytes of the layer, 0 for steps that made none.
    package let size: Int64
    package let comment: String
}

/// Owns the images and their names: what a reference means here, and what may be removed.
package actor ImageStore {
    let configuration: EngineConfiguration
    let database: StateDatabase
    let layers: LayerStore
    let events: EventLog
    let logger: Logger
    let client: RegistryClient
    let downloads: Permits
    let uploads: Permits
    private var images: [Digest: ImageRecord] = [:]
    /// `domain/path:tag` → image.
    private var tags: [String: Digest] = [:]
    /// `domain/path@digest` → image.
    private var repoDigests: [String: Digest] = [:]
    private var loaded = false
    /// Images used by containers, told by the container store: id → container ids.
    private var users: [Digest: Set<String>] = [:]
    /// Chains in use by containers, whatever became of their image.
    private var userChains: [String: [[Digest]]] = [:]

    init(
        _ configuration: EngineConfiguration, _ database: StateDatabase, _ layers: LayerStore, _ events: EventLog,
        logger: Logger
    ) {
        self.configuration = configuration
        self.database = database
        self.layers = layers
        self.events = events
        self.logger = logger
        client = RegistryClient(configuration.registry) { logger.warning("\($0)") }
        downloads = Permits(configuration.concurrentDownloads)
        uploads = Permits(configuration.concurrentUploads)
    }

    /// Closes the connections to registries; pulls and pushes under way fail.
    func shutdown() async { await client.close() }

    /// Reads the index at first use: a daemon with thousands of images still starts at once.
    private func load() async throws {
        guard !loaded else { return }
        let logger = logger
        let (records, tags, digests) = try await database.read { transaction in
            (
                try transaction.all(.images, as: ImageRecord.self) { key in
                    logger.error("image record cannot be read; pull it again", metadata: ["image": "\(key)"])
                }, try transaction.names(.tags), try transaction.names(.repoDigests)
            )
        }
        guard !loaded else { return }
        loaded = true
        for record in records { images[record.id] = record }
        self.tags = tags.filter { images[$0.value] != nil }
        repoDigests = digests.filter { images[$0.value] != nil }
    }

    // MARK: Look-up

    /// The image a user means: a reference, an id, or an unambiguous start of one.
    ///
    /// - Throws: ``EngineError`` `.notFound` in Docker's words.
    package func image(_ name: String) async throws -> ImageSnapshot {
        try await load()
        return snapshot(try record(name))
    }

    private func record(_ name: String) throws -> ImageRecord {
        if let digest = try? Digest(name), let record = images[digest] { return record }
        if let reference = try? Reference(name) {
            let tagged = reference.tagged
            if let digest = tagged.digest {
                if let id = repoDigests["\(tagged.name)@\(digest)"], let record = images[id] { return record }
            } else if let tag = tagged.tag, let id = tags["\(tagged.name):\(tag)"], let record = images[id] {
                return record
            }
        }
        let prefix = name.hasPrefix("sha256:") ? String(name.dropFirst("sha256:".count)) : name
        if prefix.utf8.count >= 4 || name.hasPrefix("sha256:"), !prefix.isEmpty {
            let found = images.values.filter { $0.id.hex.hasPrefix(prefix) }
            if found.count == 1 { return found[0] }
            if found.count > 1 {
                throw EngineError(.invalidParameter, "image id prefix \(name) is ambiguous: give more digits")
            }
        }
        if (try? Reference(name)) == nil && (try? Digest(name)) == nil {
            throw EngineError(.invalidParameter, "invalid reference format")
        }
        throw EngineError.noSuchImage((try? Reference(name).tagged.familiar) ?? name)
    }

    private func snapshot(_ record: ImageRecord) -> ImageSnapshot {
        func familiar(_ name: String) -> String { (try? Reference(name).familiar) ?? name }
        return ImageSnapshot(
            record: record, repoTags: tags.filter { $0.value == record.id }.keys.map(familiar).sorted(),
            repoDigests: repoDigests.filter { $0.value == record.id }.keys.map(familiar).sorted(),
            containers: users[record.id]?.count ?? 0)
    }

    /// Images that match `filters` (`reference`, `dangling`, `label`, `before`, `since`), newest first.
    package func list(filters: [String: [String]] = [:]) async throws -> [ImageSnapshot] {
        try await load()
        try Filter.check(filters, known: ["reference", "dangling", "label", "before", "since"])
        let before = try filters["before"]?.first.map { try record($0).config.created ?? "" }
        let since = try filters["since"]?.first.map { try record($0).config.created ?? "" }
        return images.values.map(snapshot).filter { image in
            let created = image.record.config.created ?? ""
            return Filter.labels(filters["label"], image.record.config.config?.labels ?? [:])
                && Filter.flag(filters["dangling"], image.repoTags.isEmpty)
                && (before.map { created < $0 } ?? true) && (since.map { created > $0 } ?? true)
                && Self.matches(filters["reference"], image)
        }.sorted {
            ($0.record.config.created ?? "", $0.record.id.hex) > ($1.record.config.created ?? "", $1.record.id.hex)
        }
    }

    private static func matches(_ patterns: [String]?, _ image: ImageSnapshot) -> Bool {
        guard let patterns, !patterns.isEmpty else { return true }
        return image.repoTags.contains { name in
            let repository = name.split(separator: ":").dropLast().joined(separator: ":")
            return patterns.contains { Wildcard.matches(name, $0) || Wildcard.matches(repository, $0) }
        }
    }

    /// An image, and what it is called in one repository.
    struct NamedImage: Sendable {
        let record: ImageRecord
        var tags: [String] = []
        var digests: [Digest] = []
    }

    /// Images by the `domain/path` of the repositories that they have a name in.
    ///
    /// - Parameter repository: the one that is asked for; nil for all.
    func repositories(_ repository: String? = nil) async throws -> [String: [NamedImage]] {
        try await load()
        var found: [String: [Digest: NamedImage]] = [:]
        for (name, id) in [tags, repoDigests].joined() where repository.map(name.hasPrefix) ?? true {
            guard let record = images[id], let reference = try? Reference(name),
                repository.map({ $0 == reference.name }) ?? true
            else { continue }
            var image = found[reference.name]?[id] ?? NamedImage(record: record)
            if let tag = reference.tag { image.tags.append(tag) }
            if let digest = reference.digest { image.digests.append(digest) }
            found[reference.name, default: [:]][id] = image
        }
        return found.mapValues { Array($0.values) }
    }

    package func history(_ name: String) async throws -> [HistoryItem] {
        try await load()
        let record = try record(name)
        var sizes: [Int64] = []
        for diffID in record.config.rootfs.diffIDs { sizes.append(await layers.record(diffID)?.size ?? 0) }
        var next = 0
        var items: [HistoryItem] = []
        let steps = record.config.history ?? []
        for step in steps {
            var size: Int64 = 0
            if step.emptyLayer != true, next < sizes.count {
                size = sizes[next]
                next += 1
            }
            items.append(
                HistoryItem(
                    id: "<missing>", created: Timestamp(step.created ?? "")?.seconds ?? 0,
                    createdBy: step.createdBy ?? "",
                    tags: [], size: size, comment: step.comment ?? ""))
        }
        guard let last = items.popLast() else { return [] }
        items.append(
            HistoryItem(
                id: record.id.description, created: last.created, createdBy: last.createdBy,
                tags: snapshot(record).repoTags, size: last.size, comment: last.comment))
        return items.reversed()
    }

    // MARK: Change

    /// Stores an image and its names in one durable step. Its layers must be in the layer store.
    func commit(_ record: ImageRecord, tags newTags: [Reference], digests: [Reference] = []) async throws {
        try await load()
        var records: [LayerRecord] = []
        for diffID in record.config.rootfs.diffIDs {
            guard let layer = await layers.record(diffID) else {
                throw EngineError(.system, "layer \(diffID) was removed while its image was stored: try again")
            }
            records.append(layer)
        }
        try await layers.sync()
        let tagNames = newTags.map(\.description)
        let digestNames = digests.map {
            Reference(domain: $0.domain, path: $0.path, tag: nil, digest: $0.digest).description
        }
        let layerRecords = records
        var record = record
        if let earlier = images[record.id] { record.adopt(earlier) }
        let whole = record
        try await database.write { transaction in
            for layer in layerRecords { try transaction.put(.layers, layer.diffID.description, layer) }
            try transaction.put(.images, whole.id.description, whole)
            for name in tagNames { try transaction.setName(.tags, name, image: whole.id) }
            for name in digestNames { try transaction.setName(.repoDigests, name, image: whole.id) }
        }
        images[whole.id] = whole
        for name in tagNames { tags[name] = record.id }
        for name in digestNames { repoDigests[name] = record.id }
    }

    /// Gives an image another name.
    package func tag(_ source: String, repository: String, tag: String) async throws {
        try await load()
        let record = try record(source)
        let reference = try Reference(tag.isEmpty ? repository : "\(repository):\(tag)")
        guard reference.digest == nil else {
            throw EngineError(.invalidParameter, "refusing to create a tag with a digest reference")
        }
        let name = reference.tagged.description
        try await database.write { try $0.setName(.tags, name, image: record.id) }
        tags[name] = record.id
        await events.publish(.image, "tag", record.id.description, ["name": reference.tagged.familiar])
    }

    /// Removes a name, and the image with its last one.
    ///
    /// - Throws: ``EngineError`` `.conflict` when a container uses the image, or an id has several names and `force` is off.
    package func remove(_ name: String, force: Bool) async throws -> [RemovedImage] {
        try await load()
        let record = try record(name)
        let names = tags.filter { $0.value == record.id }.keys.sorted()
        let byID =
            record.id.description.contains(name)
            && (try? Reference(name)).flatMap { tags[$0.tagged.description] } == nil
        var doomed = names
        if byID {
            if names.count > 1 && !force {
                throw EngineError(
                    .conflict,
                    "conflict: unable to delete \(record.id.short) (must be forced) - image is referenced in multiple repositories"
                )
            }
        } else if let reference = try? Reference(name), reference.digest == nil {
            doomed = [reference.tagged.description]
        }
        let isLast = doomed.count == names.count
        if isLast { try checkUnused(record, force: force, name: byID ? record.id.short : name) }
        let digestNames = repoDigests.filter { entry in
            entry.value == record.id
                && (isLast || !names.contains { !doomed.contains($0) && Self.sameRepository($0, entry.key) })
        }.keys.sorted()
        return try await untag(record, names: doomed, digestNames: digestNames, deletes: isLast).removed
    }

    private static func sameRepository(_ tag: String, _ digest: String) -> Bool {
        (try? Reference(tag).name) == (try? Reference(digest).name)
    }

    private func checkUnused(_ record: ImageRecord, force: Bool, name: String) throws {
        guard let user = users[record.id]?.sorted().first, !force else { return }
        throw EngineError(
            .conflict,
            "conflict: unable to remove repository reference \"\(name)\" (must force) - container "
                + "\(user.prefix(12)) is using its referenced image \(record.id.short)")
    }

    private func untag(
        _ record: ImageRecord, names: [String], digestNames: [String], deletes: Bool
    ) async throws -> (removed: [RemovedImage], layerBytes: Int64) {
        try await database.write(makesRoom: true) { transaction in
            for name in names { try transaction.removeName(.tags, name) }
            for name in digestNames { try transaction.removeName(.repoDigests, name) }
            if deletes { try transaction.remove(.images, record.id.description) }
        }
        for name in names { tags[name] = nil }
        for name in digestNames { repoDigests[name] = nil }
        var removed: [RemovedImage] = []
        for name in names + digestNames {
            let familiar = (try? Reference(name).familiar) ?? name
            removed.append(.untagged(familiar))
            await events.publish(.image, "untag", record.id.description, ["name": familiar])
        }
        guard deletes else { return (removed, 0) }
        images[record.id] = nil
        removed.append(.deleted(record.id))
        await events.publish(.image, "delete", record.id.description, ["name": record.id.description])
        return (removed, try await collect())
    }

    /// Removes what a daemon that was killed has left, some time after the start: nobody waits for it.
    func sweep(before start: Timestamp) async {
        do {
            try await load()
            try await collect()
            try await layers.sweep(before: start)
        } catch { logger.warning("cannot remove leftovers", metadata: ["error": "\(error)"]) }
    }

    /// Removes layers that neither an image nor a container needs.
    ///
    /// - Returns: bytes of layers removed.
    @discardableResult
    func collect() async throws -> Int64 {
        let chains = images.values.map(\.config.rootfs.diffIDs) + userChains.values.joined()
        return try await layers.collect(keeping: chains)
    }

    /// Removes the layers of an image that did not fit: they are kept for the next try only while there is room.
    func giveBack(after error: any Error) async {
        guard (error as? LayerError)?.isForSpace == true else { return }
        do { try await collect() } catch { logger.warning("cannot collect layers", metadata: ["error": "\(error)"]) }
    }

    /// Removes images without a name, or with filter `dangling=false` all that no container uses; and what pulls that
    /// failed or were interrupted have left for their next try.
    package func prune(filters: [String: [String]]) async throws -> (removed: [RemovedImage], spaceReclaimed: Int64) {
        try await load()
        let filter = try PruneFilter(filters, known: ["dangling", "until", "label", "label!"])
        let all = try !Filter.truth(filters, "dangling", default: true)
        var removed: [RemovedImage] = []
        var freed: Int64 = 0
        for image in try await list()
        where (users[image.record.id] ?? []).isEmpty && (all || image.repoTags.isEmpty)
            && filter.allows(
                labels: image.record.config.config?.labels ?? [:], created: image.record.config.created)
        {
            let names = tags.filter { $0.value == image.record.id }.keys.sorted()
            let digests = repoDigests.filter { $0.value == image.record.id }.keys.sorted()
            let result = try await untag(image.record, names: names, digestNames: digests, deletes: true)
            removed += result.removed
            freed += result.layerBytes
        }
        freed += try await collect()
        let partials = configuration.dataRoot + "/blobs/partial"
        freed += try await BlockingPool.shared.run { () throws(SystemError) in
            try PartialBlob.removeAbandoned(in: partials)
        }
        return (removed, freed)
    }

    // MARK: Use by containers

    /// Notes that a container is made from an image, or mounts it.
    func use(_ id: Digest, chain: [Digest], container: String) {
        users[id, default: []].insert(container)
        userChains[container, default: []].append(chain)
    }

    /// Ends every use of images by a container.
    func unuse(container: String) async {
        userChains[container] = nil
        let used = users.keys.filter { users[$0]?.remove(container) != nil }
        for id in used where users[id]?.isEmpty == true { users[id] = nil }
        guard loaded, used.contains(where: { images[$0] == nil }) else { return }
        do { try await collect() } catch { logger.warning("cannot collect layers", metadata: ["error": "\(error)"]) }
    }
}

/// Shell patterns over image names: `*` matches within a path component, `?` one character (path.Match in Go).
enum Wildcard {
    static func matches(_ text: String, _ pattern: String) -> Bool {
        matches(Array(text.utf8)[...], Array(pattern.utf8)[...])
    }

    private static func matches(_ text: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        switch first {
        case 0x2a:
            let rest = pattern.dropFirst()
            var tail = text
            while true {
                if matches(tail, rest) { return true }
                guard let next = tail.first, next != 0x2f else { return false }
                tail = tail.dropFirst()
            }
        case 0x3f:
            guard let next = text.first, next != 0x2f else { return false }
            return matches(text.dropFirst(), pattern.dropFirst())
        default:
            return text.first == first && matches(text.dropFirst(), pattern.dropFirst())
        }
    }
}
