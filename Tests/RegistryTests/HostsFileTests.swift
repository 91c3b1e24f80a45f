import OCI
import Testing

@testable import Registry

private let sample = """
    # Whom to ask for images of example.com.
    server = "https://example.com"   # the registry itself
    ca = "/etc/ca.pem"
    [header]
    x-root = "outer"

    [host."https://near.example"]
      capabilities = ["pull", "Resolve",] # in any case of letters
      ca = ["a.pem", '/b/c.pem']
      dial_timeout = "0m1.5s"
      skip_verify = false
      [host."https://near.example".header]
        x-one = "1"
        x-two = ["2", "two"]
    [host."http://plain.example:8080/us/"]
    capabilities = [
      "pull",  # a comment
      "referrers"
    ]
    client = [["c.pem", "k.pem"]]
    [host.'bare.example']
    override_path = true
    header = {x-three = "3"}
    [host."https://deep.example/v2/mirror/"]
    override_path = true
    client = "both.pem"
    [host."https://far.example/a/v2".header]
    authorization = "Bearer \\u0041\\"b"
    """

private func parsed(_ text: String) throws(TOMLError) -> HostsFile { try HostsFile(Array(text.utf8)) }

private func refusal(_ text: String) -> TOMLError? {
    do throws(TOMLError) {
        _ = try parsed(text)
        return nil
    } catch { return error }
}

