/// Why a flag cannot take a text, in Docker's words.
struct FlagReason: Error, Equatable {
    let text: String
    init(_ text: String) { self.text = text }
}

/// What every occurrence of a list's flag must be.
protocol ListRule {
    /// The value that is kept of a text.
    static func value(of text: String) throws(FlagReason) -> String
}

/// The values of a flag that may be given several times and whose every occurrence is checked when it is read.
struct CheckedList<Rule: ListRule>: FlagValue {
    private(set) var values: [String] = []

    static var initial: Self { Self() }
    static var kind: String { "list" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        do throws(FlagReason) { values.append(try Rule.value(of: text)) } catch { return error.text }
        return nil
    }
}

/// A flag whose text is a line of comma-separated values, and which may be given several times (pflag's `strings`).
struct CommaList: FlagValue {
    private(set) var values: [String] = []

    static var initial: Self { Self() }
    static var kind: String { "strings" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        guard !text.isEmpty else { return nil }
        do throws(FlagReason) { values += try CommaSeparated.fields(text) } catch { return error.text }
        return nil
    }
}

/// `KEY=VALUE`, several times; the last of a key wins, and a bare `KEY` has an empty value.
struct KeyValueMap: FlagValue {
    private(set) var values: [String: String] = [:]

    static var initial: Self { Self() }
    static var kind: String { "map" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        let (key, value) = text.cut("=")
        values[key] = value ?? ""
        return nil
    }
}

/// A switch that also says whether it was given at all.
struct Choice: FlagValue {
    private(set) var value: Bool?

    static var initial: Self { Self() }
    static var kind: String { "" }
    static var isSwitch: Bool { true }
    mutating func take(_ text: String) -> String? {
        guard let choice = Bool(goText: text) else {
            return "strconv.ParseBool: parsing \(text.goQuoted): invalid syntax"
        }
        value = choice
        return nil
    }
}

/// Labels: a name without white space, and what it says.
enum LabelRule: ListRule {
    static func value(of text: String) throws(FlagReason) -> String {
        let key = text.cut("=").0.drop { $0 == " " || $0 == "\t" }
        guard !key.isEmpty else { throw FlagReason("invalid label '\(text)': empty name") }
        guard !key.contains(where: { $0 == " " || $0 == "\t" }) else {
            throw FlagReason("label '\(key)' contains whitespaces")
        }
        return text
    }
}
