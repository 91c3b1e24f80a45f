import AsyncHTTPClient
import Kernel
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// One HTTP request of ours.
struct Request: Sendable {
    var method: HTTPMethod = .GET
    var headers = HTTPHeaders()
    var body: HTTPClientRequest.Body?
    /// Takes as long as its body takes; waits longer for the reply.
    var isUpload = false
    /// A redirect that leads away from the registry is the reply.
    var staysAtEndpoint = false
    /// There are others to ask, so that it is not waited for as long.
    var isToSource = false
}

/// A reply whose body is still to be read.
struct Reply: Sendable {
    let status: Int
    /// Of the request: a reply to `HEAD` announces a length but has no body.
    let method: HTTPMethod
    let headers: HTTPHeaders
    let body: HTTPClientResponse.Body
    /// Where it came from, after redirects.
    let location: Location

    var challenges: [Challenge] { Challenge.parse(headers["www-authenticate"]) }

    /// The whole seconds of `Retry-After`; a date or garbage counts as absent.
    var retryAfter: Duration? {
        headers.first(name: "retry-after").flatMap { Int64($0) }.flatMap { $0 >= 0 ? .seconds($0) : nil }
    }

    /// A header that is there at most once in an honest reply.
    func header(_ name: String) -> String? { headers.first(name: name) }

    /// Reads the rest of the body.
    ///
    /// - Throws: `RegistryError`: `tooLarge` beyond `bytesMax`, and what the connection does.
    func collect(bytesMax: Int) async throws(RegistryError) -> [UInt8] {
        func tooLarge() -> RegistryError {
            RegistryError(.tooLarge, "the reply of \(location.authority) is larger than \(bytesMax) bytes")
        }
        if method != .HEAD, let announced = header("content-length").flatMap({ Int($0) }), announced > bytesMax {
            throw tooLarge()
        }
        var bytes: [UInt8] = []
        var iterator = body.makeAsyncIterator()
        while true {
            let part: ByteBuffer?
            do { part = try await iterator.next() } catch {
                throw RegistryError.transport(error, "reading", location)
            }
            guard let part else { return bytes }
            guard bytes.count + part.readableBytes <= bytesMax else { throw tooLarge() }
            bytes.append(contentsOf: part.readableBytesView)
        }
    }
}

/// Sends single requests: connections, trust, time-outs and the meaning of low-level failures. Knows nothing of registries.
final class Transport: Sendable {
    private let configuration: RegistryConfiguration
    /// One for each way to wait; nil after the end. As many as a `dial_timeout` has whole seconds at most, for each purpose.
    private let clients = Mutex<[Waits: HTTPClient]?>([:])
    private let trust = Mutex<[Trust: TLSConfiguration]>([:])

    /// What a TLS configuration depends on.
    private struct Trust: Hashable {
        let authority: String
        let verifies: Bool
        let host: HostTrust?
    }

    /// What a client does not change from request to request.
    private struct Waits: Hashable {
        enum Purpose {
            case download
            /// Waits longer for replies.
            case upload
            /// Waits less: another one may have the bytes.
            case source
        }
        let purpose: Purpose
        let connectSeconds: Int64?
    }

    init(_ configuration: RegistryConfiguration) { self.configuration = configuration }

    private func client(_ waits: Waits) throws(RegistryError) -> HTTPClient {
        let client = clients.withLock { clients -> HTTPClient? in
            if let known = clients?[waits] { return known }
            guard clients != nil else { return nil }
            let made = makeClient(waits)
            clients?[waits] = made
            return made
        }
        guard let client else { throw .cancelled }
        return client
    }

