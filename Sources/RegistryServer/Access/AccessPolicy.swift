import HTTP
import RegistryStore

/// Who may do what. Pure: a request's right and user in, a verdict out.
package struct AccessPolicy: Sendable, Hashable {
    enum Right: Sendable, Hashable, CaseIterable {
        /// Whether the registry answers: what clients log in by.
        case base
        case health
        /// Names of all repositories, counts of all requests.
        case overview
        case pull, push, delete
    }

    enum Verdict: Sendable, Hashable { case allowed, mustLogIn, isReadOnly }

    /// Whether there are accounts: without any, everybody may do everything.
    package var hasAccounts = false
    /// Nobody may change anything.
    package var isReadOnly = false
    /// Repositories that anybody may pull from: these names, and what lies below them; `*` for all.
    package var anonymousPull: [String] = []

    package init() {}

    static func right(_ kind: DistributionRoute.Kind, _ method: Method) -> Right {
        let reads = method == .get || method == .head
        switch kind {
        case .base: return .base
        case .health: return .health
        case .catalog, .metrics: return .overview
        case .uploads, .upload: return .push
        case .tags, .referrers: return .pull
        case .manifest, .blob: return reads ? .pull : method == .delete ? .delete : .push
        }
    }

    /// - Parameters:
    ///   - repository: as it was typed.
    ///   - isLoggedIn: whether the request came with an account's password.
    func verdict(_ right: Right, repository: String, isLoggedIn: Bool) -> Verdict {
        let isKnown = !hasAccounts || isLoggedIn
        switch right {
        case .health: return .allowed
        case .base, .overview: return isKnown ? .allowed : .mustLogIn
        case .pull: return isKnown || isOpen(repository) ? .allowed : .mustLogIn
        case .push, .delete: return !isKnown ? .mustLogIn : isReadOnly ? .isReadOnly : .allowed
        }
    }

    /// Which repositories a list or a search tells of.
    func visibility(isLoggedIn: Bool) -> Visibility {
        guard hasAccounts, !isLoggedIn, !anonymousPull.contains("*") else { return .all }
        return .only(anonymousPull.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 })
    }

    private func isOpen(_ repository: String) -> Bool {
        anonymousPull.contains { prefix in
            prefix == "*" || repository == prefix || repository.hasPrefix(prefix.hasSuffix("/") ? prefix : prefix + "/")
        }
    }
}
