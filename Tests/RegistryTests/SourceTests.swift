import Glibc
import OCI
import Synchronization
import TestServers
import Testing

@testable import Registry

private let user = Credentials(username: "user", password: "hunter2")
private let blob = pattern(400_000)
private let lie = pattern(400_000, seed: 3)
private let wanted = descriptor(blob)

/// All of `bytes`, or what is asked for of them.
private func serve(_ bytes: [UInt8], _ asked: FaultyServer.Asked, _ answer: FaultyServer.Answer, cut: Int? = nil) {
    let start = Int((asked.headers["range"] ?? "bytes=0-").dropFirst("bytes=".count).dropLast()) ?? 0
    let head =
        start == 0
        ? "HTTP/1.1 200 OK\r\n"
        : "HTTP/1.1 206 Partial\r\nContent-Range: bytes \(start)-\(bytes.count - 1)/\(bytes.count)\r\n"
    answer.send(head + "Content-Length: \(bytes.count - start)\r\n\r\n")
    answer.send(Array(bytes[start..<min(bytes.count, start + (cut ?? bytes.count))]))
}

private func mirror(
    _ handler: @escaping @Sendable (FaultyServer.Asked, FaultyServer.Answer) -> Void
) throws -> FaultyServer {
    try FaultyServer(handler)
}

private func honestMirror() throws -> FaultyServer { try mirror { serve(blob, $0, $1) } }

private func url(_ server: FaultyServer) -> String { "http://\(server.authority)/secret/path?signature=hunter3" }

/// A registry that redirects to `urls`, the first by location and the rest by links, unless it is asked for its own bytes.
private func registry(_ urls: [String], obeys: Bool = true) throws -> FaultyServer {
    try FaultyServer { asked, answer in
        if asked.headers["authorization"] == nil {
            return answer.reply(401, ["WWW-Authenticate: Basic realm=\"r\""])
        }
        if obeys, asked.headers["prefer"] == "respond-directly" { return serve(blob, asked, answer) }
        var lines = ["Location: \(urls[0])"]
        for (number, url) in urls.enumerated().dropFirst().reversed() {
            lines.append("Link: <\(url)>; rel=\"duplicate\"; pri=\(number)")
        }
        answer.reply(307, lines)
    }
}

private final class Notices: Sendable {
    private let held = Mutex<[String]>([])
    var lines: [String] { held.withLock { $0 } }
    func add(_ line: String) { held.withLock { $0.append(line) } }
}

/// What a consumer does: all bytes, the digest, and anew without those that lied.
private func fetch(
    _ server: FaultyServer, _ notices: Notices = Notices(), idle: Duration = .milliseconds(300)
) async throws -> [UInt8] {
    var configuration = try impatient(idle: idle)
    configuration.patience.sourceIdle = idle
    return try await withClient(configuration) { client in
        let reference = try Reference("\(server.authority)/a:1")
        let endpoint = try client.configuration.origin(of: reference.domain)
        let sources = SourceLedger(client.configuration.limits) { notices.add($0) }
        return try await client.fetchSmall(
            wanted, of: reference, from: endpoint, credentials: user, sources: sources)
    }
}

private func gets(_ server: FaultyServer) -> Int { server.asked.filter { $0.headers["authorization"] != nil }.count }

@Suite struct `servers that a registry redirects to` {
    enum Fault: String, CaseIterable, Sendable {
        case wrong, few, many, lacking, broken, forbidding, silent, stalling, dripping, cutting, compressing, otherRange
        case garbage, challenging, leadingOn, leadingHome

        var words: String {
            switch self {
            case .wrong, .many: "has sent bytes that do not match \(wanted.digest)"
            case .lacking: "does not have \(wanted.digest)"
            case .broken: "has failed to give \(wanted.digest)"
            case .forbidding, .challenging: "does not give \(wanted.digest) to everybody"
            case .silent, .stalling, .dripping: "was silent or slow for too long"
            case .cutting: "has ended before \(wanted.digest) was whole"
            case .few, .compressing, .otherRange, .garbage, .leadingOn, .leadingHome:
                "has answered with something else than \(wanted.digest)"
            }
        }

