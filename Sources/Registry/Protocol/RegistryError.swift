/// Why a registry operation failed, in the words Docker's users know.
package struct RegistryError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is; callers decide by this, never by the text.
    package enum Code: String, Sendable, CaseIterable {
        /// The registry wants credentials, or refused the ones it got.
        case unauthorized
        /// The credentials do not allow the action.
        case denied
        /// The repository, tag, manifest, blob or upload does not exist.
        case notFound, manifestUnknown
        /// No manifest of an index is for the wanted platform.
        case noPlatform
        /// The bytes are not those that the digest names.
        case digestMismatch
        /// No connection: name resolution, routing, refused.
        case unreachable
        /// The TLS handshake or the certificate failed.
        case tls
        /// A TLS handshake was answered in plain HTTP.
        case plainHTTP
        case rateLimited
        /// The peer stayed silent longer than allowed.
        case timeout
        /// The connection ended before the message did.
        case cut
        /// The registry failed (HTTP 5xx).
        case server
        /// The peer broke the protocol.
        case malformed
        /// More bytes than the limit, or than announced.
        case tooLarge
        /// Well formed, but nothing this engine handles.
        case unsupported
        /// A rule of ours forbids it: redirect to plain HTTP, token realm outside of the trust boundary.
        case forbidden
        /// The caller's own input: configuration, reference, source of an upload.
        case invalid
        case cancelled
    }

    package var code: Code
    package var message: String
    /// What the user can do about it.
    package var remedy: String?
    /// The error below, where there is one.
    package var cause: (any Error)?
    /// The endpoint that is to blame, as `https://host`.
    package var endpoint: String?
    /// How long the registry asked to be left alone.
    package var retryAfter: Duration?

    package init(_ code: Code, _ message: String, remedy: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.cause = cause
    }

    package var description: String { message + (remedy.map { "; \($0)" } ?? "") }

    /// True when the same request may succeed a little later.
    package var isTransient: Bool {
        switch code {
        case .cut, .timeout, .server, .rateLimited: true
        default: false
        }
    }

    /// True when another endpoint of the same repository may do better.
    package var isEndpointFault: Bool {
        switch code {
        case .cancelled, .invalid, .noPlatform: false
        default: true
        }
    }

    /// With the endpoint to blame filled in, where it is not yet.
    func from(_ endpoint: RegistryEndpoint) -> RegistryError { from(endpoint.description) }

    func from(_ endpoint: String) -> RegistryError {
        guard self.endpoint == nil else { return self }
        var error = self
        error.endpoint = endpoint
        return error
    }

    static let cancelled = RegistryError(.cancelled, "context canceled")

    static func digestMismatch(_ what: String, _ digest: String) -> RegistryError {
        RegistryError(
            .digestMismatch, "\(what) verification failed for digest \(digest)",
            remedy: "the registry or a proxy before it served other bytes: try another mirror")
    }
}
