/// One entry of a `Link` header (RFC 8288): an address, and what is there.
struct Link: Sendable, Hashable {
    let target: String
    /// What `rel` says, in lower case.
    let relations: [String]
    /// `pri` of RFC 6249: lower comes first.
    let priority: Int

    /// What the RFC lets `pri` be; who says none comes last.
    private static let priorities = 1...999_999

    /// The well formed entries of one header; the rest is passed over.
    static func parse(_ header: String) -> [Link] {
        var links: [Link] = []
        var rest = Substring(header).utf8
        while let open = rest.firstIndex(of: 0x3c), let close = rest[open...].firstIndex(of: 0x3e) {
            let target = Substring(rest[rest.index(after: open)..<close])
            rest = rest[rest.index(after: close)...]
            let end = end(of: rest)
            links.append(Link(String(target), Substring(rest[..<end])))
            rest = rest[end...]
        }
        return links
    }

    private init(_ target: String, _ parameters: Substring) {
        var (relations, priority): ([String], Int?) = ([], nil)
        for parameter in parameters.split(separator: ";") {
            let parts = parameter.split(separator: "=", maxSplits: 1).map { $0.lowercased().filter { $0 != "\"" } }
            guard parts.count == 2 else { continue }
            let words = parts[1].split(separator: " ").map(String.init)
            switch parts[0].filter({ $0 != " " }) {
            case "rel": relations = words
            case "pri": priority = words.first.flatMap { Int($0) }.flatMap { Self.priorities.contains($0) ? $0 : nil }
            default: continue
            }
        }
        (self.target, self.relations) = (target, relations)
        self.priority = priority ?? Self.priorities.upperBound
    }

    /// The comma that ends an entry's parameters: not one in quotes.
    private static func end(of parameters: Substring.UTF8View) -> Substring.UTF8View.Index {
        var isQuoted = false
        for index in parameters.indices {
            if parameters[index] == 0x22 { isQuoted.toggle() }
            if parameters[index] == 0x2c, !isQuoted { return index }
        }
        return parameters.endIndex
    }
}
