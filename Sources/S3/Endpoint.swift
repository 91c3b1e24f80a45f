/// Where a bucket's objects are, as URLs.
struct Endpoint: Sendable {
    /// `https` or `http`.
    let scheme: String
    /// As the `Host` header has it: with the port where it is another than the scheme's.
    let host: String
    /// Before the key, percent-encoded: `/` or `/bucket/`.
    let root: String

    /// - Throws: ``S3Error`` `configuration`.
    init(_ configuration: S3Configuration) throws(S3Error) {
        let region = configuration.region ?? "us-east-1"
        let text = configuration.endpoint ?? "https://s3.\(region).amazonaws.com"
        guard let mark = text.firstRange(of: "://") else { throw Self.invalid(text) }
        scheme = text[..<mark.lowerBound].lowercased()
        var authority = text[mark.upperBound...]
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        let isPlain = authority.utf8.allSatisfy { URICoding.isUnreserved($0) || [0x3a, 0x5b, 0x5d].contains($0) }
        guard ["http", "https"].contains(scheme), !authority.isEmpty, isPlain else { throw Self.invalid(text) }
        var name = authority.lowercased()
        let usual = scheme == "https" ? ":443" : ":80"
        if name.hasSuffix(usual) { name = String(name.dropLast(usual.utf8.count)) }
        // A server that is named by an address has no names below it.
        if configuration.pathStyle ?? (configuration.endpoint != nil) {
            (host, root) = (name, "/\(configuration.bucket)/")
        } else {
            (host, root) = ("\(configuration.bucket).\(name)", "/")
        }
    }

    private static func invalid(_ text: String) -> S3Error {
        S3Error(
            .configuration, "invalid endpoint \(text): want https://HOST or http://HOST, with :PORT where it has one")
    }

    /// - Parameter key: nil for the bucket.
    func path(_ key: String?) -> String {
        guard let key else { return root.utf8.count > 1 ? String(root.dropLast()) : root }
        return root + URICoding.encode(key, keepsSlash: true)
    }

    func url(_ path: String, query: String) -> String {
        "\(scheme)://\(host)\(path)\(query.isEmpty ? "" : "?" + query)"
    }
}
