import Netlink

/// Ports between the API's maps and the bridge's bindings.
enum PublishedPorts {
    /// Every port of `-p` and, with `-P`, every exposed one that has none.
    ///
    /// - Parameter exposed: `port/protocol`, of the request and the image.
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func requests(_ host: HostConfig, exposed: [String]?) throws -> [PortBinding] {
        var result: [PortBinding] = []
        let bindings = host.portBindings ?? [:]
        for (port, sides) in bindings.sorted(by: { $0.key < $1.key }) {
            let (number, transport) = try parse(port)
            for side in sides ?? [PortBindingRequest()] {
                result.append(try binding(side, number, transport))
            }
        }
        guard host.publishAllPorts == true else { return result }
        for port in (exposed ?? []).sorted() where bindings[port] == nil {
            let (number, transport) = try parse(port)
            result.append(PortBinding(containerPort: number, transport: transport, isAddressDefault: true))
        }
        return result
    }

    /// `80/tcp`, or `80` alone.
    static func parse(_ text: String) throws -> (UInt16, Transport) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let name = parts.count == 2 ? parts[1].lowercased() : "tcp"
        guard let transport = Transport.allCases.first(where: { $0.name == name }) else {
            throw EngineError.invalid("invalid proto: \(name.printable)")
        }
        guard let number = number(parts[0]), number > 0 else {
            throw EngineError.invalid("invalid port specification: \"\(text.printable)\"")
        }
        return (number, transport)
    }

    /// Digits alone, without the sign that Swift takes.
    private static func number(_ text: some StringProtocol) -> UInt16? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt16(text) : nil
    }

    private static func binding(
        _ side: PortBindingRequest, _ port: UInt16, _ transport: Transport
    ) throws -> PortBinding {
        let text = side.hostPort ?? ""
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { number($0) }
        guard text.isEmpty || (ends.allSatisfy { $0 != nil } && (ends[0] ?? 0) <= (ends.last ?? nil) ?? 0) else {
            throw EngineError.invalid("invalid hostPort: \(text.printable)")
        }
        let hostIP = side.hostIp ?? ""
        let own = hostIP.isEmpty ? nil : IPAddress(hostIP)
        guard hostIP.isEmpty || own != nil else {
            throw EngineError.invalid("invalid IP address: \(hostIP.printable)")
        }
        return PortBinding(
            hostAddress: own ?? .any4, hostPort: (ends[0] ?? 0), hostPortEnd: ends.count == 2 ? (ends[1] ?? 0) : 0,
            containerPort: port, transport: transport, isAddressDefault: own == nil)
    }

    static func shown(_ bindings: [PortBinding]) -> [String: [PortBindingRequest]] {
        var result: [String: [PortBindingRequest]] = [:]
        for binding in bindings {
            var side = PortBindingRequest()
            side.hostIp = "\(binding.hostAddress)"
            side.hostPort = "\(binding.hostPort)"
            result["\(binding.containerPort)/\(binding.transport.name)", default: []].append(side)
        }
        return result
    }
}
