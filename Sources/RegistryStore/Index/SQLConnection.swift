/// A value of a statement or of a row.
package enum SQLValue: Sendable, Hashable {
    case null
    case integer(Int64)
    case text(String)
    case bytes([UInt8])

    package static func text(_ text: String?) -> SQLValue { text.map { .text($0) } ?? .null }
}

/// A row of an answer. A column that is not there, or of another type, is a ``StoreFailure``: the index is damaged.
package struct SQLRow: Sendable, Hashable {
    /// Of all rows of the answer.
    let columns: [String]
    let values: [SQLValue]

    private func value(_ column: String) throws(StoreFailure) -> SQLValue {
        guard let place = columns.firstIndex(of: column) else { throw StoreFailure("the index gives no \(column)") }
        return values[place]
    }

    func integer(_ column: String) throws(StoreFailure) -> Int64 {
        guard case .integer(let value) = try value(column) else { throw StoreFailure("\(column) is no number") }
        return value
    }

    func text(_ column: String) throws(StoreFailure) -> String {
        guard case .text(let value) = try value(column) else { throw StoreFailure("\(column) is no text") }
        return value
    }

    func optionalInteger(_ column: String) throws(StoreFailure) -> Int64? {
        try value(column) == .null ? nil : try integer(column)
    }

    func optionalText(_ column: String) throws(StoreFailure) -> String? {
        try value(column) == .null ? nil : try text(column)
    }

    func bytes(_ column: String) throws(StoreFailure) -> [UInt8] {
        switch try value(column) {
        case .bytes(let value): return value
        // SQLite has no type for none at all.
        case .null: return []
        default: throw StoreFailure("\(column) is not bytes")
        }
    }
}

/// Which database runs the statements: they are the same where both can be written alike.
package enum SQLDialect: Sendable, Hashable { case sqlite, postgres }

/// Statements of one transaction, on one thread. `?` marks their arguments, in order.
package protocol SQLConnection {
    var dialect: SQLDialect { get }

    /// - Returns: how many rows have changed.
    /// - Throws: ``Refusal`` 507 for a full disk, else ``StoreFailure``.
    @discardableResult
    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int

    /// - Throws: ``StoreFailure``.
    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow]

    /// Runs `body` so that no statement of it stays when it throws.
    func savepoint<Value>(_ body: () throws -> Value) throws -> Value
}

extension SQLConnection {
    /// The first row.
    func row(_ sql: String, _ arguments: [SQLValue]) throws -> SQLRow? { try rows(sql, arguments).first }

    func isAny(_ sql: String, _ arguments: [SQLValue]) throws -> Bool { try !rows(sql, arguments).isEmpty }
}

/// Arguments of a statement that takes several of a kind at once.
enum SQLList {
    /// Of one statement: each number of them is a text that stays prepared.
    static let countMax = 16

    /// `(?, ?, ?)`.
    static func marks(_ count: Int) -> String {
        "(" + Array(repeating: "?", count: count).joined(separator: ", ") + ")"
    }

    /// `(?, ?), (?, ?)`: those of `rows` rows of `columns`.
    static func rows(_ rows: Int, of columns: Int) -> String {
        Array(repeating: marks(columns), count: rows).joined(separator: ", ")
    }

    /// Calls `body` with ``countMax`` of `items` at a time.
    static func parts<Item>(_ items: [Item], _ body: (ArraySlice<Item>) throws -> Void) rethrows {
        for start in stride(from: 0, to: items.count, by: countMax) {
            try body(items[start..<min(start + countMax, items.count)])
        }
    }
}

/// The database of an index.
package protocol IndexDatabase: Sendable {
    /// Runs `body` on what has been committed when it begins.
    func read<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value

    /// Runs `body` in a transaction; what it has changed is durable when this returns, and undone when it throws.
    func write<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value
}
