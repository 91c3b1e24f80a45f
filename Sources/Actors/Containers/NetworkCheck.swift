import Glibc

/// What a container's network is asked to be: its mode, names, name servers, ports and endpoints.
enum NetworkCheck {
    /// What holds for every container, whatever it shares.
    ///
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func check(_ host: HostConfig) throws {
        let mode = host.networkMode ?? ""
        if mode == "container" || mode == "container:" {
            throw EngineError.invalid("invalid network mode: invalid container format container:<name|id>")
        }
        for server in host.dns ?? [] where !isAddress(server) {
            throw EngineError.invalid("IP address is not correctly formatted: \(server.printable)")
        }
        for domain in host.dnsSearch ?? []
        where domain != "." && !HostName.isName(domain, bytesMax: HostName.domainBytesMax) {
            throw EngineError.invalid("\(domain.printable) is not a valid domain")
        }
        for option in host.dnsOptions ?? []
        where option.isEmpty || option.contains(where: \.isWhitespace) || option.hasControlCharacter {
            throw EngineError.invalid("invalid DNS option: \"\(option.printable)\"")
        }
        for entry in host.extraHosts ?? [] { _ = try ExtraHost(entry) }
        if !(host.portBindings ?? [:]).isEmpty { _ = try PublishedPorts.requests(host, exposed: nil) }
        if mode == "host", !(host.links ?? []).isEmpty {
            throw EngineError.invalid(
                "conflicting options: host type networking can't be used with links. "
                    + "This would result in undefined behavior")
        }
        for link in host.links ?? [] { _ = try ContainerLink(link) }
    }

    static func warnings(_ host: HostConfig) -> [String] {
        let mode = host.networkMode ?? ""
        guard ["host", "none"].contains(mode), !(host.portBindings ?? [:]).isEmpty || host.publishAllPorts == true
        else { return [] }
        return ["Published ports are discarded when using \(mode) network mode"]
    }

    // MARK: Conflicts

    /// What the request itself says beside its modes: the image's ports and the engine's defaults do not count.
    ///
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func conflicts(_ request: CreateRequest) throws {
        let (config, host) = (request.config, request.hostConfig)
        if host.utsMode == "host", !(config.hostname ?? "").isEmpty {
            throw EngineError.invalid("conflicting options: hostname and the UTS mode")
        }
        if host.networkMode?.hasPrefix("container:") == true { try shared(config, host) }
    }

    /// A network namespace of another container comes with its names, files and ports.
    private static func shared(_ config: Config, _ host: HostConfig) throws {
        func refuse(_ isAsked: Bool, _ words: String) throws {
            if isAsked { throw EngineError.invalid("conflicting options: \(words)") }
        }
        try refuse(!(config.hostname ?? "").isEmpty, "hostname and the network mode")
        try refuse(
            !(host.links ?? []).isEmpty,
            "container type network can't be used with links. This would result in undefined behavior")
        let resolver = (host.dns ?? []) + (host.dnsSearch ?? []) + (host.dnsOptions ?? [])
        try refuse(!resolver.isEmpty, "dns and the network mode")
        try refuse(!(host.extraHosts ?? []).isEmpty, "custom host-to-IP mapping and the network mode")
        try refuse(
            !(host.portBindings ?? [:]).isEmpty || host.publishAllPorts == true,
            "port publishing and the container type network mode")
        try refuse(!(config.exposedPorts ?? [:]).isEmpty, "port exposing and the container type network mode")
    }

    // MARK: Addresses

    /// True for an IPv4 or IPv6 address, the latter with an optional zone.
    static func isAddress(_ text: String) -> Bool {
        var buffer = in6_addr()
        if inet_pton(AF_INET, text, &buffer) == 1 { return !text.utf8.contains(0) }
        let parts = text.split(separator: "%", omittingEmptySubsequences: false)
        guard parts.count <= 2, !text.hasControlCharacter, !text.contains(" ") else { return false }
        return inet_pton(AF_INET6, String(parts[0]), &buffer) == 1
    }
}

/// One `--link`: `CONTAINER` or `CONTAINER:ALIAS`.
struct ContainerLink {
    let target: String
    let alias: String

    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    init(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        func isName(_ text: String) -> Bool { HostName.isName(text, bytesMax: HostName.domainBytesMax) }
        let target = parts.first.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 } ?? ""
        guard (1...2).contains(parts.count), isName(target), parts.count == 1 || isName(parts[1]) else {
            throw EngineError.invalid("bad format for links: \(text.printable)")
        }
        self.target = target
        alias = parts.count == 2 ? parts[1] : target
    }
}

/// One `--add-host`: `NAME:ADDRESS` or `NAME=ADDRESS`.
struct ExtraHost {
    /// Stands for the address of the host on the bridge.
    static let gateway = "host-gateway"

    let name: String
    let address: String

    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    init(_ text: String) throws {
        let separator: Character = text.contains("=") ? "=" : ":"
        let parts = text.split(separator: separator, maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, HostName.isName(parts[0], bytesMax: HostName.domainBytesMax) else {
            throw EngineError.invalid("bad format for add-host: \"\(text.printable)\"")
        }
        name = parts[0]
        let isBracketed = parts[1].hasPrefix("[") && parts[1].hasSuffix("]")
        address = isBracketed ? String(parts[1].dropFirst().dropLast()) : parts[1]
        guard address == Self.gateway || NetworkCheck.isAddress(address) else {
            throw EngineError.invalid("invalid IP address in add-host: \"\(parts[1].printable)\"")
        }
    }
}

/// Names of hosts and domains, with the underscore that Docker's users have in theirs.
enum HostName {
    /// Longest host name of the kernel (HOST_NAME_MAX), in bytes.
    static let bytesMax = 64
    /// Longest name of the DNS, in bytes.
    static let domainBytesMax = 253

    /// That of this machine.
    static var own: String {
        var buffer = [CChar](repeating: 0, count: bytesMax + 1)
        guard gethostname(&buffer, bytesMax) == 0 else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func isName(_ text: String, bytesMax: Int) -> Bool {
        func isPlain(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
        return (1...bytesMax).contains(text.utf8.count) && text.utf8.allSatisfy(isPlain) && !text.hasPrefix("-")
            && !text.hasPrefix(".") && !text.contains("..")
    }
}
