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
/// 5xx is replaced by another that begins at the next missing byte. Servers that the registry redirects to are left for the next one,
/// and in the end for the registry's own bytes. The length is enforced here; the digest is the consumer's to verify, over all
/// bytes including those before the offset: when it is wrong, ``SourceLedger/disprove(_:goingOnWith:)`` tells whether to try again.
package struct BlobStream: AsyncSequence, Sendable {
    package typealias Element = BlobChunk
    package typealias Failure = RegistryError

    let client: RegistryClient
    let access: Access
    let reference: Reference
    package let descriptor: Descriptor
    let offset: Int64
    let sources: SourceLedger
    /// The answer to the first request, where it has been sent already.
    var opened: (reply: Reply, route: BlobRoute)?

    /// Serves the bytes; to be named when they turn out to be wrong.
    package var endpoint: RegistryEndpoint { access.endpoint }

    package func makeAsyncIterator() -> Iterator { Iterator(self) }

    /// Checks what the reply says it brings.
    ///
    /// - Returns: how many bytes come before `offset`.
    /// - Throws: `RegistryError` (`malformed`) when it is not what was asked for.
    func skip(_ reply: Reply, _ offset: Int64) throws(RegistryError) -> Int64 {
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
    ///   - sources: of the operation that this is part of; without one, failures of mirrors are told to the notice closure.
    package func blob(
        _ descriptor: Descriptor, of reference: Reference, from endpoint: RegistryEndpoint, offset: Int64 = 0,
        credentials: Credentials? = nil, sources: SourceLedger? = nil
    ) throws(RegistryError) -> BlobStream {
        guard (0...max(descriptor.size, 0)).contains(offset) else {
            throw RegistryError(
                .invalid, "offset \(offset) is outside of blob \(descriptor.digest) of \(descriptor.size) bytes")
        }
        let access = Access(endpoint, [Access.pull(endpoint.name(of: reference.path))], credentials)
        return BlobStream(
            client: self, access: access, reference: reference, descriptor: descriptor, offset: offset,
            sources: sources ?? SourceLedger(configuration.limits, notice: notice))
    }

    /// A small blob, whole and verified: an image configuration. Asks the servers that are
    /// trusted with nothing, then `endpoint`, then the others.
    ///
    /// - Parameter announced: ``ResolvedImage/sources``.
    /// - Throws: `RegistryError`: `tooLarge` beyond the configuration limit, `digestMismatch`.
    package func fetchSmall(
        _ descriptor: Descriptor, of reference: Reference, from endpoint: RegistryEndpoint,
        credentials: Credentials? = nil, announced: [RegistryEndpoint] = [], sources: SourceLedger? = nil
    ) async throws(RegistryError) -> [UInt8] {
        let bytesMax = configuration.limits.configBytesMax
        guard descriptor.size <= bytesMax else {
            throw RegistryError(
                .tooLarge, "blob \(descriptor.digest) has \(descriptor.size) bytes: more than \(bytesMax)")
        }
        let sources = sources ?? SourceLedger(configuration.limits, notice: notice)
        let endpoints = try await endpoints(for: reference.domain, after: endpoint, announced: announced)
            .filter { !sources.isRefused($0) }
        return try await each(endpoints, of: reference) { endpoint throws(RegistryError) in
            while true {
                sources.forget(descriptor.digest)
                do throws(RegistryError) {
                    return try await self.whole(
                        descriptor,
                        try self.blob(
                            descriptor, of: reference, from: endpoint, credentials: credentials, sources: sources))
                } catch {
                    guard error.isOfWrongBytes, endpoint.resolvesTags,
                        sources.disprove(descriptor.digest, goingOnWith: endpoint)
                    else { throw error }
                }
            }
        } leaving: { endpoint, error, next in
            guard !endpoint.resolvesTags else { return false }
            sources.leave(endpoint, error, descriptor.digest, goingOnWith: next)
            return true
        }
    }

    private func whole(_ descriptor: Descriptor, _ blob: BlobStream) async throws(RegistryError) -> [UInt8] {
        let patience = configuration.patience
        let limit = patience.exchange + patience.sourceIdle * configuration.limits.sourcesMax
        return try await within(limit, "\(blob.endpoint)") { () throws(RegistryError) in
            var bytes: [UInt8] = []
            bytes.reserveCapacity(Int(descriptor.size))
            var chunks = blob.makeAsyncIterator()
            while let chunk = try await chunks.next() { bytes.append(contentsOf: chunk.buffer.readableBytesView) }
            guard Digest.of(bytes, descriptor.digest.algorithm) == descriptor.digest else {
                throw RegistryError.digestMismatch("blob", descriptor.digest.description)
            }
            return bytes
        }
    }
}
