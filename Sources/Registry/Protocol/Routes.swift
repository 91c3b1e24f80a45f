import OCI

/// The paths of the distribution protocol (OCI distribution specification, "Endpoints"). Names and digests are already
/// validated values, so nothing here needs escaping.
enum Routes {
    static let base = "/v2/"
    static func manifest(_ repository: String, _ reference: String) -> String {
        "/v2/\(repository)/manifests/\(reference)"
    }
    static func blob(_ repository: String, _ digest: Digest) -> String { "/v2/\(repository)/blobs/\(digest)" }
    static func uploads(_ repository: String) -> String { "/v2/\(repository)/blobs/uploads/" }
    static func tags(_ repository: String) -> String { "/v2/\(repository)/tags/list" }
    /// What users type may be anything: it is escaped.
    ///
    /// - Parameter withTags: a registry that knows it adds tags to its results.
    static func search(_ words: String, limit: Int, withTags: Bool) -> String {
        "/v1/search?q=\(Location.encoded(words))&n=\(limit)" + (withTags ? "&tags=1" : "")
    }
}

extension MediaType {
    /// Docker's signed and unsigned schema 1, which are recognised to be refused.
    static let schema1 = [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    ]
    /// What static file servers say of any JSON; the document's own `mediaType` decides then.
    static let generic = ["application/json", "text/plain", "application/octet-stream", "text/json"]
}
