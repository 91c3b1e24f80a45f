/// Which repositories somebody is told of.
package enum Visibility: Sendable, Hashable {
    case all
    /// Repositories of these names, and those below them.
    case only([String])

    /// What a statement asks of the column with a repository's name, and the arguments of that.
    func condition(_ column: String) -> (sql: String, arguments: [SQLValue]) {
        guard case .only(let names) = self else { return ("TRUE", []) }
        guard !names.isEmpty else { return ("FALSE", []) }
        // "0" comes after "/".
        let one = "(\(column) = ? OR (\(column) > ? AND \(column) < ?))"
        return (
            Self.anyOf(one, names.count),
            names.flatMap { [.text($0), .text($0 + "/"), .text($0 + "0")] }
        )
    }

    /// `count` times `one`, of which one holds; SQLite takes no deep expressions, which a plain chain of them is.
    private static func anyOf(_ one: String, _ count: Int) -> String {
        count == 1 ? one : "(\(anyOf(one, count / 2)) OR \(anyOf(one, count - count / 2)))"
    }

    package func contains(_ name: String) -> Bool {
        switch self {
        case .all: true
        case .only(let names): names.contains { name == $0 || name.hasPrefix($0 + "/") }
        }
    }
}
