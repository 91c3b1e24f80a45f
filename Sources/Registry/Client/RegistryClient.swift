import NIOCore
import NIOHTTP1
import OCI
import Synchronization

/// A client of registries: resolves, fetches, pushes and logs in (OCI distribution specification 1.1).
///
/// Holds connections, tokens and what it learnt about schemes; nothing of it is worth keeping on disk. Credentials are
/// given with each call, are sent only to the registry they are for and to its token server, and never follow a redirect
/// to another host. Call ``close()`` before letting go of it.
package final class RegistryClient: Sendable {
    package let configuration: RegistryConfiguration
    let transport: Transport
    let authorizer: Authorizer
    /// Told what users may want to know though the operation goes on: a mirror that was skipped, and why.
    let notice: @Sendable (String) -> Void
    /// The scheme that an insecure endpoint answered by.
    private let schemes = Mutex<[RegistryEndpoint: Location.Scheme]>([:])

    package init(_ configuration: RegistryConfiguration, notice: @escaping @Sendable (String) -> Void = { _ in }) {
        self.configuration = configuration
        self.notice = notice
        transport = Transport(configuration)
        authorizer = Authorizer(transport, configuration)
    }

    /// Closes all connections; operations under way fail with `cancelled`.
    package func close() async { await transport.close() }

    // MARK: - One exchange

    /// Where a request goes: a path of the protocol at an endpoint, or what a `Location` header said.
    enum Target: Sendable {
        case path(String)
        case location(Location)
    }

    /// Sends a request with the authorisation it needs, answers one challenge, follows redirects.
    ///
    /// - Returns: the reply, whatever its status.
    func send(_ request: Request, to target: Target, _ access: Access) async throws(RegistryError) -> Reply {
        let header = try await authorizer.header(for: access)
        let reply = try await reach(request, target, access.endpoint, authorization: header)
        guard reply.status == 401, mayCarryCredentials(reply.location, access.endpoint) else { return reply }
        let answer: String?
        do throws(RegistryError) {
            answer = try await authorizer.answer(reply.challenges, for: access, refused: header)
        } catch {
            if error.message == "no basic auth credentials" {
                throw RegistryError(
                    error.code, "\(request.goMethod) \"\(reply.location.withoutQuery)\": \(error.message)",
                    remedy: error.remedy)
            }
            throw error
        }
        guard let answer else { return reply }
        await discard(reply)
        return try await reach(request, target, access.endpoint, authorization: answer)
    }

    /// Sends a request, reads the whole reply, and tries again while failures are transient.
    ///
    /// - Throws: `RegistryError` for a status other than 2xx too.
    func exchange(
        _ request: Request, to target: Target, _ access: Access, bytesMax: Int, reference: Reference? = nil
    ) async throws(RegistryError) -> (reply: Reply, body: [UInt8]) {
        try await Backoff.retrying(configuration.patience) { () throws(RegistryError) in
            try await within(configuration.patience.exchange, "\(access.endpoint)") { () throws(RegistryError) in
                let reply = try await self.send(request, to: target, access)
                try await self.check(reply, reference)
                return (reply, try await reply.collect(bytesMax: bytesMax))
            }
        }
    }

    /// - Throws: what the registry says in the body of a reply that is no success.
    func check(_ reply: Reply, _ reference: Reference?) async throws(RegistryError) {
        guard !(200..<300).contains(reply.status) else { return }
        var body: [UInt8] = []
        do throws(RegistryError) { body = try await reply.collect(bytesMax: configuration.limits.errorBytesMax) } catch
        {
            // The status says enough; a body that is too large or cut is not worth another error.
            if error.code == .cancelled { throw error }
        }
        throw WireErrors.error(
            status: reply.status, body: body, challenges: reply.challenges, retryAfter: reply.retryAfter,
            reference: reference)
    }

    func discard(_ reply: Reply) async {
        // Only to keep the connection: when it fails, the next request opens another.
        _ = try? await reply.collect(bytesMax: configuration.limits.errorBytesMax)
    }

    private func reach(
        _ request: Request, _ target: Target, _ endpoint: RegistryEndpoint, authorization: String?
    ) async throws(RegistryError) -> Reply {
        switch target {
        case .location(let location): return try await follow(request, location, endpoint, authorization)
        case .path(let path):
            if let known = schemes.withLock({ $0[endpoint] }) {
                do throws(RegistryError) {
                    return try await follow(request, endpoint.location(known, path), endpoint, authorization)
                } catch {
                    // It may speak the other one since; the next request finds out.
                    if error.isNoTLS || error.code == .malformed { schemes.withLock { $0[endpoint] = nil } }
                    throw error
                }
            }
            let candidates = endpoint.schemes
            for scheme in candidates.dropLast() {
                do throws(RegistryError) {
                    return try await answered(request, endpoint.location(scheme, path), endpoint, authorization)
                } catch {
                    guard error.isNoTLS else { throw error }
                }
            }
            return try await answered(
                request, endpoint.location(candidates[candidates.count - 1], path), endpoint, authorization)
        }
    }

    private func answered(
        _ request: Request, _ location: Location, _ endpoint: RegistryEndpoint, _ authorization: String?
    ) async throws(RegistryError) -> Reply {
        let reply = try await hop(request, location, endpoint, authorization)
        schemes.withLock { $0[endpoint] = location.scheme }
        return try await follow(reply, request, location, endpoint, authorization)
    }

    func follow(
        _ request: Request, _ location: Location, _ endpoint: RegistryEndpoint, _ authorization: String?
    ) async throws(RegistryError) -> Reply {
        try await follow(
            try await hop(request, location, endpoint, authorization), request, location, endpoint, authorization)
    }

    private func hop(
        _ request: Request, _ location: Location, _ endpoint: RegistryEndpoint, _ authorization: String?
    ) async throws(RegistryError) -> Reply {
        var request = request
        if let authorization, mayCarryCredentials(location, endpoint) {
            request.headers.replaceOrAdd(name: "authorization", value: authorization)
        }
        let verifies = endpoint.isAt(location) ? !endpoint.isInsecure : !configuration.isInsecure(location.authority)
        return try await transport.send(request, to: location, verifies: verifies)
    }

    /// True for the endpoint's own host and port, in the open only where the endpoint is insecure.
    private func mayCarryCredentials(_ location: Location, _ endpoint: RegistryEndpoint) -> Bool {
        endpoint.isAt(location) && (location.scheme == .https || endpoint.isInsecure)
    }

    private func follow(
        _ first: Reply, _ request: Request, _ start: Location, _ endpoint: RegistryEndpoint, _ authorization: String?
    ) async throws(RegistryError) -> Reply {
        var reply = first
        var authorization = authorization
        for _ in 0..<configuration.limits.redirectsMax {
            guard isRedirect(reply), request.body == nil else { return reply }
            let next = try redirect(reply, endpoint)
            if request.staysAtEndpoint, !endpoint.isAt(next) { return reply }
            // Once gone the secret stays gone, should a later hop lead back.
            if !next.hasSameOrigin(as: start) { authorization = nil }
            await discard(reply)
            reply = try await hop(request, next, endpoint, authorization)
        }
        guard !(300..<400).contains(reply.status) else {
            throw RegistryError(
                .malformed, "\(start.authority): stopped after \(configuration.limits.redirectsMax) redirects")
        }
        return reply
    }

    func isRedirect(_ reply: Reply) -> Bool {
        let isReading = reply.method == .GET || reply.method == .HEAD
        return isReading ? [301, 302, 303, 307, 308].contains(reply.status) : [307, 308].contains(reply.status)
    }

    func redirect(_ reply: Reply, _ endpoint: RegistryEndpoint) throws(RegistryError) -> Location {
        guard let text = reply.header("location"), let next = reply.location.resolving(text) else {
            throw RegistryError(.malformed, "\(reply.location.authority) redirects without a usable location")
        }
        try checkRedirect(from: reply.location, to: next, endpoint)
        return next
    }

    /// - Throws: `RegistryError` (`forbidden`) for a place that a registry has no business to send us to.
    func checkRedirect(from sender: Location, to next: Location, _ endpoint: RegistryEndpoint) throws(RegistryError) {
        guard next.scheme == .https || endpoint.isInsecure else {
            throw RegistryError(
                .forbidden, "\(sender.authority) redirects to plain HTTP at \(next.authority): refused")
        }
        guard !next.isLocal || endpoint.location(.https, "/").isLocal || next.host == endpoint.host else {
            throw RegistryError(
                .forbidden, "\(sender.authority) redirects to this machine, \(next.authority): refused")
        }
    }
}

extension Request {
    /// `Get`, `Head`: as Go's errors begin.
    var goMethod: String { method.rawValue.prefix(1) + method.rawValue.dropFirst().lowercased() }
}

extension RegistryError {
    /// True when a peer may be one that does not speak TLS at all.
    fileprivate var isNoTLS: Bool { [.plainHTTP, .tls, .unreachable, .cut, .timeout].contains(code) }
}