        func answer(_ asked: FaultyServer.Asked, _ answer: FaultyServer.Answer) {
            switch self {
            case .wrong: serve(lie, asked, answer)
            case .few: serve(Array(blob.dropLast()), asked, answer)
            case .many:
                answer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                answer.send(blob + [1])
            case .lacking: answer.reply(404)
            case .broken: answer.reply(500)
            case .forbidding: answer.reply(403, [], Array("Request has expired".utf8))
            case .silent: sleepSeconds(2)
            case .stalling:
                answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n")
                answer.send(Array(blob[..<1000]))
                sleepSeconds(2)
            case .dripping:
                answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n")
                for byte in blob[..<60] where answer.send([byte]) { usleep(50_000) }
            case .cutting: serve(blob, asked, answer, cut: 1000)
            case .compressing: answer.reply(200, ["Content-Encoding: gzip"], blob)
            case .otherRange: answer.reply(206, ["Content-Range: bytes 1-399999/400000"], Array(blob[1...]))
            case .garbage: answer.send(Array("SSH-2.0-OpenSSH_9.9\r\n\r\n".utf8))
            case .challenging:
                answer.reply(401, ["WWW-Authenticate: Basic realm=\"give\"", "Set-Cookie: a=b"])
            case .leadingOn: answer.reply(302, ["Location: /again\(asked.number)"])
            case .leadingHome: answer.reply(302, ["Location: file:///etc/passwd"])
            }
        }
    }

