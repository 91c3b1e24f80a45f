import AsyncHTTPClient
import Kernel
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

extension RegistryError {
    /// What a failure below HTTP means, in the words of Go's net/http, which Docker's users know and search for.
    ///
    /// - Parameter doing: `Get`, `Head`, ...: the method as Go writes it.
    static func transport(_ error: any Error, _ doing: String, _ location: Location) -> RegistryError {
        if let error = error as? RegistryError { return error }
        if error is CancellationError { return .cancelled }
        // Docker asks for /v2/ first, so that is the URL users see when there is no connection at all.
        let base = "Get \"\(location.scheme.rawValue)://\(location.authority)\(Routes.base)\": "
        let whole = "\(doing) \"\(location.withoutQuery)\": "
        switch error {
        case let error as HTTPClientError: return http(error, base: base, whole: whole)
        case let error as NIOConnectionError: return connection(error, base: base)
        case let error as IOError: return io(error, base: base, whole: whole, address: location.authority)
        case let error as ChannelError:
            if case .connectTimeout = error {
                return RegistryError(.timeout, base + "dial tcp: i/o timeout", remedy: reachRemedy, cause: error)
            }
            return RegistryError(.cut, whole + "unexpected EOF", cause: error)
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError: return tls(error, base: base, location)
        case let error as HTTPParserError where error == .headerOverflow:
            return RegistryError(.tooLarge, whole + "server response headers exceeded the limit", cause: error)
        case let error as HTTPParserError where error == .invalidEOFState:
            return RegistryError(.cut, whole + "unexpected EOF", cause: error)
        case is HTTPParserError:
            return RegistryError(
                .malformed, whole + "malformed HTTP response", remedy: "is a registry listening there?", cause: error)
        default: return RegistryError(.cut, whole + String(describing: error), cause: error)
        }
    }

    private static let reachRemedy = "check the name, the network and any proxy"

    private static func http(_ error: HTTPClientError, base: String, whole: String) -> RegistryError {
        switch error {
        case .cancelled, .alreadyShutdown, .requestStreamCancelled: .cancelled
        case .connectTimeout, .getConnectionFromPoolTimeout:
            RegistryError(
                .unreachable, base + "dial tcp: i/o timeout", remedy: reachRemedy, cause: error)
        case .tlsHandshakeTimeout: RegistryError(.timeout, base + "net/http: TLS handshake timeout", cause: error)
        case .deadlineExceeded:
            RegistryError(.timeout, whole + "net/http: timeout awaiting response headers", cause: error)
        case .readTimeout, .writeTimeout:
            RegistryError(.timeout, whole + "the registry was silent for too long", cause: error)
        case .remoteConnectionClosed, .uncleanShutdown:
            RegistryError(.cut, whole + "unexpected EOF", cause: error)
        default: RegistryError(.malformed, whole + error.shortDescription, cause: error)
        }
    }

    private static func connection(_ error: NIOConnectionError, base: String) -> RegistryError {
        if error.connectionErrors.isEmpty {
            return RegistryError(
                .unreachable, base + "dial tcp: lookup \(error.host): no such host", remedy: reachRemedy, cause: error)
        }
        let last = error.connectionErrors[error.connectionErrors.count - 1]
        let address = "\(last.target.ipAddress ?? error.host):\(error.port)"
        if let failure = last.error as? IOError { return io(failure, base: base, whole: base, address: address) }
        return RegistryError(.unreachable, base + "dial tcp \(address): i/o timeout", remedy: reachRemedy, cause: error)
    }

    private static func io(_ error: IOError, base: String, whole: String, address: String) -> RegistryError {
        let reason = SystemError("connect", error.errnoCode).reason
        switch SystemError("", error.errnoCode).code {
        case connectionRefused, hostUnreachable, networkUnreachable:
            return RegistryError(
                .unreachable, base + "dial tcp \(address): connect: \(reason)", remedy: "is the registry running?",
                cause: error)
        default: return RegistryError(.cut, whole + "read tcp \(address): \(reason)", cause: error)
        }
    }

    // errno(3) of Linux, the same on every architecture this runs on.
    private static let connectionRefused: CInt = 111
    private static let hostUnreachable: CInt = 113
    private static let networkUnreachable: CInt = 101

    private static func tls(_ error: any Error, base: String, _ location: Location) -> RegistryError {
        let detail = String(describing: error)
        let remedy =
            "put its CA certificate into /etc/docker/certs.d/\(location.authority)/ca.crt or add it to insecure-registries"
        if ["WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST"].contains(where: detail.contains) {
            return RegistryError(
                .plainHTTP, base + "http: server gave HTTP response to HTTPS client",
                remedy: "add \(location.authority) to insecure-registries if it is meant to be reached without TLS",
                cause: error)
        }
        if detail.contains("failedToValidateHostname") || detail.contains("idnames")
            || detail.lowercased().contains("hostname")
        {
            return RegistryError(
                .tls,
                base + "tls: failed to verify certificate: x509: certificate is not valid for \(location.host)",
                remedy: remedy, cause: error)
        }
        if detail.contains("CERTIFICATE_VERIFY_FAILED") {
            return RegistryError(
                .tls, base + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                remedy: remedy,
                cause: error)
        }
        if detail.contains("EOF") || detail.contains("uncleanShutdown") {
            return RegistryError(.cut, base + "EOF", cause: error)
        }
        return RegistryError(.tls, base + "tls: handshake failure", remedy: remedy, cause: error)
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
