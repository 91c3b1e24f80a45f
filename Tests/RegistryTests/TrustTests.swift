import OCI
import TestServers
import Testing

@testable import Registry

private let user = Credentials(username: "user", password: "hunter2")
private let bytes = pattern(1000)

private func pull(_ server: FaultyServer, _ credentials: Credentials? = user) async throws -> [UInt8] {
    try await withClient(impatient()) { client in
        let reference = try Reference("\(server.authority)/a:1")
        return try await client.blob(
            descriptor(bytes), of: reference, from: client.configuration.origin(of: reference.domain),
            credentials: credentials
        ).collect().bytes
    }
}

@Suite struct `credentials stay where they belong` {
    @Test func `a redirect to another host carries none`() async throws {
        let other = try FaultyServer { _, answer in answer.reply(200, [], bytes) }
        let target = "http://\(other.authority)/signed?x=1"
        let server = try FaultyServer { asked, answer in
            if asked.headers["authorization"] == nil {
                return answer.reply(401, ["WWW-Authenticate: Basic realm=\"r\""])
            }
            answer.reply(307, ["Location: \(target)"])
        }
        #expect(try await pull(server) == bytes)
        #expect(server.asked.contains { $0.headers["authorization"] == user.basic })
        #expect(other.asked.map(\.target) == ["/signed?x=1"])
        #expect(other.asked.allSatisfy { $0.headers["authorization"] == nil && $0.headers["cookie"] == nil })
    }

    @Test func `another host that asks for a password after a redirect gets none`() async throws {
        let thief = try FaultyServer { _, answer in answer.reply(401, ["WWW-Authenticate: Basic realm=\"give\""]) }
        let target = "http://\(thief.authority)/"
        let server = try FaultyServer { _, answer in answer.reply(302, ["Location: \(target)"]) }
        #expect(try await failure { _ = try await pull(server) }?.code == .unauthorized)
        #expect(!thief.asked.isEmpty)
        #expect(thief.asked.allSatisfy { $0.headers["authorization"] == nil })
    }

    @Test func `redirects without end are given up`() async throws {
        let server = try FaultyServer { asked, answer in answer.reply(302, ["Location: /next\(asked.number)"]) }
        #expect(try await failure { _ = try await pull(server) }?.code == .malformed)
        #expect(server.asked.count == 6)
    }

    @Test(arguments: [
        "http://token.example/token", "http://10.0.0.1/token", "ftp://x/", "garbage", "http://169.254.169.254/latest",
    ])
    func `a token server that cannot be trusted with them is not asked`(realm: String) async throws {
        let server = try FaultyServer { _, answer in
            answer.reply(401, ["WWW-Authenticate: Bearer realm=\"\(realm)\",service=\"s\""])
        }
        let error = try await failure { _ = try await pull(server) }
        #expect(error?.code == .forbidden || error?.code == .malformed)
        #expect(server.asked.count == 1)
    }

