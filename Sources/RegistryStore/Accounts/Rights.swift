/// What an account may do in a repository.
package struct Rights: OptionSet, Sendable, Hashable, CustomStringConvertible {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }

    package static let pull = Rights(rawValue: 1)
    package static let push = Rights(rawValue: 2)
    package static let delete = Rights(rawValue: 4)
    package static let all: Rights = [.pull, .push, .delete]

    private static let names: [(Rights, String)] = [(.pull, "pull"), (.push, "push"), (.delete, "delete")]

    /// - Parameter text: `pull`, `push` and `delete`, joined by commas, or `all`.
    /// - Throws: ``Refusal`` for another word.
    package init(parsing text: String) throws(Refusal) {
        var result: Rights = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let right = word == "all" ? Rights.all : Self.names.first(where: { $0.1 == word })?.0 else {
                throw Refusal(
                    .unknown, 400, "unknown right \(word.prefix(30).debugDescription): want pull, push, delete or all")
            }
            result.formUnion(right)
        }
        self = result
    }

    /// Their names in a fixed order.
    package var words: [String] { Self.names.filter { contains($0.0) }.map(\.1) }
    package var description: String { words.joined(separator: ",") }
}

/// Rights in the repositories that a pattern names.
package struct Grant: Sendable, Hashable {
    /// The name of a repository, which stands for those below it, too, or `*` for all.
    package let pattern: String
    package let rights: Rights

    package static let everything = "*"

    package init(pattern: String, rights: Rights) {
        self.pattern = pattern
        self.rights = rights
    }

    /// A pattern as it is kept.
    ///
    /// - Parameter text: `*`, the name of a repository, or that with `/` or `/*` behind.
    /// - Throws: ``Refusal`` NAME_INVALID.
    package static func pattern(_ text: String) throws(Refusal) -> String {
        guard text != everything else { return text }
        var name = Substring(text)
        if name.hasSuffix("/*") { name = name.dropLast(2) } else if name.hasSuffix("/") { name = name.dropLast() }
        return try RepositoryName(String(name)).description
    }

    /// Whether `repository` is the name or lies below it.
    package static func covers(_ pattern: String, _ repository: String) -> Bool {
        pattern == everything || repository == pattern
            || repository.hasPrefix(pattern) && repository.utf8.dropFirst(pattern.utf8.count).first == UInt8(ascii: "/")
    }
}

extension [Grant] {
    /// The rights of all grants that cover a repository, together.
    package func rights(in repository: String) -> Rights {
        reduce([]) { Grant.covers($1.pattern, repository) ? $0.union($1.rights) : $0 }
    }
}
