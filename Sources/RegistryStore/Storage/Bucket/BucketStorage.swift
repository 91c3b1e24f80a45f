package import NIOCore
import OCI
import S3
import Synchronization

/// Blobs as objects of a bucket. What an object is called says nothing: a row names it. So nothing is renamed or copied when
/// its digest is known, and no two blobs ever share a key.
final class BucketStorage: Sendable {
    /// Of all objects.
    static let keyFolder = "blobs/"
    /// Of the object that says whose blobs these are.
    static let ownerKey = "index"
    private static let ownerBytesMax: Int64 = 256

    /// How long a URL that clients are sent to can be used: to begin with, a download goes on after it.
    static let redirectValidity = Duration.seconds(20 * 60)

    let client: S3Client
    let slots: PartSlots
    let remover: ObjectRemover

    /// - Throws: `S3Error` for a configuration that cannot work.
    init(_ configuration: S3Configuration) throws {
        client = try S3Client(configuration)
        slots = PartSlots(countMax: configuration.partLimit)
        remover = ObjectRemover(client)
    }

    var partBytes: Int { client.configuration.partSize }
    var redirects: Bool { client.configuration.redirect ?? false }

    /// Spread over many folders, as S3 spreads its load by them.
    static func freshKey() -> String {
        let id = UploadID.fresh()
        return "\(keyFolder)\(id.prefix(2))/\(id)"
    }

    /// Looks whether objects can be listed, stored and removed.
    func check() async throws(S3Error) {
        _ = try await client.list(Self.keyFolder, token: nil)
        let key = Self.freshKey()
        try await client.put(key, ByteBuffer())
        try await client.remove(key)
    }

    /// The index whose blobs are in the bucket; nil for one that nobody has taken.
    ///
    /// - Throws: `S3Error` when the bucket refuses.
    func owner() async throws -> String? {
        guard let size = try await client.size(Self.ownerKey) else { return nil }
        var bytes = ByteBuffer()
        let length = min(size, Self.ownerBytesMax)
        for try await part in try await client.read(Self.ownerKey, 0..<length, size: size) {
            bytes.writeImmutableBuffer(part)
        }
        return String(buffer: bytes)
    }

    /// Bytes of an object.
    ///
    /// - Throws: ``Refusal`` BLOB_UNKNOWN, ``StorageFailure``.
    func read(_ blob: StoredBlob, _ key: String, _ range: Range<Int64>) async throws -> StoredBlobStream {
        do throws(S3Error) {
            let bytes = try await client.read(key, range, size: blob.size)
            return StoredBlobStream(bytes: bytes, digest: range == 0..<blob.size ? blob.digest : nil, size: blob.size)
        } catch {
            // Collected since it was found.
            if error.isNotFound { throw Refusal.blobUnknown(blob.digest) }
            throw StorageFailure(error)
        }
    }

    /// Bytes that one request asks for where there is a rate: a second's worth, within these, so that no connection waits.
    private static let pacedBytes: ClosedRange<Int64> = 64 << 10...4 << 20

    /// The digest of an object.
    ///
    /// - Parameter rate: bytes a second; nil for as fast as it can be had.
    /// - Throws: ``StorageFailure``, `CancellationError` where there is a rate.
    func digest(
        of key: String, size: Int64, _ algorithm: Digest.Algorithm, rate: Int64? = nil
    ) async throws -> Digest {
        var hash = StreamHash(algorithm)
        let step = rate.map { min(max($0, Self.pacedBytes.lowerBound), Self.pacedBytes.upperBound) } ?? size
        let began = ContinuousClock.now
        var offset: Int64 = 0
        while offset < size {
            let end = min(offset + step, size)
            do throws(S3Error) {
                for try await part in try await client.read(key, offset..<end, size: size) {
                    part.withUnsafeReadableBytes { hash.update($0) }
                }
            } catch { throw StorageFailure(error) }
            offset = end
            guard let rate else { continue }
            let seconds: Double = Double(offset) / Double(max(1, rate))
            try await Task.sleep(until: began + .seconds(seconds), clock: .continuous)
        }
        return hash.digest
    }
}

/// The storage does not do what it is asked to: the operator's to look at, and to be tried again by the client.
package struct StorageFailure: Error, Sendable, CustomStringConvertible {
    package let description: String
    /// There is no such object.
    let isNotFound: Bool
    /// The bucket answers, and not with what the object should be.
    let isOfObject: Bool

    init(_ error: S3Error) {
        description = "\(error)"
        isNotFound = error.isNotFound
        isOfObject = error.isNotFound || error.kind == .malformed || error.kind == .answered(416)
    }
}

/// The bucket, where there is one; it may come while the registry runs.
final class CurrentBucket: Sendable {
    struct Use: Sendable {
        let storage: BucketStorage
        let uploads: BucketUploads
        /// False while its blobs go back to files.
        var takesNew = true
    }

    private let state = Mutex<Use?>(nil)

    var use: Use? { state.withLock { $0 } }
    /// Where new blobs go; nil for files.
    var target: Use? { use.flatMap { $0.takesNew ? $0 : nil } }
    func begin(_ use: Use) { state.withLock { $0 = use } }
    func takeNoMore() { state.withLock { $0?.takesNew = false } }
}

/// The bytes of a blob that is an object, as they arrive. Where it is asked for as a whole, the end is only given when all of
/// it has its digest.
package struct StoredBlobStream: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer
    package typealias Failure = any Error

    let bytes: ObjectBytes
    /// nil for a part, which has none.
    let digest: Digest?
    let size: Int64

    package func makeAsyncIterator() -> Iterator { Iterator(self) }

    package struct Iterator: AsyncIteratorProtocol {
        private var source: ObjectBytes.Iterator
        private var hash: StreamHash?
        private let stream: StoredBlobStream
        private var count: Int64 = 0

        init(_ stream: StoredBlobStream) {
            self.stream = stream
            source = stream.bytes.makeAsyncIterator()
            hash = stream.digest.map { StreamHash($0.algorithm) }
        }

        /// - Throws: ``StorageFailure``, ``StoreFailure`` for bytes that are not the blob's.
        package mutating func next() async throws -> ByteBuffer? {
            let part: ByteBuffer?
            do throws(S3Error) { part = try await source.next() } catch { throw StorageFailure(error) }
            guard let part else { return nil }
            part.withUnsafeReadableBytes { hash?.update($0) }
            count += Int64(part.readableBytes)
            if let digest = stream.digest, count == stream.size, let found = hash?.digest, found != digest {
                throw StoreFailure("the object of \(digest) has the bytes of \(found): it is damaged")
            }
            return part
        }
    }
}
