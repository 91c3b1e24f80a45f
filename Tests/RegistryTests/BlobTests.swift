import Glibc
import OCI
import Synchronization
import TestServers
import Testing

@testable import Registry

func sleepSeconds(_ seconds: UInt32) { sleep(seconds) }

private let blob = pattern(2_000_000)

/// Serves `blob` with ranges; `cut` says how many bytes of a request's body are sent at most before the connection ends.
private func server(cut: @escaping @Sendable (_ number: Int) -> Int?, sent: Sent = Sent()) throws -> FaultyServer {
    try FaultyServer { asked, answer in
        var start = 0
        if let range = asked.headers["range"] { start = Int(range.dropFirst("bytes=".count).dropLast()) ?? 0 }
        let length = blob.count - start
        let head =
            start == 0
            ? "HTTP/1.1 200 OK\r\n"
            : "HTTP/1.1 206 Partial\r\nContent-Range: bytes \(start)-\(blob.count - 1)/\(blob.count)\r\n"
        answer.send(head + "Content-Length: \(length)\r\n\r\n")
        let part = Array(blob[start..<(start + min(cut(asked.number) ?? length, length))])
        answer.send(part)
        sent.count.add(part.count, ordering: .relaxed)
    }
}

final class Sent: Sendable { let count = Atomic<Int>(0) }

private func pull(
    _ server: FaultyServer, _ wanted: Descriptor = descriptor(blob), offset: Int64 = 0,
    _ configuration: RegistryConfiguration? = nil
) async throws -> (bytes: [UInt8], requestCount: Int) {
    let configuration = try configuration ?? impatient()
    return try await withClient(configuration) { client in
        let reference = try Reference("\(server.authority)/a/b:1")
        return try await client.blob(
            wanted, of: reference, from: configuration.origin(of: reference.domain), offset: offset
        ).collect()
    }
}

@Suite struct `a blob` {
    @Test func `cut twenty times arrives whole and no byte is sent twice`() async throws {
        let sent = Sent()
        let result = try await pull(server(cut: { $0 < 20 ? 90_000 : nil }, sent: sent))
        #expect(result.bytes == blob)
        #expect(result.requestCount == 21)
        #expect(sent.count.load(ordering: .relaxed) == blob.count)
    }

    @Test func `goes on at an offset`() async throws {
        let result = try await pull(server(cut: { _ in nil }), offset: 1_999_000)
        #expect(result.bytes == Array(blob[1_999_000...]))
    }

    @Test func `of which all is there already asks for nothing`() async throws {
        let server = try server(cut: { _ in nil })
        #expect(try await pull(server, offset: Int64(blob.count)).requestCount == 0)
        #expect(server.asked.isEmpty)
    }

    @Test func `from a server that ignores ranges is skipped up to the offset`() async throws {
        let server = try FaultyServer { _, answer in answer.reply(200, [], blob) }
        #expect(try await pull(server, offset: 77_777).bytes == Array(blob[77_777...]))
    }

    @Test func `without progress is given up after the attempts`() async throws {
        let server = try server(cut: { _ in 0 })
        let error = try await failure { _ = try await pull(server) }
        #expect(error?.code == .cut)
        #expect(error?.endpoint?.contains(server.authority) == true)
        #expect(server.asked.count == 5)
    }

    @Test func `that stalls is asked for again`() async throws {
        let server = try FaultyServer { asked, answer in
            if asked.number == 0 {
                answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n")
                answer.send(Array(blob[..<500_000]))
                return sleepSeconds(2)
            }
            let start = Int((asked.headers["range"] ?? "").dropFirst(6).dropLast()) ?? 0
            answer.reply(206, ["Content-Range: bytes \(start)-\(blob.count - 1)/*"], Array(blob[start...]))
        }
        let result = try await pull(server, descriptor(blob), try impatient(idle: .milliseconds(150)))
        #expect(result.bytes == blob)
    }

    @Test(arguments: [503, 500, 429])
    func `is asked for again after a passing failure`(status: Int) async throws {
        let server = try FaultyServer { asked, answer in
            if asked.number < 2 { return answer.reply(status, ["Retry-After: 0"]) }
            answer.reply(200, [], blob)
        }
        #expect(try await pull(server).bytes == blob)
    }

    @Test func `is not waited for when the registry asks for an hour`() async throws {
        let server = try FaultyServer { _, answer in answer.reply(429, ["Retry-After: 3600"]) }
        let error = try await failure { _ = try await pull(server) }
        #expect(error?.code == .rateLimited)
        #expect(error?.retryAfter == .seconds(3600))
        #expect(server.asked.count == 1)
    }

    @Test(arguments: [
        "bytes 0-1999999/2000000", "bytes 101-1999999/2000000", "bytes 100-1999999/9", "bytes 100-", "",
        "items 100-1999999/2000000",
    ])
    func `with another range than asked for is refused`(range: String) async throws {
        let server = try FaultyServer { _, answer in answer.reply(206, ["Content-Range: \(range)"], Array(blob[100...]))
        }
        #expect(try await failure { _ = try await pull(server, offset: 100) }?.code == .malformed)
    }

    @Test func `of another announced length is refused`() async throws {
        let server = try FaultyServer { _, answer in answer.reply(200, [], Array(blob.dropLast())) }
        #expect(try await failure { _ = try await pull(server) }?.code == .malformed)
    }

    @Test func `that is longer than its manifest says is refused`() async throws {
        let server = try FaultyServer { _, answer in
            answer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            answer.send(blob + [1])
        }
        #expect(try await failure { _ = try await pull(server) }?.code == .tooLarge)
    }

    @Test func `that is missing is not asked for twice`() async throws {
        let server = try FaultyServer { _, answer in
            answer.reply(
                404, [], Array(#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#.utf8))
        }
        let error = try await failure { _ = try await pull(server) }
        #expect(error?.code == .notFound)
        #expect(error?.message == "blob unknown: blob unknown to registry")
        #expect(server.asked.count == 1)
    }

    @Test func `of a configuration is verified`() async throws {
        let config = pattern(300)
        let server = try FaultyServer { asked, answer in
            answer.reply(200, [], asked.number == 0 ? pattern(300, seed: 9) : config)
        }
        try await withClient(impatient()) { client in
            let reference = try Reference("\(server.authority)/a:1")
            let endpoint = try client.configuration.origin(of: reference.domain)
            let error = try await failure {
                _ = try await client.fetchSmall(descriptor(config), of: reference, from: endpoint)
            }
            #expect(error?.code == .digestMismatch)
            #expect(try await client.fetchSmall(descriptor(config), of: reference, from: endpoint) == config)
        }
    }

    @Test func `can be cancelled while the server is silent`() async throws {
        let server = try FaultyServer { _, _ in sleepSeconds(60) }
        let configuration = try impatient(idle: .seconds(30))
        let task = Task { try await pull(server, descriptor(blob), configuration) }
        try await Task.sleep(for: .milliseconds(200))
        let start = ContinuousClock.now
        task.cancel()
        await #expect(throws: RegistryError.self) { try await task.value }
        #expect(ContinuousClock.now - start < .seconds(20))
    }
}
private func pull(_ server: FaultyServer, _ wanted: Descriptor, _ configuration: RegistryConfiguration) async throws
    -> (bytes: [UInt8], requestCount: Int)
{
    try await pull(server, wanted, offset: 0, configuration)
}
