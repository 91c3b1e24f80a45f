/// A neighbour on the default bridge as `--link` shows it: by names in the hosts file and by variables.
struct LinkedContainer {
    let alias: String
    let target: ContainerRecord
    let settings: EndpointSettings

    /// What the container that links calls it.
    var hosts: [HostsFile.Entry] {
        var names = [alias]
        for name in [String(target.id.prefix(12)), target.name] where name != alias { names.append(name) }
        return settings.addresses.map { HostsFile.Entry(address: "\($0)", names: names) }
    }

    /// Its address, ports and environment in the form of Docker's links, where `DB` is the alias:
    /// `DB_PORT_80_TCP_ADDR=172.17.0.2`, `DB_NAME=/web/db`, `DB_ENV_KEY=value`.
    func variables(_ record: ContainerRecord) -> [String] {
        let name = String(alias.uppercased().map { $0 == "-" ? "_" : $0 })
        var result: [String] = []
        if let address = settings.ipAddress, !address.isEmpty {
            let ports = self.ports
            if let first = ports.first { result.append("\(name)_PORT=\(first.type)://\(address):\(first.number)") }
            for port in ports {
                let prefix = "\(name)_PORT_\(port.number)_\(port.type.uppercased())"
                result += [
                    "\(prefix)=\(port.type)://\(address):\(port.number)", "\(prefix)_ADDR=\(address)",
                    "\(prefix)_PORT=\(port.number)", "\(prefix)_PROTO=\(port.type)",
                ]
            }
        }
        result.append("\(name)_NAME=/\(record.name)/\(alias)")
        // Those are about its own files.
        for entry in target.config.env ?? [] where !entry.hasPrefix("HOME=") && !entry.hasPrefix("PATH=") {
            result.append("\(name)_ENV_\(entry)")
        }
        return result
    }

    /// The ports it exposes, lowest first, TCP before others.
    private var ports: [(number: Int, type: String)] {
        (target.config.exposedPorts ?? [:]).keys.compactMap { text in
            let parts = text.split(separator: "/")
            guard let number = parts.first.flatMap({ Int($0) }) else { return nil }
            return (number, parts.count > 1 ? parts[1].lowercased() : "tcp")
        }.sorted { ($0.number, $0.type == "tcp" ? 0 : 1, $0.type) < ($1.number, $1.type == "tcp" ? 0 : 1, $1.type) }
    }
}
