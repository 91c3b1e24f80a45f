import HTTP
import OCI
import Registry
import RegistryStore

/// Bytes that come from elsewhere: the registry says which and how many, and whoever fetches them compares.
extension RegistryAPI {
    /// Sends a client to the servers that have a blob (RFC 6249): those of the repository's rule, then the bucket.
    ///
    /// - Returns: nil where the registry sends the bytes itself.
    func redirected(
        _ request: Request, _ digest: Digest, _ blob: StoredBlob, in name: RepositoryName
    ) -> Response? {
        guard !Self.wantsDirect(request) else { return nil }
        var urls: [String] = []
        var server = "bucket"
        if let rule = redirects.rule(for: name), rule.redirects, blob.size >= rule.bytesMin {
            let found = rule.urls(of: digest, in: name, now: RegistryStore.now)
            urls = found.map(\.url)
            server = found.first?.server.url ?? server
        }
        if let location = store.redirect(for: blob) { urls.append(location) }
        guard let first = urls.first else { return nil }
        metrics.redirects(to: server)
        var response = Response(307, headers: ["Location": first, "Docker-Content-Digest": digest.description])
        for (index, url) in urls.dropFirst().enumerated() {
            response.headers.add("Link", "<\(url)>; rel=\"\(SourceHeaders.duplicate)\"; pri=\(index + 1)")
        }
        return response
    }

    /// Whether a client wants a blob from nobody else.
    static func wantsDirect(_ request: Request) -> Bool {
        request.headers.contains(SourceHeaders.prefer, token: SourceHeaders.respondDirectly)
    }

    /// Servers that a client may ask for the blobs of a repository; nil where none are told of.
    func advertised(in name: RepositoryName) -> String? {
        guard let rule = redirects.rule(for: name), rule.advertises else { return nil }
        return rule.servers.map(\.endpoint).joined(separator: ", ")
    }
}
