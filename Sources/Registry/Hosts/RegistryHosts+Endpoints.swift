import OCI

extension RegistryConfiguration {
    /// The endpoints that `hosts` makes for `domain`, in the file's order, the server last.
    ///
    /// - Throws: `RegistryError` (`invalid`) when `domain` is no host.
    func endpoints(_ hosts: RegistryHosts, for domain: String) throws(RegistryError) -> [RegistryEndpoint] {
        let own = try origin(of: domain)
        return hosts.hosts.map { entry, trust in
            var settings = HostSettings(
                root: entry.root, namespace: nil, capabilities: entry.capabilities, headers: entry.headers,
                trust: trust,
                connectSeconds: entry.dialTimeout.map { max(1, ($0 + .nanoseconds(999_999_999)).components.seconds) })
            guard let location = entry.location else {
                // The file is silent about what the registry may be asked for.
                settings.capabilities = .all
                let isInsecure = entry.skipsVerification ?? own.isInsecure
                return RegistryEndpoint(
                    host: own.host, port: own.port, scheme: own.isInsecure && isInsecure ? nil : .https,
                    isInsecure: isInsecure, isMirror: false, settings: settings)
            }
            // containerd's own examples call Docker Hub by the name that users write.
            let isNickname = domain == Reference.defaultDomain && location.host == domain
            let host = isNickname ? own.host : location.host
            let isOwn = host == own.host && location.port == own.port ?? Location.Scheme.https.defaultPort
            if !isOwn { settings.namespace = domain }
            // As containerd: plain HTTP with a word about TLS means TLS where the host speaks it.
            let maySpeakTLS = location.scheme == .http && entry.saysOfTLS && location.port != 80
            return RegistryEndpoint(
                host: host, port: location.port == location.scheme.defaultPort ? nil : location.port,
                scheme: maySpeakTLS ? nil : location.scheme,
                isInsecure: location.scheme == .http || entry.skipsVerification == true, isMirror: !isOwn,
                settings: settings)
        }
    }
}

extension RegistryEndpoint {
    /// True when it may be asked for all of `asked`.
    func serves(_ asked: HostCapabilities) -> Bool {
        var own: HostCapabilities = settings?.capabilities ?? .all
        if !resolvesTags { own.remove(.resolve) }
        return own.isSuperset(of: asked)
    }

    /// The same for pushes, which name no registry that it stands in for (as containerd's do not).
    var forPushing: RegistryEndpoint {
        var result = self
        result.settings?.namespace = nil
        return result
    }
}
