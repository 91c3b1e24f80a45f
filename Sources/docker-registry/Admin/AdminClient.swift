import ArgumentParser
import AsyncHTTPClient
import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
import ServerProcess

/// Which registry of this machine a command is for.
struct AdminOptions: ParsableArguments {
    @Option(name: .customLong("data"), help: "Directory of the running registry; /var/lib/docker-registry by default")
    var data: String?

    func client() throws -> AdminClient {
        AdminClient(
            socket: AdminClient.socket(
                in: try ServeOptions.folder(ServeOptions.value(data, "DATA") ?? ServeOptions.defaultFolder)))
    }

    /// Runs a command; what goes wrong is one line, and the exit status 1.
    func run(_ body: (AdminClient) async throws -> Void) async throws {
        do {
            let client = try client()
            do { try await body(client) } catch {
                await client.close()
                throw error
            }
            await client.close()
        } catch {
            StandardError.write("docker-registry: \(error)\n")
            throw ExitCode(1)
        }
    }
}

/// Asks the registry that runs over a folder, through its socket.
struct AdminClient: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Bytes of an answer that is read as a whole.
    private static let answerBytesMax = 64 << 20
    /// Until the head of an answer comes: a collection may take a while.
    private static let timeout = TimeAmount.minutes(30)

    let socket: String
    private let client = HTTPClient(configuration: configuration)

    /// A registry that does not listen does not run: nothing is tried again.
    private static let configuration: HTTPClient.Configuration = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }()

    init(socket: String) { self.socket = socket }

    func close() async { try? await client.shutdown() }

    static func socket(in folder: String) -> String { folder + "/admin.sock" }

    private struct WireErrors: Decodable {
        struct Item: Decodable {
            let message: String
        }
        let errors: [Item]
    }

    /// - Parameter path: percent-encoded where it has to be.
    /// - Throws: ``Failure`` with what the registry says, or that there is none.
    func ask<Answer: Decodable>(
        _ method: HTTPMethod, _ path: String, _ body: (any Encodable & Sendable)? = nil, as _: Answer.Type = Answer.self
    ) async throws -> Answer {
        let bytes = try await send(method, path, body).body.collect(upTo: Self.answerBytesMax)
        return try JSONDecoder().decode(Answer.self, from: Data(bytes.readableBytesView))
    }

    /// Asks for what answers nothing.
    func tell(_ method: HTTPMethod, _ path: String, _ body: (any Encodable & Sendable)? = nil) async throws {
        _ = try await send(method, path, body).body.collect(upTo: Self.answerBytesMax)
    }

    /// Asks for lines of JSON, and hands each on as it comes.
    func lines<Line: Decodable>(
        _ method: HTTPMethod, _ path: String, _ body: (any Encodable & Sendable)? = nil, as _: Line.Type,
        _ each: (Line) throws -> Void
    ) async throws {
        var rest = ByteBuffer()
        for try await part in try await send(method, path, body).body {
            rest.writeImmutableBuffer(part)
            while let end = rest.readableBytesView.firstIndex(of: 0x0a) {
                let line = rest.readBytes(length: end - rest.readerIndex) ?? []
                rest.moveReaderIndex(forwardBy: 1)
                try each(try JSONDecoder().decode(Line.self, from: Data(line)))
            }
            rest.discardReadBytes()
        }
    }

    private func send(
        _ method: HTTPMethod, _ path: String, _ body: (any Encodable & Sendable)?
    ) async throws -> HTTPClientResponse {
        guard access(socket, F_OK) == 0 else {
            throw Failure(description: "no registry runs over this folder: there is no \(socket); see --data")
        }
        let host = socket.utf8.map { "%" + String($0 / 16, radix: 16) + String($0 % 16, radix: 16) }.joined()
        var request = HTTPClientRequest(url: "http+unix://\(host)\(path)")
        request.method = method
        request.headers.add(name: "Host", value: "docker-registry")
        if let body { request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body))) }
        let response: HTTPClientResponse
        do {
            response = try await client.execute(request, timeout: Self.timeout)
        } catch {
            throw Failure(description: "cannot reach the registry by \(socket): \(error)")
        }
        guard (200...299).contains(response.status.code) else {
            let bytes = try await response.body.collect(upTo: Self.answerBytesMax)
            let wire = try? JSONDecoder().decode(WireErrors.self, from: Data(bytes.readableBytesView))
            throw Failure(description: wire?.errors.first?.message ?? "the registry answers \(response.status)")
        }
        return response
    }
}
