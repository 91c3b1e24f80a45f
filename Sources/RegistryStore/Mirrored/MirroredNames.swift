import OCI

/// The repositories of a registry that is mirrored: those below its name, but for those of registries whose names are longer.
package struct MirroredNames: Sendable, Hashable {
    package let name: String
    private let others: [String]

    /// - Parameter all: the names of all registries that are mirrored.
    package init(_ name: String, among all: some Sequence<String>) {
        self.name = name
        others = all.filter { $0.hasPrefix(name + "/") }.sorted()
    }

    /// A condition on `repositories.name`.
    var condition: (sql: String, arguments: [SQLValue]) {
        let exceptions = others.map { _ in " AND NOT (repositories.name > ? AND repositories.name < ?)" }.joined()
        return (
            "(repositories.name > ? AND repositories.name < ?\(exceptions))",
            // "/" is followed by "0": names between the two are those below.
            ([name] + others).flatMap { [.text($0 + "/"), .text($0 + "0")] }
        )
    }
}
