import AsyncHTTPClient
import Crypto
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix

/// Speaks to one bucket: signs requests, and sends them again when the bucket or the way to it fails. Every request may be sent
/// twice; what it does is the same then.
package final class S3Client: Sendable {
    /// Tries of one request, the first included.
    private static let attemptsMax = 6
    /// Before the second try; doubled before each later one.
    private static let firstPause = Duration.milliseconds(100)
    private static let pauseMax = Duration.seconds(5)
    /// Connections at once: as many readers and writers, and not fewer than clients that fetch slowly.
    private static let connectionsMax = 1024
    /// Bytes of an answer that is read as a whole: a thousand keys of a list, each of the longest.
    private static let answerBytesMax = 4 << 20
    /// Until the head of an answer: a part of an upload has gone out by then even on a slow line.
    private static let headDeadline = TimeAmount.minutes(5)

    package let configuration: S3Configuration
    let endpoint: Endpoint
    let signature: Signature
    /// Before all keys: empty, or ends with `/`.
    let prefix: String
    private let http: HTTPClient

    /// - Throws: ``S3Error`` `configuration`.
    package init(_ configuration: S3Configuration) throws(S3Error) {
        try configuration.check()
        self.configuration = configuration
        endpoint = try Endpoint(configuration)
        signature = Signature(
            credentials: try S3Credentials.find(configuration), region: configuration.region ?? "us-east-1")
        let prefix = configuration.prefix ?? ""
        self.prefix = prefix.isEmpty || prefix.hasSuffix("/") ? prefix : prefix + "/"
        let silence = TimeAmount.seconds(Int64(configuration.timeoutSeconds ?? 30))
        var options = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: min(silence, .seconds(10)), read: silence, write: silence),
            decompression: .disabled)
        options.httpVersion = .http1Only
        options.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = Self.connectionsMax
        options.connectionPool.retryConnectionEstablishment = false
        http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: options)
    }

    /// Closes all connections; requests under way fail.
    package func close() async {
        // Fails only when it was closed before.
        try? await http.shutdown()
    }

    /// One request, and what is said of it when it fails.
    struct Ask: Sendable {
        var method: HTTPMethod
        /// Without the prefix; nil for the bucket.
        var key: String?
        var query: [(name: String, value: String)] = []
        /// Names in lower case.
        var headers: [(name: String, value: String)] = []
        var body: ByteBuffer?

        var what: String { "\(method.rawValue) \(key ?? "the bucket")" }
    }

    /// An answer that was read to its end.
    struct Answer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let body: [UInt8]

        func xml() throws(S3Error) -> XMLNode { try XMLNode.parse(body) }
    }

    /// Asks until there is an answer that is no failure, or it has failed too often.
    func ask(_ ask: Ask) async throws(S3Error) -> Answer {
        try await retrying { () async throws(S3Error) -> Answer in
            let response = try await self.send(ask)
            return try await self.whole(response, ask)
        }
    }

    /// As ``ask(_:)``, with a body that is still to be read.
    func open(_ ask: Ask) async throws(S3Error) -> HTTPClientResponse {
        try await retrying { () async throws(S3Error) -> HTTPClientResponse in
            let response = try await self.send(ask)
            guard (200..<300).contains(Int(response.status.code)) else {
                _ = try await self.whole(response, ask)
                throw S3Error(.malformed, "\(ask.what): status \(response.status.code)")
            }
            return response
        }
    }

    private func retrying<Value: Sendable>(
        _ body: () async throws(S3Error) -> Value
    ) async throws(S3Error) -> Value {
        var failures = 0
        while true {
            do throws(S3Error) { return try await body() } catch {
                failures += 1
                guard error.isTransient, failures < Self.attemptsMax else { throw error }
                try await Self.pause(after: failures)
            }
        }
    }

    /// Waits before a try, by chance longer or shorter: clients that failed together do not come back together.
    static func pause(after failures: Int) async throws(S3Error) {
        let longest = min(firstPause * (1 << min(failures - 1, 10)), pauseMax)
        do { try await Task.sleep(for: longest * Double.random(in: 0.5...1)) } catch {
            throw S3Error(.cancelled, "the request was given up")
        }
    }

    /// Sends a request once.
    private func send(_ ask: Ask) async throws(S3Error) -> HTTPClientResponse {
        let path = endpoint.path(ask.key.map { prefix + $0 })
        let subject = Signature.Subject(
            method: ask.method.rawValue, host: endpoint.host, path: path, query: ask.query, headers: ask.headers)
        let signed = signature.headers(for: subject, payload: payload(ask.body), at: Int64(time(nil)))
        var request = HTTPClientRequest(url: endpoint.url(path, query: Signature.canonical(ask.query)))
        request.method = ask.method
        request.headers.add(name: "host", value: endpoint.host)
        for (name, value) in ask.headers + signed { request.headers.add(name: name, value: value) }
        if let body = ask.body { request.body = .bytes(body) }
        do { return try await http.execute(request, deadline: .now() + Self.headDeadline) } catch {
            throw Self.failure(error, ask)
        }
    }

    /// TLS keeps a body from being changed on its way; without it the signature does.
    private func payload(_ body: ByteBuffer?) -> String {
        guard let body, body.readableBytes > 0 else { return Signature.emptyPayload }
        guard endpoint.scheme == "http" else { return Signature.unsignedPayload }
        return Signature.hex(
            body.withUnsafeReadableBytes { bytes in
                var hash = SHA256()
                hash.update(bufferPointer: bytes)
                return hash.finalize()
            })
    }

    private func whole(_ response: HTTPClientResponse, _ ask: Ask) async throws(S3Error) -> Answer {
        var bytes: [UInt8] = []
        do {
            for try await part in response.body {
                guard bytes.count + part.readableBytes <= Self.answerBytesMax else {
                    throw S3Error(.malformed, "\(ask.what): the answer is larger than \(Self.answerBytesMax) bytes")
                }
                bytes.append(contentsOf: part.readableBytesView)
            }
        } catch { throw Self.failure(error, ask) }
        let status = Int(response.status.code)
        guard (200..<300).contains(status) else { throw Self.refusal(status, bytes, ask) }
        return Answer(status: status, headers: response.headers, body: bytes)
    }

    /// What an answer other than 2xx says; HEAD says nothing.
    static func refusal(_ status: Int, _ body: [UInt8], _ ask: Ask) -> S3Error {
        // A proxy in between may answer in its own words: the status is enough then.
        let error = try? XMLNode.parse(body)
        let code = error?["Code"] ?? ""
        let reason = [code, error?["Message"] ?? ""].filter { !$0.isEmpty }.joined(separator: ", ")
        return S3Error(
            .answered(status), "\(ask.what): status \(status)\(reason.isEmpty ? "" : ": " + reason)", code: code)
    }

    static func failure(_ error: any Error, _ ask: Ask) -> S3Error {
        switch error {
        case let error as S3Error: error
        case is CancellationError: S3Error(.cancelled, "\(ask.what) was given up")
        case let error as HTTPClientError where error == .cancelled || error == .alreadyShutdown:
            S3Error(.cancelled, "\(ask.what) was given up")
        case let error as HTTPClientError
        where [.readTimeout, .writeTimeout, .deadlineExceeded].contains(error):
            S3Error(.timeout, "\(ask.what): no answer in time")
        case let error as HTTPClientError
        where [.connectTimeout, .getConnectionFromPoolTimeout, .tlsHandshakeTimeout].contains(error):
            S3Error(.unreachable, "\(ask.what): no connection in time")
        case is NIOConnectionError, is ChannelError: S3Error(.unreachable, "\(ask.what): no connection: \(error)")
        default: S3Error(.cut, "\(ask.what): \(error)")
        }
    }
}
