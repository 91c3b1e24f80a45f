/// How a container is attached to one network: a `--network` in its short form (`NAME`) or its long one
/// (`name=NAME,alias=A,ip=…`).
struct NetworkAttachment: Equatable {
    /// The network's name or identifier, or a mode such as `host` or `container:NAME`.
    var target: String
    var aliases: [String] = []
    var links: [String] = []
    var driverOptions: [String: String] = [:]
    var ip = ""
    var ip6 = ""
    var linkLocalIPs: [String] = []
    /// As it was given; whether it is one is seen when the request is made.
    var macAddress = ""
    var gatewayPriority: Int64 = 0

    init(target: String) { self.target = target }

    init(parsing text: String) throws(FlagReason) {
        guard Self.isLong(text) else {
            target = text
            return
        }
        target = ""
        for field in try CommaSeparated.fields(text) {
            let (name, value) = field.cut("=")
            guard let value, !name.isEmpty else { throw FlagReason("invalid field \(field)") }
            // Docker 28 compares neither keys nor values of this form by case.
            try set(name.lowercased().trimmed, value.lowercased().trimmed)
        }
        guard !target.isEmpty else { throw FlagReason("network name/id is not specified") }
    }

    /// Whether there is a `name=value` in it.
    private static func isLong(_ text: String) -> Bool {
        func isWord(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f
        }
        let bytes = Array(text.utf8)
        return bytes.indices.dropFirst().dropLast().contains {
            bytes[$0] == 0x3d && isWord(bytes[$0 - 1]) && isWord(bytes[$0 + 1])
        }
    }

    private mutating func set(_ name: String, _ value: String) throws(FlagReason) {
        switch name {
        case "name": target = value
        case "alias": aliases.append(value)
        case "ip": ip = value
        case "ip6": ip6 = value
        case "mac-address": macAddress = value
        case "link-local-ip": linkLocalIPs.append(value)
        case "driver-opt":
            guard let (key, setting) = Self.driverOption(value) else {
                throw FlagReason("invalid key value pair format in driver options")
            }
            driverOptions[key] = setting
        case "gw-priority":
            var priority: Int64 = 0
            if let reason = priority.takeDecimal(value) {
                throw FlagReason("invalid gw-priority (\(value)): \(reason)")
            }
            gatewayPriority = priority
        default: throw FlagReason("invalid field key \(name)")
        }
    }

    /// `KEY=VALUE` without white space around either; nil without a key or without `=`.
    static func driverOption(_ text: String) -> (key: String, value: String)? {
        let (key, value) = text.cut("=")
        return value.flatMap { value in key.isEmpty ? nil : (key.trimmed, value.trimmed) }
    }

    /// Whether the target is a network that somebody created, rather than one that is always there or no network at all.
    var isUserDefined: Bool {
        !["default", "bridge", "host", "none"].contains(target) && !target.hasPrefix("container:")
    }

    /// Checks what no daemon has to be asked about.
    func check() throws(CLIError) {
        guard !target.trimmed.isEmpty else { throw CLIError("no name set for network") }
        guard isUserDefined || aliases.isEmpty else {
            throw CLIError("network-scoped aliases are only supported for user-defined networks")
        }
        guard macAddress.isEmpty || HardwareAddress.isValid(macAddress.trimmed) else {
            throw CLIError("\(macAddress) is not a valid mac address")
        }
    }

    /// The members of an EndpointSettings that say something.
    var settings: [(String, JSON?)] {
        let addresses: [(String, JSON?)] = [
            ("IPv4Address", ip.isEmpty ? nil : .string(ip)), ("IPv6Address", ip6.isEmpty ? nil : .string(ip6)),
            ("LinkLocalIPs", linkLocalIPs.isEmpty ? nil : JSON(strings: linkLocalIPs)),
        ]
        let hasAddress = addresses.contains { $0.1 != nil }
        return [
            ("IPAMConfig", hasAddress ? CreateBody.object(addresses) : nil),
            ("Links", links.isEmpty ? nil : JSON(strings: links)),
            ("Aliases", aliases.isEmpty ? nil : JSON(strings: aliases)),
            ("MacAddress", macAddress.isEmpty ? nil : .string(macAddress)),
            ("DriverOpts", driverOptions.isEmpty ? nil : JSON(map: driverOptions)),
            ("GwPriority", gatewayPriority == 0 ? nil : JSON(gatewayPriority)),
        ]
    }
}

/// The values of `--network`.
struct NetworkAttachments: FlagValue {
    private(set) var values: [NetworkAttachment] = []

    static var initial: Self { Self() }
    static var kind: String { "network" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        do throws(FlagReason) { values.append(try NetworkAttachment(parsing: text)) } catch { return error.text }
        return nil
    }
}
