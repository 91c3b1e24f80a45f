import OCI
import Testing

@testable import Registry

@Suite struct `challenges` {
    @Test(arguments: [
        (
            #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
            [
                Challenge(
                    scheme: "bearer",
                    parameters: [
                        "realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    ])
            ]
        ),
        (#"Basic realm="Registry Realm""#, [Challenge(scheme: "basic", parameters: ["realm": "Registry Realm"])]),
        (
            #"Basic realm="a", Bearer realm="https://b/", service=c"#,
            [
                Challenge(scheme: "basic", parameters: ["realm": "a"]),
                Challenge(scheme: "bearer", parameters: ["realm": "https://b/", "service": "c"]),
            ]
        ),
        (
            #"BEARER Realm = "a\"b" , error="invalid_token""#,
            [Challenge(scheme: "bearer", parameters: ["realm": "a\"b", "error": "invalid_token"])]
        ),
        ("Negotiate", [Challenge(scheme: "negotiate", parameters: [:])]),
        (#"Bearer realm="unterminated"#, [Challenge(scheme: "bearer", parameters: [:])]),
        (#"Bearer realm="first",realm="second""#, [Challenge(scheme: "bearer", parameters: ["realm": "first"])]),
        ("", []), (",,, ,", []), ("=\"\\", []),
    ])
    func `are read as RFC 9110 writes them`(header: String, expected: [Challenge]) {
        #expect(Challenge.parse([header]) == expected)
    }
}

@Suite struct `locations` {
    @Test(arguments: [
        ("https://Example.com", "https://example.com/"), ("http://a:80/x?y#z", "http://a/x?y"),
        ("https://[::1]:5000/v2/", "https://[::1]:5000/v2/"), ("http://h?q=1", "http://h/?q=1"),
    ])
    func `are kept canonical`(text: String, expected: String) {
        #expect(Location(text)?.description == expected)
    }

    @Test(arguments: [
        "ftp://a/", "https://", "https://u:p@host/", "http://a:0/", "http://a:99999/", "http://a b/", "http://a\r\nx/",
        "//a", "/a",
        "http://[::1/", "http://a\\b/", "http://é/",
    ])
    func `that are not plain http URLs are refused`(text: String) {
        #expect(Location(text) == nil)
    }

    @Test(arguments: [
        ("/b?c", "http://h:1/b?c"), ("b", "http://h:1/v2/b"), ("?n=2", "http://h:1/v2/x?n=2"), ("//o/p", "http://o/p"),
        ("https://o/p", "https://o/p"),
    ])
    func `resolve what headers say`(reference: String, expected: String) {
        #expect(Location("http://h:1/v2/x?y")?.resolving(reference)?.description == expected)
    }

    @Test func `of tag pages are found in Link headers`() {
        #expect(RegistryClient.nextPage(#"</v2/a/tags/list?last=b&n=1>; rel="next""#) == "/v2/a/tags/list?last=b&n=1")
        #expect(RegistryClient.nextPage(#"</x>; rel="prev""#) == nil)
    }
}

@Suite struct `a configuration` {
    @Test(arguments: [
        ("127.0.0.1:5000", true), ("127.9.9.9", true), ("localhost", true), ("localhost:5000", true),
        ("[::1]:5000", true),
        ("reg.local:5000", true), ("reg.local", false), ("reg.local:5001", false), ("10.1.2.3:443", true),
        ("11.1.2.3", false),
        ("localhost.evil.example", false), ("127.0.0.1.evil.example", false), ("docker.io", false), ("a:b", false),
    ])
    func `decides by exact names and literal addresses what is insecure`(authority: String, expected: Bool) throws {
        let configuration = try RegistryConfiguration(insecureRegistries: ["reg.local:5000", "10.0.0.0/8"])
        #expect(configuration.isInsecure(authority) == expected)
    }

    @Test func `a source is asked for what a digest names, by a name with its path`() throws {
        let configuration = try RegistryConfiguration(
            mirrors: ["https://m.example"],
            sources: ["ghcr.io": ["http://s.example:81/a/ghcr.io/"], "docker.io": ["https://s.example"]])
        let own = try configuration.origin(of: "ghcr.io")
        let source = try #require(try configuration.endpoints(for: "ghcr.io", after: own).first)
        #expect(source.description == "http://s.example:81/a/ghcr.io")
        #expect(source.name(of: "owner/name") == "a/ghcr.io/owner/name")
        #expect(source.isMirror && !source.resolvesTags)
        let mirror = try #require(try configuration.endpoints(for: "docker.io").first)
        #expect(
            try configuration.endpoints(for: "docker.io", after: mirror).map(\.description)
                == ["https://s.example", "https://m.example", "https://registry-1.docker.io"])
    }

    @Test(arguments: [
        "ftp://s.example", "https://u@s.example", "https://s.example/UP", "https://s.example/a?b", "s.example",
    ])
    func `refuses what is no source`(source: String) {
        #expect(throws: RegistryError.self) { try RegistryConfiguration(sources: ["ghcr.io": [source]]) }
    }

    @Test func `asks mirrors first and only for Docker Hub`() throws {
        let configuration = try RegistryConfiguration(mirrors: ["https://m.example", "http://localhost:5001/"])
        #expect(
            try configuration.endpoints(for: "docker.io").map(\.description)
                == ["https://m.example", "http://localhost:5001", "https://registry-1.docker.io"])
        #expect(try configuration.endpoints(for: "ghcr.io").map(\.description) == ["https://ghcr.io"])
    }

    @Test(arguments: ["m.example", "ftp://m", "https://m/path", "https://u:p@m", "https://m/?q", "https://m#f", ""])
    func `refuses what is no mirror`(mirror: String) {
        #expect(throws: RegistryError.self) { try RegistryConfiguration(mirrors: [mirror]) }
    }

    @Test(arguments: ["http://reg:5000", "reg:port", "a/b", ""])
    func `refuses what is no insecure registry`(entry: String) {
        #expect(throws: RegistryError.self) { try RegistryConfiguration(insecureRegistries: [entry]) }
    }

    @Test func `never lets a secure endpoint fall back to plain HTTP`() throws {
        let configuration = try RegistryConfiguration()
        #expect(try configuration.origin(of: "ghcr.io").schemes == [.https])
        #expect(try configuration.origin(of: "localhost:5000").schemes == [.https, .http])
    }
}

@Suite struct `credentials` {
    @Test(
        arguments: [
            ("eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6ImIifQ==", Credentials(username: "a", password: "b")),
            ("eyJ1c2VybmFtZSI6ImEiLCJwYXNzd29yZCI6ImIifQ", Credentials(username: "a", password: "b")),
            ("eyJhdXRoIjoiWVRwaU9tTT0ifQ==", Credentials(username: "a", password: "b:c")),
            ("e30=", nil), ("", nil),
        ] as [(String, Credentials?)])
    func `are decoded from a header`(header: String, expected: Credentials?) throws {
        #expect(try Credentials.decode(header: header) == expected)
    }

    @Test(arguments: ["!!!!", "bm90IGpzb24=", "WzFd", "eyJ1c2VybmFtZSI6MX0="])
    func `that are malformed are an error`(header: String) {
        #expect(throws: RegistryError.self) { try Credentials.decode(header: header) }
    }

    @Test func `do not show their secret in a log`() {
        #expect(!"\(Credentials(username: "a", password: "hunter2"))".contains("hunter2"))
    }

    @Test(arguments: [
        ("https://index.docker.io/v1/", "docker.io"), ("", "docker.io"),
        ("http://localhost:5000/v2/", "localhost:5000"), ("ghcr.io", "ghcr.io"),
    ])
    func `belong to the domain of their server address`(address: String, domain: String) {
        #expect(RegistryClient.domain(address) == domain)
    }
}

@Suite struct `error replies` {
    @Test(arguments: [
        (
            404, #"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            RegistryError.Code.manifestUnknown,
            "manifest for busybox:nope not found: manifest unknown: manifest unknown"
        ),
        (
            403, #"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#, .denied,
            "pull access denied for busybox, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
        ),
        (
            404, #"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#, .notFound,
            "repository busybox not found: name unknown: repository name not known to registry"
        ),
        (
            401, #"{"details":"incorrect username or password"}"#, .unauthorized,
            "unauthorized: incorrect username or password"
        ),
        (429, "slow down", .rateLimited, "toomanyrequests: too many requests"),
        (502, "<html>", .server, "received unexpected HTTP status: 502"),
    ])
    func `are told in Docker's words`(status: Int, body: String, code: RegistryError.Code, message: String) throws {
        let error = WireErrors.error(status: status, body: Array(body.utf8), reference: try Reference("busybox:nope"))
        #expect(error.code == code)
        #expect(error.message == message)
    }

    @Test func `say denied when the token was not enough`() throws {
        let challenges = Challenge.parse([#"Bearer realm="https://a/",error="insufficient_scope""#])
        let error = WireErrors.error(status: 401, body: [], challenges: challenges, reference: try Reference("x"))
        #expect(error.code == .denied)
        #expect(error.message.hasPrefix("pull access denied for x, repository does not exist"))
    }
}

@Suite struct `backing off` {
    @Test func `ends after the attempts without progress and begins anew after some`() throws {
        var patience = RegistryConfiguration.Patience()
        patience.attempts = 3
        let cut = RegistryError(.cut, "cut")
        var backoff = Backoff(patience)
        #expect(backoff.pause(after: cut) != nil)
        #expect(backoff.pause(after: cut) != nil)
        backoff.advanced(by: 10)
        #expect(backoff.pause(after: cut) == nil)
        backoff.advanced(by: Int(patience.progressBytes))
        #expect(backoff.failures == 0)
        #expect(backoff.pause(after: RegistryError(.denied, "no")) == nil)
    }

    @Test func `waits as long as it is asked, unless that is too long`() throws {
        var backoff = Backoff(RegistryConfiguration.Patience())
        var error = RegistryError(.rateLimited, "wait")
        error.retryAfter = .seconds(7)
        #expect(backoff.pause(after: error) == .seconds(7))
        error.retryAfter = .seconds(7200)
        #expect(backoff.pause(after: error) == nil)
    }
}
