import NIOHTTP1
package import OCI

/// What a mirror asks of the registry that it mirrors: documents as they are, and blobs whose size nobody has told it.
extension RegistryClient {
    private static func access(
        _ reference: Reference, _ endpoint: RegistryEndpoint, _ credentials: Credentials?
    ) -> Access {
        Access(endpoint, [Access.pull(endpoint.name(of: reference.path))], credentials)
    }

    /// The manifest or index that `reference` names, verified against every digest that is known of it.
    ///
    /// - Throws: `RegistryError`: `manifestUnknown`, `digestMismatch`, `tooLarge`.
    package func document(
        _ reference: Reference, from endpoint: RegistryEndpoint, credentials: Credentials?
    ) async throws(RegistryError) -> ResolvedImage.Document {
        try await fetch(
            reference, Self.name(reference), reference.digest, Self.access(reference, endpoint, credentials))
    }

    private static func name(_ reference: Reference) -> String {
        reference.digest.map(\.description) ?? reference.tag ?? "latest"
    }

    /// The digest of what a tag names now; nil where the registry does not say.
    package func digest(
        of reference: Reference, from endpoint: RegistryEndpoint, credentials: Credentials?
    ) async throws(RegistryError) -> Digest? {
        var request = Request()
        request.method = .HEAD
        request.headers.add(name: "accept", value: Self.accepted)
        let target = Target.path(Routes.manifest(endpoint.name(of: reference.path), Self.name(reference)))
        let (reply, _) = try await exchange(
            request, to: target, Self.access(reference, endpoint, credentials),
            bytesMax: configuration.limits.errorBytesMax, reference: reference)
        // What cannot be read is compared by the bytes.
        return reply.header("docker-content-digest").flatMap { try? Digest($0) }
    }

    /// Bytes of a blob.
    ///
    /// - Throws: `RegistryError`: `notFound`, and `malformed` where the registry does not tell.
    package func size(
        of digest: Digest, in reference: Reference, from endpoint: RegistryEndpoint, credentials: Credentials?
    ) async throws(RegistryError) -> Int64 {
        var request = Request()
        request.method = .HEAD
        let (reply, _) = try await exchange(
            request, to: .path(Routes.blob(endpoint.name(of: reference.path), digest)),
            Self.access(reference, endpoint, credentials), bytesMax: configuration.limits.errorBytesMax,
            reference: reference)
        return try Self.number(reply.header("content-length"), digest, reply)
    }

    private static func number(
        _ text: (some StringProtocol)?, _ digest: Digest, _ reply: Reply
    ) throws(RegistryError) -> Int64 {
        guard let text, let number = Int64(text), number >= 0 else {
            throw RegistryError(.malformed, "\(reply.location.authority) does not tell the size of blob \(digest)")
        }
        return number
    }

    /// The bytes of a blob from `offset` on, with the size that the registry tells. The first request has been answered when this
    /// returns.
    ///
    /// - Parameter sources: of the operation that this is part of.
    /// - Throws: `RegistryError`: `malformed` for an offset that is behind the registry's end, too.
    package func download(
        _ digest: Digest, of reference: Reference, from endpoint: RegistryEndpoint, offset: Int64 = 0,
        credentials: Credentials?, sources: SourceLedger
    ) async throws(RegistryError) -> BlobStream {
        let access = Self.access(reference, endpoint, credentials)
        var route = BlobRoute(access, reference, digest, sources)
        // What a server that is trusted with nothing says of the size is checked as soon as there is something to check it with.
        var told: Int64?
        while true {
            let (reply, size) = try await opening(&route, at: offset, told)
            if route.mayBeLeft, told == nil {
                told = try await ownSize(digest, of: reference, access)
                let isWrong = told.map { $0 != size } ?? false
                let error = RegistryError(.malformed, "blob \(digest) has another size than \(size)")
                if isWrong, route.leave(after: error, received: 0, configuration.patience) { continue }
            }
            let descriptor = Descriptor(mediaType: MediaType.generic[2], digest: digest, size: size)
            return BlobStream(
                client: self, access: access, reference: reference, descriptor: descriptor, offset: offset,
                sources: sources, opened: (reply, route))
        }
    }