    @Test func `a token is fetched for the scope, sent, and used again`() async throws {
        let server = try FaultyServer { asked, answer in
            if asked.target.hasPrefix("/token") {
                return answer.reply(200, [], Array(#"{"token":"T0K","expires_in":300}"#.utf8))
            }
            if asked.headers["authorization"] == "Bearer T0K" { return answer.reply(200, [], bytes) }
            let realm = "http://\(asked.headers["host"] ?? "")/token"
            answer.reply(
                401, ["WWW-Authenticate: Bearer realm=\"\(realm)\",service=\"reg\",scope=\"repository:a:pull\""])
        }
        try await withClient(impatient()) { client in
            let reference = try Reference("\(server.authority)/a:1")
            let endpoint = try client.configuration.origin(of: reference.domain)
            for _ in 0..<3 {
                let stream = try client.blob(descriptor(bytes), of: reference, from: endpoint, credentials: user)
                #expect(try await stream.collect().bytes == bytes)
            }
        }
        let tokens = server.asked.filter { $0.target.hasPrefix("/token") }
        #expect(tokens.map(\.target) == ["/token?service=reg&account=user&scope=repository%3Aa%3Apull"])
        #expect(tokens[0].headers["authorization"] == user.basic)
        #expect(server.asked.count == 5)
    }

    @Test func `an identity token goes to the token server in a form`() async throws {
        let server = try FaultyServer { asked, answer in
            if asked.target == "/token" { return answer.reply(200, [], Array(#"{"access_token":"A"}"#.utf8)) }
            if asked.headers["authorization"] == "Bearer A" { return answer.reply(200, [], bytes) }
            answer.reply(
                401, ["WWW-Authenticate: Bearer realm=\"http://\(asked.headers["host"] ?? "")/token\",service=\"reg\""])
        }
        #expect(try await pull(server, Credentials(identityToken: "re/fresh")) == bytes)
        let form = try #require(server.asked.first { $0.method == "POST" })
        let text = String(decoding: form.body, as: UTF8.self)
        #expect(text.contains("grant_type=refresh_token") && text.contains("refresh_token=re%2Ffresh"))
        #expect(form.headers["authorization"] == nil)
    }

    @Test(arguments: ["{}", #"{"token":""}"#, #"{"token":"a\r\nX: y"}"#, "[", String(repeating: " ", count: 100_000)])
    func `a malformed token is refused`(reply: String) async throws {
        let server = try FaultyServer { asked, answer in
            if asked.target.hasPrefix("/token") { return answer.reply(200, [], Array(reply.utf8)) }
            answer.reply(401, ["WWW-Authenticate: Bearer realm=\"http://\(asked.headers["host"] ?? "")/token\""])
        }
        let error = try await failure { _ = try await pull(server) }
        #expect(error?.code == .malformed || error?.code == .tooLarge)
    }

    @Test func `the urls of a descriptor are not followed`() async throws {
        let foreign = try FaultyServer { _, answer in answer.reply(200, [], bytes) }
        let server = try FaultyServer { _, answer in answer.reply(404) }
        var wanted = descriptor(bytes)
        wanted.urls = ["http://\(foreign.authority)/layer"]
        let descriptor = wanted
        let error = try await failure {
            _ = try await withClient(impatient()) { client in
                let reference = try Reference("\(server.authority)/a:1")
                return try await client.blob(
                    descriptor, of: reference, from: client.configuration.origin(of: reference.domain)
                ).collect()
            }
        }
        #expect(error?.code == .notFound)
        #expect(foreign.asked.isEmpty)
    }

    @Test func `a secure registry that speaks plain HTTP is refused`() async throws {
        let server = try FaultyServer { _, answer in answer.reply(200, [], bytes) }
        // As a mirror with https, loopback is reached by TLS only.
        let configuration = try impatient()
        let endpoint = RegistryEndpoint(
            host: "127.0.0.1", port: server.port, scheme: .https, isInsecure: false, isMirror: false)
        let error = try await failure {
            _ = try await withClient(configuration) { client in
                try await client.blob(descriptor(bytes), of: Reference("x/a:1"), from: endpoint, credentials: user)
                    .collect()
            }
        }
        #expect(error?.code == .plainHTTP)
        #expect(
            error?.message == "Get \"https://\(server.authority)/v2/\": http: server gave HTTP response to HTTPS client"
        )
        #expect(server.asked.isEmpty)
    }

    @Test func `a token server that failed once is forgotten`() async throws {
        let server = try FaultyServer { asked, answer in
            if asked.number == 0 {
                answer.reply(401, ["WWW-Authenticate: Bearer realm=\"http://198.51.100.1/token\""])
            } else {
                answer.reply(200, [], bytes)
            }
        }
        try await withClient(impatient()) { client in
            let reference = try Reference("\(server.authority)/a:1")
            let endpoint = try client.configuration.origin(of: reference.domain)
            let error = try await failure {
                _ = try await client.blob(descriptor(bytes), of: reference, from: endpoint).collect()
            }
            #expect(error?.code == .forbidden)
            #expect(try await client.blob(descriptor(bytes), of: reference, from: endpoint).collect().bytes == bytes)
        }
    }

    @Test(arguments: ["ftp://127.0.0.1/x", "javascript:alert", "file:///etc/passwd", "http://", "https://u:p@h/x"])
    func `a redirect to what is no web address is refused`(_ location: String) async throws {
        let server = try FaultyServer { _, answer in answer.reply(307, ["Location: \(location)"]) }
        let error = try await failure {
            _ = try await withClient(impatient()) { client in
                let reference = try Reference("\(server.authority)/a:1")
                return try await client.blob(
                    descriptor(bytes), of: reference, from: client.configuration.origin(of: reference.domain)
                ).collect()
            }
        }
        #expect(error?.code == .malformed)
        #expect(server.asked.count == 1)
    }
}
