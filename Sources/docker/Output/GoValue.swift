/// What Go holds a value as, where templates can tell.
indirect enum GoType: Sendable, Equatable {
    /// Nothing at all: a key that a map has not.
    case missing
    /// Whatever a decoder of JSON makes of it.
    case any
    case bool
    case int(String)
    case float
    /// By its Go name: texts of types of their own are no strings to functions.
    case string(String)
    case list(GoType)
    /// The name of the keys' type, and the elements'.
    case map(String, GoType)
    /// A structure of ``GoTypes``.
    case record(String)
    /// A structure whose fields are what it was made of.
    case open(String)
    case pointer(GoType)

    static let text = GoType.string("string")
    static let whole = GoType.int("int")

    /// Without the pointer.
    var pointed: GoType { if case .pointer(let type) = self { type } else { self } }

    var name: String {
        switch self {
        case .missing, .any: "interface {}"
        case .bool: "bool"
        case .float: "float64"
        case .int(let name), .string(let name), .record(let name), .open(let name): name
        case .list(let element): "[]" + element.name
        case .map(let key, let element): "map[\(key)]\(element.name)"
        case .pointer(let type): "*" + type.name
        }
    }
}

/// A value of a template: JSON, and the Go type that holds it.
struct GoValue: Sendable, Equatable {
    var json: JSON
    var type: GoType
    /// Held as an interface, which errors name instead of what is in it.
    var isBoxed = false

    static let missing = GoValue(.null, .missing)

    init(_ json: JSON, _ type: GoType) {
        (self.json, self.type) = (json, type)
    }

    /// What a decoder of JSON makes of a value. Numbers keep their digits as texts where `numbersAreText`.
    init(decoded json: JSON, numbersAreText: Bool) {
        switch json {
        case .null: self.init(.null, .any)
        case .bool: self.init(json, .bool)
        case .number: self.init(json, numbersAreText ? .string("json.Number") : .float)
        case .string: self.init(json, .text)
        case .array: self.init(json, .list(.any))
        case .object: self.init(json, .map("string", .any))
        }
    }

    /// A structure with the fields it is made of, as listings have it.
    init(open json: JSON, _ name: String) { self.init(json, .open(name)) }

    /// Whether it is a row of a listing, whose columns are methods and which encodes itself.
    var isRow: Bool {
        if case .open(let name) = type { name.hasPrefix("*") && name.hasSuffix("Context") } else { false }
    }

    var typeName: String { isBoxed ? "interface {}" : type.name }

    var isNil: Bool {
        switch type {
        case .missing, .any: json == .null
        case .pointer: json == .null
        default: false
        }
    }

    var isString: Bool { if case .string = type { true } else { false } }

    /// Out of the interface that holds it.
    var unboxed: GoValue {
        guard isBoxed else { return self }
        var value = self
        value.isBoxed = false
        if value.json == .null, value.type == .any { return .missing }
        return value
    }

    /// Go's truth: empty, zero, false and nil are false; a structure is true.
    var isTrue: Bool {
        switch type {
        case .missing: false
        case .any, .pointer: json != .null
        case .bool: json.bool == true
        case .int, .float: (json.double ?? 0) != 0
        case .string: !(json.string ?? Self.digits(json)).isEmpty
        case .list: !json.elements.isEmpty
        case .map: !json.members.isEmpty
        case .record, .open: true
        }
    }

    /// A number's digits; nothing for anything else.
    static func digits(_ json: JSON) -> String { if case .number(let digits) = json { digits } else { "" } }

    // MARK: Parts

    /// A part of it by the type it is declared with.
    func part(_ json: JSON, _ declared: GoType) -> GoValue {
        guard declared == .any else { return GoValue(json, declared) }
        var part = GoValue(decoded: json, numbersAreText: GoTypes.keepsDigits(self.type))
        part.isBoxed = true
        return part
    }

    var elements: [GoValue] {
        guard case .list(let element) = type.pointed else { return [] }
        return json.elements.map { part($0, element) }
    }

    /// A map's by their keys, or a structure's fields in Go's order.
    var members: [(name: String, value: GoValue)] {
        switch type.pointed {
        case .map(_, let element):
            return json.members.sorted { $0.name < $1.name }.map { ($0.name, part($0.value, element)) }
        case .record(let name):
            return (GoTypes.structures[name] ?? []).map { ($0.name, GoValue(json[$0.member] ?? .null, $0.type)) }
        case .open: return json.members.map { ($0.name, GoTypes.open($0.value, $0.name)) }
        default: return []
        }
    }

    /// A structure's field; nil where it has none of that name.
    func field(_ name: String) -> GoValue? {
        switch type.pointed {
        case .record(let record):
            return GoTypes.structures[record]?.first { $0.name == name }.map {
                GoValue(json[$0.member] ?? .null, $0.type)
            }
        case .open: return (json[name] ?? json[GoTypes.sentNames[name] ?? ""]).map { GoTypes.open($0, name) }
        default: return nil
        }
    }

    /// How a value that knows how to print itself does so.
    var ownText: String? {
        switch type.pointed {
        case .int("time.Duration"): Times.goDuration(nanoseconds: json.int ?? 0)
        case .record("time.Time"), .string("time.Time"):
            Times.goString(rfc3339: json.string ?? "0001-01-01T00:00:00Z")
        case .record("units.Ulimit"):
            "\(json.text("Name"))=\(json.int("Soft")):\(json.int("Hard"))"
        default: nil
        }
    }

    /// As Go's encoder writes it: maps in the order of their keys.
    var sorted: JSON { GoTypes.sorted(json, type) }
}
