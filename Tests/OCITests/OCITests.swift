import Testing

@testable import OCI

struct ReferenceTests {
    @Test(arguments: [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("me/app:1", "docker.io/me/app:1", "me/app:1"),
        ("localhost:5000/x", "localhost:5000/x", "localhost:5000/x"),
        ("ghcr.io/a/b:v1.2-x", "ghcr.io/a/b:v1.2-x", "ghcr.io/a/b:v1.2-x"),
        ("index.docker.io/library/a", "docker.io/library/a", "a"),
    ])
    func `a reference has a whole and a familiar form`(_ text: String, _ whole: String, _ familiar: String) throws {
        let reference = try Reference(text)
        #expect(reference.description == whole)
        #expect(reference.familiar == familiar)
    }

    static let hex = String(repeating: "0", count: 64)

    /// What is refused, Docker's words for it, and what is nearest to it and must work.
    static let refusals: [(String, String, String)] = [
        ("", "invalid reference format", "a"), ("a//b", "invalid reference format", "a/b"),
        ("a:", "invalid reference format", "a:0"), ("-a", "invalid reference format", "a-a"),
        ("a-", "invalid reference format", "a---b"), ("a/../b", "invalid reference format", "a/b.b"),
        ("a..b", "invalid reference format", "a.b"), ("a___b", "invalid reference format", "a__b"),
        ("a b", "invalid reference format", "a_b"), ("a\n", "invalid reference format", "a1"),
        ("a\0b", "invalid reference format", "a0b"), ("é", "invalid reference format", "e"),
        (":1", "invalid reference format", "1:1"), ("@sha256:\(hex)", "invalid reference format", "a@sha256:\(hex)"),
        ("a@", "invalid reference format", "a"), ("a@sha256:12", "invalid reference format", "a:1@sha256:\(hex)"),
        ("a@md5:\(hex)", "invalid reference format", "a@sha512:\(hex)\(hex)"),
        ("a@sha256:\(hex.dropLast())G", "invalid reference format", "a@sha256:\(hex.dropLast())f"),
        ("/a", "invalid reference format", "h.io/a"), ("h.io/", "invalid reference format", "h.io/x"),
        ("h.io:port/a", "invalid reference format", "h.io:80/a"), ("h.io:/a", "invalid reference format", "h.io:1/a"),
        ("-h.io/a", "invalid reference format", "h-h.io/a"), ("[::1/a", "invalid reference format", "[::1]/a"),
        ("[::1]:x/a", "invalid reference format", "[::1]:5000/a"),
        ("https://h.io/a", "invalid reference format", "h.io/https/a"),
        (
            "a:\(String(repeating: "t", count: 129))", "invalid reference format",
            "a:\(String(repeating: "t", count: 128))"
        ),
        ("UPPER", "invalid reference format: repository name (library/UPPER) must be lowercase", "upper:UPPER"),
        ("h.io/Up", "invalid reference format: repository name (Up) must be lowercase", "H.io/up"),
        (hex, "invalid repository name (\(hex)), cannot specify 64-byte hexadecimal strings", "\(hex.dropLast())z"),
        (
            String(repeating: "a", count: 256), "repository name must not be more than 255 characters",
            String(repeating: "a", count: 230)
        ),
    ]

    @Test(arguments: refusals)
    func `what is no reference is refused in Docker's words`(_ text: String, _ words: String, _ good: String) throws {
        #expect(throws: OCIError(words)) { try Reference(text) }
        let reference = try Reference(good)
        #expect(try Reference(reference.description) == reference)
    }

    @Test(arguments: [
        "sha256:", "sha256:../../etc/passwd", "md5:" + String(repeating: "0", count: 32),
        "sha256:" + String(repeating: "A", count: 64), "sha256:" + String(repeating: "0", count: 63),
    ])
    func `a digest is an algorithm and its hex and nothing else`(_ text: String) {
        #expect(throws: OCIError.self) { try Digest(text) }
    }

    @Test func `a platform without variant matches any`() throws {
        #expect(Platform(os: "linux", architecture: "arm64").matches(try Platform("linux/arm64/v8")))
        #expect(!Platform(os: "linux", architecture: "amd64").matches(try Platform("arm64")))
    }
}

struct StrictJSONTests {
    static let refusals: [(String, String, String)] = [
        (#"{"a": 1, "a": 2}"#, "member \"a\" is there twice", #"{"a": 1, "A": 2}"#),
        (#"{"a": 1, "\u0061": 2}"#, "member \"a\" is there twice", #"{"a": 1, "\u0062": 2}"#),
        (#"{"x": [{"k": 1, "k": 1}]}"#, "member \"k\" is there twice", #"{"x": [{"k": 1}, {"k": 1}], "k": "k"}"#),
        (#"{"\ud800": 1, "\uD800": 2}"#, "member \"\\ud800\" is there twice", #"{"\ud800": 1, "\ud801": 2}"#),
        (#"["a"]"#, "it is not a JSON object in UTF-8", #" { "a": "{\"a\": 1, \"a\": [" }"#),
        ("\u{feff}{}", "it is not a JSON object in UTF-8", "\n\t\r {}"), ("", "it is not a JSON object in UTF-8", "{}"),
        ("{\0}", "it is not a JSON object in UTF-8", #"{"a": "\u0000"}"#),
        (
            "{" + String(repeating: #""a":{"#, count: 600), "it is nested deeper than 512",
            "{" + String(repeating: #""a":{"#, count: 500)
        ),
    ]

    @Test(arguments: refusals)
    func `a document that others may read otherwise is refused`(_ text: String, _ words: String, _ good: String) throws
    {
        #expect(throws: OCIError(words)) { try StrictJSON.check(Array(text.utf8)) }
        try StrictJSON.check(Array(good.utf8))
    }

    @Test func `another encoding than UTF-8 is refused`() throws {
        #expect(throws: OCIError.self) { try StrictJSON.check([0xff, 0xfe, 0x7b, 0, 0x7d, 0]) }
        #expect(throws: OCIError.self) { try StrictJSON.check([0x7b, 0, 0x7d, 0]) }
        #expect(throws: OCIError("it is not UTF-8")) { try StrictJSON.check([0x7b, 0x22, 0xff, 0x22, 0x7d]) }
        try StrictJSON.check(Array(#"["é", {}]"#.utf8), is: .array)
    }

    @Test func `text that is cut anywhere ends nothing but the reading`() throws {
        let whole = Array(#"{"a\u00e9\"": [1, {"b": "\\"}], "c": null}"#.utf8)
        for count in 1...whole.count { try StrictJSON.check(Array(whole.prefix(count))) }
    }
}
