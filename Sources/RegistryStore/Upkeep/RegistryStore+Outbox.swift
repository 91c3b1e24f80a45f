/// An event that a hook has not taken yet.
package struct OutboxEntry: Sendable, Hashable {
    package let id: Int64
    /// ``RegistryEvent`` as JSON.
    package let event: String
    /// How often the hook has refused it.
    package let refusals: Int64
}

/// What there is to tell a hook, and what has become of the rest.
package struct HookStatus: Sendable, Hashable, Codable {
    package let name: String
    /// Events that wait.
    package let waiting: Int64
    /// Events that were refused too often: they wait for ``RegistryStore/redeliver(to:)``.
    package let parked: Int64
    /// When the oldest of those that wait came to be; seconds since 1970.
    package let oldest: Int64?
    package let delivered: Int64
    /// Events that are lost, since too many waited.
    package let dropped: Int64
}

extension RegistryStore {
    /// Rows of one transaction: pushes go on in between.
    private static let droppedAtOnce: Int64 = 1000

    /// The oldest events that wait for a hook, in their order.
    package nonisolated func outbox(of hook: String, countMax: Int) async throws -> [OutboxEntry] {
        try await index.read { connection in
            try connection.rows(
                "SELECT id, event, refusals FROM outbox WHERE hook = ? AND parked = 0 ORDER BY id LIMIT ?",
                [.text(hook), .integer(Int64(countMax))]
            ).map { row in
                OutboxEntry(
                    id: try row.integer("id"), event: try row.text("event"), refusals: try row.integer("refusals"))
            }
        }
    }

    /// Forgets events that a hook has taken.
    package nonisolated func delivered(_ entries: [OutboxEntry], to hook: String) async throws {
        try await writer.change { change in
            for entry in entries {
                try change.connection.execute("DELETE FROM outbox WHERE id = ?", [.integer(entry.id)])
            }
            try change.count(hook, delivered: entries.count, dropped: 0)
        }
    }

    /// Counts that a hook has refused an event.
    ///
    /// - Parameter parks: whether it is set aside, so that others come after it.
    package nonisolated func refused(_ entry: OutboxEntry, parks: Bool) async throws {
        try await writer.change { change in
            try change.connection.execute(
                "UPDATE outbox SET refusals = refusals + 1, parked = ? WHERE id = ?",
                [.integer(parks ? 1 : 0), .integer(entry.id)])
        }
    }

    /// Lets events that were set aside wait again.
    ///
    /// - Returns: how many.
    package nonisolated func redeliver(to hook: String) async throws -> Int {
        try await writer.change { change in
            try change.connection.execute(
                "UPDATE outbox SET refusals = 0, parked = 0 WHERE hook = ? AND parked = 1", [.text(hook)])
        }
    }

    /// Drops the oldest events of a hook beyond `countMax`, of those that wait and of those set aside each.
    ///
    /// - Returns: how many were dropped.
    package nonisolated func trimOutbox(of hook: String, countMax: Int) async throws -> Int {
        var total = 0
        for parked: Int64 in [0, 1] {
            let newest = try await index.read { connection in
                try connection.row(
                    "SELECT id FROM outbox WHERE hook = ? AND parked = ? ORDER BY id DESC LIMIT 1 OFFSET ?",
                    [.text(hook), .integer(parked), .integer(Int64(countMax))]
                )?.integer("id")
            }
            guard let newest else { continue }
            while true {
                let count = try await writer.change { change in
                    let count = try change.connection.execute(
                        """
                        DELETE FROM outbox WHERE id IN
                        (SELECT id FROM outbox WHERE hook = ? AND parked = ? AND id <= ? ORDER BY id LIMIT ?)
                        """, [.text(hook), .integer(parked), .integer(newest), .integer(Self.droppedAtOnce)])
                    try change.count(hook, delivered: 0, dropped: count)
                    return count
                }
                guard count > 0 else { break }
                total += count
            }
        }
        return total
    }

    /// Forgets what waits for hooks that are none any more.
    package nonisolated func keepHooks(_ names: [String]) async throws {
        let found = try await index.read { connection in
            try connection.rows("SELECT DISTINCT hook AS name FROM outbox UNION SELECT name FROM hooks", [])
                .map { try $0.text("name") }
        }
        for gone in found where !names.contains(gone) {
            _ = try await trimOutbox(of: gone, countMax: 0)
            try await writer.change { change in
                try change.connection.execute("DELETE FROM hooks WHERE name = ?", [.text(gone)])
            }
        }
    }

    package nonisolated func hookStatus(_ name: String) async throws -> HookStatus {
        try await index.read { connection in
            let waiting = try connection.row(
                "SELECT COUNT(*) AS count, MIN(created) AS oldest FROM outbox WHERE hook = ? AND parked = 0",
                [.text(name)])
            let parked = try connection.row(
                "SELECT COUNT(*) AS count FROM outbox WHERE hook = ? AND parked = 1", [.text(name)])
            let counts = try connection.row("SELECT delivered, dropped FROM hooks WHERE name = ?", [.text(name)])
            return HookStatus(
                name: name, waiting: try waiting?.integer("count") ?? 0, parked: try parked?.integer("count") ?? 0,
                oldest: try waiting?.optionalInteger("oldest"), delivered: try counts?.integer("delivered") ?? 0,
                dropped: try counts?.integer("dropped") ?? 0)
        }
    }
}

extension Change {
    fileprivate func count(_ hook: String, delivered: Int, dropped: Int) throws {
        guard delivered > 0 || dropped > 0 else { return }
        try connection.execute(
            """
            INSERT INTO hooks (name, delivered, dropped) VALUES (?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET delivered = hooks.delivered + excluded.delivered,
            dropped = hooks.dropped + excluded.dropped
            """, [.text(hook), .integer(Int64(delivered)), .integer(Int64(dropped))])
    }
}
