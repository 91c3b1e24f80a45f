/// A step of a build as its Dockerfile had it, out of what builders note of it.
package struct Instruction: Sendable, Hashable {
    /// `RUN`, `COPY`, …; empty where it is not known.
    package let keyword: String
    package let rest: String

    private static let keywords: Set<String> = [
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
        "ONBUILD",
        "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    ]
    private static let shell = "/bin/sh -c "
    /// How the builder of before BuildKit notes what runs nothing.
    private static let nothing = "#(nop) "

    package init(_ text: String) {
        var rest = Self.trimmed(text[...])
        // `|2 A=1 B=2 /bin/sh -c make`: the arguments of a build come first.
        if rest.hasPrefix("|"), let found = Self.range(of: Self.shell, in: rest) { rest = rest[found...] }
        var keyword = ""
        if rest.hasPrefix(Self.shell) {
            rest = Self.trimmed(rest.dropFirst(Self.shell.count))
            if rest.hasPrefix(Self.nothing) {
                rest = Self.trimmed(rest.dropFirst(Self.nothing.count))
            } else {
                keyword = "RUN"
            }
        }
        if rest.hasSuffix("# buildkit") { rest = Self.trimmed(rest.dropLast("# buildkit".count)) }
        let first = rest.prefix { $0 != " " }
        if keyword.isEmpty, Self.keywords.contains(String(first)) {
            keyword = String(first)
            rest = Self.trimmed(rest.dropFirst(first.count))
            if keyword == "RUN", rest.hasPrefix(Self.shell) { rest = rest.dropFirst(Self.shell.count) }
        }
        self.keyword = keyword
        self.rest = String(rest)
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\n" || $0 == "\t" }
        while let last = text.last, last == " " || last == "\n" || last == "\t" { text.removeLast() }
        return text
    }

    private static func range(of wanted: String, in text: Substring) -> Substring.Index? {
        text.utf8.firstRange(of: Array(wanted.utf8))?.lowerBound
    }
}
