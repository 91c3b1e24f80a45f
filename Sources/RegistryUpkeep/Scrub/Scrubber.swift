import FoundationEssentials
package import Logging
import OCI
package import RegistryStore

/// Reads all blobs against their digests, one after another, and sets aside what is damaged.
package actor Scrubber {
    /// How often it is looked whether a pass should begin.
    private static let lookInterval = Duration.seconds(1)
    private static let blobsAtOnce = 100
    /// How long what was read may be read again after a crash.
    private static let keepInterval = Duration.seconds(10)
    /// Of registries that share an index one reads at a time. What a crash of that one costs the others, at most.
    private static let leaseDuration = Duration.seconds(30)
    private static let renewalInterval = Duration.seconds(10)
    private static let progressName = "scrub"

    private let store: RegistryStore
    /// nil where passes begin only when they are asked for.
    private let rule: ScrubRule?
    private let logger: Logger
    private var isAsked = false
    /// While this registry reads: ahead of what is kept.
    private var current: ScrubStatus?
    private var keptAt = ContinuousClock.now

    init(_ store: RegistryStore, _ rule: ScrubRule?, _ logger: Logger) {
        self.store = store
        self.rule = rule
        self.logger = logger
    }

    /// Has a pass begin within a second, unless one is under way.
    package func begin() { isAsked = true }

    /// As the index has it, whichever registry reads: a few seconds old.
    ///
    /// - Throws: what the index does.
    package nonisolated func status() async throws -> ScrubStatus {
        let text = try await store.progress(Self.progressName)
        return try text.map { try JSONDecoder().decode(ScrubStatus.self, from: Data($0.utf8)) } ?? ScrubStatus()
    }

    /// Runs until it is cancelled.
    func run() async {
        repeat {
            do { try await look() } catch is CancellationError { return } catch {
                logger.error("scrub failed: \(error)")
            }
        } while (try? await Task.sleep(for: Self.lookInterval)) != nil
    }

    private func look() async throws {
        guard isWanted(try await status()), try await lease() else { return }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                repeat { try await Task.sleep(for: Self.renewalInterval) } while try await self.lease()
            }
            group.addTask { try await self.pass() }
            // Who has lost the lease reads no further.
            try await group.next()
            group.cancelAll()
        }
    }

    private func lease() async throws -> Bool { try await store.lease("scrub", for: Self.leaseDuration) }

    private func isWanted(_ status: ScrubStatus) -> Bool {
        if status.cursor != nil { isAsked = false }
        return status.cursor != nil || isAsked || rule.map { status.isDue($0, now: RegistryStore.now) } ?? false
    }

    private func pass() async throws {
        // Another registry may have read until now.
        var status = try await status()
        guard isWanted(status) else { return }
        defer { current = nil }
        if status.cursor == nil { status.begin(now: RegistryStore.now) }
        isAsked = false
        try await keep(status)
        do {
            while let cursor = current?.cursor {
                let blobs = try await store.blobs(after: cursor, countMax: Self.blobsAtOnce)
                guard !blobs.isEmpty else { return try await end() }
                for blob in blobs { try await read(blob) }
            }
        } catch {
            // What cannot be kept now is read again.
            if let current { try? await keep(current) }
            throw error
        }
    }

    private func read(_ blob: StoredBlob) async throws {
        let condition = try await store.condition(of: blob, rate: (rule ?? .usual).rate)
        var isDamaged = false
        if case .damaged(let damage) = condition, try await store.quarantine(blob, damage) {
            isDamaged = true
            logger.error("blob \(blob.digest) is damaged, \(damage.reason): it is set aside until it is pushed again")
        }
        guard var status = current else { return }
        status.cursor = blob.digest.description
        status.blobs += 1
        status.bytes += blob.size
        if isDamaged {
            status.damaged += 1
            status.damagedEver += 1
        }
        current = status
        if isDamaged || .now - keptAt >= Self.keepInterval { try await keep(status) }
    }

    private func end() async throws {
        guard var status = current else { return }
        status.end(now: RegistryStore.now)
        try await keep(status)
        logger.info("scrub: \(status.blobs) blobs (\(status.bytes) bytes) were read, \(status.damaged) were damaged")
    }

    private func keep(_ status: ScrubStatus) async throws {
        current = status
        keptAt = .now
        try await store.setProgress(
            Self.progressName, String(decoding: try JSONEncoder().encode(status), as: UTF8.self))
    }
}
