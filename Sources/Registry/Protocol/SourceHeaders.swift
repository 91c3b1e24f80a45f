/// How a registry and its clients speak of servers that have its blobs and are trusted with nothing.
package enum SourceHeaders {
    /// On manifests: such servers, `host[:port][/prefix]`, between commas.
    package static let endpoints = "x-docker-endpoints"
    /// A request for the registry's own bytes: it is not to redirect (RFC 7240).
    package static let prefer = "prefer"
    package static let respondDirectly = "respond-directly"
    /// Of `Link`: the same bytes elsewhere (RFC 6249).
    package static let duplicate = "duplicate"
}
