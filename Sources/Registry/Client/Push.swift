import AsyncHTTPClient
import NIOCore
import NIOHTTP1
package import OCI

extension RegistryClient {
    /// How a blob came to be in the repository.
    package enum Placement: Sendable, Hashable {
        case existed
        /// Linked from this other repository of the same registry, without a byte sent.
        case mounted(from: String)
        case uploaded
    }

    /// Makes sure that the repository has a blob: by looking, by mounting it from another repository, by uploading it.
    ///
    /// - Parameters:
    ///   - reference: the repository, at its own registry or where hosts.toml says that pushes go.
    ///   - source: exactly the bytes of `descriptor`.
    ///   - candidates: repository paths of the same registry that may have it; the first is tried.
    ///   - progress: bytes that were handed to the connection so far.
    /// - Throws: `RegistryError`; an interrupted upload goes on where the registry says it stopped.
    package func push(
        _ descriptor: Descriptor, _ source: BlobSource, to reference: Reference, mountingFrom candidates: [String] = [],
        credentials: Credentials? = nil, progress: @escaping @Sendable (Int64) -> Void = { _ in }
    ) async throws(RegistryError) -> Placement {
        guard source.byteCount == descriptor.size else {
            throw RegistryError(
                .invalid, "blob \(descriptor.digest) has \(source.byteCount) bytes to push, not \(descriptor.size)")
        }
        let endpoint = try await pushEndpoint(for: reference.domain)
        let other = candidates.first { $0 != reference.path }
        let scopes = [Access.push(reference.path)] + (other.map { [Access.pull($0)] } ?? [])
        let upload = Upload(
            client: self, access: Access(endpoint, scopes, credentials), reference: reference, descriptor: descriptor,
            source: source, progress: progress)
        do throws(RegistryError) { return try await upload.run(mountingFrom: other) } catch {
            throw error.from(endpoint)
        }
    }

    /// True when the repository has the blob.
    package func exists(
        _ descriptor: Descriptor, in reference: Reference, credentials: Credentials? = nil
    ) async throws(RegistryError) -> Bool {
        let endpoint = try await pushEndpoint(for: reference.domain)
        return try await exists(descriptor, reference, Access(endpoint, [Access.pull(reference.path)], credentials))
    }

    fileprivate func exists(
        _ descriptor: Descriptor, _ reference: Reference, _ access: Access
    ) async throws(RegistryError) -> Bool {
        var request = Request()
        request.method = .HEAD
        do throws(RegistryError) {
            let target = Target.path(Routes.blob(reference.path, descriptor.digest))
            let (reply, _) = try await exchange(
                request, to: target, access, bytesMax: configuration.limits.errorBytesMax)
            // A blob of another length is not this one, whatever the registry thinks.
            return reply.header("content-length").map { $0 == "\(descriptor.size)" } ?? true
        } catch {
            guard error.code == .notFound || error.code == .manifestUnknown else { throw error }
            return false
        }
    }

    /// Stores a manifest or an index under the tag or digest of `reference`.
    ///
    /// - Returns: its digest, which the registry has confirmed where it names one.
    package func put(
        manifest bytes: [UInt8], mediaType: String, as reference: Reference, credentials: Credentials? = nil
    ) async throws(RegistryError) -> Digest {
        let reference = reference.tagged
        let endpoint = try await pushEndpoint(for: reference.domain)
        let digest = Digest.of(bytes, reference.digest?.algorithm ?? .sha256)
        if let wanted = reference.digest, wanted != digest {
            throw RegistryError.digestMismatch("manifest", wanted.description)
        }
        var request = Request()
        request.method = .PUT
        request.headers.add(name: "content-type", value: mediaType)
        request.body = .bytes(ByteBuffer(bytes: bytes))
        let name = reference.tag ?? digest.description
        let (reply, _) = try await exchange(
            request, to: .path(Routes.manifest(reference.path, name)),
            Access(endpoint, [Access.push(reference.path)], credentials), bytesMax: configuration.limits.errorBytesMax)
        if let said = reply.header("docker-content-digest"), said != digest.description {
            throw RegistryError.digestMismatch("manifest", digest.description).from(endpoint)
        }
        return digest
    }
}

/// One blob on its way to a registry (OCI distribution specification, "Pushing blobs").
private struct Upload: Sendable {
    let client: RegistryClient
    let access: Access
    let reference: Reference
    let descriptor: Descriptor
    let source: BlobSource
    let progress: @Sendable (Int64) -> Void

    private var limits: RegistryConfiguration.Limits { client.configuration.limits }

    func run(mountingFrom other: String?) async throws(RegistryError) -> RegistryClient.Placement {
        if try await client.exists(descriptor, reference, access) { return .existed }
        guard let session = try await begin(mountingFrom: other) else { return .mounted(from: other ?? "") }
        if descriptor.size <= limits.monolithicBytesMax {
            try await monolithic(session)
        } else {
            try await streamed(session)
        }
        return .uploaded
    }

    /// Opens an upload session.
    ///
    /// - Returns: where to send the bytes; `nil` when the blob was mounted instead.
    private func begin(mountingFrom other: String?) async throws(RegistryError) -> Location? {
        var request = Request()
        request.method = .POST
        request.headers.add(name: "content-length", value: "0")
        var path = Routes.uploads(reference.path)
        if let other {
            path += "?mount=\(Location.encoded(descriptor.digest.description))&from=\(Location.encoded(other))"
        }
        let (reply, _) = try await client.exchange(request, to: .path(path), access, bytesMax: limits.errorBytesMax)
        return other != nil && reply.status == 201 ? nil : try next(reply)
    }

