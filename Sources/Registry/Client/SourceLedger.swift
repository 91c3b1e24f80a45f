package import OCI
import Synchronization

/// What is known, in one operation, of the servers that give bytes and are trusted with nothing: who gave what, and who is not
/// asked again. Each that fails is named once, by scheme, host and port: paths and queries of such addresses hold signatures.
package final class SourceLedger: Sendable {
    private struct State {
        var refused: [String: RegistryError] = [:]
        var named: Set<String> = []
        /// Who gave bytes that count as a blob's.
        var givers: [Digest: [String]] = [:]
    }

    private let state = Mutex(State())
    let refusedMax: Int
    private let notice: @Sendable (String) -> Void

    /// - Parameters:
    ///   - limits: after ``RegistryConfiguration/Limits/sourcesMax`` servers that failed no further one is asked.
    ///   - notice: told, in a line, whom bytes do not come from any more, and why.
    package init(_ limits: RegistryConfiguration.Limits, notice: @escaping @Sendable (String) -> Void) {
        refusedMax = limits.sourcesMax
        self.notice = notice
    }

    /// Never true of an endpoint that is asked what tags name.
    package func isRefused(_ endpoint: RegistryEndpoint) -> Bool {
        !endpoint.resolvesTags && isRefused(endpoint.origin)
    }

    func isRefused(_ origin: String) -> Bool {
        state.withLock { $0.refused[origin] != nil || $0.refused.count >= refusedMax }
    }

    /// Why `origin` is not asked any more.
    func reason(_ origin: String) -> RegistryError? { state.withLock { $0.refused[origin] } }

    /// Bytes of a blob have come from `origin`.
    func credit(_ origin: String, with digest: Digest) {
        state.withLock { state in
            if state.givers[digest]?.contains(origin) != true { state.givers[digest, default: []].append(origin) }
        }
    }

    /// The bytes of a blob that came so far do not count any more, and nobody is to blame for them.
    package func forget(_ digest: Digest) { state.withLock { $0.givers[digest] = nil } }

    /// The bytes of a blob were not what its digest names: whoever gave some of them is not asked again. Where one of several is not
    /// asked any more in any case, the others are not to blame yet. The blob has to begin anew, without a byte of what there is.
    ///
    /// - Parameter next: where it goes on.
    /// - Returns: false when none of them came from a server that is trusted with nothing.
    package func disprove(_ digest: Digest, goingOnWith next: RegistryEndpoint) -> Bool {
        let givers = state.withLock { $0.givers.removeValue(forKey: digest) } ?? []
        let error = RegistryError.digestMismatch("blob", digest.description)
        if givers.allSatisfy({ reason($0) == nil }) {
            for giver in givers { leave(giver, error, digest, goingOnWith: next.description) }
        }
        return !givers.isEmpty
    }

    /// An endpoint that is trusted with nothing has failed.
    package func leave(
        _ endpoint: RegistryEndpoint, _ error: RegistryError, _ digest: Digest, goingOnWith next: RegistryEndpoint
    ) {
        leave(endpoint.origin, error, digest, goingOnWith: next.description)
    }

    /// A server that only lacks the blob may have others; any other failure is its last.
    ///
    /// - Parameter next: where the bytes come from instead; nil when they do not come.
    func leave(_ origin: String, _ error: RegistryError, _ digest: Digest, goingOnWith next: String?) {
        let isNew = state.withLock { state in
            if error.code != .notFound, state.refused[origin] == nil { state.refused[origin] = error }
            return state.named.insert("\(origin) \(error.code == .notFound)").inserted
        }
        guard isNew else { return }
        notice("mirror \(origin) \(error.ofSource(digest))" + (next.map { ": going on with \($0)" } ?? ""))
    }
}

extension RegistryError {
    /// What a server that is trusted with nothing did; in our words alone, for it is not let speak to users.
    fileprivate func ofSource(_ digest: Digest) -> String {
        switch code {
        case .digestMismatch: "has sent bytes that do not match \(digest)"
        case .notFound, .manifestUnknown: "does not have \(digest)"
        case .unauthorized, .denied: "does not give \(digest) to everybody"
        case .unreachable: "cannot be reached"
        case .tls, .plainHTTP: "does not prove by TLS who it is"
        case .timeout: "was silent or slow for too long"
        case .cut: "has ended before \(digest) was whole"
        case .server, .rateLimited: "has failed to give \(digest)"
        default: "has answered with something else than \(digest)"
        }
    }

    /// True when the bytes of a server are known to be wrong, not only incomplete.
    package var isOfWrongBytes: Bool { code == .digestMismatch || code == .tooLarge }
}