@Suite struct `a hosts.toml` {
    @Test func `says whom to ask, in its order, and how`() throws {
        let file = try parsed(sample)
        #expect(
            file.hosts.map { $0.location?.description } == [
                "https://near.example/", "http://plain.example:8080/us/", "https://bare.example/",
                "https://deep.example/v2/mirror/", "https://far.example/a/v2",
            ])
        #expect(file.hosts.map(\.root) == ["/v2", "/us/v2", "", "/v2/mirror", "/a/v2"])
        #expect(file.hosts.map(\.capabilities) == [[.pull, .resolve], [.pull], .all, .all, .all])
        let near = file.hosts[0]
        #expect(near.authorities.map(\.path) == ["a.pem", "/b/c.pem"])
        #expect(near.authorities.map(\.line) == [9, 9])
        #expect(near.dialTimeout == .milliseconds(1500))
        #expect(near.skipsVerification == false && file.hosts[1].skipsVerification == nil)
        #expect(near.headers.map(\.name) == ["x-one", "x-two", "x-two"])
        #expect(near.headers.map(\.value) == ["1", "2", "two"])
        #expect(file.hosts[1].client?.certificate.path == "c.pem" && file.hosts[1].client?.key?.path == "k.pem")
        #expect(file.hosts[2].headers.map(\.value) == ["3"])
        #expect(file.hosts[3].client?.certificate.path == "both.pem" && file.hosts[3].client?.key == nil)
        #expect(file.hosts[4].headers.map(\.value) == ["Bearer A\"b"])
        #expect(file.server.location?.description == "https://example.com/")
        #expect(file.server.authorities.map(\.path) == ["/etc/ca.pem"])
        #expect(file.server.headers.map(\.name) == ["x-root"])
        // As Windows ends lines.
        #expect(
            try parsed(sample.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"))
                == file)
    }

    @Test func `that says nothing, or no server, is about the registry itself`() throws {
        for text in ["", "# nothing\n", "server = \"\"", "capabilities = []\n[host]"] {
            let file = try parsed(text)
            #expect(file.hosts.isEmpty && file.server.location == nil, "\(text)")
        }
    }

    @Test(arguments: [
        ("server = https://a", 1, "is no value"), ("\n\nserver = 5", 3, "\"5\" is no value"),
        ("server = \"a", 1, "text has no end"), ("server = \"\"\"a\"\"\"", 1, "over several lines"),
        ("server \"a\"", 1, "= belongs there"), ("server = \"a\" \"b\"", 1, "where the line should end"),
        ("= 1", 1, "where a key should be"), ("a b = true", 1, "after a key"), ("server", 1, "the line ends"),
        ("server = ", 1, "the line ends where a value should be"),
        ("[host.\"a\"]\n[host.\"a\"]", 2, "there twice"), ("ca = \"a\"\nca = \"b\"", 2, "\"ca\" is there twice"),
        ("[[host]]", 1, "arrays of tables"), ("[host", 1, "after the name of a table"),
        ("header = {a = \"b\"}\n[header]", 2, "is whole already"), ("header.a = \"b\"\n[header]", 2, "there twice"),
        ("[header]\na = \"b\"\n[host.x]\n[header.a]", 4, "is a value, not a table"),
        ("server = \"\\q\"", 1, "no escape"), ("server = \"\\u12\"", 1, "names no character"),
        ("server = \"\\ud800\"", 1, "names no character"), ("a = \"\u{1}\"", 1, "control character"),
        ("\n# \u{7f}", 2, "control character"), ("a\rb", 1, "control character"),
        ("ca = [\"a\"\n\"b\"]", 2, "after a value of an array"), ("header = {a = \"b\",}", 1, "where a key should be"),
        ("servr = \"a\"", 1, "\"servr\" is not known"),
        ("[host.\"a\"]\n\nserver = \"b\"", 3, "\"server\" is not known"),
        ("[host.a]\n[host.a.headers]\n", 2, "\"headers\" is not known"), ("proxy = \"http://p\"", 1, "proxy is not"),
        ("host = \"a\"", 1, "\"host\" is of another type"), ("[host]\na = \"b\"", 2, "of another type"),
        ("server = [\"a\"]", 1, "of another type"), ("skip_verify = \"true\"", 1, "of another type"),
        ("capabilities = \"pull\"", 1, "of another type"),
        ("capabilities = [\n\"pul\"]", 2, "unknown capability \"pul\""),
        ("ca = true", 1, "of another type"), ("ca = [[\"a\"]]", 1, "of another type"), ("ca = \"\"", 1, "path"),
        ("client = [\"a\", \"b\"]", 1, "more than one"), ("client = [[\"a\"]]", 1, "is no pair"),
        ("dial_timeout = \"1\"", 1, "is no time"), ("dial_timeout = \"61s\"", 1, "is no time"),
        ("dial_timeout = \"-1s\"", 1, "is no time"), ("dial_timeout = \"0s\"", 1, "is no time"),
        ("[header]\nhost = \"a\"", 2, "cannot be sent"), ("[header]\n\"a b\" = \"c\"", 2, "cannot be sent"),
        ("[header]\na = \"b\\r\\nc: d\"", 2, "cannot be sent"), ("[header]\na = true", 2, "of another type"),
        ("server = \"ftp://a\"", 1, "is no host"), ("server = \"https://u:p@a\"", 1, "is no host"),
        ("server = \"https://a?b\"", 1, "is no host"), ("server = \"https://a/../b\"", 1, "is no host"),
        ("[host.\"https://\"]", 1, "is no host"), ("[host.\"a#b\"]", 1, "is no host"),
    ])
    func `that is wrong is refused by its line`(text: String, line: Int, words: String) {
        let error = refusal(text)
        #expect(error?.line == line, "\(text)")
        #expect(
            error?.message.contains(words) == true || error?.remedy?.contains(words) == true, "\(text): \(error as Any)"
        )
    }

    @Test func `that is too much is refused`() {
        let lines = { (count: Int, line: (Int) -> String) in (0..<count).map(line).joined(separator: "\n") }
        #expect(refusal(lines(200) { "[host.\"h\($0)\"]" })?.message.contains("more than 128 hosts") == true)
        #expect(
            refusal("ca = [" + lines(5000) { _ in "\"a\"," } + "]")?.message.contains("more than 4096 values") == true)
        #expect(refusal("ca = " + String(repeating: "[", count: 100_000))?.message.contains("deeper than 8") == true)
        #expect(refusal(String(repeating: "a.", count: 100_000))?.message.contains("more than 8 parts") == true)
        #expect(refusal("header = " + String(repeating: "{a=", count: 1000))?.message.contains("deeper") == true)
        #expect(
            refusal("[header]\na = \"\(String(repeating: "b", count: 5000))\"")?.message.contains("4096 bytes") == true)
        #expect(refusal("ca = [\(String(repeating: "\"a\",", count: 33))]")?.message.contains("more than 32") == true)
    }

    @Test(arguments: [
        ("1s", 1_000_000_000), ("500ms", 500_000_000), ("1.5s", 1_500_000_000), (".5s", 500_000_000),
        ("1m30s", 90_000_000_000), ("1h", 3_600_000_000_000), ("3us", 3000), ("3µs", 3000), ("7ns", 7),
    ])
    func `times are Go's`(text: String, nanoseconds: Int64) {
        #expect(GoDuration.nanoseconds(text) == nanoseconds)
    }

    @Test(arguments: [
        "", "1", "s", ".s", "1.2.3s", "1x", "-1s", "1s2", "99999999999999999h", "999999999999999999s", " 1s",
    ])
    func `other times are none`(text: String) { #expect(GoDuration.nanoseconds(text) == nil) }

    /// Whatever the bytes, there is a value or an error of one of their lines.
    @Test func `of any bytes ends in a value or an error`() {
        let seed = Array(sample.utf8)
        let pieces = [
            "[", "]", "{", "}", "\"", "'", "\"\"\"", "=", ".", ",", "\n", "\r\n", "\r", "#", "\\", "\\u", "\\UFFFFFFFF",
            "true", "[host", "[[", "\u{0}", "é", "header", "host.a.b", "server", "= [", "{a=",
        ].map { Array($0.utf8) }
        var state: UInt64 = 7
        func random(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % max(count, 1)
        }
        var accepted = 0
        for _ in 0..<10_000 {
            var bytes = seed
            for _ in 0...random(4) {
                let place = random(bytes.count)
                switch random(5) {
                case 0: bytes[place] = UInt8(random(256))
                case 1: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random(40)))
                case 2: bytes.insert(contentsOf: pieces[random(pieces.count)], at: place)
                case 3:
                    bytes.insert(
                        contentsOf: bytes[place..<min(bytes.count, place + random(60))], at: random(bytes.count))
                default: bytes.removeLast(random(bytes.count))
                }
                if bytes.isEmpty { bytes = seed }
            }
            do throws(TOMLError) {
                _ = try HostsFile(bytes)
                accepted += 1
            } catch {
                let lines = bytes.count { $0 == 0x0a } + 1
                #expect((1...lines).contains(error.line), "\(String(decoding: bytes, as: UTF8.self)): \(error)")
            }
        }
        #expect((100..<9000).contains(accepted))
    }
}
