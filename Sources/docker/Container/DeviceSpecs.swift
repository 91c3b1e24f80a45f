/// `--blkio-weight-device DEVICE:WEIGHT`, several times.
struct WeightDevices: FlagValue {
    private(set) var values: [JSON] = []

    static var initial: Self { Self() }
    static var kind: String { "list" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        let (path, weight) = text.cut(":")
        guard let weight, !path.isEmpty else { return "bad format: \(text)" }
        guard path.hasPrefix("/dev/") else { return "bad format for device path: \(text)" }
        guard let number = UInt16(weight), number == 0 || (10...1000).contains(number) else {
            return "invalid weight for device: \(text)"
        }
        values.append(["Path": .string(path), "Weight": JSON(number)])
        return nil
    }
}

/// What a device is throttled to.
protocol DeviceRate {
    /// How a number is written, for errors.
    static var format: String { get }
    static func value(of text: String) -> UInt64?
}

enum BytesPerSecond: DeviceRate {
    static let format =
        "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
    static func value(of text: String) -> UInt64? { (try? Sizes.parse(text)).flatMap { UInt64(exactly: $0) } }
}

enum OperationsPerSecond: DeviceRate {
    static let format = "<device-path>:<number>. Number must be a positive integer"
    static func value(of text: String) -> UInt64? { UInt64(text) }
}

/// `--device-read-bps DEVICE:RATE` and its like, several times.
struct ThrottledDevices<Rate: DeviceRate>: FlagValue {
    private(set) var values: [JSON] = []

    static var initial: Self { Self() }
    static var kind: String { "list" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        let (path, rate) = text.cut(":")
        guard let rate, !path.isEmpty else { return "bad format: \(text)" }
        guard path.hasPrefix("/dev/") else { return "bad format for device path: \(text)" }
        guard let number = Rate.value(of: rate) else {
            return "invalid rate for device: \(text). The correct format is \(Rate.format)"
        }
        values.append(["Path": .string(path), "Rate": JSON(number)])
        return nil
    }
}

/// `--gpus all`, `--gpus 2`, `--gpus device=0,driver=nvidia`, several times.
struct GPURequests: FlagValue {
    private(set) var values: [JSON] = []

    static var initial: Self { Self() }
    static var kind: String { "gpu-request" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        do throws(FlagReason) { values.append(try Self.request(text)) } catch { return error.text }
        return nil
    }

    private static func request(_ text: String) throws(FlagReason) -> JSON {
        var members: [String: JSON] = [:]
        var seen: Set<String> = []
        for field in try CommaSeparated.fields(text) {
            let (key, value) = field.cut("=")
            guard seen.insert(key).inserted else {
                throw FlagReason("gpu request key '\(key)' can be specified only once")
            }
            switch (key, value) {
            case (_, nil):
                seen.insert("count")
                members["Count"] = try count(key)
            case ("count", let value?): members["Count"] = try count(value)
            case ("driver", let value?): members["Driver"] = .string(value)
            case ("device", let value?): members["DeviceIDs"] = JSON(strings: list(value))
            case ("capabilities", let value?): members["Capabilities"] = [JSON(strings: list(value) + ["gpu"])]
            case ("options", let value?):
                members["Options"] = JSON(map: KeyValues.map(try CommaSeparated.fields(value)))
            default: throw FlagReason("unexpected key '\(key)' in '\(field)'")
            }
        }
        if !seen.contains("count"), members["DeviceIDs"] == nil { members["Count"] = 1 }
        return [
            "Driver": members["Driver"] ?? "", "Count": members["Count"] ?? 0,
            "DeviceIDs": members["DeviceIDs"] ?? .null, "Capabilities": members["Capabilities"] ?? [["gpu"]],
            "Options": members["Options"] ?? [:],
        ]
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    private static func count(_ text: String) throws(FlagReason) -> JSON {
        if text == "all" { return -1 }
        guard let number = Int64(text) else {
            throw FlagReason("invalid count (\(text)): value must be either \"all\" or an integer: invalid syntax")
        }
        return JSON(number)
    }
}
