import OCI
import Registry
import RegistryStore
import Synchronization

/// One registry that is mirrored: how it is asked, and what its failures mean.
final class Upstream: Sendable {
    /// What the names of its repositories begin with here.
    let name: String
    let settings: MirrorSettings
    let client: RegistryClient
    let endpoint: RegistryEndpoint
    let credentials: Credentials?
    /// Its own repositories have one part, and are called by two.
    let isHub: Bool
    let room = Mutex(MirrorRoom())
    /// Set while it has not answered lately: who can be served otherwise does not wait for it.
    private let silence = Mutex<(until: ContinuousClock.Instant, error: RegistryError)?>(nil)

    /// How long a registry that did not answer is left alone by those who have another answer.
    private static let silencePause = Duration.seconds(10)

    /// Longest wait that is believed: a registry that asks for years is asked again.
    private static let retryAfterMax = Duration.seconds(3600)

    /// How it is reached: what has to be right before anything is opened.
    struct Plan: Sendable {
        let name: String
        let settings: MirrorSettings
        let configuration: RegistryConfiguration
        let endpoint: RegistryEndpoint
    }

    /// - Throws: `RegistryError` (`invalid`) for a URL that is none, ``Refusal`` for a name that cannot begin a repository's.
    static func plan(_ name: String, _ settings: MirrorSettings) throws -> Plan {
        _ = try RepositoryName(name + "/name")
        var configuration = try RegistryConfiguration()
        // It may send clients here: that would be asking oneself.
        configuration.preference = SourceHeaders.respondDirectly
        // A client waits behind each of these.
        configuration.patience.connect = .seconds(5)
        configuration.patience.exchange = .seconds(30)
        configuration.patience.attempts = 4
        configuration.patience.retryAfterMax = .seconds(10)
        return Plan(
            name: name, settings: settings, configuration: configuration,
            endpoint: try configuration.endpoint(upstream: settings.url, isInsecure: settings.isInsecure))
    }

    /// ``close()`` ends its connections.
    init(_ plan: Plan) {
        (name, settings, endpoint) = (plan.name, plan.settings, plan.endpoint)
        isHub = name == Reference.defaultDomain
        client = RegistryClient(plan.configuration)
        credentials =
            settings.username.isEmpty
            ? nil : Credentials(username: settings.username, password: settings.password)
    }

    func close() async { await client.close() }

    /// Why it is not asked just now; nil when it is.
    var silent: RegistryError? { silence.withLock { $0.flatMap { $0.until > .now ? $0.error : nil } } }

    /// Asks it, and remembers whether it answered.
    func asked<Value: Sendable>(
        _ body: () async throws(RegistryError) -> Value
    ) async throws(RegistryError) -> Value {
        do throws(RegistryError) {
            let value = try await body()
            silence.withLock { $0 = nil }
            return value
        } catch {
            if error.isOutage {
                silence.withLock { $0 = (.now + min(error.retryAfter ?? Self.silencePause, Self.retryAfterMax), error) }
            }
            throw error
        }
    }

    /// Whether what was compared so many seconds ago may be served when the registry does not answer.
    func maySay(ageSeconds: Int64) -> Bool {
        switch settings.stale {
        case .never: false
        case .always: true
        case .within(let limit): ageSeconds <= limit.components.seconds
        }
    }

    /// What a client is told of a failure. Where redirects led, and how requests were signed, is for the log alone.
    ///
    /// - Parameter what: the tag or digest that was asked for.
    func refusal(_ error: RegistryError, _ what: some CustomStringConvertible, isBlob: Bool = false) -> Refusal {
        switch error.code {
        case .notFound, .manifestUnknown:
            isBlob
                ? Refusal(.blobUnknown, 404, "blob unknown to \(name): \(what)")
                : Refusal(.manifestUnknown, 404, "manifest unknown to \(name): \(what)")
        case .unauthorized, .denied: Refusal(.denied, 403, "\(name) does not give this: it may not exist there")
        case .rateLimited:
            Refusal(
                .tooManyRequests, 429, "\(name) asks to wait: too many requests",
                retryAfter: error.retryAfter.map { min($0, Self.retryAfterMax) })
        case .timeout: Refusal(.unknown, 504, "\(name) does not answer: the mirror's log says more")
        case .digestMismatch: Refusal(.unknown, 502, "\(name) has sent other bytes than \(what): nothing is kept")
        case .tooLarge: Refusal(.sizeInvalid, 502, "\(name) has sent more than it may for \(what)")
        default: Refusal(.unknown, 502, "\(name) does not answer as a registry does: the mirror's log says more")
        }
    }
}

extension RegistryError {
    /// True when the registry could not be asked at all, or is not well: what it said before may still be so.
    var isOutage: Bool {
        switch code {
        case .unreachable, .timeout, .cut, .server, .rateLimited, .tls, .plainHTTP, .malformed, .digestMismatch: true
        default: false
        }
    }
}

/// A repository of another registry.
package struct MirroredRepository: Sendable {
    let upstream: Upstream
    /// As it is called here.
    let name: RepositoryName
    /// As it is called there.
    let path: String

    func reference(_ name: ManifestName? = nil) -> Reference {
        switch name {
        case .tag(let tag): Reference(domain: upstream.name, path: path, tag: tag, digest: nil)
        case .digest(let digest): Reference(domain: upstream.name, path: path, tag: nil, digest: digest)
        case nil: Reference(domain: upstream.name, path: path, tag: nil, digest: nil)
        }
    }
}
