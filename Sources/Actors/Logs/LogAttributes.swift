import FoundationEssentials
import Isolation

/// What of a container is written beside each of its lines: labels, environment and a tag.
struct LogAttributes: Sendable, Hashable {
    static let options: Set<String> = ["labels", "labels-regex", "env", "env-regex", "tag"]

    private let labels: [String]
    private let labelsPattern: String
    private let variables: [String]
    private let variablesPattern: String
    private let tag: String

    /// - Throws: ``EngineError`` `.invalidParameter` for a pattern or a tag that cannot be read.
    init(_ options: [String: String]) throws {
        func names(_ key: String) -> [String] { (options[key] ?? "").split(separator: ",").map(String.init) }
        labels = names("labels")
        variables = names("env")
        labelsPattern = options["labels-regex"] ?? ""
        variablesPattern = options["env-regex"] ?? ""
        tag = options["tag"] ?? ""
        for (key, pattern) in [("labels-regex", labelsPattern), ("env-regex", variablesPattern)] {
            do { _ = try Regex(pattern) } catch {
                throw EngineError.invalid("invalid value \"\(pattern)\" for log opt '\(key)': error parsing regexp")
            }
        }
        _ = try Self.render(tag) { _ in "" }
    }

    /// A JSON object of them; empty where there are none.
    ///
    /// - Throws: ``EngineError`` when they are longer than a line's frame may be.
    func json(_ record: ContainerRecord) throws -> String {
        var found: [String: String] = [:]
        try Self.pick(record.config.labels ?? [:], labels, labelsPattern, into: &found)
        let environment = (record.config.env ?? []).map { $0.split(separator: "=", maxSplits: 1) }
        let pairs = environment.filter { $0.count == 2 }.map { (String($0[0]), String($0[1])) }
        try Self.pick(Dictionary(pairs) { $1 }, variables, variablesPattern, into: &found)
        if !tag.isEmpty { found["tag"] = try Self.render(tag) { Self.member($0, of: record) } }
        guard !found.isEmpty else { return "" }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = try encoder.encode(found)
        guard bytes.count <= LogSpec.attributesBytesMax else {
            throw EngineError.invalid(
                "log attributes have \(bytes.count) bytes: choose fewer labels and variables, "
                    + "at most \(LogSpec.attributesBytesMax) bytes")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What `docker logs --details` shows of such an object, and a space; nil for what is none.
    static func details(_ json: [UInt8]) -> String? {
        guard let members = try? JSONDecoder().decode([String: String].self, from: Data(json)) else { return nil }
        let pairs = members.sorted { $0.key < $1.key }.map { "\(escaped($0.key))=\(escaped($0.value))" }
        return pairs.joined(separator: ",") + " "
    }

    /// As Go's QueryEscape.
    private static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                bytes.append(byte)
            case UInt8(ascii: " "): bytes.append(UInt8(ascii: "+"))
            default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func pick(
        _ all: [String: String], _ names: [String], _ pattern: String, into found: inout [String: String]
    ) throws {
        for name in names { if let value = all[name] { found[name] = value } }
        guard !pattern.isEmpty else { return }
        let regex = try Regex(pattern)
        for (name, value) in all where name.contains(regex) { found[name] = value }
    }

    // MARK: Tags

    private static let members: Set<String> = [
        "ID", "FullID", "Name", "FullName", "ImageID", "ImageFullID", "ImageName", "DaemonName",
    ]

    private static func member(_ name: String, of record: ContainerRecord) -> String {
        let image = String(describing: record.imageID)
        return switch name {
        case "ID": String(record.id.prefix(12))
        case "FullID": record.id
        case "Name": record.name
        case "FullName": "/\(record.name)"
        case "ImageID": String((image.split(separator: ":").last ?? "").prefix(12))
        case "ImageFullID": image
        case "ImageName": record.imageName
        default: "docker"
        }
    }

    /// Replaces `{{.Member}}`.
    private static func render(_ template: String, _ value: (String) -> String) throws -> String {
        var result = ""
        var rest = Substring(template)
        while let open = rest.firstRange(of: "{{") {
            result += rest[..<open.lowerBound]
            rest = rest[open.upperBound...]
            guard let close = rest.firstRange(of: "}}") else {
                throw EngineError.invalid("invalid log opt 'tag': \"\(template)\": unclosed action")
            }
            let action = rest[..<close.lowerBound].filter { $0 != " " }
            guard action.hasPrefix("."), members.contains(String(action.dropFirst())) else {
                throw EngineError.invalid(
                    "invalid log opt 'tag': \"\(template)\": use {{.ID}}, {{.FullID}}, {{.Name}}, {{.ImageID}}, "
                        + "{{.ImageFullID}}, {{.ImageName}} or {{.DaemonName}}")
            }
            result += value(String(action.dropFirst()))
            rest = rest[close.upperBound...]
        }
        return result + rest
    }
}
