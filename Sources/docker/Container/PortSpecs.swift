/// `-p` and `--expose`.
struct PortSpecs {
    /// ExposedPorts, `nil` when none.
    private(set) var exposed: JSON?
    /// PortBindings.
    private(set) var bindings: JSON

    init(publish: [String], expose: [String]) throws(CLIError) {
        var ports: [String: [JSON]] = [:]
        for spec in publish { try Self.add(spec, &ports) }
        var names = Set(ports.keys)
        for spec in expose {
            let (range, proto) = spec.cut("/")
            guard let numbers = Self.range(range) else {
                throw CLIError("invalid range format for --expose: \(spec)", exitCode: 125)
            }
            for number in numbers { names.insert("\(number)/\((proto ?? "tcp").lowercased())") }
        }
        bindings = .object(ports.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .array($0.value)) })
        exposed = names.isEmpty ? nil : .object(names.sorted().map { .init(name: $0, value: .object([])) })
    }

    /// `target=80,published=8080,protocol=tcp`.
    private static func addFields(_ spec: String, _ ports: inout [String: [JSON]]) throws(CLIError) {
        func invalid(_ text: String) -> CLIError {
            CLIError("invalid argument \"\(spec)\" for \"-p, --publish\" flag: \(text)", exitCode: 125)
        }
        var target: UInt16?
        var published = ""
        var proto = "tcp"
        for field in MountSpec.fields(spec) {
            let (key, value) = field.cut("=")
            let text = value ?? ""
            switch key.lowercased() {
            case "target":
                target = UInt16(text)
                guard target != nil else {
                    throw invalid("invalid target port (\(text)): value must be an integer: invalid syntax")
                }
            case "published":
                guard UInt16(text) != nil else {
                    throw invalid("invalid published port (\(text)): value must be an integer: invalid syntax")
                }
                published = text
            case "protocol":
                proto = text.lowercased()
                guard ["tcp", "udp", "sctp"].contains(proto) else { throw invalid("invalid protocol value '\(text)'") }
            case "mode":
                guard ["ingress", "host"].contains(text) else {
                    throw invalid("invalid publish mode value (\(text)): must be either 'ingress' or 'host'")
                }
            default: throw invalid("invalid field key \(key)")
            }
        }
        guard let target else { throw invalid("missing mandatory field \"target\"") }
        ports["\(target)/\(proto)", default: []].append(["HostIp": "", "HostPort": .string(published)])
    }

    /// `80` or `80-82`.
    private static func range(_ text: String) -> ClosedRange<Int>? {
        let (first, last) = text.cut("-")
        guard let low = UInt16(first), let high = UInt16(last ?? first), low <= high else { return nil }
        return Int(low)...Int(high)
    }

    /// `[[IP:][HOST]:]CONTAINER[/PROTO]`, ranges allowed.
    private static func add(_ spec: String, _ ports: inout [String: [JSON]]) throws(CLIError) {
        if spec.contains("=") { return try addFields(spec, &ports) }
        let (address, proto) = spec.cut("/")
        let kind = (proto ?? "tcp").lowercased()
        guard ["tcp", "udp", "sctp"].contains(kind) else { throw CLIError("invalid proto: \(kind)") }
        let parts = address.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let inside = parts.last ?? ""
        let outside = parts.count > 1 ? parts[parts.count - 2] : ""
        let ip = parts.dropLast(2).joined(separator: ":").trimming { $0 == "[" || $0 == "]" }
        guard ip.isEmpty || ip.isIPAddress else { throw CLIError("invalid IP address: \(ip)") }
        guard !inside.isEmpty else { throw CLIError("no port specified: \(spec)<empty>") }
        guard let inner = range(inside) else { throw CLIError("invalid containerPort: \(inside)") }
        guard !outside.isEmpty else {
            for number in inner {
                ports["\(number)/\(kind)", default: []].append(["HostIp": .string(ip), "HostPort": ""])
            }
            return
        }
        guard let outer = range(outside) else { throw CLIError("invalid hostPort: \(outside)") }
        guard inner.count == outer.count || inner.count == 1 else {
            throw CLIError("invalid ranges specified for container and host Ports: \(inside) and \(outside)")
        }
        for (offset, number) in inner.enumerated() {
            let host = inner.count == outer.count ? String(outer.lowerBound + offset) : outside
            ports["\(number)/\(kind)", default: []].append(["HostIp": .string(ip), "HostPort": .string(host)])
        }
    }
}
