import Synchronization
import Kernel

/// Moves the embedded index into PostgreSQL while it is used.
///
/// All rows are copied page by page, and what changes meanwhile is written down by triggers and copied after them, until little
/// is left. That is done while nobody else writes; then the copy is declared whole, the folder is told, and the next
/// statement goes to the new database. Until the folder is told, the old index is the one in charge, whatever ends the
/// move; the unfinished copy says of itself that it is one, and no registry takes it for an index.
package struct DatabaseMove: Sendable {
    /// What has been copied so far.
    package struct Progress: Codable, Sendable, Hashable {
        package let table: String
        package let rows: Int
    }

    /// Rounds of changes that are copied beside everything else; a registry that changes faster waits for the last one.
    private static let roundsMax = 1000
    /// Changes that may be left for the time in which nobody writes.
    private static let leftMax = 50

    let source: MovableIndex
    let target: PostgresIndex
    let folder: StoreFolder
    /// The server and the database, for people.
    let place: String
    let progress: @Sendable (Progress) -> Void

    func run(storage: String) async throws {
        try await BlockingPool.shared.run { () throws in try target.prepareMove(storage: storage) }
        let log = MoveLog(tables: try await tables())
        try await source.write { try log.begin($0) }
        do {
            for table in log.tables { try await copy(table) }
            try await copyChanges(log)
            try await finish(log)
        } catch {
            // What cannot be removed now is removed by the next move, and does no harm until then.
            try? await source.write { try MoveLog.end($0) }
            throw error
        }
    }

    private func tables() async throws -> [MovedTable] {
        // Two databases: the description of one is taken to the other.
        let (source, target) = (source, target)
        return try await source.read { old in
            try target.writeNow { try MovedTable.all($0, old) }
        }
    }

    private func copy(_ table: MovedTable) async throws {
        var (last, count) = ([SQLValue](), 0)
        while true {
            try Task.checkCancellation()
            let rows = try await source.read { [last] in try table.page(after: last, $0) }
            guard let final = rows.last else { break }
            try await target.write { try table.put(rows, $0) }
            last = table.key(of: final)
            count += rows.count
            progress(Progress(table: table.name, rows: count))
        }
    }

    private func copyChanges(_ log: MoveLog) async throws {
        var (count, rounds) = (0, 0)
        while true {
            try Task.checkCancellation()
            let changes = try await source.write { try log.take($0) }
            try await target.write { try MoveLog.apply(changes, to: $0) }
            count += changes.count
            rounds += 1
            progress(Progress(table: "changes", rows: count))
            if changes.count <= Self.leftMax || rounds == Self.roundsMax { return }
        }
    }

    /// The last changes and the move itself, in a transaction of the old index that keeps others from writing.
    private func finish(_ log: MoveLog) async throws {
        let (target, folder, place) = (target, folder, place)
        try await source.move { old in
            while case let changes = try log.take(old), !changes.isEmpty {
                try target.writeNow { try MoveLog.apply(changes, to: $0) }
            }
            try target.writeNow { connection in
                for table in log.tables { try table.settleIdentity(connection) }
            }
            try MoveLog.end(old)
            // From here on the new index is the one, whatever happens: what is written to the old one would be lost.
            try folder.noteMove(to: place)
            // Until this others do not take it for an index. If it fails, the next start of this registry does it.
            try? target.writeNow { try PostgresIndex.endMove($0) }
            return target
        }
    }
}

extension RegistryStore {
    /// Moves the index into PostgreSQL; what is answered from then on is there.
    ///
    /// - Throws: ``Refusal`` 409 when it is in a database already, or while it is moved; the index then is the one of before.
    package nonisolated func moveIndex(
        to database: PostgresSettings, progress: @escaping @Sendable (DatabaseMove.Progress) -> Void
    ) async throws {
        let isFirst = isMoving.withLock { isMoving in
            defer { isMoving = true }
            return !isMoving
        }
        guard isFirst else { throw Refusal(.unsupported, 409, "the index is in a database, or on its way to one") }
        guard !areBlobsMoving.withLock({ $0 }) else {
            isMoving.withLock { $0 = false }
            throw Refusal(
                .unsupported, 409, "the blobs are on their way to a bucket: move the index when they are there")
        }
        // Others may change the index as soon as it has moved.
        cache.close()
        let move = DatabaseMove(
            source: index, target: PostgresIndex(database), folder: folder, place: database.place, progress: progress)
        do { try await move.run(storage: try await storageName()) } catch {
            cache.open()
            isMoving.withLock { $0 = false }
            throw error
        }
    }
}