    private func makeClient(_ waits: Waits) -> HTTPClient {
        let patience = configuration.patience
        let read =
            switch waits.purpose {
            case .download: patience.idle
            case .upload: patience.uploadReply
            case .source: patience.sourceIdle
            }
        var options = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(
                connect: waits.connectSeconds.map { .seconds($0) } ?? TimeAmount(patience.connect),
                read: TimeAmount(read),
                write: TimeAmount(patience.idle)),
            decompression: .disabled)
        options.httpVersion = .http1Only
        options.connectionPool.retryConnectionEstablishment = false
        let receiveBytes = configuration.limits.receiveBytes
        options.http1_1ConnectionDebugInitializer = { channel in
            channel.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: receiveBytes))
                .flatMap { channel.setOption(.allowRemoteHalfClosure, value: true) }
                .flatMapThrowing { try channel.pipeline.syncOperations.addHandler(ReadGate(), position: .first) }
        }
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: options)
    }

    /// Closes all connections; requests under way fail.
    func close() async {
        let all = clients.withLock { clients in
            defer { clients = nil }
            return clients.map { Array($0.values) } ?? []
        }
        // They only fail when they were closed before.
        for client in all { try? await client.shutdown() }
    }

    /// Sends one request and waits for the head of the reply. Follows nothing, repeats nothing.
    ///
    /// - Parameters:
    ///   - verifies: false accepts any certificate (an insecure registry).
    ///   - settings: of the host at `location`. A header of the request itself comes before one of theirs.
    func send(
        _ request: Request, to location: Location, verifies: Bool, settings: HostSettings? = nil
    ) async throws(RegistryError) -> Reply {
        var wire = HTTPClientRequest(url: location.description)
        wire.method = request.method
        wire.headers = request.headers
        for header in settings?.headers ?? [] where !request.headers.contains(name: header.name) {
            wire.headers.add(name: header.name, value: header.value)
        }
        if !wire.headers.contains(name: "user-agent") {
            wire.headers.add(name: "user-agent", value: configuration.userAgent)
        }
        wire.headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        if let preference = configuration.preference {
            wire.headers.replaceOrAdd(name: SourceHeaders.prefer, value: preference)
        }
        wire.body = request.body
        if location.scheme == .https {
            wire.tlsConfiguration = try await tls(
                Trust(authority: location.authority, verifies: verifies, host: settings?.trust))
        }
        let patience = configuration.patience
        let (purpose, limit): (Waits.Purpose, Duration?) =
            if request.isUpload { (.upload, nil) } else if request.isToSource { (.source, patience.sourceIdle) } else {
                (.download, patience.exchange)
            }
        let deadline = limit.map { NIODeadline.now() + TimeAmount($0) } ?? .distantFuture
        let response: HTTPClientResponse
        let client = try client(Waits(purpose: purpose, connectSeconds: settings?.connectSeconds))
        do {
            response = try await client.execute(wire, deadline: deadline)
        } catch {
            throw RegistryError.transport(error, request.goMethod, location)
        }
        let headerBytes = response.headers.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
        guard headerBytes <= configuration.limits.headerBytesMax else {
            throw RegistryError(
                .tooLarge,
                "the headers of \(location.authority) are larger than \(configuration.limits.headerBytesMax) bytes")
        }
        return Reply(
            status: Int(response.status.code), method: request.method, headers: response.headers, body: response.body,
            location: location)
    }

    private func tls(_ key: Trust) async throws(RegistryError) -> TLSConfiguration {
        if let known = trust.withLock({ $0[key] }) { return known }
        let names = RegistryHosts.folderNames(key.authority)
        let directories = configuration.certificateDirectories.flatMap { directory in
            names.map { "\(directory)/\($0)" }
        }
        let made = try await BlockingPool.shared.run { () throws(RegistryError) -> TLSConfiguration in
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.minimumTLSVersion = .tlsv12
            tls.certificateVerification = key.verifies ? .fullVerification : .none
            for directory in directories { try Self.add(directory, to: &tls) }
            if let host = key.host { Self.add(host, to: &tls) }
            return tls
        }
        trust.withLock { known in
            // Files of a host that have changed since make another key.
            if key.host != nil { known = known.filter { $0.key.authority != key.authority || $0.key.host == nil } }
            known[key] = made
        }
        return made
    }

    private static func add(_ host: HostTrust, to tls: inout TLSConfiguration) {
        if !host.authorities.isEmpty { tls.additionalTrustRoots.append(.certificates(host.authorities)) }
        guard let key = host.key else { return }
        tls.certificateChain = host.certificates.map { .certificate($0) }
        tls.privateKey = .privateKey(key)
    }

    /// Adds what `/etc/docker/certs.d/<host>/` holds: `*.crt` are roots, `*.cert` with `*.key` of the same name a client's.
    private static func add(_ directory: String, to tls: inout TLSConfiguration) throws(RegistryError) {
        guard Files.exists(directory) else { return }
        do {
            let names = try Files.list(directory).sorted()
            for name in names where name.hasSuffix(".crt") {
                tls.additionalTrustRoots.append(
                    .certificates(try NIOSSLCertificate.fromPEMFile("\(directory)/\(name)")))
            }
            for name in names where name.hasSuffix(".cert") {
                let key = String(name.dropLast(".cert".count)) + ".key"
                guard names.contains(key) else {
                    throw RegistryError(
                        .invalid, "missing key \(key) for client certificate \(name)",
                        remedy: "CA certificates in \(directory) must use the extension .crt")
                }
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile("\(directory)/\(name)").map {
                    .certificate($0)
                }
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: "\(directory)/\(key)", format: .pem))
            }
        } catch let error as RegistryError {
            throw error
        } catch {
            throw RegistryError(
                .invalid, "cannot read the certificates in \(directory)", remedy: "they must be PEM files", cause: error
            )
        }
    }
}
