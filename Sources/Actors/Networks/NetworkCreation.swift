import Netlink

/// A checked request for a network: its record without what the kernel side chooses, and what that is asked for.
struct NetworkCreation {
    /// Longest name, in bytes: it becomes a DNS label and a column of a list.
    private static let nameBytesMax = 128
    /// The most labels, options and subnets one network carries.
    private static let entriesMax = 1024

    var record: NetworkRecord
    /// nil for a configuration that only lends its settings.
    var request: NetworkRequest?

    /// - Parameters:
    ///   - template: the network of `--config-from`.
    ///   - bindAddress: where ports are published when nobody says (`--ip` of the daemon).
    /// - Throws: ``EngineError`` in Docker's words.
    init(
        _ asked: NetworkCreateRequest, id: String, created: String, template: NetworkRecord?, mtu: UInt32,
        bindAddress: IPAddress
    ) throws {
        let name = asked.name ?? ""
        try Self.checkName(name)
        try Self.checkUnsupported(asked)
        let driver = asked.driver.flatMap { $0.isEmpty ? nil : $0 } ?? "bridge"
        record = NetworkRecord(predefined: name, id: id, created: created)
        record.driver = driver
        record.isInternal = asked.isInternal ?? false
        record.isAttachable = asked.isAttachable ?? false
        record.isConfigOnly = asked.isConfigOnly ?? false
        record.labels = asked.labels ?? [:]
        if let template {
            try Self.checkTaken(asked, template)
            record.configFrom = template.name
            record.options = template.options
            record.ipam = template.ipam
            record.enableIPv4 = template.enableIPv4
            record.enableIPv6 = template.enableIPv6
            record.labels = template.labels.merging(record.labels) { $1 }
        } else {
            record.options = asked.options ?? [:]
            record.ipam = NetworkRecord.IPAM(
                driver: asked.ipam?.driver.flatMap { $0.isEmpty ? nil : $0 } ?? "default",
                options: asked.ipam?.options, config: asked.ipam?.config)
            record.enableIPv4 = asked.enableIPv4 ?? true
            record.enableIPv6 = asked.enableIPv6 ?? false
        }
        guard record.options.count <= Self.entriesMax, record.labels.count <= Self.entriesMax else {
            throw EngineError.invalid("network \(name) has more than \(Self.entriesMax) options or labels")
        }
        let pools = try Pools(record)
        record.hasConfiguredSubnet = pools.ipv4 != nil || pools.ipv6 != nil
        guard !record.isConfigOnly else {
            record.driver = "null"
            return
        }
        let options = try NetworkOptions(record.options, driver: driver)
        let plan = NetworkPlan(
            id: id, name: name, driver: options.driver(isInternal: record.isInternal),
            interface: options.bridgeName ?? "", isInternal: record.isInternal, icc: options.icc,
            masquerade4: options.masquerade, masquerade6: options.masquerade, mtu: options.mtu ?? mtu,
            hostBinding4: options.hostBinding ?? bindAddress, inhibitGateway4: options.inhibitGateway,
            containerPrefix: options.containerPrefix ?? "eth")
        request = NetworkRequest(
            plan, ipv4: record.enableIPv4 ? pools.ipv4.map { .explicit($0) } ?? .automatic : .none,
            ipv6: record.enableIPv6 ? pools.ipv6.map { .explicit($0) } ?? .automatic : .none)
    }

    // MARK: Checks

