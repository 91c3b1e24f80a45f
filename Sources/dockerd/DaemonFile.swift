import FoundationEssentials
import Kernel

/// `daemon.json`: the members of Docker's that this engine knows. Flags win over the file.
struct DaemonFile: Decodable {
    var dataRoot: String?
    var execRoot: String?
    var hosts: [String]?
    var bridge: String?
    var bip: String?
    var fixedCIDR: String?
    var fixedCIDRv6: String?
    var ipv6: Bool?
    var icc: Bool?
    var ipMasq: Bool?
    var ip: String?
    var mtu: Int?
    var defaultAddressPools: [AddressPool]?
    var dns: [String]?
    var dnsSearch: [String]?
    var dnsOptions: [String]?
    var storageDriver: String?
    var cgroupParent: String?
    var registryMirrors: [String]?
    /// Ours: servers by the domain whose layers they have.
    var layerMirrors: [String: [String]]?
    /// Ours: where hosts.toml is looked for first.
    var registryHosts: String?
    var insecureRegistries: [String]?
    var maxConcurrentDownloads: Int?
    var maxConcurrentUploads: Int?
    var keepBlobs: String?
    var labels: [String]?
    var logDriver: String?
    var logOptions: [String: String]?
    var debug: Bool?
    var pidfile: String?
    var group: String?
    var socketMode: String?
    var tls: Bool?
    var tlsVerify: Bool?
    var tlsAuthority: String?
    var tlsCertificate: String?
    var tlsKey: String?
    var insecureTCP: Bool?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case dataRoot = "data-root"
        case execRoot = "exec-root"
        case hosts, bridge, bip, ipv6, icc, ip, mtu, dns, labels, debug, pidfile, group
        case fixedCIDR = "fixed-cidr"
        case fixedCIDRv6 = "fixed-cidr-v6"
        case ipMasq = "ip-masq"
        case defaultAddressPools = "default-address-pools"
        case dnsSearch = "dns-search"
        case dnsOptions = "dns-opts"
        case storageDriver = "storage-driver"
        case cgroupParent = "cgroup-parent"
        case registryMirrors = "registry-mirrors"
        case layerMirrors = "layer-mirrors"
        case registryHosts = "registry-hosts"
        case insecureRegistries = "insecure-registries"
        case maxConcurrentDownloads = "max-concurrent-downloads"
        case maxConcurrentUploads = "max-concurrent-uploads"
        case keepBlobs = "keep-blobs"
        case logDriver = "log-driver"
        case logOptions = "log-opts"
        case socketMode = "socket-mode"
        case tls
        case tlsVerify = "tlsverify"
        case tlsAuthority = "tlscacert"
        case tlsCertificate = "tlscert"
        case tlsKey = "tlskey"
        case insecureTCP = "insecure-tcp"
    }

    init() {}

    /// One of `default-address-pools`: networks get subnets of `size` bits out of `base`.
    struct AddressPool: Decodable {
        var base: String
        var size: UInt8
    }

    /// Any member's name.
    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// The names of an object's members.
    private struct Names: Decodable {
        let all: [String]
        init(from decoder: any Decoder) throws {
            all = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue)
        }
    }

    /// Members of Docker's that this engine does not do: told apart from a slip of the pen.
    private static let foreign: Set<String> = [
        "allow-direct-routing", "api-cors-header", "authorization-plugins", "bridge-accept-fwmark", "builder",
        "cdi-spec-dirs",
        "cluster-advertise", "cluster-store", "cluster-store-opts", "containerd", "containerd-namespace",
        "containerd-plugin-namespace", "cpu-rt-period", "cpu-rt-runtime",
        "default-cgroupns-mode", "default-gateway", "default-gateway-v6", "default-ipc-mode", "default-network-opts",
        "default-runtime", "default-shm-size", "default-ulimits", "exec-opts",
        "experimental", "features", "firewall-backend", "graph", "host-gateway-ip",
        "host-gateway-ips", "http-proxy", "https-proxy", "init", "init-path", "ip-forward",
        "ip-forward-no-drop", "ip6tables", "iptables", "live-restore", "log-format",
        "log-level", "max-download-attempts", "metrics-addr", "network-control-plane-mtu",
        "no-new-privileges", "no-proxy", "node-generic-resources", "oom-score-adjust", "proxies", "raw-logs",
        "runtimes", "seccomp-profile", "selinux-enabled", "shutdown-timeout", "storage-opts",
        "swarm-default-advertise-addr",
        "userland-proxy", "userland-proxy-path", "userns-remap",
    ]

    private static func check(_ names: [String]) throws(DaemonFailure) {
        let known = Set(CodingKeys.allCases.map(\.rawValue))
        let others = names.filter { !known.contains($0) }.sorted()
        let unknown = others.filter { !foreign.contains($0) }
        guard unknown.isEmpty else {
            throw DaemonFailure(
                "the following directives don't match any configuration option: \(unknown.joined(separator: ", "))")
        }
        guard others.isEmpty else {
            throw DaemonFailure(
                "the following directives are not supported by this engine: "
                    + "\(others.joined(separator: ", ")): take them out"
            )
        }
    }

    /// - Throws: `DaemonFailure` that names the file and the member at fault.
    static func read(_ path: String, isDefault: Bool) throws -> DaemonFile {
        let failure = "unable to configure the Docker daemon with file \(path): "
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try Files.read(path, bytesMax: 1 << 20) } catch {
            if isDefault { return DaemonFile() }
            throw DaemonFailure(failure + error.reason)
        }
        do {
            try check(try JSONDecoder().decode(Names.self, from: Data(bytes)).all)
            return try JSONDecoder().decode(DaemonFile.self, from: Data(bytes))
        } catch let error as DaemonFailure {
            throw DaemonFailure(failure + error.description)
        } catch let DecodingError.typeMismatch(_, context) {
            let member = context.codingPath.map(\.stringValue).joined(separator: ".")
            throw DaemonFailure("\(failure)\(member.isEmpty ? "" : "\(member): ")\(context.debugDescription)")
        } catch {
            throw DaemonFailure(failure + "it is not well-formed JSON")
        }
    }
}

/// Why the daemon does not start; printed as it is.
struct DaemonFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
