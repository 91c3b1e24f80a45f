import Kernel
package import Logging
package import Netlink
import OCI

/// One network as the API shows it.
package struct NetworkRecord: Sendable, Hashable {
    package let id: String
    package let name: String
    package let driver: String
    package let created: String
    /// CIDR and gateway address, for bridges.
    package let subnet: String?
    package let gateway: String?
    package let options: [String: String]
}

/// Owns the networks: the default bridge, and the two that need nothing, `host` and `none`.
package actor NetworkStore {
    private let configuration: EngineConfiguration
    private let logger: Logger
    private let created = Timestamp.now().text
    /// Endpoints of containers that run since before this daemon did.
    private var survivors: [AdoptedEndpoint] = []
    private var opening: Task<BridgeNetwork, any Error>?
    /// What containers of `--network none` get.
    nonisolated let empty: EmptyNamespaces
    /// Ids are stable: derived from the data root, not kept.
    private let ids: [String: String]

    init(_ configuration: EngineConfiguration, logger: Logger) throws {
        empty = try EmptyNamespaces()
        self.configuration = configuration
        self.logger = logger
        ids = Dictionary(
            uniqueKeysWithValues: ["bridge", "host", "none"].map {
                ($0, SHA256Bytes.digest(Array("\(configuration.dataRoot)/\($0)".utf8)).hex)
            })
    }

    /// The default bridge, made at first use.
    ///
    /// - Throws: ``EngineError`` when the daemon runs without one, or the kernel refuses it.
    func bridge() async throws -> BridgeNetwork {
        guard configuration.bridgeEnabled else {
            throw EngineError(.invalidParameter, "the default bridge is disabled: use --network host or none")
        }
        if let opening { return try await opening.value }
        let bridgeConfiguration = try bridgeConfiguration()
        let (survivors, logger) = (survivors, logger)
        let task = Task<BridgeNetwork, any Error> {
            let bridge = try await BridgeNetwork.open(bridgeConfiguration)
            for id in try await bridge.adopt(survivors).refused {
                logger.warning("container lost its address", metadata: ["container": "\(id)"])
            }
            return bridge
        }
        opening = task
        do {
            return try await task.value
        } catch {
            opening = nil
            throw EngineError(.system, "cannot set up network bridge: \(error)")
        }
    }

    /// Makes namespaces and the bridge before the first container asks for them. A failure shows when one does.
    package func warmUp() async {
        await empty.warmUp()
        guard configuration.bridgeEnabled else { return }
        do { _ = try await bridge() } catch { logger.error("\(error)") }
    }

    private func bridgeConfiguration() throws -> BridgeConfiguration {
        var addressing = BridgeConfiguration.Addressing.firstFree(BridgeConfiguration.defaultPools)
        if let text = configuration.bridgeAddress {
            let parts = text.split(separator: "/")
            guard parts.count == 2, let address = IPv4Address(parts[0]), let prefix = UInt8(parts[1]),
                let subnet = IPv4Subnet(containing: address, prefixLength: prefix)
            else {
                throw EngineError(
                    .invalidParameter, "invalid --bip \(text): want an address with its prefix, such as 172.17.0.1/16")
            }
            addressing = .fixed(subnet, gateway: address)
        }
        return BridgeConfiguration(name: "bridge", bridgeName: configuration.bridgeName, addressing: addressing)
    }

    /// Says which endpoints outlived an earlier daemon; before the bridge is used first.
    func adopt(_ endpoints: [AdoptedEndpoint]) { survivors = endpoints }

    package func list() async -> [NetworkRecord] {
        var records: [NetworkRecord] = []
        if configuration.bridgeEnabled {
            let bridge = try? await bridge()
            records.append(
                NetworkRecord(
                    id: ids["bridge"] ?? "", name: "bridge", driver: "bridge", created: created,
                    subnet: bridge.map { "\($0.subnet)" }, gateway: bridge.map { "\($0.gateway)" },
                    options: [
                        "com.docker.network.bridge.default_bridge": "true",
                        "com.docker.network.bridge.enable_icc": "true",
                        "com.docker.network.bridge.enable_ip_masquerade": "true",
                        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
                        "com.docker.network.bridge.name": configuration.bridgeName,
                        "com.docker.network.driver.mtu": "1500",
                    ]))
        }
        for name in ["host", "none"] {
            records.append(
                NetworkRecord(
                    id: ids[name] ?? "", name: name, driver: name == "none" ? "null" : name, created: created,
                    subnet: nil,
                    gateway: nil, options: [:]))
        }
        return records
    }

    /// The network of a name, id, or unique start of one.
    package func network(_ reference: String) async throws -> NetworkRecord {
        let records = await list()
        if let exact = records.first(where: { $0.name == reference || $0.id == reference }) { return exact }
        let found = records.filter { !reference.isEmpty && $0.id.hasPrefix(reference) }
        guard found.count == 1 else { throw EngineError(.notFound, "network \(reference) not found") }
        return found[0]
    }

    nonisolated func id(of name: String) -> String { ids[name] ?? "" }

    func shutdown() async {
        await empty.close()
        guard let bridge = try? await opening?.value else { return }
        await bridge.close()
    }
}
