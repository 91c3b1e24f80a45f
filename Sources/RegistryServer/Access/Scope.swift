import RegistryStore

/// What a token is asked or given for (Docker token authentication, "Requesting a token"): `repository:NAME:pull,push`, or
/// `registry:catalog:*`.
struct Scope: Sendable, Hashable, Codable {
    let type: String
    let name: String
    let actions: [String]

    /// nil for what is no scope. A name may have colons: it is between the first and the last.
    init?(parsing text: String) {
        guard let first = text.firstIndex(of: ":"), let last = text.lastIndex(of: ":"), first < last else { return nil }
        // A class of a resource, `repository(plugin)`, changes nothing of what it is.
        type = String(text[..<first].prefix { $0 != "(" })
        name = String(text[text.index(after: first)..<last])
        actions = text[text.index(after: last)...].split(separator: ",").map(String.init)
    }

    init(type: String, name: String, actions: [String]) {
        self.type = type
        self.name = name
        self.actions = actions
    }

    private enum Member: String, CodingKey { case type, name, actions }

    init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: Member.self)
        type = try members.decode(String.self, forKey: .type)
        name = try members.decode(String.self, forKey: .name)
        // Services write none at all as null.
        actions = try members.decodeIfPresent([String].self, forKey: .actions) ?? []
    }

    static let catalog = Scope(type: "registry", name: "catalog", actions: ["*"])

    static func repository(_ name: String, _ rights: Rights) -> Scope {
        Scope(type: "repository", name: name, actions: rights.words)
    }

    /// Rights that its actions name; `*` is all.
    var rights: Rights {
        actions.reduce([]) { sum, action in
            action == "*" ? .all : (try? Rights(parsing: action)).map { sum.union($0) } ?? sum
        }
    }

    var text: String { "\(type):\(name):\(actions.joined(separator: ","))" }
}
