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
            Self.anyOf(names.map { _ in one }[...]), names.flatMap { [.text($0), .text($0 + "/"), .text($0 + "0")] }
        )
    }

    /// As a tree of OR that is as flat as can be: a thousand levels are too many for SQLite.
    private static func anyOf(_ conditions: ArraySlice<String>) -> String {
        guard conditions.count > 1 else { return conditions.first ?? "FALSE" }
        let middle = conditions.startIndex + conditions.count / 2
        return "(\(anyOf(conditions[..<middle])) OR \(anyOf(conditions[middle...])))"
    }

    package func contains(_ name: String) -> Bool {
        switch self {
        case .all: true
        case .only(let names): names.contains { name == $0 || name.hasPrefix($0 + "/") }
        }
    }
}
