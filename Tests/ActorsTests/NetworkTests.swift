import DNS
import Foundation
import Netlink
import Testing

@testable import Actors

struct NameFileTests {
    @Test(arguments: [
        (
            "nameserver 127.0.0.53\noptions edns0\nsearch lan\n",
            "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch lan\noptions edns0\n"
        ),
        ("# comment\nnameserver 192.0.2.1\nnameserver ::1\nnameserver 127.0.0.1\n", "nameserver 192.0.2.1\n"),
        ("", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ("nameserver\ndomain a\nsearch b c\n", "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch b c\n"),
    ])
    func `a container gets the host's resolver without what only the host reaches`(_ host: String, _ expected: String) {
        #expect(HostResolver(host).render(HostResolver.Wanted(), embedded: false) == expected)
    }

    @Test func `options of the command line replace the host's`() {
        let host = HostResolver("nameserver 192.0.2.1\nsearch lan\noptions rotate\n")
        let wanted = HostResolver.Wanted(servers: ["127.0.0.1"], search: ["."], options: ["ndots:2"])
        #expect(host.render(wanted, embedded: false) == "nameserver 127.0.0.1\noptions ndots:2\n")
    }

    @Test func `with the embedded server a container asks nobody else`() {
        let host = HostResolver("nameserver 192.0.2.1\nsearch lan\noptions rotate\n")
        let plain = host.render(HostResolver.Wanted(), embedded: true)
        #expect(plain == "nameserver 127.0.0.11\nsearch lan\noptions rotate ndots:0\n")
        let own = host.render(HostResolver.Wanted(servers: ["192.0.2.9"], options: ["ndots:3"]), embedded: true)
        #expect(own == "nameserver 127.0.0.11\nsearch lan\noptions ndots:3\n")
    }

    @Test func `the hosts file ends with the container's own line`() {
        let text = HostsFile.render(
            own: [HostsFile.Entry(address: "172.17.0.2", names: ["web"])],
            extra: [HostsFile.Entry(address: "192.0.2.7", names: ["db"])])
        #expect(text.hasPrefix("127.0.0.1\tlocalhost\n::1\t"))
        #expect(text.hasSuffix("ff02::2\tip6-allrouters\n192.0.2.7\tdb\n172.17.0.2\tweb\n"))
    }

    @Test func `what a user wrote into the hosts file stays, whatever comes and goes`() {
        let first = HostsFile.Entry(address: "172.18.0.2", names: ["web"])
        let second = HostsFile.Entry(address: "172.19.0.2", names: ["web"])
        let rendered = HostsFile.render(own: [first], extra: [])
        let edited = rendered + "192.0.2.1\tmine # note\n"
        let joined = HostsFile.adding([second], to: edited)
        #expect(joined == edited + "172.19.0.2\tweb\n")
        #expect(HostsFile.adding([second], to: joined) == joined)
        #expect(HostsFile.removing([second], from: joined) == edited)
        // The next start has another address.
        let anew = HostsFile.render(own: [HostsFile.Entry(address: "172.18.0.9", names: ["web"])], extra: [])
        #expect(HostsFile.keepingAdditions(anew, current: edited, last: rendered) == anew + "192.0.2.1\tmine # note\n")
        #expect(HostsFile.keepingAdditions(anew, current: rendered, last: rendered) == anew)
    }
}

struct ClientViewTests {
    /// Options of the host, the daemon and the container, the last one's in place of the others'.
    @Test(
        arguments: [
            ("", [], nil, true), ("ndots:2", [], nil, false), ("", ["ndots:2"], nil, false),
            ("", [], ["ndots:0"], false),
            ("rotate", ["timeout:1"], ["edns0"], true), ("", ["ndots:2"], ["rotate"], true),
            ("", ["ndots:2"], [], false),
        ] as [(String, [String], [String]?, Bool)])
    func `names without a dot go to the host's servers unless somebody sets ndots`(
        _ host: String, _ daemon: [String], _ container: [String]?, _ forwards: Bool
    ) {
        var defaults = NetworkDefaults()
        defaults.dnsOptions = daemon
        var asked = HostConfig()
        asked.dnsOptions = container
        let view = ClientView(
            names: ContainerNames(networks: [], links: [:]), forwards: true, resolver: defaults.resolver(for: asked))
        let resolver = HostResolver(host.isEmpty ? "" : "options \(host)\n")
        #expect(view.configuration(host: resolver).forwardsSingleLabels == forwards)
    }
}

struct NetworkNamesTests {
    private static func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

    private static func network() throws -> NetworkNames {
        let network = NetworkNames(network: "Front")
        network.set(
            "1", .init(name: "web", names: ["web", "app", "0123456789ab"], addresses: [try address("10.0.0.2")]))
        network.set(
            "2",
            .init(name: "web2", names: ["web2", "app"], addresses: [try address("10.0.0.3"), try address("fd00::3")]))
        return network
    }

