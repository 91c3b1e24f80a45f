extension RegistryStore {
    /// Takes or keeps the right to do what one registry may do at a time, where several share an index. What it is for has to be
    /// harmless when two do it after all: clocks differ.
    ///
    /// - Returns: false while another registry has it.
    package nonisolated func lease(_ name: String, for duration: Duration) async throws -> Bool {
        // The folder's lock is a lease of everything.
        guard try await index.read({ $0.dialect == .postgres }) else { return true }
        let (holder, now) = (settings.instance, Self.now)
        let until = now + duration.components.seconds
        return try await writer.change { change in
            try change.connection.execute(
                """
                INSERT INTO leases (name, holder, until) VALUES (?, ?, ?)
                ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
                WHERE leases.holder = excluded.holder OR leases.until < ?
                """, [.text(name), .text(holder), .integer(until), .integer(now)]) > 0
        }
    }

    /// What was last kept under a name: how far long work has come.
    package nonisolated func progress(_ name: String) async throws -> String? {
        try await index.read { connection in
            try connection.row("SELECT value FROM progress WHERE name = ?", [.text(name)])?.text("value")
        }
    }

    package nonisolated func setProgress(_ name: String, _ value: String) async throws {
        try await writer.change { change in
            try change.connection.execute(
                """
                INSERT INTO progress (name, value) VALUES (?, ?)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value
                """, [.text(name), .text(value)])
        }
    }
}