    /// The session's address after a reply; it may change with each.
    private func next(_ reply: Reply) throws(RegistryError) -> Location {
        guard let text = reply.header("location"), let location = reply.location.resolving(text),
            location.scheme == .https || access.endpoint.isInsecure,
            !location.isLocal || location.host == access.endpoint.host || access.endpoint.location(.https, "/").isLocal
        else {
            throw RegistryError(
                .malformed, "\(access.endpoint) gives no usable location for the upload of \(descriptor.digest)")
        }
        return location
    }

    /// Small blobs: one PUT that carries everything, and all of it again when it is cut.
    private func monolithic(_ session: Location) async throws(RegistryError) {
        var backoff = Backoff(client.configuration.patience)
        var session = session
        while true {
            do throws(RegistryError) {
                return try await finish(session, bytesFrom: 0)
            } catch {
                guard let pause = backoff.pause(after: error, wasConnected: true) else { throw error }
                try await Backoff.sleep(pause)
                if let fresh = try await begin(mountingFrom: nil) { session = fresh }
            }
        }
    }

    /// Large blobs: one PATCH that streams, then a PUT that names the digest; after a cut the registry is asked how far it got.
    private func streamed(_ first: Location) async throws(RegistryError) {
        var backoff = Backoff(client.configuration.patience)
        var session = first
        var offset: Int64 = 0
        while true {
            do throws(RegistryError) {
                if offset < descriptor.size { session = try await patch(session, from: offset) }
                return try await finish(session, bytesFrom: descriptor.size)
            } catch {
                guard let pause = backoff.pause(after: error.isStaleToken ? .staleToken : error, wasConnected: true)
                else { throw error }
                try await Backoff.sleep(pause)
                let before = offset
                (session, offset) = try await whereItStopped(session)
                if offset > before { backoff.advanced(by: Int(offset - before)) }
            }
        }
    }

    private func patch(_ session: Location, from offset: Int64) async throws(RegistryError) -> Location {
        var request = Request(method: .PATCH)
        request.headers.add(name: "content-type", value: "application/octet-stream")
        if offset > 0 { request.headers.add(name: "content-range", value: "\(offset)-\(descriptor.size - 1)") }
        attach(&request, from: offset)
        let reply = try await client.send(request, to: .location(session), access)
        try await client.check(reply, nil)
        return try next(reply)
    }

    private func finish(_ session: Location, bytesFrom offset: Int64) async throws(RegistryError) {
        var request = Request(method: .PUT)
        request.isUpload = true
        if offset < descriptor.size {
            request.headers.add(name: "content-type", value: "application/octet-stream")
            attach(&request, from: offset)
        } else {
            request.headers.add(name: "content-length", value: "0")
        }
        let location = session.adding(query: [("digest", descriptor.digest.description)])
        let reply = try await client.send(request, to: .location(location), access)
        try await client.check(reply, nil)
        if let said = reply.header("docker-content-digest"), said != descriptor.digest.description {
            throw RegistryError.digestMismatch("blob", descriptor.digest.description)
        }
    }

    private func attach(_ request: inout Request, from offset: Int64) {
        let bytes = Progress(source.body(from: offset, chunkBytes: limits.uploadChunkBytes), progress)
        request.body = .stream(bytes, length: .known(descriptor.size - offset))
        request.isUpload = true
    }

    /// Asks how many bytes the session has; a session that is gone is replaced by a new, empty one.
    private func whereItStopped(_ session: Location) async throws(RegistryError) -> (Location, Int64) {
        do throws(RegistryError) {
            let (reply, _) = try await client.exchange(
                Request(), to: .location(session), access, bytesMax: limits.errorBytesMax)
            let location = reply.header("location") == nil ? session : try next(reply)
            return (location, Self.received(reply.header("range"), descriptor.size))
        } catch {
            guard error.code == .notFound || error.code == .malformed else { throw error }
            guard let fresh = try await begin(mountingFrom: nil) else { throw error }
            return (fresh, 0)
        }
    }

    /// The bytes that `Range: 0-<last>` counts. `0-0` is what registries say of an empty session, so one byte is sent again
    /// rather than lost: the offset is 0 then.
    static func received(_ range: String?, _ size: Int64) -> Int64 {
        guard let range, let dash = range.lastIndex(of: "-"), let last = Int64(range[range.index(after: dash)...]),
            last > 0,
            last < size
        else { return 0 }
        return last + 1
    }
}

/// Counts the bytes of a request body as they are handed over.
private struct Progress: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    private let base: BlobSource.Body
    private let report: @Sendable (Int64) -> Void

    init(_ base: BlobSource.Body, _ report: @escaping @Sendable (Int64) -> Void) {
        self.base = base
        self.report = report
    }

    func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator(), report: report) }

    struct Iterator: AsyncIteratorProtocol {
        var base: BlobSource.Body.Iterator
        let report: @Sendable (Int64) -> Void

        mutating func next() async throws -> ByteBuffer? {
            let buffer = try await base.next()
            if buffer != nil { report(base.offset) }
            return buffer
        }
    }
}

extension RegistryError {
    /// A token can end while a large body is on its way; the status query fetches another.
    fileprivate var isStaleToken: Bool { code == .unauthorized }
    fileprivate static let staleToken = RegistryError(.cut, "the token ended during the upload")
}