    @Test func `a name stands for everyone who bears it`() throws {
        let names = ContainerNames(networks: [try Self.network()], links: ["db": "web2"])
        #expect(names.addresses(of: "web").map { "\($0)" } == "[10.0.0.2]")
        #expect(Set(names.addresses(of: "app") ?? []).count == 3)
        #expect(names.addresses(of: "web.front").map { "\($0)" } == "[10.0.0.2]")
        #expect(names.addresses(of: "db").map { "\($0)" } == "[10.0.0.3, fd00::3]")
        #expect(names.addresses(of: "web.back") == nil as [IPAddress]?)
        #expect(names.name(of: try Self.address("fd00::3")) == "web2.front")
        #expect(names.name(of: try Self.address("10.0.0.9")) == nil)
    }

    @Test func `a container that is renamed or gone leaves no name behind`() throws {
        let network = try Self.network()
        network.set("1", .init(name: "new", names: ["new"], addresses: [try Self.address("10.0.0.4")]))
        #expect(network.addresses(of: "web") == nil)
        #expect(network.name(of: try Self.address("10.0.0.2")) == nil)
        #expect(network.addresses(of: "new").map { "\($0)" } == "[10.0.0.4]")
        network.remove("1")
        network.remove("2")
        #expect(network.members.isEmpty)
        for name in ["new", "app", "web2"] { #expect(network.addresses(of: name) == nil) }
    }
}

struct NetworkCreationTests {
    private static func creation(_ json: String) throws -> NetworkCreation {
        let asked = try JSONDecoder().decode(NetworkCreateRequest.self, from: Data(json.utf8))
        return try NetworkCreation(
            asked, id: String(repeating: "ab", count: 32), created: "2026-01-01T00:00:00Z", template: nil, mtu: 0,
            bindAddress: .any4)
    }