    @Test(arguments: Fault.allCases)
    func `one that fails is named, and the registry gives its own bytes`(_ fault: Fault) async throws {
        let bad = try mirror { fault.answer($0, $1) }
        let registry = try registry([url(bad)])
        let notices = Notices()
        #expect(try await fetch(registry, notices) == blob)
        #expect(
            notices.lines == [
                "mirror http://\(bad.authority) \(fault.words): going on with https://\(registry.authority)"
            ])
        #expect(bad.asked.count == (fault == .leadingOn ? 6 : 1))
        #expect(bad.asked.allSatisfy { $0.headers["authorization"] == nil && $0.headers["cookie"] == nil })
        #expect(registry.asked.last?.headers["prefer"] == "respond-directly")
    }

    @Test(arguments: Fault.allCases)
    func `one that fails is followed by the next, and that one by the registry`(_ fault: Fault) async throws {
        let port = try FaultyServer.freePort()
        let bad = try mirror { fault.answer($0, $1) }
        let good = try honestMirror()
        let registry = try registry(["http://127.0.0.1:\(port)/", url(bad), url(good)])
        let notices = Notices()
        #expect(try await fetch(registry, notices) == blob)
        #expect(
            notices.lines.contains { $0.hasPrefix("mirror http://127.0.0.1:\(port) cannot be reached: going on with") })
        #expect(notices.lines.contains { $0.hasPrefix("mirror http://\(bad.authority) \(fault.words): going on with") })
        #expect(notices.lines.count == 2)
        #expect(!notices.lines.joined().contains("secret") && !notices.lines.joined().contains("hunter3"))
        // Only what was disproved is asked for once more.
        #expect(gets(registry) == ([.wrong, .many].contains(fault) ? 2 : 1))
        #expect(registry.asked.allSatisfy { $0.headers["prefer"] == nil })
        #expect(good.asked.count == 1)
    }

    @Test func `who goes on behind a cut begins at the next missing byte`() async throws {
        let first = try mirror { serve(blob, $0, $1, cut: 150_000) }
        let second = try mirror { serve(blob, $0, $1, cut: 50_000) }
        let third = try honestMirror()
        let registry = try registry([url(first), url(second), url(third)])
        #expect(try await fetch(registry) == blob)
        #expect(second.asked.map { $0.headers["range"] } == ["bytes=150000-"])
        #expect(third.asked.map { $0.headers["range"] } == ["bytes=200000-"])
    }

    @Test func `no byte of a mixture that proves wrong is kept, and who went on is asked for the whole`() async throws {
        let liar = try mirror { serve(lie, $0, $1, cut: 150_000) }
        let honest = try honestMirror()
        let registry = try registry([url(liar), url(honest)])
        let notices = Notices()
        #expect(try await fetch(registry, notices) == blob)
        #expect(honest.asked.map { $0.headers["range"] } == ["bytes=150000-", nil])
        #expect(liar.asked.count == 1)
        #expect(notices.lines.count == 1)
        #expect(notices.lines[0].contains("\(liar.authority) has ended before"))
    }

    @Test func `two that lie together are found out one after the other`() async throws {
        let liars = try [mirror { serve(lie, $0, $1, cut: 150_000) }, mirror { serve(lie, $0, $1) }]
        let registry = try registry(liars.map(url))
        let notices = Notices()
        #expect(try await fetch(registry, notices) == blob)
        #expect(liars.map(\.asked.count) == [1, 2])
        #expect(notices.lines.last?.contains("\(liars[1].authority) has sent bytes that do not match") == true)
        #expect(registry.asked.last?.headers["prefer"] == "respond-directly")
    }

    @Test func `one that leads back to the registry gets nothing there by our credentials`() async throws {
        let port = Mutex(0)
        let back = try mirror { _, answer in
            answer.reply(302, ["Location: http://127.0.0.1:\(port.withLock { $0 })/v2/private/blobs/\(wanted.digest)"])
        }
        let registry = try registry([url(back)])
        port.withLock { $0 = registry.port }
        let notices = Notices()
        #expect(try await fetch(registry, notices) == blob)
        let asked = registry.asked.filter { $0.target.contains("private") }
        #expect(asked.count == 1 && asked.allSatisfy { $0.headers["authorization"] == nil })
        #expect(notices.lines.first?.contains("\(back.authority) does not give") == true)
    }

    @Test func `forty liars are not all asked`() async throws {
        let liars = try (0..<40).map { _ in try mirror { serve(lie, $0, $1) } }
        let urls = liars.map(url)
        let registry = try FaultyServer { asked, answer in
            if asked.headers["prefer"] != nil { return serve(blob, asked, answer) }
            answer.reply(307, ["Location: \(urls[asked.number % urls.count])"])
        }
        #expect(try await fetch(registry) == blob)
        #expect(liars.filter { !$0.asked.isEmpty }.count == 16)
    }

    @Test func `of five hundred links the first are asked, by their priority`() async throws {
        let servers = try (0..<20).map { _ in try mirror { _, answer in answer.reply(500) } }
        let authorities = servers.map(\.authority)
        let own = try FaultyServer { asked, answer in
            if asked.headers["prefer"] != nil { return serve(blob, asked, answer) }
            let links = (1..<500).reversed().map { number in
                "<http://\(authorities[number % 20])/\(number)>; rel=duplicate; pri=\(number)"
            }
            answer.reply(307, ["Location: http://\(authorities[0])/", "Link: \(links.joined(separator: ", "))"])
        }
        let notices = Notices()
        #expect(try await fetch(own, notices) == blob)
        #expect(servers.map { $0.asked.count } == Array(repeating: 1, count: 16) + [0, 0, 0, 0])
        #expect(notices.lines.count == 16)
    }

    @Test func `ten thousand links are more than a reply may hold`() async throws {
        let own = try FaultyServer { _, answer in
            answer.reply(
                307,
                ["Location: http://127.0.0.1:1/"]
                    + (1...10_000).map { "Link: <http://127.0.0.1:1/\($0)>; rel=duplicate" })
        }
        #expect(try await failure { _ = try await fetch(own) }?.code == .tooLarge)
    }

    @Test func `links that lead nowhere good are passed over`() async throws {
        let client = RegistryClient(try impatient())
        let endpoint = RegistryEndpoint(
            host: "registry.example", port: nil, scheme: .https, isInsecure: false, isMirror: false)
        let lines = [
            "<http://169.254.169.254/latest>; rel=duplicate", "<https://169.254.169.254/latest>; rel=duplicate",
            "<file:///etc/passwd>; rel=duplicate", "<https://u:p@h/x>; rel=duplicate",
            "<http://plain.example/x>; rel=duplicate",
            "<https://127.0.0.1/x>; rel=duplicate", "<https://localhost/x>; rel=duplicate",
            "<https://[::1]/x>; rel=duplicate",
            "<https://registry.example/v2/other/blobs/x>; rel=duplicate", "</relative>; rel=duplicate",
            "<>; rel=duplicate",
            "<https://next.example/>; rel=next", "<https://none.example/>", "<https://open.example/", ";;;,,<>",
            #"<https://b.example/x,y?a=1,2>; title="a, b; c"; REL="describedby Duplicate"; pri=2"#,
            "<https://c.example/>; rel=duplicate; pri=99999999999999999999, <https://a.example/>;rel=duplicate;pri=1",
            "<https://a.example/>; rel=duplicate; pri=3",
        ]
        let first = try #require(Location("https://first.example/"))
        let found = client.duplicates(of: first, lines, from: endpoint.location(.https, "/v2/a/blobs/x"), endpoint)
        #expect(
            found.map(\.description) == ["https://a.example/", "https://b.example/x,y?a=1,2", "https://c.example/"])
        await client.close()
    }
}

