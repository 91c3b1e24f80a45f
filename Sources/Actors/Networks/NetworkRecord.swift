package import Netlink

/// Everything durable about one network; one row of the table `networks`.
package struct NetworkRecord: Sendable, Hashable, Codable {
    /// 64 lower-case hex digits.
    package var id: String
    package var name: String
    /// RFC 3339 with nanoseconds, UTC.
    package var created: String
    /// `bridge`, `macvlan`, `host` or `null`.
    package var driver: String
    package var enableIPv4: Bool
    package var enableIPv6: Bool
    package var isInternal: Bool
    package var isAttachable: Bool
    package var options: [String: String]
    package var labels: [String: String]
    package var ipam: IPAM
    /// Only lends its settings to others (`--config-only`).
    package var isConfigOnly: Bool
    /// The network whose settings this one took; empty for its own.
    package var configFrom: String
    /// How the kernel has it; nil where there is nothing to have: `host`, `none` and configurations.
    package var plan: NetworkPlan?
    /// True where the user gave a subnet: then addresses may be asked for.
    package var hasConfiguredSubnet: Bool

    /// `IPAM` of the API.
    package struct IPAM: Sendable, Hashable, Codable {
        package var driver: String?
        package var options: [String: String]?
        package var config: [Pool]?

        enum CodingKeys: String, CodingKey {
            case driver = "Driver"
            case options = "Options"
            case config = "Config"
        }

        package init(driver: String? = "default", options: [String: String]? = nil, config: [Pool]? = nil) {
            self.driver = driver
            self.options = options
            self.config = config
        }
    }

    /// One subnet of `IPAM.Config`, as text.
    package struct Pool: Sendable, Hashable, Codable {
        package var subnet: String?
        package var ipRange: String?
        package var gateway: String?
        package var auxiliary: [String: String]?

        enum CodingKeys: String, CodingKey {
            case subnet = "Subnet"
            case ipRange = "IPRange"
            case gateway = "Gateway"
            case auxiliary = "AuxiliaryAddresses"
        }

        package init(_ plan: AddressPlan) {
            subnet = "\(plan.subnet)"
            ipRange = plan.range.map { "\($0)" }
            gateway = plan.gateway.map { "\($0)" }
            auxiliary = plan.auxiliary.isEmpty ? nil : plan.auxiliary.mapValues { "\($0)" }
        }
    }

    /// The networks every engine has; they cannot be made, changed or removed.
    package static let predefined: Set<String> = ["bridge", "host", "none"]

    package var isPredefined: Bool { Self.predefined.contains(name) }

    /// True for Docker's default bridge, whose containers find each other by links only.
    package var isDefaultBridge: Bool { name == "bridge" }

    /// One of those that need no mechanism.
    init(predefined name: String, id: String, created: String) {
        self.id = id
        self.name = name
        self.created = created
        driver = name == "none" ? "null" : name
        enableIPv4 = true
        enableIPv6 = false
        isInternal = false
        isAttachable = false
        options = [:]
        labels = [:]
        ipam = IPAM()
        isConfigOnly = false
        configFrom = ""
        hasConfiguredSubnet = false
    }

    /// Takes over what was chosen for it.
    mutating func take(_ plan: NetworkPlan) {
        self.plan = plan
        ipam.config = [plan.ipv4, plan.ipv6].compactMap { $0.map(Pool.init) }
    }
}

/// What `POST /networks/create` asks for.
package struct NetworkCreateRequest: Sendable, Decodable {
    package var name: String?
    package var driver: String?
    package var scope: String?
    package var enableIPv4: Bool?
    package var enableIPv6: Bool?
    package var ipam: NetworkRecord.IPAM?
    package var isInternal: Bool?
    package var isAttachable: Bool?
    package var isIngress: Bool?
    package var isConfigOnly: Bool?
    package var configFrom: ConfigFrom?
    package var options: [String: String]?
    package var labels: [String: String]?

    package struct ConfigFrom: Sendable, Hashable, Decodable {
        package var network: String?
        enum CodingKeys: String, CodingKey { case network = "Network" }
    }

    enum CodingKeys: String, CodingKey {
        case name = "Name"
        case driver = "Driver"
        case scope = "Scope"
        case enableIPv4 = "EnableIPv4"
        case enableIPv6 = "EnableIPv6"
        case ipam = "IPAM"
        case isInternal = "Internal"
        case isAttachable = "Attachable"
        case isIngress = "Ingress"
        case isConfigOnly = "ConfigOnly"
        case configFrom = "ConfigFrom"
        case options = "Options"
        case labels = "Labels"
    }
}
