import Kernel
import OCI

extension RegistryClient {
    /// What hosts.toml says of `domain` now; nil where there is none.
    private func hosts(of domain: String) async throws(RegistryError) -> RegistryHosts? {
        let directories = configuration.hostDirectories
        guard !directories.isEmpty else { return nil }
        return try await BlockingPool.shared.run { () throws(RegistryError) in
            try RegistryHosts.find(domain, in: directories)
        }
    }

    /// Where to pull from `domain`, in the order to try.
    ///
    /// - Parameter asked: what they must serve.
    /// - Throws: `RegistryError` (`invalid`) for a hosts.toml that is wrong, and where nobody may be asked.
    func endpoints(for domain: String, _ asked: HostCapabilities) async throws(RegistryError) -> [RegistryEndpoint] {
        let hosts = try await hosts(of: domain)
        let endpoints = try configuration.endpoints(for: domain, hosts: hosts).filter { $0.serves(asked) }
        guard !endpoints.isEmpty else { throw Self.nobody(asked, hosts?.path ?? domain) }
        return endpoints
    }

    /// Where to fetch what a digest names, in the order to try: see
    /// ``RegistryConfiguration/endpoints(for:hosts:after:)``.
    ///
    /// - Parameter announced: ``ResolvedImage/sources``, which are asked behind those of the configuration that are trusted with
    ///   nothing, too.
    /// - Throws: as ``endpoints(for:_:)``.
    package func endpoints(
        for domain: String, after teller: RegistryEndpoint, announced: [RegistryEndpoint] = []
    ) async throws(RegistryError) -> [RegistryEndpoint] {
        let hosts = try await hosts(of: domain)
        var endpoints = try configuration.endpoints(for: domain, hosts: hosts, after: teller)
        guard !endpoints.isEmpty else { throw Self.nobody(.pull, hosts?.path ?? domain) }
        let others = announced.filter { !endpoints.contains($0) }
        endpoints.insert(contentsOf: others, at: endpoints.firstIndex { $0.resolvesTags } ?? 0)
        return endpoints
    }

    /// Where pushes to `domain` go: the first host that takes them.
    ///
    /// - Throws: as ``endpoints(for:_:)``.
    func pushEndpoint(for domain: String) async throws(RegistryError) -> RegistryEndpoint {
        guard let hosts = try await hosts(of: domain) else { return try configuration.origin(of: domain) }
        guard let first = try configuration.endpoints(hosts, for: domain).first(where: { $0.serves(.push) }) else {
            throw Self.nobody(.push, hosts.path)
        }
        return first.forPushing
    }

    /// The registry itself, reached as hosts.toml says where that is about it.
    ///
    /// - Throws: as ``endpoints(for:_:)``.
    func ownEndpoint(of domain: String) async throws(RegistryError) -> RegistryEndpoint {
        let own = try configuration.origin(of: domain)
        guard let hosts = try await hosts(of: domain) else { return own }
        return try configuration.endpoints(hosts, for: domain).last { !$0.isMirror } ?? own
    }

    private static func nobody(_ asked: HostCapabilities, _ path: String) -> RegistryError {
        let (what, name) =
            if asked.contains(.push) { ("pushed to", "push") } else if asked.contains(.resolve) {
                ("asked what a tag names", "resolve")
            } else {
                ("asked for bytes", "pull")
            }
        return RegistryError(
            .invalid, "\(path): no host may be \(what)", remedy: "give one the capability \(OCIError.quoted(name))")
    }
}