    @Test(arguments: [
        ("{}", "name is empty"), (#"{"Name":"host"}"#, "operation is not permitted on predefined host network"),
        (#"{"Name":"a/b"}"#, "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        (#"{"Name":"-a"}"#, "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        (#"{"Name":"n","Driver":"overlay9"}"#, #"plugin "overlay9" not found"#),
        (#"{"Name":"n","Driver":"host"}"#, #"only one instance of "host" network is allowed"#),
        (#"{"Name":"n","Ingress":true}"#, "not a swarm manager"),
        (#"{"Name":"n","Scope":"mars"}"#, "invalid network scope"),
        (#"{"Name":"n","EnableIPv4":false}"#, "IPv4 or IPv6 must be enabled"),
        (#"{"Name":"n","IPAM":{"Driver":"x"}}"#, "IPAM driver x not found"),
        (#"{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/33"}]}}"#, "invalid subnet 10.0.0.0/33"),
        (#"{"Name":"n","IPAM":{"Config":[{"Subnet":"ten"}]}}"#, "invalid subnet ten"),
        (#"{"Name":"n","IPAM":{"Config":[{"Gateway":"10.0.0.1"}]}}"#, "needs a subnet"),
        (#"{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24","Gateway":"x"}]}}"#, "invalid gateway x"),
        (
            #"{"Name":"n","IPAM":{"Config":[{"Subnet":"10.0.0.0/24"},{"Subnet":"10.1.0.0/24"}]}}"#,
            "doesn't support multiple subnets"
        ),
        (#"{"Name":"n","IPAM":{"Config":[{"Subnet":"fd00::/64"}]}}"#, "enable it with --ipv6"),
        (#"{"Name":"n","Options":{"com.docker.network.driver.mtu":"7"}}"#, "invalid value \"7\""),
        (#"{"Name":"n","Options":{"com.docker.network.bridge.enable_icc":"maybe"}}"#, "invalid value \"maybe\""),
        (#"{"Name":"n","Options":{"com.docker.network.bridge.nosuch":"1"}}"#, "this engine does not have it"),
        (#"{"Name":"n","Driver":"macvlan","Options":{"macvlan_mode":"x"}}"#, "invalid value \"x\""),
    ])
    func `a network that cannot be meant is refused`(_ json: String, _ words: String) {
        let error = #expect(throws: EngineError.self) { try Self.creation(json) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func `subnets, options and defaults come out as they were asked for`() throws {
        let plain = try #require(try Self.creation(#"{"Name":"n"}"#).request)
        #expect(plain.ipv4 == .automatic && plain.ipv6 == .none && plain.plan.icc && plain.plan.masquerade4)
        let full = try Self.creation(
            #"""
            {"Name":"n.1_x","EnableIPv6":true,"Internal":true,"Labels":{"a":"b"},
             "IPAM":{"Config":[{"Subnet":"10.9.0.7/16","Gateway":"10.9.0.254","IPRange":"10.9.1.0/24",
                                "AuxiliaryAddresses":{"x":"10.9.1.3"}},{"Subnet":"fd01::/64"}]},
             "Options":{"com.docker.network.bridge.enable_icc":"false","com.docker.network.bridge.name":"br9",
                        "com.docker.network.driver.mtu":"1400","org.example":"kept"}}
            """#)
        let request = try #require(full.request)
        guard case .explicit(let ipv4) = request.ipv4, case .explicit(let ipv6) = request.ipv6 else {
            Issue.record("no subnets")
            return
        }
        #expect("\(ipv4.subnet) \(ipv6.subnet)" == "10.9.0.0/16 fd01::/64")
        #expect(ipv4.gateway == IPAddress("10.9.0.254") && ipv4.range == IPSubnet("10.9.1.0/24"))
        #expect(ipv4.auxiliary == ["x": try #require(IPAddress("10.9.1.3"))])
        #expect(request.plan.interface == "br9" && request.plan.mtu == 1400 && !request.plan.icc)
        #expect(request.plan.isInternal && full.record.isInternal && full.record.hasConfiguredSubnet)
        #expect(full.record.options["org.example"] == "kept" && full.record.labels == ["a": "b"])
    }

    @Test func `a configuration lends its settings and has no network of its own`() throws {
        let lender = try Self.creation(
            #"{"Name":"c","ConfigOnly":true,"IPAM":{"Config":[{"Subnet":"10.8.0.0/24"}]}}"#)
        #expect(lender.request == nil)
        let asked = NetworkCreateRequest.self
        let borrowing = try JSONDecoder().decode(
            asked, from: Data(#"{"Name":"n","ConfigFrom":{"Network":"c"}}"#.utf8))
        let made = try NetworkCreation(
            borrowing, id: String(repeating: "cd", count: 32), created: "", template: lender.record, mtu: 0,
            bindAddress: .any4)
        #expect(made.record.configFrom == "c" && made.record.hasConfiguredSubnet)
        let greedy = try JSONDecoder().decode(
            asked, from: Data(#"{"Name":"n","ConfigFrom":{"Network":"c"},"Options":{"a":"b"}}"#.utf8))
        #expect(throws: EngineError.self) {
            try NetworkCreation(
                greedy, id: "", created: "", template: lender.record, mtu: 0, bindAddress: .any4)
        }
    }
}

struct PublishedPortTests {
    private static func host(_ port: String, _ address: String, _ hostPort: String) -> HostConfig {
        var side = PortBindingRequest()
        (side.hostIp, side.hostPort) = (address, hostPort)
        var host = HostConfig()
        host.portBindings = [port: [side]]
        return host
    }

    @Test(arguments: [
        ("80/tcp", "", "8080", "0.0.0.0:8080->80/tcp"),
        ("80/udp", "127.0.0.1", "", "127.0.0.1:0->80/udp"), ("80", "::1", "1", "[::1]:1->80/tcp"),
        ("9/sctp", "0.0.0.0", "9", "0.0.0.0:9->9/sctp"),
    ])
    func `a port is published where it was asked for`(
        _ port: String, _ address: String, _ hostPort: String, _ expected: String
    ) throws {
        let found = try PublishedPorts.requests(
            Self.host(port, address, hostPort), exposed: nil)
        #expect(found.map(\.description) == [expected])
        #expect(found.map(\.isAddressDefault) == [address.isEmpty])
    }

    @Test func `a range of host ports is one binding that takes the first free`() throws {
        let found = try PublishedPorts.requests(Self.host("80/tcp", "", "8000-8009"), exposed: nil)
        #expect(found.first?.hostPort == 8000 && found.first?.hostPortEnd == 8009)
    }

    @Test(arguments: [
        ("80/tcp", "", "8009-8000"), ("80/tcp", "", "1-"), ("80/tcp", "", "65536"), ("80/tcp", "", "+1"),
        ("80/tcp", "localhost", "1"), ("0/tcp", "", "1"), ("80/icmp", "", "1"), ("x", "", "1"), ("80/tcp", "", "1-2-3"),
    ])
    func `a port that cannot be meant is refused`(_ port: String, _ address: String, _ hostPort: String) {
        #expect(throws: EngineError.self) {
            try PublishedPorts.requests(Self.host(port, address, hostPort), exposed: nil)
        }
    }
}

struct PruneAgeTests {
    @Test(arguments: [
        ("10", 10), ("1970-01-01T00:01:00Z", 60), ("1h", 6400), ("1h30m", 4600), ("1.5s", 9998), ("500ms", 9999),
    ])
    func `until is a time, or an age before now`(_ text: String, _ seconds: Int64) throws {
        let now = Timestamp(nanosecondsSince1970: 10_000_000_000_000)
        #expect(try PruneAge.time(text, now: now).seconds == seconds)
    }

    @Test(arguments: ["", "h", "1x", "1h2", "-1h", "9999999999999h", "99999999999999999999"])
    func `anything else is refused`(_ text: String) {
        #expect(throws: EngineError.self) { try PruneAge.time(text) }
    }
}
