/// What a path of the registry's means (OCI distribution specification, "Endpoints").
struct DistributionRoute: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        case base, catalog, tags, manifest, blob, uploads, upload, referrers, health, metrics
        /// Of the first version of the protocol (`/v1/`), and of the search API (`/api/v1/`).
        case indexPing, indexSearch, legacyImages, legacyTags, legacyTag, legacyImage, search, repositories, repository,
            repositoryTags
        case token, tokenKeys
        /// Pages for people.
        case home, list, found, page, login
    }

    let kind: Kind
    /// Of the repository, as it was typed; empty where there is none.
    var name: String
    /// A tag, digest or upload, as it was typed; empty where there is none.
    let reference: String

    init(_ kind: Kind, _ name: ArraySlice<Substring> = [], _ reference: Substring = "") {
        self.kind = kind
        self.name = name.joined(separator: "/")
        self.reference = String(reference)
    }

    /// Paths that are the registry's own.
    private static let own: [String: Kind] = [
        "/healthz": .health, "/metrics": .metrics, "/token": .token, "/token/keys": .tokenKeys,
    ]

    /// nil for a path of nobody's. A name may have any component, so that a path is read from its end.
    init?(_ path: String) {
        if let own = Self.own[path] {
            self.init(own)
            return
        }
        if let page = Self.page(path) {
            self = page
            return
        }
        var parts = path.split(separator: "/", omittingEmptySubsequences: false)[...]
        if let index = Self.index(parts) {
            self = index
            return
        }
        guard parts.popFirst() == "", parts.popFirst() == "v2" else { return nil }
        if parts.isEmpty || parts == [""] {
            self.init(.base)
        } else if parts == ["_catalog"] {
            self.init(.catalog)
        } else if let ending = Self.ending(parts) {
            self = ending
        } else {
            return nil
        }
    }

    /// Paths of searches.
    private static func index(_ parts: ArraySlice<Substring>) -> DistributionRoute? {
        switch Array(parts.prefix(4)) {
        case ["", "v1", "_ping"]: return DistributionRoute(.indexPing)
        case ["", "v1", "search"]: return DistributionRoute(.indexSearch)
        case let first where first.starts(with: ["", "v1", "repositories"]): return legacy(parts.dropFirst(3))
        case let first where first.starts(with: ["", "v1", "images"]):
            let what = parts.dropFirst(3)
            guard what.count == 2, let last = what.last, ["ancestry", "json", "layer"].contains(last) else {
                return nil
            }
            return DistributionRoute(.legacyImage, [], what.joined(separator: "/")[...])
        case ["", "api", "v1", "search"] where parts.count == 4: return DistributionRoute(.search)
        case ["", "api", "v1", "repositories"]:
            let name = parts.dropFirst(4)
            if name.isEmpty { return DistributionRoute(.repositories) }
            return name.count > 1 && name.last == "tags"
                ? DistributionRoute(.repositoryTags, name.dropLast()) : DistributionRoute(.repository, name)
        default: return nil
        }
    }

    /// Of the first version of the protocol, behind `/v1/repositories/`.
    private static func legacy(_ parts: ArraySlice<Substring>) -> DistributionRoute? {
        guard parts.count > 1, let last = parts.last else { return nil }
        if last == "images" { return DistributionRoute(.legacyImages, parts.dropLast()) }
        if last == "tags" { return DistributionRoute(.legacyTags, parts.dropLast()) }
        guard parts.count > 2, parts[parts.endIndex - 2] == "tags" else { return nil }
        return DistributionRoute(.legacyTag, parts.dropLast(2), last)
    }

    private static func ending(_ parts: ArraySlice<Substring>) -> DistributionRoute? {
        let count = parts.count
        let last = parts[parts.endIndex - 1]
        let before = count >= 2 ? parts[parts.endIndex - 2] : ""
        let second = count >= 3 ? parts[parts.endIndex - 3] : ""
        if second == "blobs", before == "uploads" {
            return last.isEmpty
                ? DistributionRoute(.uploads, parts.dropLast(3)) : DistributionRoute(.upload, parts.dropLast(3), last)
        }
        switch (before, last) {
        case ("tags", "list"): return DistributionRoute(.tags, parts.dropLast(2))
        case ("blobs", "uploads"): return DistributionRoute(.uploads, parts.dropLast(2))
        case ("manifests", _): return DistributionRoute(.manifest, parts.dropLast(2), last)
        case ("blobs", _): return DistributionRoute(.blob, parts.dropLast(2), last)
        case ("referrers", _): return DistributionRoute(.referrers, parts.dropLast(2), last)
        default: return nil
        }
    }
}
