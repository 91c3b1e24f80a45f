/// The addresses of a new network: each gateway, range and reserved address goes to the subnet that holds it.
struct AddressPlan {
    private struct Pool {
        let subnet: String
        var range = ""
        var gateway = ""
        var reserved: [String: String] = [:]

        var json: JSON {
            CreateBody.object([
                ("Subnet", subnet.isEmpty ? nil : .string(subnet)), ("IPRange", range.isEmpty ? nil : .string(range)),
                ("Gateway", gateway.isEmpty ? nil : .string(gateway)),
                ("AuxiliaryAddresses", reserved.isEmpty ? nil : JSON(map: reserved)),
            ])
        }
    }

    private var pools: [Pool] = []

    /// - Parameter reserved: addresses that no container gets, by a name for each.
    /// - Throws: `CLIError` in Docker's words.
    init(subnets: [String], ranges: [String], gateways: [String], reserved: [String: String]) throws(CLIError) {
        guard subnets.count >= ranges.count, subnets.count >= gateways.count else {
            throw CLIError("every ip-range or gateway must have a corresponding subnet")
        }
        for subnet in subnets { try add(subnet) }
        for range in ranges { try add(range: range) }
        for gateway in gateways { try add(gateway: gateway) }
        for (name, address) in reserved.sorted(by: { $0.key < $1.key }) {
            let found = try pools(holding: address)
            guard !found.isEmpty else { throw CLIError("no matching subnet for aux-address \(address)") }
            for index in found { pools[index].reserved[name] = address }
        }
    }

    /// IPAM's Config.
    var config: JSON { .array(pools.map(\.json)) }

    private mutating func add(_ subnet: String) throws(CLIError) {
        for other in pools {
            let (holdsOther, isHeld) = (
                try Self.holds(subnet, other.subnet), try Self.holds(other.subnet, subnet)
            )
            guard !holdsOther, !isHeld else {
                throw CLIError("multiple overlapping subnet configuration is not supported")
            }
        }
        pools.append(Pool(subnet: subnet))
    }

    private mutating func add(range: String) throws(CLIError) {
        if !pools.isEmpty, IPNetwork(range) == nil { throw Self.invalid(range) }
        let found = try pools(holding: range)
        guard !found.isEmpty else { throw CLIError("no matching subnet for range \(range)") }
        for index in found {
            let pool = pools[index]
            guard pool.range.isEmpty else {
                throw CLIError(
                    "cannot configure multiple ranges (\(range), \(pool.range)) on the same subnet (\(pool.subnet))")
            }
            pools[index].range = range
        }
    }

    private mutating func add(gateway: String) throws(CLIError) {
        let found = try pools(holding: gateway)
        guard !found.isEmpty else { throw CLIError("no matching subnet for gateway \(gateway)") }
        for index in found {
            let pool = pools[index]
            guard pool.gateway.isEmpty else {
                throw CLIError(
                    "cannot configure multiple gateways (\(gateway), \(pool.gateway)) for the same subnet "
                        + "(\(pool.subnet))")
            }
            pools[index].gateway = gateway
        }
    }

    /// Which pools' subnets an address is in, or the address of a range.
    private func pools(holding text: String) throws(CLIError) -> [Int] {
        var found: [Int] = []
        for (index, pool) in pools.enumerated() where try Self.holds(pool.subnet, text) { found.append(index) }
        return found
    }

    private static func holds(_ subnet: String, _ text: String) throws(CLIError) -> Bool {
        guard let network = IPNetwork(subnet) else { throw CLIError("invalid subnet: \(invalid(subnet).message)") }
        guard text.contains("/") else { return IPAddress(text).map(network.contains) ?? false }
        guard let other = IPNetwork(text) else { throw invalid(text) }
        return network.contains(other.address)
    }

    private static func invalid(_ text: String) -> CLIError { CLIError("invalid CIDR address: \(text)") }
}
