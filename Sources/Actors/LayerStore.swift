import FoundationEssentials
import Glibc
import Kernel
package import LayerFS
import Logging
package import OCI

/// One stored layer.
package struct LayerRecord: Sendable, Codable, Hashable {
    package var diffID: Digest
    /// The compressed blob it came as, kept in `blobs/` while `blobKept`.
    package var blobDigest: Digest?
    package var blobSize: Int64
    package var mediaType: String?
    /// Bytes of the tar.
    package var size: Int64
    /// `domain/path` of repositories known to hold the blob: a push elsewhere on the same registry mounts it.
    package var repositories: [String]
}

/// Owns `layers/`, `chains/` and `blobs/`: every layer once, however many images and pulls want it.
package actor LayerStore {
    private struct Flight {
        let task: Task<LayerRecord, any Error>
        let progress: LayerProgress
        var waiters: Int
    }

    private struct MountedChain {
        var users: Int
        let lower: String
    }

    private let root: String
    private let mountRoot: String
    private let database: StateDatabase
    private let driver: any LayerDriver
    private let logger: Logger
    /// What is on disk and in the database, or waits for its image's commit.
    private var layers: [Digest: LayerRecord] = [:]
    private var flights: [Digest: Flight] = [:]
    private var chains: [ChainID: Task<String, any Error>] = [:]

    package nonisolated let driverName: String

    init(_ configuration: EngineConfiguration, _ database: StateDatabase, logger: Logger) async throws {
        root = configuration.dataRoot
        mountRoot = configuration.execRoot + "/chains"
        self.database = database
        self.logger = logger
        for directory in ["layers/sha256", "layers/new", "chains", "blobs/sha256", "blobs/partial"] {
            try Files.makeDirectories("\(root)/\(directory)")
        }
        try Files.makeDirectories(mountRoot)
        let driver = try Self.choose(configuration.storageDriver, scratch: "\(root)/layers/new", logger)
        self.driver = driver
        driverName = driver.name
        let records = try await database.read { transaction in
            try transaction.all(.layers, as: LayerRecord.self) { key in
                logger.error("layer record cannot be read; pull its image again", metadata: ["layer": "\(key)"])
            }
        }
        for record in records { layers[record.diffID] = record }
        try Self.clearUnfinished("\(root)/layers/new")
    }

    /// The driver asked for, or the first that works here.
    private static func choose(_ wanted: String?, scratch: String, _ logger: Logger) throws -> any LayerDriver {
        let drivers: [any LayerDriver] = [ErofsDriver(), ErofsDriver(backing: .loopDevices), DirectoryDriver()]
        if let wanted {
            guard let driver = drivers.first(where: { $0.name == wanted }) else {
                let names = drivers.map(\.name).joined(separator: ", ")
                throw EngineError(.invalidParameter, "unknown storage driver \(wanted): choose one of \(names)")
            }
            return driver
        }
        for driver in drivers.dropLast() {
            do throws(LayerError) {
                try probe(driver, scratch: scratch)
                return driver
            } catch {
                logger.notice(
                    "storage driver does not work here", metadata: ["driver": "\(driver.name)", "error": "\(error)"])
            }
        }
        return DirectoryDriver()
    }

    private static func clearUnfinished(_ directory: String) throws {
        for name in try Files.list(directory) { try Files.removeTree("\(directory)/\(name)") }
    }

    // MARK: Paths

    package nonisolated func files(_ diffID: Digest) -> LayerFiles {
        LayerFiles(directory: "\(root)/layers/\(diffID.algorithm.rawValue)/\(diffID.hex)")
    }

    package nonisolated func blobPath(_ digest: Digest) -> String {
        "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)"
    }

    package nonisolated func partialPath(_ digest: Digest) -> String { "\(root)/blobs/partial/\(digest.hex)" }

    /// A path for a file that is needed only for a moment; leftovers are removed when the daemon starts.
    package nonisolated func temporaryPath() -> String { "\(root)/layers/new/\(Identifier.random())" }

    // MARK: Layers

    package func record(_ diffID: Digest) -> LayerRecord? { layers[diffID] }

    /// Bytes of every layer, and of those that several of `images` have, by image.
    package func sizes(of images: [[Digest]]) -> (total: Int64, shared: [Int64]) {
        var users: [Digest: Int] = [:]
        for image in images { for diffID in Set(image) { users[diffID, default: 0] += 1 } }
        let shared = images.map { image in
            image.reduce(Int64(0)) { $0 + (users[$1] ?? 0 > 1 ? layers[$1]?.size ?? 0 : 0) }
        }
        return (layers.values.reduce(0) { $0 + $1.size }, shared)
    }

    /// The layer `diffID`, made by `work` when it is not here yet. Callers of one layer share one piece of work;
    /// cancelling one caller spares the others, and cancelling the last ends the work.
    ///
    /// - Parameter work: ingests into the given empty directory and reports through the given progress.
    package func layer(
        _ diffID: Digest, progress: @escaping @Sendable (LayerProgress) -> Void,
        work: @escaping @Sendable (LayerFiles, LayerProgress) async throws -> LayerRecord
    ) async throws -> LayerRecord {
        if let record = layers[diffID] { return record }
        if flights[diffID] == nil {
            let state = LayerProgress()
            flights[diffID] = Flight(
                task: Task { try await self.ingest(diffID, state, work) }, progress: state, waiters: 0)
        }
        flights[diffID]?.waiters += 1
        guard let flight = flights[diffID] else {
            throw EngineError(.system, "layer \(diffID) vanished while it was ingested")
        }
        progress(flight.progress)
        return try await withTaskCancellationHandler {
            try await flight.task.value
        } onCancel: {
            Task { await self.abandon(diffID) }
        }
    }

    private func abandon(_ diffID: Digest) {
        guard var flight = flights[diffID] else { return }
        flight.waiters -= 1
        flights[diffID] = flight
        if flight.waiters == 0 { flight.task.cancel() }
    }

    private func ingest(
        _ diffID: Digest, _ progress: LayerProgress,
        _ work: @Sendable (LayerFiles, LayerProgress) async throws -> LayerRecord
    ) async throws -> LayerRecord {
        defer { flights[diffID] = nil }
        let files = try newDirectory()
        do {
            let record = try await work(files, progress)
            try place(files, diffID)
            layers[diffID] = record
            return record
        } catch {
            try Files.removeTree(files.directory)
            throw error
        }
    }

    /// A fresh directory for a layer that is being made.
    private func newDirectory() throws -> LayerFiles {
        let files = LayerFiles(directory: "\(root)/layers/new/\(Identifier.random())")
        try Files.makeDirectories(files.directory)
        return files
    }

    /// Moves a verified layer to its name. Its files are durable already; the names become so by `sync()`.
    private func place(_ files: LayerFiles, _ diffID: Digest) throws {
        let target = self.files(diffID).directory
        if Files.exists(target) { try Files.removeTree(target) }
        try checked("rename", target) { rename(files.directory, target) }
    }

    /// Stores a layer whose digest is not known before: `work` ingests and tells it. The layer is pinned; the caller
    /// unpins it when an image refers to it.
    package func newLayer(
        _ work: @escaping @Sendable (LayerFiles) async throws -> LayerRecord
    ) async throws -> LayerRecord {
        let files = try newDirectory()
        do {
            let record = try await work(files)
            pin([record.diffID])
            if let known = layers[record.diffID] {
                try Files.removeTree(files.directory)
                return known
            }
            try place(files, record.diffID)
            layers[record.diffID] = record
            return record
        } catch {
            try Files.removeTree(files.directory)
            throw error
        }
    }

    /// Makes the names of layers, chains and blobs durable: the step before an image's commit.
    package func sync() async throws {
        let directories = ["layers/sha256", "chains", "blobs/sha256"].map { "\(root)/\($0)" }
        try await BlockingPool.shared.run { () throws(SystemError) in
            for path in directories {
                let directory = try OwnedFD.open(path, O_RDONLY | O_DIRECTORY)
                try directory.sync()
            }
        }
    }

    /// Layers that work in progress relies on; `collect` leaves them alone.
    private var pins: [Digest: Int] = [:]

    package func pin(_ diffIDs: [Digest]) { for diffID in diffIDs { pins[diffID, default: 0] += 1 } }

    package func unpin(_ diffIDs: [Digest]) {
        for diffID in diffIDs {
            guard let count = pins[diffID] else { continue }
            pins[diffID] = count == 1 ? nil : count - 1
        }
    }

    /// Notes that `repository` holds the blob of `diffID`. Stored with the next commit of an image.
    package func note(_ diffID: Digest, repository: String) {
        guard var record = layers[diffID], !record.repositories.contains(repository) else { return }
        record.repositories.append(repository)
        layers[diffID] = record
    }

    // MARK: Chains

    /// Builds the merged index of a chain where it is missing. Callers of one chain share the work.
    package func prepare(_ diffIDs: [Digest]) async throws {
        let chain = ChainID(diffIDs)
        let directory = "\(root)/chains/\(chain.hex)"
        if chains[chain] == nil && Files.exists(directory) { return }
        if chains[chain] == nil {
            let layers = diffIDs.map { files($0) }
            let temporary = "\(root)/layers/new/\(Identifier.random())"
            let driver = driver
            chains[chain] = Task {
                try await BlockingPool.shared.run {
                    try Files.makeDirectories(temporary)
                    do {
                        try ChainBuilder.prepare(layers, with: driver, at: temporary)
                        try checked("rename", directory) { rename(temporary, directory) }
                    } catch {
                        try Files.removeTree(temporary)
                        throw error
                    }
                }
                return directory
            }
        }
        defer { chains[chain] = nil }
        _ = try await chains[chain]?.value
    }

    private var mounted: [ChainID: MountedChain] = [:]

    /// Mounts the chain's merged image, or joins its mount; `release(_:)` ends the use.
    ///
    /// - Returns: the directory to give overlayfs as lower.
    package func acquire(_ diffIDs: [Digest]) async throws -> String {
        let chain = ChainID(diffIDs)
        if mounted[chain] == nil {
            try await prepare(diffIDs)
        }
        if let known = mounted[chain] {
            mounted[chain]?.users += 1
            return known.lower
        }
        let target = "\(mountRoot)/\(chain.hex.prefix(32))"
        try Files.makeDirectories(target)
        let lower = try driver.mount("\(root)/chains/\(chain.hex)", layers: diffIDs.map { files($0) }, at: target)
        mounted[chain] = MountedChain(users: 1, lower: lower)
        return lower
    }

    /// Ends one use. The mount itself stays as a cache until the chain is removed.
    package func release(_ diffIDs: [Digest]) {
        let chain = ChainID(diffIDs)
        mounted[chain]?.users -= 1
    }

    /// Removes every layer and chain that no image and no container refers to.
    ///
    /// - Parameter keeping: the chains in use, as lists of layers.
    /// - Returns: bytes of layers removed.
    @discardableResult
    package func collect(keeping: [[Digest]]) async throws -> Int64 {
        let keptLayers = Set(keeping.flatMap { $0 })
        let keptChains = Set(keeping.map { ChainID($0) })
        var freed: Int64 = 0
        var doomed: [String] = []
        for (chain, mount) in mounted where !keptChains.contains(chain) && mount.users <= 0 {
            try driver.unmount("\(mountRoot)/\(chain.hex.prefix(32))")
            mounted[chain] = nil
        }
        for name in try Files.list("\(root)/chains")
        where !keptChains.contains(where: { $0.hex == name }) && !mounted.keys.contains(where: { $0.hex == name })
            && !chains.keys.contains(where: { $0.hex == name })
        {
            doomed.append("\(root)/chains/\(name)")
        }
        let unused = layers.values.filter {
            !keptLayers.contains($0.diffID) && pins[$0.diffID] == nil && flights[$0.diffID] == nil
        }
        for record in unused {
            layers[record.diffID] = nil
            freed += record.size
            doomed.append(files(record.diffID).directory)
            if let blob = record.blobDigest { doomed.append(blobPath(blob)) }
        }
        let removed = unused.map(\.diffID.description)
        if !removed.isEmpty {
            try await database.write(makesRoom: true) { transaction in
                for key in removed { try transaction.remove(.layers, key) }
            }
        }
        try await discard(doomed)
        return freed
    }

    /// A blob that no layer was recorded for is kept so long, in seconds: the pull that brought it may be asked for again.
    private static let orphanBlobSeconds: Int64 = 7 * 24 * 3600

    /// Removes layers that no record names, and blobs that nobody has come back for: a daemon that was killed between placing
    /// and recording them, or between forgetting and removing them, has left those.
    ///
    /// - Parameter start: when this daemon started; what came later belongs to work of its own.
    func sweep(before start: Timestamp) async throws {
        let blobs = Set(layers.values.compactMap(\.blobDigest).map(\.hex))
        let known = Set(layers.keys.map(\.hex)).union(flights.keys.map(\.hex)).union(pins.keys.map(\.hex))
        let folders = [
            ("\(root)/layers/sha256", known, start.seconds),
            ("\(root)/blobs/sha256", blobs, start.seconds - Self.orphanBlobSeconds),
        ]
        let orphans = try await BlockingPool.shared.run { () throws(SystemError) in
            var found: [String] = []
            for (folder, known, before) in folders {
                for name in try Files.list(folder) where !known.contains(name) {
                    let path = "\(folder)/\(name)"
                    var status = stat()
                    if lstat(path, &status) == 0, Int64(status.st_ctim.tv_sec) < before { found.append(path) }
                }
            }
            return found
        }
        guard !orphans.isEmpty else { return }
        logger.notice("removing layers that belong to no image", metadata: ["count": "\(orphans.count)"])
        try await discard(orphans)
    }

    /// Renames out of the way first, so that a removal cut short leaves nothing that looks whole.
    private func discard(_ paths: [String]) async throws {
        var trash: [String] = []
        for path in paths where Files.exists(path) {
            let target = "\(root)/layers/new/\(Identifier.random())"
            try checked("rename", path) { rename(path, target) }
            trash.append(target)
        }
        let doomed = trash
        try await BlockingPool.shared.run { () throws(SystemError) in for path in doomed { try Files.removeTree(path) }
        }
    }
}

/// Identity of a stack of layers, lowest first (OCI config.md, "Layer ChainID").
package struct ChainID: Sendable, Hashable {
    package let hex: String

    package init(_ diffIDs: [Digest]) {
        var chain = diffIDs.first?.description ?? "sha256:" + Digest.hex(SHA256Bytes.of([]))
        for diffID in diffIDs.dropFirst() {
            chain = "sha256:" + Digest.hex(SHA256Bytes.of(Array("\(chain) \(diffID)".utf8)))
        }
        hex = String(chain.split(separator: ":").last ?? "")
    }
}
