import Glibc
import Kernel
import Netlink

/// Writes the files that tell a container its name, its neighbours and its name servers.
///
/// They are bind mounts of a running container, so they are changed in place; what a user has written into them stays.
struct NameFiles: Sendable {
    private static let bytesMax = 1 << 20

    let paths: ContainerPaths
    let defaults: NetworkDefaults

    /// All three, for a start.
    ///
    /// - Parameters:
    ///   - extra: `--add-host` and links.
    ///   - embedded: the embedded DNS server answers.
    func write(_ record: ContainerRecord, extra: [HostsFile.Entry], embedded: Bool) throws {
        let isHost = record.hostConfig.networkMode == "host"
        try Self.write(paths.hostname, "\(record.config.hostname ?? "")\n")
        if isHost {
            try Self.write(paths.hosts, Self.read("/etc/hosts"))
        } else {
            let rendered = HostsFile.render(own: Self.own(record), extra: extra)
            let last = Self.read(paths.renderedHosts)
            let text =
                last.isEmpty
                ? rendered
                : HostsFile.keepingAdditions(rendered, current: Self.read(paths.hosts), last: last)
            try Self.write(paths.hosts, text)
            try Self.write(paths.renderedHosts, rendered)
        }
        try writeResolvConf(record, embedded: embedded)
    }

    /// `/etc/resolv.conf`, unless a user has changed it.
    func writeResolvConf(_ record: ContainerRecord, embedded: Bool) throws {
        let last = Self.read(paths.renderedResolvConf)
        guard last.isEmpty || last == Self.read(paths.resolvConf) else { return }
        let wanted = defaults.resolver(for: record.hostConfig)
        let isHost = record.hostConfig.networkMode == "host"
        let text =
            isHost && wanted.isPlain
            ? Self.read("/etc/resolv.conf")
            : (isHost ? HostResolver.read() : .readForContainers()).render(wanted, embedded: embedded)
        try Self.write(paths.resolvConf, text)
        try Self.write(paths.renderedResolvConf, text)
    }

    /// A running container came to a network.
    func add(_ settings: EndpointSettings, of record: ContainerRecord) throws {
        let entries = Self.entries(settings, record)
        try change { HostsFile.adding(entries, to: $0) }
    }

    /// A running container left a network.
    func remove(_ settings: EndpointSettings, of record: ContainerRecord) throws {
        let entries = Self.entries(settings, record)
        try change { HostsFile.removing(entries, from: $0) }
    }

    /// One that cannot be read, for a container has made it huge, stays as it is.
    private func change(_ body: (String) -> String) throws {
        for path in [paths.hosts, paths.renderedHosts] {
            let text = Self.read(path)
            if !text.isEmpty { try Self.write(path, body(text)) }
        }
    }

    private static func own(_ record: ContainerRecord) -> [HostsFile.Entry] {
        record.networks.sorted { $0.key < $1.key }.flatMap { entries($0.value, record) }
    }

    private static func entries(_ settings: EndpointSettings, _ record: ContainerRecord) -> [HostsFile.Entry] {
        let name = record.config.hostname ?? ""
        let domain = record.config.domainname ?? ""
        guard !name.isEmpty else { return [] }
        let names = domain.isEmpty ? [name] : ["\(name).\(domain)", name]
        return settings.addresses.map { HostsFile.Entry(address: "\($0)", names: names) }
    }

    /// Nothing where there is no such file, or it is larger than any hosts file is.
    private static func read(_ path: String) -> String {
        guard let bytes = try? Files.read(path, bytesMax: bytesMax) else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Not synced: rendered again at every start.
    private static func write(_ path: String, _ text: String) throws {
        let file = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        try Array(text.utf8).withUnsafeBytes { (bytes) throws -> Void in try file.writeAll(bytes) }
    }
}