@Suite struct `a registry whose storage is elsewhere` {
    @Test func `gives a new address when a long download is cut`() async throws {
        let storage = try mirror { asked, answer in
            serve(blob, asked, answer, cut: asked.number == 0 ? 200_000 : nil)
        }
        let own = try FaultyServer { asked, answer in
            answer.reply(307, ["Location: http://\(storage.authority)/?signature=\(asked.number)"])
        }
        let notices = Notices()
        #expect(try await fetch(own, notices) == blob)
        #expect(storage.asked.map(\.target) == ["/?signature=0", "/?signature=1"])
        #expect(storage.asked.map { $0.headers["range"] } == [nil, "bytes=200000-"])
        #expect(notices.lines.isEmpty)
        #expect(own.asked.allSatisfy { $0.headers["prefer"] == nil })
    }

    @Test func `is followed again though it was asked for its own bytes`() async throws {
        let storage = try mirror { asked, answer in
            if asked.number < 3 { return answer.reply(503) }
            serve(blob, asked, answer)
        }
        let own = try FaultyServer { _, answer in answer.reply(307, ["Location: \(url(storage))"]) }
        let notices = Notices()
        #expect(try await fetch(own, notices) == blob)
        #expect(storage.asked.count == 4)
        #expect(notices.lines.isEmpty)
    }

    @Test func `is given up as soon as before`() async throws {
        let storage = try mirror { _, answer in answer.reply(503) }
        let own = try FaultyServer { _, answer in answer.reply(307, ["Location: \(url(storage))"]) }
        let error = try await failure { _ = try await fetch(own) }
        #expect(error?.code == .server)
        #expect(storage.asked.count == 5)
    }

    @Test func `that lies is asked once more, and named`() async throws {
        let storage = try mirror { serve(lie, $0, $1) }
        let own = try FaultyServer { _, answer in answer.reply(307, ["Location: \(url(storage))"]) }
        let notices = Notices()
        #expect(try await failure { _ = try await fetch(own, notices) }?.code == .digestMismatch)
        #expect(storage.asked.count == 1)
        #expect(
            notices.lines.map { $0.prefix { $0 != ":" } + $0.contains(storage.authority).description } == [
                "mirror httptrue"
            ])
    }

    @Test func `does not have its signatures shown`() async throws {
        let storage = try mirror { _, _ in sleepSeconds(1) }
        let own = try FaultyServer { _, answer in answer.reply(307, ["Location: \(url(storage))"]) }
        let error = try await failure { _ = try await fetch(own, idle: .milliseconds(50)) }
        #expect(error?.code == .timeout)
        #expect(error?.description.contains("hunter3") == false)
    }
}

