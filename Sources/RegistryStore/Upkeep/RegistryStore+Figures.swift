import Glibc
import Kernel
import Synchronization

/// How much a store has.
package struct StoreFigures: Sendable, Hashable {
    package let repositories: Int64
    package let manifests: Int64
    package let tags: Int64
    package let blobs: Int64
    package let bytes: Int64
    /// Blobs that are set aside.
    package let damaged: Int64
    /// Repositories that were deleted, and whose rows have not all gone yet.
    package let departing: Int64
}

/// What collections of garbage have removed since the start.
package final class GarbageCount: Sendable {
    private let sum = Mutex(RegistryStore.Collected())

    func add(_ collected: RegistryStore.Collected) {
        sum.withLock { sum in
            sum.links += collected.links
            sum.blobs += collected.blobs
            sum.bytes += collected.bytes
        }
    }

    package var total: RegistryStore.Collected { sum.withLock { $0 } }
}

extension RegistryStore {
    /// Counts everything: takes a look at every row.
    package nonisolated func figures() async throws -> StoreFigures {
        try await index.read { connection in
            func count(_ table: String) throws -> Int64 {
                try connection.row("SELECT COUNT(*) AS count FROM \(table)", [])?.integer("count") ?? 0
            }
            // A sum is another type in every database.
            let bytes = try connection.row("SELECT CAST(coalesce(SUM(size), 0) AS BIGINT) AS bytes FROM blobs", [])
            return StoreFigures(
                repositories: try count("repositories"), manifests: try count("manifests"), tags: try count("tags"),
                blobs: try count("blobs"), bytes: try bytes?.integer("bytes") ?? 0,
                damaged: try count("blobs WHERE damaged > 0"), departing: try count("departed"))
        }
    }

    /// Bytes that the folder's file system still takes; nil when it does not tell.
    package nonisolated func freeBytes() async -> Int64? {
        let root = folder.root
        return await BlockingPool.shared.run {
            var status = statvfs()
            guard statvfs(root, &status) == 0 else { return nil }
            return Int64(clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).0)
        }
    }
}
