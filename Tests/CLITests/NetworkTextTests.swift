import Testing

@testable import docker

@Suite struct NetworkTextTests {
    @Test(arguments: [
        ("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:DB8::0:1", "2001:db8::1"), ("::", "::"),
        ("::102:304", "::102:304"), ("0:0:1:0:0:0:1:1", "0:0:1::1:1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:0:3:4:5:6:7:0", "1:0:3:4:5:6:7:0"), ("fe80::", "fe80::"),
    ])
    func `an address is written in its shortest form`(text: String, shortest: String) {
        #expect(IPAddress(text)?.description == shortest)
    }

    @Test(arguments: ["", "1.2.3", "01.2.3.4", "1.2.3.4.5", "fe80::1%eth0", "1.2.3.4/8", "g::", "::1::", "256.1.1.1"])
    func `what is no address is none`(text: String) { #expect(IPAddress(text) == nil) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.1.2", true), ("10.0.0.0/9", "10.128.0.0", false), ("0.0.0.0/0", "8.8.8.8", true),
        ("10.1.2.3/32", "10.1.2.3", true), ("10.1.2.3/32", "10.1.2.2", false), ("fd00::/64", "fd00::ffff:1", true),
        ("fd00::/64", "fd00:0:0:1::", false), ("fd00::/64", "10.0.0.1", false), ("10.0.0.0/024", "10.0.0.9", true),
        ("::ffff:10.0.0.0/120", "10.0.0.7", true), ("::ffff:10.0.0.0/120", "10.0.1.7", false),
    ])
    func `a network holds the addresses that begin as it does`(network: String, address: String, held: Bool) throws {
        #expect(try #require(IPNetwork(network)).contains(try #require(IPAddress(address))) == held)
    }

    @Test(arguments: [
        "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "/8", "x/8", "::/129", "::/99999999999",
    ])
    func `what is no network is none`(text: String) { #expect(IPNetwork(text) == nil) }

    @Test(arguments: [
        ("02:42:ac:11:00:02", true), ("02-42-AC-11-00-02", true), ("0242.ac11.0002", true),
        ("02:42:ac:11:00:02:03:04", true), ("0242.ac11.0002.0304", true), ("02:42:ac-11:00:02", false),
        ("02:42:ac:11:00", false), ("2:42:ac:11:00:02", false), ("02:42:ac:11:00:0g", false), ("", false),
        ("0242ac110002", false), ("0242.ac11.002", false),
    ])
    func `hardware addresses have six, eight or twenty bytes`(text: String, valid: Bool) {
        #expect(HardwareAddress.isValid(text) == valid)
    }

    @Test func `names are listed as people count`() {
        let sorted = ["net10", "net2", "a", "10", "9", "net02", "", "B", "net2a", "net"]
            .sorted(by: NaturalOrder.isAscending)
        #expect(sorted == ["", "9", "10", "B", "a", "net", "net2", "net2a", "net02", "net10"])
    }

    @Test(arguments: [
        ("a,b", ["a", "b"]), (",", ["", ""]), ("\"a,b\",c", ["a,b", "c"]), ("\"a\"\"b\"", ["a\"b"]), ("a", ["a"]),
        ("a,", ["a", ""]), ("a\nb", ["a"]), ("\"\"", [""]),
    ])
    func `a line of comma-separated values gives its fields`(text: String, fields: [String]) throws {
        #expect(try CommaSeparated.fields(text) == fields)
    }

    @Test(arguments: [
        ("", "EOF"), ("a\"b", "parse error on line 1, column 2: bare \" in non-quoted-field"),
        ("\"a\"b", "parse error on line 1, column 3: extraneous or missing \" in quoted-field"),
        ("a,\"b", "parse error on line 1, column 5: extraneous or missing \" in quoted-field"),
    ])
    func `a quote in the wrong place is told with its column`(text: String, reason: String) {
        #expect(throws: FlagReason(reason)) { try CommaSeparated.fields(text) }
    }

    @Test(arguments: [
        ("10", 10), ("-7", -7), ("+7", 7), ("0x10", 16), ("0b11", 3), ("0o17", 15), ("017", 15), ("0", 0),
        ("0x_ff", 255), ("1_000", 1000), ("0_7", 7), ("9223372036854775807", Int64.max),
    ])
    func `numbers have the bases of Go`(text: String, value: Int64) {
        var number: Int64 = 0
        #expect(number.take(text) == nil)
        #expect(number == value)
    }

    @Test(arguments: ["", "-", "++1", "_1", "1_", "1__0", "08", "0x", "1.5", "٣"])
    func `what Go does not read as a number is none`(text: String) {
        var number: Int64 = 0
        #expect(number.take(text) == "strconv.ParseInt: parsing \"\(text)\": invalid syntax")
    }

    @Test func `published ports keep their order and unpublished neighbours are joined`() throws {
        func port(_ inside: Int64, _ outside: Int64 = 0, _ ip: String = "", _ kind: String = "tcp") -> JSON {
            ["PrivatePort": JSON(inside), "PublicPort": JSON(outside), "IP": .string(ip), "Type": .string(kind)]
        }
        #expect(PortList.text([]) == "")
        #expect(PortList.text([port(82), port(80), port(81), port(84)]) == "80-82/tcp, 84/tcp")
        #expect(
            PortList.text([port(80, 8080, "::"), port(80, 8080, "0.0.0.0")])
                == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp")
        let same = [port(80, 80, "0.0.0.0"), port(81, 81, "0.0.0.0"), port(80, 80, "::"), port(81, 81, "::")]
        #expect(PortList.text(same) == "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp")
        #expect(
            PortList.text([port(53, 53, "0.0.0.0", "udp"), port(53, 53, "0.0.0.0")])
                == "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp")
    }

    @Test(arguments: [
        ("2026-11-24T13:14:00.33085879Z", "2026-11-24 13:14:00.33085879 +0000 UTC"),
        ("2026-11-24T13:14:00.5000Z", "2026-11-24 13:14:00.5 +0000 UTC"),
        ("2026-11-24T13:14:00Z", "2026-11-24 13:14:00 +0000 UTC"),
        ("2026-11-24T13:14:00+01:30", "2026-11-24 13:14:00 +0130 +0130"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"), ("yesterday", "yesterday"), ("", ""),
    ])
    func `times are shown as Go shows them`(text: String, shown: String) {
        #expect(Times.goString(rfc3339: text) == shown)
    }

    @Test(arguments: [
        ([], ["label=keep", "until=1h", "junk"], ["label=keep", "until=1h"]),
        (["label=a"], ["label=keep", "label!=a"], ["label=a", "label=keep"]),
        (["label!=keep"], ["label=keep", "until=1h"], ["label!=keep", "until=1h"]),
        (["until=2h", " Label = a "], ["until=1h"], ["label=a", "until=1h", "until=2h"]),
    ])
    func `what a prune is told by file is added unless the opposite was typed`(
        typed: [String], defaults: [String], all: [String]
    ) {
        var filters = Filters()
        for text in typed { #expect(filters.take(text) == nil) }
        #expect(filters.adding(defaults: defaults).descriptions == all)
    }

    @Test func `maps are sent in order to templates, and records as they are`() {
        let sent: JSON = [
            "EnableIPv6": false, "IPAM": ["Driver": "default", "Config": []],
            "Containers": ["b": ["Name": "x"], "a": ["Name": "y", "EndpointID": ""]], "Labels": ["z": "1", "a": "2"],
        ]
        #expect(
            GoRecords.typed(sent, "network.Inspect").encoded()
                == #"{"EnableIPv4":false,"EnableIPv6":false,"IPAM":{"Driver":"default","Config":[]},"#
                + #""Containers":{"a":{"Name":"y","EndpointID":""},"b":{"Name":"x"}},"Labels":{"a":"2","z":"1"}}"#)
    }

    @Test(arguments: [
        ("short", "short"), ("one\ntwo", "one\n    two"),
        (
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
            "Highest gw-priority provides the default gateway. Accepts positive\n    and negative values."
        ), (String(repeating: "x", count: 200), String(repeating: "x", count: 200)),
    ])
    func `help breaks lines between words`(text: String, lines: String) {
        #expect(Help.wrapped(text, indent: 4) == lines)
    }
}