@Suite struct `servers that a registry announces` {
    private func resolve(_ header: String) async throws -> [String] {
        let manifest = Manifest(mediaType: MediaType.ociManifest, config: wanted, layers: [])
        let bytes = try json(manifest)
        let server = try FaultyServer { _, answer in
            answer.reply(200, ["Content-Type: \(MediaType.ociManifest)", "X-Docker-Endpoints: \(header)"], bytes)
        }
        return try await withClient(impatient()) { client in
            let image = try await client.resolve(
                Reference("\(server.authority)/a/b:1"), platform: Platform("linux/amd64"))
            #expect(image.sources.allSatisfy { !$0.resolvesTags && $0.isMirror })
            return image.sources.map(\.description)
        }
    }

    @Test func `are those that it names, in order`() async throws {
        #expect(
            try await resolve("m.example, n.example:8443/p/q,http://127.0.0.1:9, m.example") == [
                "https://m.example", "https://n.example:8443/p/q", "http://127.0.0.1:9",
            ])
    }

    @Test func `give configurations, too, unless they lie`() async throws {
        let manifest = try json(Manifest(mediaType: MediaType.ociManifest, config: wanted, layers: []))
        let (liar, good) = (try FaultyServer { serve(lie, $0, $1) }, try FaultyServer { serve(blob, $0, $1) })
        let header = "X-Docker-Endpoints: http://\(liar.authority), http://\(good.authority)"
        let own = try FaultyServer { _, answer in
            answer.reply(200, ["Content-Type: \(MediaType.ociManifest)", header], manifest)
        }
        let notices = Notices()
        try await withClient(impatient()) { client in
            let reference = try Reference("\(own.authority)/a:1")
            let image = try await client.resolve(reference, platform: Platform("linux/amd64"), credentials: user)
            let sources = SourceLedger(client.configuration.limits) { notices.add($0) }
            let bytes = try await client.fetchSmall(
                image.manifest.config, of: reference, from: image.endpoint, credentials: user,
                announced: image.sources, sources: sources)
            #expect(bytes == blob)
        }
        #expect(liar.asked.count == 1 && good.asked.count == 1 && own.asked.count == 1)
        #expect(good.asked.allSatisfy { $0.headers["authorization"] == nil })
        #expect(notices.lines.count == 1 && notices.lines.allSatisfy { $0.contains(liar.authority) })
    }

    @Test func `are none where it names no address`() async throws {
        #expect(try await resolve("file:///etc, u:p@h, /x, ,h/UP,h?x=1,h#x,a b:x") == [])
        #expect(try await resolve((0..<1000).map { "h\($0)" }.joined(separator: ",")).count == 16)
    }

    @Test func `are none that a registry could not redirect to`() async throws {
        let client = RegistryClient(try impatient())
        let endpoint = RegistryEndpoint(
            host: "registry.example", port: nil, scheme: .https, isInsecure: false, isMirror: false)
        let own = endpoint.location(.https, "/v2/a/manifests/1")
        let headers = [
            "http://plain.example, 127.0.0.1, localhost:5000, [::1]:5000",
            "169.254.169.254, registry.example/other, m.example",
        ]
        #expect(client.announced(headers, from: own, endpoint).map(\.description) == ["https://m.example"])
        // Neither who serves by redirect nor who is trusted with nothing is heard.
        let elsewhere = try #require(Location("https://cdn.example/manifest"))
        #expect(client.announced(headers, from: elsewhere, endpoint).isEmpty)
        let source = try client.configuration.endpoint(source: "https://registry.example")
        #expect(client.announced(headers, from: own, source).isEmpty)
        await client.close()
    }
}