    private func opening(
        _ route: inout BlobRoute, at offset: Int64, _ told: Int64?
    ) async throws(RegistryError) -> (reply: Reply, value: Int64) {
        let digest = route.digest
        do throws(RegistryError) {
            return try await Backoff.retrying(configuration.patience) { () throws(RegistryError) in
                try await route.open(self, at: offset) { (reply) throws(RegistryError) in
                    let size = try Self.size(reply, digest)
                    guard offset <= size, told == nil || told == size else {
                        throw RegistryError(.malformed, "blob \(digest) has \(size) bytes, \(offset) of it were here")
                    }
                    return size
                }
            }
        } catch {
            route.name(goingOnWith: nil)
            throw error
        }
    }

    private static func size(_ reply: Reply, _ digest: Digest) throws(RegistryError) -> Int64 {
        // `bytes 10-99/100`
        if reply.status == 206 {
            return try number(reply.header("content-range")?.split(separator: "/").last, digest, reply)
        }
        return try number(reply.header("content-length"), digest, reply)
    }

    /// What the registry itself says of a blob's size; nil where it redirects for that, too.
    private func ownSize(_ digest: Digest, of reference: Reference, _ access: Access) async throws(RegistryError)
        -> Int64?
    {
        var request = Request()
        (request.method, request.staysAtEndpoint) = (.HEAD, true)
        do throws(RegistryError) {
            let reply = try await send(
                request, to: .path(Routes.blob(access.endpoint.name(of: reference.path), digest)), access)
            return reply.status == 200 ? reply.header("content-length").flatMap { Int64($0) } : nil
        } catch {
            // The digest tells in the end.
            guard error.code != .cancelled else { throw error }
            return nil
        }
    }

    /// One page of a list that a registry gives, as it is.
    package struct Listing: Sendable {
        package let bytes: [UInt8]
        package let mediaType: String
        /// Query of the next page, without its `?`.
        package let next: String?
        /// Filters that were applied (`OCI-Filters-Applied`).
        package let filters: String?
    }

    package enum List: Sendable, Hashable {
        case tags
        case referrers(Digest)
    }

    /// - Parameter query: what the client wants of it: names and values.
    package func page(
        _ list: List, query: [(name: String, value: String)], of reference: Reference, from endpoint: RegistryEndpoint,
        credentials: Credentials?
    ) async throws(RegistryError) -> Listing {
        let name = endpoint.name(of: reference.path)
        let path =
            switch list {
            case .tags: Routes.tags(name)
            case .referrers(let digest): "/v2/\(name)/referrers/\(digest)"
            }
        let items = query.map { "\(Location.encoded($0.name))=\(Location.encoded($0.value))" }
        let (reply, bytes) = try await exchange(
            Request(), to: .path(items.isEmpty ? path : path + "?" + items.joined(separator: "&")),
            Self.access(reference, endpoint, credentials), bytesMax: configuration.limits.tagsPageBytesMax,
            reference: reference)
        let next = reply.header("link").flatMap(Self.nextPage).flatMap { reply.location.resolving($0) }
        return Listing(
            bytes: bytes, mediaType: reply.header("content-type") ?? MediaType.generic[0],
            next: next?.target.split(separator: "?", maxSplits: 1).dropFirst().first.map(String.init),
            filters: reply.header("oci-filters-applied"))
    }
}

extension RegistryConfiguration {
    /// Reads the URL of a registry that is mirrored; its path goes before the names of repositories. It gets the credentials.
    ///
    /// - Parameter isInsecure: its TLS is not verified.
    /// - Throws: `RegistryError` (`invalid`) unless it is `http(s)://host[:port][/path]`.
    package func endpoint(upstream text: String, isInsecure: Bool) throws(RegistryError) -> RegistryEndpoint {
        let source = try endpoint(source: text)
        return RegistryEndpoint(
            host: source.host, port: source.port, scheme: source.scheme, isInsecure: isInsecure || source.isInsecure,
            isMirror: false, namePrefix: source.namePrefix)
    }
}
