/// Which repositories somebody is told of.
package enum Visibility: Sendable, Hashable {
    case all
    /// Repositories of these names, and those below them.
    case only([String])

    /// The same, to be sought by.
    var ranges: NameRanges {
        switch self {
        case .all: .all
        case .only(let names): NameRanges(names)
        }
    }

    /// What a statement asks of the column with a repository's name, and the arguments of that.
    func condition(_ column: String) -> (sql: String, arguments: [SQLValue]) {
        self == .all ? ("TRUE", []) : ranges.condition(column)
    }

    package func contains(_ name: String) -> Bool {
        switch self {
        case .all: true
        case .only(let names): names.contains { name == $0 || name.hasPrefix($0 + "/") }
        }
    }
}
