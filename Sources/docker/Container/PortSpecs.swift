/// `-p` and `--expose`.
struct PortSpecs {
    /// ExposedPorts, `nil` when none.
    private(set) var exposed: JSON?
    /// PortBindings.
    private(set) var bindings: JSON

    init(publish: [String], expose: [String]) throws(CLIError) {
        var ports: [String: [JSON]] = [:]
        for spec in try publish.map(Self.shortForm) { try Self.add(spec, &ports) }
        var names = Set(ports.keys)
        for spec in expose {
            guard !spec.contains(":") else { throw CLIError("invalid port format for --expose: \(spec)") }
            let (range, proto) = Self.splitProtocol(spec)
            do throws(FlagReason) {
                for number in try PortRange(range).numbers { names.insert("\(number)/\(proto)") }
            } catch {
                throw CLIError("invalid range format for --expose: \(spec), error: \(error.text)")
            }
        }
        bindings = .object(ports.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .array($0.value)) })
        exposed = names.isEmpty ? nil : .object(names.sorted().map { .init(name: $0, value: .object([])) })
    }

    /// `published=8080,target=80,protocol=tcp` as `8080:80/tcp`. As in Docker, other fields say nothing here.
    private static func shortForm(_ spec: String) throws(CLIError) -> String {
        guard spec.contains("=") else { return spec }
        var fields = ["protocol": "tcp"]
        for field in spec.split(separator: ",", omittingEmptySubsequences: false) {
            let (name, value) = field.cut("=")
            guard let value, !name.isEmpty else {
                throw CLIError("invalid publish opts format (should be name=value but got '\(field)')")
            }
            fields[name] = value
        }
        return "\(fields["published"] ?? ""):\(fields["target"] ?? "")/\(fields["protocol"] ?? "")"
    }

    /// Port or range, and protocol, of `80/udp`; tcp when none is named.
    private static func splitProtocol(_ text: String) -> (String, String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let proto = parts.count > 1 ? parts[1] : ""
        return (parts.first ?? "", proto.isEmpty ? "tcp" : proto)
    }

    /// `[[IP:][HOST]:]CONTAINER[/PROTO]`, ranges allowed.
    private static func add(_ spec: String, _ ports: inout [String: [JSON]]) throws(CLIError) {
        let parts = spec.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let (inside, proto) = splitProtocol(parts.last ?? "")
        let outside = parts.count > 1 ? parts[parts.count - 2] : ""
        let ip = try address(parts.dropLast(2).joined(separator: ":"))
        guard !inside.isEmpty else { throw CLIError("no port specified: \(spec)<empty>") }
        guard let inner = try? PortRange(inside) else { throw CLIError("invalid containerPort: \(inside)") }
        guard let outer = outside.isEmpty ? inner : try? PortRange(outside) else {
            throw CLIError("invalid hostPort: \(outside)")
        }
        guard inner.numbers.count == outer.numbers.count || inner.numbers.count == 1 else {
            throw CLIError("invalid ranges specified for container and host Ports: \(inside) and \(outside)")
        }
        guard ["tcp", "udp", "sctp"].contains(proto.lowercased()) else { throw CLIError("invalid proto: \(proto)") }
        for (offset, number) in inner.numbers.enumerated() {
            // A range behind one port inside is for the daemon to choose from.
            let host =
                inner.numbers.count == outer.numbers.count
                ? String(outer.numbers.lowerBound + offset)
                : "\(outer.numbers.lowerBound)-\(outer.numbers.upperBound)"
            ports["\(number)/\(proto.lowercased())", default: []].append(
                ["HostIp": .string(ip), "HostPort": .string(outside.isEmpty ? "" : host)])
        }
    }

    /// The address to listen at, without the brackets of IPv6; empty for all.
    private static func address(_ text: String) throws(CLIError) -> String {
        var address = text
        if text.hasPrefix("[") {
            if let reason = bracketFault(text) {
                throw CLIError("invalid IP address \(text): address \(text):: \(reason)")
            }
            address = String(text.dropFirst().dropLast())
        }
        guard address.isEmpty || IPAddress(address) != nil else { throw CLIError("invalid IP address: \(address)") }
        return address
    }

    /// What is wrong with an address in brackets.
    private static func bracketFault(_ text: String) -> String? {
        guard let end = text.firstIndex(of: "]") else { return "missing ']' in address" }
        let behind = text[text.index(after: end)...]
        guard behind.isEmpty else {
            return behind.hasPrefix(":") ? "too many colons in address" : "missing port in address"
        }
        return text.dropFirst().contains("[") ? "unexpected '[' in address" : nil
    }
}

/// `80` or `80-82`.
struct PortRange {
    let numbers: ClosedRange<Int>

    /// - Throws: why it is none, in the words of Go's strconv.
    init(_ text: String) throws(FlagReason) {
        guard !text.isEmpty else { throw FlagReason("empty string specified for ports") }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        let low = try Self.number(ends[0])
        let high = ends.count > 1 ? try Self.number(ends[1]) : low
        guard low <= high else { throw FlagReason("invalid range specified for port: \(text)") }
        numbers = Int(low)...Int(high)
    }

    /// One port's number, decimal.
    static func number(_ text: String) throws(FlagReason) -> UInt16 {
        var value: UInt16 = 0
        if let reason = value.takeDecimal(text) {
            throw FlagReason("strconv.ParseUint: parsing \(text.goQuoted): \(reason)")
        }
        return value
    }
}
