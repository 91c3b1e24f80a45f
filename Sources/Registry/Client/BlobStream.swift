import AsyncHTTPClient
package import NIOCore
import NIOHTTP1
package import OCI

/// Some bytes of a blob, as they came from the network; shared, never copied.
package struct BlobChunk: Sendable {
    package let buffer: ByteBuffer

    package init(_ buffer: ByteBuffer) { self.buffer = buffer }
    package init(copying bytes: some Sequence<UInt8>) { buffer = ByteBuffer(bytes: bytes) }

    package var byteCount: Int { buffer.readableBytes }

    /// The bytes, valid inside of `body` only.
    package func withUnsafeBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let result = buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(Failure) -> Value in try body(bytes) }
        }
        return try result.get()
    }

    /// The bytes for a consumer that suspends; they stay where they are until `body` returns.
    package func withUnsafeBytes<Value>(
        _ body: (UnsafeRawBufferPointer) async throws -> Value
    ) async rethrows -> Value {
        let (bytes, storage) = buffer.withUnsafeReadableBytesWithStorageManagement { ($0, $1.retain()) }
        defer { storage.release() }
        return try await body(bytes)
    }
}

/// The bytes of one blob from an offset to its end, in order and each exactly once.
///
/// Pull-based: nothing is read from the socket while the consumer is busy. A connection that ends, stalls or fails with
/// 5xx is replaced by another that begins at the next missing byte. The length is enforced here; the digest is the
/// consumer's to verify, over all bytes including those before the offset.
package struct BlobStream: AsyncSequence, Sendable {
    package typealias Element = BlobChunk
    package typealias Failure = RegistryError

    let client: RegistryClient
    let access: Access
    let reference: Reference
    package let descriptor: Descriptor
    let offset: Int64
    /// The answer to the first request, where it has been sent already.
    var opened: Reply?

    /// Serves the bytes; to be named when they turn out to be wrong.
    package var endpoint: RegistryEndpoint { access.endpoint }

    package func makeAsyncIterator() -> Iterator { Iterator(self) }

    package struct Iterator: AsyncIteratorProtocol {
        private let blob: BlobStream
        private var body: HTTPClientResponse.Body.AsyncIterator?
        private var location: Location?
        /// The next byte the consumer gets.
        private var offset: Int64
        /// Bytes of the current body before ``offset``: the server ignored the range.
        private var skipByteCount: Int64 = 0
        private var backoff: Backoff
        private var wasConnected = false
        /// How often the blob was asked for, the first included.
        package private(set) var requestCount = 0

        init(_ blob: BlobStream) {
            self.blob = blob
            offset = blob.offset
            backoff = Backoff(blob.client.configuration.patience)
        }

        /// The next bytes; `nil` after the last.
        ///
        /// - Throws: `RegistryError` when the blob cannot be had whole from this endpoint.
        package mutating func next() async throws(RegistryError) -> BlobChunk? {
            while true {
                do throws(RegistryError) { return try await step() } catch {
                    body = nil
                    guard let pause = backoff.pause(after: error, wasConnected: wasConnected) else {
                        throw error.from(blob.endpoint)
                    }
                    try await Backoff.sleep(pause)
                }
            }
        }

        private mutating func step() async throws(RegistryError) -> BlobChunk? {
            let size = blob.descriptor.size
            while true {
                if offset == size && (body == nil || size == 0) { return nil }
                if body == nil { try await open() }
                guard var part = try await read() else {
                    body = nil
                    if offset == size { return nil }
                    throw RegistryError(
                        .cut, "blob \(blob.descriptor.digest) ended after \(offset) of \(size) bytes: unexpected EOF")
                }
                if skipByteCount > 0 {
                    let skipped = Swift.min(Int64(part.readableBytes), skipByteCount)
                    part.moveReaderIndex(forwardBy: Int(skipped))
                    skipByteCount -= skipped
                }
                if part.readableBytes == 0 { continue }
                guard Int64(part.readableBytes) <= size - offset else {
                    throw RegistryError(
                        .tooLarge, "blob \(blob.descriptor.digest) is longer than the \(size) bytes its manifest says")
                }
                offset += Int64(part.readableBytes)
                backoff.advanced(by: part.readableBytes)
                return BlobChunk(part)
            }
        }

        private mutating func read() async throws(RegistryError) -> ByteBuffer? {
            guard var current = body else { return nil }
            body = nil
            do {
                let part = try await current.next(isolation: #isolation)
                body = current
                return part
            } catch {
                if Task.isCancelled { throw .cancelled }
                guard let location else { throw .cancelled }
                throw RegistryError.transport(error, "Get", location)
            }
        }

        private mutating func open() async throws(RegistryError) {
            requestCount += 1
            let opened = requestCount == 1 ? blob.opened : nil
            let reply = if let opened { opened } else { try await blob.client.open(blob, at: offset) }
            wasConnected = true
            skipByteCount = try blob.skip(reply, offset)
            location = reply.location
            body = reply.body.makeAsyncIterator()
        }
    }

    /// Checks what the reply says it brings.
    ///
    /// - Returns: how many bytes come before `offset`.
    /// - Throws: `RegistryError` (`malformed`) when it is not what was asked for.
    fileprivate func skip(_ reply: Reply, _ offset: Int64) throws(RegistryError) -> Int64 {
        if let coding = reply.header("content-encoding"), coding.lowercased() != "identity" {
            throw RegistryError(
                .unsupported, "blob \(descriptor.digest) is served with content-encoding \(OCIError.quoted(coding))")
        }
        let length = reply.header("content-length")
        func isLength(_ expected: Int64) -> Bool { length == nil || length == "\(expected)" }
        if reply.status == 200, isLength(descriptor.size) { return offset }
        if reply.status == 206, isLength(descriptor.size - offset), let said = reply.header("content-range"),
            Self.isRange(said, from: offset, size: descriptor.size)
        {
            return 0
        }
        throw RegistryError(
            .malformed,
            "blob \(descriptor.digest) has \(descriptor.size) bytes, but bytes from \(offset) on were answered with status "
                + "\(reply.status), length \(length ?? "unknown"), range \(OCIError.quoted(reply.header("content-range") ?? ""))"
        )
    }

    /// True for `bytes <first>-<size - 1>/<size>` (or `/*`), RFC 9110 §14.4.
    private static func isRange(_ text: String, from first: Int64, size: Int64) -> Bool {
        let range = "bytes \(first)-\(size - 1)/"
        return text == range + "\(size)" || text == range + "*"
    }
}

extension RegistryClient {
    /// The bytes of the blob that `descriptor` names, from `offset` on. Nothing is sent before the first chunk is asked for.
    ///
    /// The `urls` of a descriptor are never followed.
    ///
    /// - Parameters:
    ///   - reference: its repository.
    ///   - endpoint: ``ResolvedImage/endpoint``, or another of ``RegistryConfiguration/endpoints(for:)`` to try next.
    ///   - offset: bytes the caller already has; between 0 and the size.
    package func blob(
        _ descriptor: Descriptor, of reference: Reference, from endpoint: RegistryEndpoint, offset: Int64 = 0,
        credentials: Credentials? = nil
    ) throws(RegistryError) -> BlobStream {
        guard (0...max(descriptor.size, 0)).contains(offset) else {
            throw RegistryError(
                .invalid, "offset \(offset) is outside of blob \(descriptor.digest) of \(descriptor.size) bytes")
        }
        let access = Access(endpoint, [Access.pull(endpoint.name(of: reference.path))], credentials)
        return BlobStream(client: self, access: access, reference: reference, descriptor: descriptor, offset: offset)
    }

    fileprivate func open(_ blob: BlobStream, at offset: Int64) async throws(RegistryError) -> Reply {
        var request = Request()
        if offset > 0 { request.headers.add(name: "range", value: "bytes=\(offset)-") }
        let reply = try await send(
            request, to: .path(Routes.blob(blob.endpoint.name(of: blob.reference.path), blob.descriptor.digest)),
            blob.access)
        try await check(reply, blob.reference)
        return reply
    }

    /// A small blob, whole and verified: an image configuration. Asks the servers that are
    /// trusted with nothing, then `endpoint`, then the others.
    ///
    /// - Throws: `RegistryError`: `tooLarge` beyond the configuration limit, `digestMismatch`.
    package func fetchSmall(
        _ descriptor: Descriptor, of reference: Reference, from endpoint: RegistryEndpoint,
        credentials: Credentials? = nil
    ) async throws(RegistryError) -> [UInt8] {
        let bytesMax = configuration.limits.configBytesMax
        guard descriptor.size <= bytesMax else {
            throw RegistryError(
                .tooLarge, "blob \(descriptor.digest) has \(descriptor.size) bytes: more than \(bytesMax)")
        }
        let endpoints = try await endpoints(for: reference.domain, after: endpoint)
        return try await each(endpoints, of: reference) { endpoint throws(RegistryError) in
            try await within(self.configuration.patience.exchange, "\(endpoint)") { () throws(RegistryError) in
                var bytes: [UInt8] = []
                bytes.reserveCapacity(Int(descriptor.size))
                var chunks = try self.blob(descriptor, of: reference, from: endpoint, credentials: credentials)
                    .makeAsyncIterator()
                while let chunk = try await chunks.next() { bytes.append(contentsOf: chunk.buffer.readableBytesView) }
                guard Digest.of(bytes, descriptor.digest.algorithm) == descriptor.digest else {
                    throw RegistryError.digestMismatch("blob", descriptor.digest.description)
                }
                return bytes
            }
        }
    }
}
