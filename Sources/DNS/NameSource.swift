/// What the names of one container's networks mean.
///
/// Implementations are asked on an event loop, once a query, and must not wait for anything but a lock that is held for a
/// moment.
package protocol NameSource: Sendable {
    /// The addresses of `name`, which is lower case and has no trailing dot.
    ///
    /// Nil when no network of the asker knows the name. An answer without addresses of a family says that the name exists
    /// without such an address, so that nobody else is asked.
    func addresses(of name: String) -> NameAnswer?

    /// The name to give for a reverse query; nil when no container of the asker's networks has the address.
    func name(of address: DNSAddress) -> String?
}

/// The addresses of a name; their order is not kept when there are several.
package struct NameAnswer: Hashable, Sendable {
    /// In host byte order, as in ``DNSAddress``.
    package var ipv4: [UInt32]
    /// In host byte order, as in ``DNSAddress``.
    package var ipv6: [UInt128]

    package init(ipv4: [UInt32] = [], ipv6: [UInt128] = []) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }
}

/// Names by look-up in tables.
package struct NameTable: NameSource {
    /// By name, in lower case and without a trailing dot.
    package var answers: [String: NameAnswer]
    package var names: [DNSAddress: String]

    package init(answers: [String: NameAnswer] = [:], names: [DNSAddress: String] = [:]) {
        self.answers = answers
        self.names = names
    }

    package func addresses(of name: String) -> NameAnswer? { answers[name] }
    package func name(of address: DNSAddress) -> String? { names[address] }
}

/// How the queries of one container are answered.
package struct ClientConfiguration: Sendable {
    package var names: any NameSource
    /// Servers for names that no network knows, asked in this order; more than `ResolverLimits/upstreamsMax` are not asked.
    package var upstream: [DNSEndpoint]
    /// False for containers of internal networks alone: nothing leaves the host for their queries.
    package var forwards: Bool
    /// False when the host, the daemon or the container sets `ndots`: a name without a dot that is not known is answered without addresses, as Docker
    /// does, so that the client goes on with its search domains.
    package var forwardsSingleLabels: Bool

    package init(
        names: any NameSource, upstream: [DNSEndpoint], forwards: Bool = true, forwardsSingleLabels: Bool = true
    ) {
        self.names = names
        self.upstream = upstream
        self.forwards = forwards
        self.forwardsSingleLabels = forwardsSingleLabels
    }
}