    private static func checkName(_ name: String) throws {
        guard !name.isEmpty else { throw EngineError.invalid("invalid network name: name is empty") }
        guard !NetworkRecord.predefined.contains(name), name != "default" else {
            throw EngineError(.forbidden, "operation is not permitted on predefined \(name) network")
        }
        let bytes = name.utf8
        guard bytes.count <= nameBytesMax else {
            throw EngineError.invalid("invalid network name: it has more than \(nameBytesMax) bytes")
        }
        func isPlain(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
        guard bytes.allSatisfy(isPlain), let first = bytes.first, ![0x2D, 0x2E].contains(first) else {
            throw EngineError.invalid(
                "invalid network name \"\(name.printable)\": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        }
    }

    private static func checkUnsupported(_ asked: NetworkCreateRequest) throws {
        if asked.isIngress == true || asked.scope == "swarm" {
            throw EngineError(
                .unavailable,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect "
                    + "this node to swarm and try again.")
        }
        if let scope = asked.scope, !["", "local"].contains(scope) {
            throw EngineError.invalid("invalid network scope \"\(scope.printable)\": must be local")
        }
        let ipam = asked.ipam?.driver ?? ""
        guard ["", "default", "null"].contains(ipam) else {
            throw EngineError.invalid("IPAM driver \(ipam.printable) not found: plugin \"\(ipam.printable)\" not found")
        }
        guard (asked.ipam?.options ?? [:]).isEmpty else {
            throw EngineError.invalid("IPAM options are not supported: leave out --ipam-opt")
        }
        if asked.enableIPv4 == false, asked.enableIPv6 != true, asked.isConfigOnly != true {
            throw EngineError.invalid("IPv4 or IPv6 must be enabled")
        }
    }

    /// A network that takes the settings of another has none of its own.
    private static func checkTaken(_ asked: NetworkCreateRequest, _ template: NetworkRecord) throws {
        guard template.isConfigOnly else {
            throw EngineError.invalid("\(template.name) is not a configuration network")
        }
        let hasOwn =
            !(asked.ipam?.config ?? []).isEmpty || !(asked.options ?? [:]).isEmpty || asked.enableIPv6 == true
            || asked.isConfigOnly == true
        guard !hasOwn else {
            throw EngineError.invalid(
                "user-specified configurations are not supported if the network depends on a "
                    + "configuration network")
        }
    }

    /// The subnets of a request, one a family.
    private struct Pools {
        var ipv4: AddressPlan?
        var ipv6: AddressPlan?

        init(_ record: NetworkRecord) throws {
            for pool in record.ipam.config ?? [] {
                guard let plan = try Self.plan(pool) else { continue }
                let isFirst = plan.subnet.base.family == .v4 ? ipv4 == nil : ipv6 == nil
                guard isFirst else {
                    throw EngineError.invalid(
                        "\(record.driver) driver doesn't support multiple subnets: "
                            + "give network \(record.name) one subnet of each address family")
                }
                if plan.subnet.base.family == .v4 { ipv4 = plan } else { ipv6 = plan }
            }
            if ipv4 != nil, !record.enableIPv4 {
                throw EngineError.invalid("IPv4 subnet given for network \(record.name), which has IPv4 disabled")
            }
            if ipv6 != nil, !record.enableIPv6 {
                throw EngineError.invalid(
                    "IPv6 subnet given for network \(record.name), which has IPv6 disabled: enable it with --ipv6")
            }
        }

        private static func plan(_ pool: NetworkRecord.Pool) throws -> AddressPlan? {
            let auxiliary = pool.auxiliary ?? [:]
            guard let text = pool.subnet, !text.isEmpty else {
                guard (pool.gateway ?? "").isEmpty, (pool.ipRange ?? "").isEmpty, auxiliary.isEmpty else {
                    throw EngineError.invalid(
                        "invalid network config: a gateway, range or auxiliary address needs a subnet")
                }
                return nil
            }
            guard let subnet = IPSubnet(text) else { throw invalid("subnet", text) }
            var plan = AddressPlan(subnet: subnet)
            if let text = pool.gateway, !text.isEmpty { plan.gateway = try address(text, "gateway") }
            if let text = pool.ipRange, !text.isEmpty {
                guard let range = IPSubnet(text) else { throw invalid("ip-range", text) }
                plan.range = range
            }
            guard auxiliary.count <= entriesMax else {
                throw EngineError.invalid("subnet \(subnet) has more than \(entriesMax) auxiliary addresses")
            }
            plan.auxiliary = try auxiliary.mapValues { try address($0, "auxiliary address") }
            return plan
        }

        private static func address(_ text: String, _ what: String) throws -> IPAddress {
            guard let address = IPAddress(text) else { throw invalid(what, text) }
            return address
        }

        private static func invalid(_ what: String, _ text: String) -> EngineError {
            EngineError.invalid(
                "invalid network config: invalid \(what) \(text.printable): invalid CIDR block or address")
        }
    }
}

/// Driver options of a network, by Docker's labels. Those that would change nothing here are refused.
struct NetworkOptions {
    private(set) var bridgeName: String?
    private(set) var icc = true
    private(set) var masquerade = true
    private(set) var hostBinding: IPAddress?
    private(set) var inhibitGateway = false
    private(set) var mtu: UInt32?
    private(set) var containerPrefix: String?
    private var parent = ""
    private var macvlanMode = MacvlanMode.bridge
    private let name: String

    init(_ options: [String: String], driver: String) throws {
        name = driver
        guard ["bridge", "macvlan"].contains(driver) else {
            let why =
                ["host", "null"].contains(driver)
                ? "only one instance of \"\(driver)\" network is allowed"
                : "could not resolve driver \(driver.printable) in v1 plugin registry: plugin \"\(driver.printable)\" not found"
            throw EngineError(["host", "null"].contains(driver) ? .forbidden : .notFound, why)
        }
        for (key, value) in options.sorted(by: { $0.key < $1.key }) {
            let isKnown = try driver == "bridge" ? bridge(key, value) : macvlan(key, value)
            guard try isKnown || shared(key, value) || !key.hasPrefix("com.docker.network.") else {
                throw EngineError.invalid(
                    "invalid option \(key.printable) of driver \(driver): this engine does not have it")
            }
        }
    }

    func driver(isInternal: Bool) -> NetworkPlan.Driver {
        name == "macvlan" ? .macvlan(parent: isInternal ? "" : parent, mode: macvlanMode) : .bridge
    }

    private mutating func shared(_ key: String, _ value: String) throws -> Bool {
        switch key {
        case "com.docker.network.driver.mtu":
            guard let number = UInt32(value), number == 0 || (68...65535).contains(number) else {
                throw Self.invalid(key, value)
            }
            mtu = number
        case "com.docker.network.container_iface_prefix":
            guard (1...11).contains(value.utf8.count), value.utf8.allSatisfy({ (0x61...0x7A).contains($0) }) else {
                throw Self.invalid(key, value)
            }
            containerPrefix = value
        default: return false
        }
        return true
    }

    private mutating func bridge(_ key: String, _ value: String) throws -> Bool {
        switch key {
        case "com.docker.network.bridge.name": bridgeName = value.isEmpty ? nil : value
        case "com.docker.network.bridge.enable_icc": icc = try Self.truth(key, value)
        case "com.docker.network.bridge.enable_ip_masquerade": masquerade = try Self.truth(key, value)
        case "com.docker.network.bridge.inhibit_ipv4": inhibitGateway = try Self.truth(key, value)
        case "com.docker.network.bridge.host_binding_ipv4":
            guard let address = IPAddress(value), address.family == .v4 else { throw Self.invalid(key, value) }
            hostBinding = address
        case "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6",
            "com.docker.network.bridge.default_bridge":
            _ = try Self.truth(key, value)
        default: return false
        }
        return true
    }

    private mutating func macvlan(_ key: String, _ value: String) throws -> Bool {
        switch key {
        case "parent": parent = value
        case "macvlan_mode", "mode":
            guard let mode = MacvlanMode(value) else { throw Self.invalid(key, value) }
            macvlanMode = mode
        default: return false
        }
        return true
    }

    /// As Go reads a truth.
    private static func truth(_ key: String, _ value: String) throws -> Bool {
        switch value {
        case "1", "t", "T", "true", "TRUE", "True", "": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: throw invalid(key, value)
        }
    }

    private static func invalid(_ key: String, _ value: String) -> EngineError {
        EngineError.invalid("invalid value \"\(value.printable)\" of network option \(key)")
    }
}
