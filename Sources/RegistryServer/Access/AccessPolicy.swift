import HTTP
import RegistryStore

/// Who may do what. Pure: a request's right and user in, a verdict out.
package struct AccessPolicy: Sendable, Hashable {
    enum Right: Sendable, Hashable, CaseIterable {
        /// Whether the registry answers: what clients log in by.
        case base
        case health
        /// A token for what its reader may do, or the keys that tell it from others.
        case token
        /// Names of all repositories, counts of all requests.
        case overview
        /// Lists and searches that tell of nothing but what the caller may pull.
        case browse
        case pull, push, delete
    }

    enum Verdict: Sendable, Hashable {
        case allowed
        /// Nobody who is not known may do it.
        case mustLogIn
        /// The caller's token is for other things: another one may do.
        case wantsScope
        /// The caller's account has no right to it.
        case denied
        /// Nobody may do it.
        case isReadOnly

        var refusal: Refusal? {
            switch self {
            case .allowed: nil
            case .mustLogIn: Refusal(.unauthorized, 401, "authentication required")
            case .wantsScope: Refusal(.unauthorized, 401, "authentication required: the token is not for this")
            case .denied: Refusal(.denied, 403, "requested access to the resource is denied")
            case .isReadOnly: Refusal(.unsupported, 405, "the registry is read-only")
            }
        }
    }

    /// Nobody may change anything.
    package var isReadOnly = false
    /// Repositories that anybody may pull from: these names, and what lies below them; `*` for all.
    package var anonymousPull: [String] = []

    package init() {}

    static func right(_ kind: DistributionRoute.Kind, _ method: Method) -> Right {
        let reads = method == .get || method == .head
        switch kind {
        case .base, .login: return .base
        case .health, .indexPing: return .health
        case .token, .tokenKeys: return .token
        case .catalog, .metrics: return .overview
        case .uploads, .upload: return .push
        case .tags, .referrers, .repositoryTags, .legacyImages, .legacyTags, .legacyTag, .page: return .pull
        // Whose an image is shows when it has been found.
        case .indexSearch, .search, .repositories, .legacyImage, .home, .list, .found: return .browse
        case .manifest, .blob, .repository: return reads ? .pull : method == .delete ? .delete : .push
        }
    }

    /// - Parameter repository: as it was typed.
    func verdict(_ right: Right, repository: String, _ caller: Caller) -> Verdict {
        let needed: Rights
        switch right {
        case .health, .token: return .allowed
        case .base: return caller.kind == .anonymous ? .mustLogIn : .allowed
        case .overview: return caller.seesOverview ? .allowed : caller.kind == .token ? .wantsScope : .mustLogIn
        case .browse:
            guard visibility(caller) == .only([]), caller.kind != .account else { return .allowed }
            return caller.kind == .token ? .wantsScope : .mustLogIn
        case .pull: needed = .pull
        case .push: needed = .push
        case .delete: needed = .delete
        }
        guard !rights(of: caller, in: repository).isSuperset(of: needed) else {
            return isReadOnly && needed != .pull ? .isReadOnly : .allowed
        }
        switch caller.kind {
        case .anybody, .account: return .denied
        case .anonymous: return .mustLogIn
        case .token: return .wantsScope
        }
    }

    /// What a caller may do in a repository, what everybody may included.
    func rights(of caller: Caller, in repository: String) -> Rights {
        let isOpen = anonymousPull.contains { Grant.covers($0.hasSuffix("/") ? String($0.dropLast()) : $0, repository) }
        return isOpen ? caller.rights(in: repository).union(.pull) : caller.rights(in: repository)
    }

    /// Which repositories a list or a search tells a caller of: those that it may pull from.
    func visibility(_ caller: Caller) -> Visibility {
        // A token is for what it says, not for all that its account may do.
        let own = !caller.seesOverview ? [] : caller.grants.filter { $0.rights.contains(.pull) }.map(\.pattern)
        let patterns = own + anonymousPull.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
        return caller.kind == .anybody || patterns.contains(Grant.everything) ? .all : .only(patterns)
    }
}
