/// How a registry and its clients speak of servers that have its blobs and are trusted with nothing.
enum SourceHeaders {
    /// On manifests: such servers, `host[:port][/prefix]`, between commas.
    static let endpoints = "x-docker-endpoints"
    /// A request for the registry's own bytes: it is not to redirect (RFC 7240).
    static let prefer = "prefer"
    static let respondDirectly = "respond-directly"
    /// Of `Link`: the same bytes elsewhere (RFC 6249).
    static let duplicate = "duplicate"
}
