/// The values of `--filter`: `KEY=VALUE`, several times.
struct Filters: FlagValue {
    private var values: [String: Set<String>] = [:]

    static var initial: Self { Self() }
    static var kind: String { "filter" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        guard !text.isEmpty else { return nil }
        let (name, value) = text.cut("=")
        guard let value else { return "bad format of filter (expected name=value)" }
        add(name.trimmed.lowercased(), value.trimmed)
        return nil
    }

    mutating func add(_ name: String, _ value: String) { values[name, default: []].insert(value) }

    /// The same filters and one more.
    func adding(_ name: String, _ value: String) -> Filters {
        var more = self
        more.add(name, value)
        return more
    }

    /// The same filters and those that a configuration file has for every `prune`: what was typed wins over its opposite.
    func adding(defaults: [String]) -> Filters {
        let opposites = ["label": "label!", "label!": "label"]
        var all = self
        for text in defaults {
            let (name, value) = text.cut("=")
            guard let value else { continue }
            if let opposite = opposites[name], values[opposite]?.contains(value) == true { continue }
            all.add(name, value)
        }
        return all
    }

    func has(_ name: String) -> Bool { values[name] != nil }

    /// Each filter as it can be typed, in order.
    var descriptions: [String] { values.flatMap { name, all in all.map { "\(name)=\($0)" } }.sorted() }

    /// As the API takes them: `{"key":{"value":true}}`; `nil` when there are none.
    var encoded: String? {
        guard !values.isEmpty else { return nil }
        let members = values.sorted { $0.key < $1.key }.map { name, all in
            JSON.Member(name: name, value: .object(all.sorted().map { .init(name: $0, value: true) }))
        }
        return JSON.object(members).encoded()
    }
}
