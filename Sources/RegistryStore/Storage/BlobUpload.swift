package import NIOCore
package import OCI

/// A blob that is arriving: bytes that grow at their end, and the digest of them. One request has it at a time.
package protocol BlobUpload: AnyObject, Sendable {
    var id: String { get }
    var repository: RepositoryName { get }
    /// Bytes that have arrived.
    var count: Int64 { get async }
    /// Where a request that turns out to be wrong goes back to: taken before its first byte.
    var mark: UploadMark { get async }

    /// Appends `bytes`; returns when there is room for more.
    ///
    /// - Throws: what the storage does; the upload then has to go back to a mark.
    func append(_ bytes: ByteBuffer) async throws

    /// Forgets what came after `mark`.
    func goBack(to mark: UploadMark) async throws

    /// Makes what has arrived whole and durable. Nothing is appended after it.
    ///
    /// - Throws: ``Refusal`` DIGEST_INVALID for other bytes than the digest's.
    func complete(as digest: Digest) async throws -> BlobPlace

    /// All bytes of one that is complete; nil for more than ``RecentBlobs/blobBytesMax``, and where they are not at hand.
    var smallBytes: [UInt8]? { get async }
}

package struct UploadMark: Sendable {
    package let count: Int64
    let hash: StreamHash?
}

/// Uploads of one storage, those that lie between two requests included.
protocol UploadSessions: Sendable {
    /// - Returns: the id of a new upload.
    /// - Throws: ``Refusal`` 429 when there are too many.
    func begin(_ repository: RepositoryName, _ algorithm: Digest.Algorithm) async throws -> String

    /// Whether there is such an upload.
    func has(_ id: String) async throws -> Bool

    /// Bytes that have arrived.
    ///
    /// - Throws: ``Refusal`` when the repository has no such upload.
    func count(_ id: String, _ repository: RepositoryName) async throws -> Int64

    /// Hands an upload to one request.
    ///
    /// - Throws: ``Refusal`` when the repository has no such upload, or another request has it.
    func take(_ id: String, _ repository: RepositoryName) async throws -> any BlobUpload

    /// Ends the request's turn; what has arrived is kept for the next.
    func putBack(_ upload: any BlobUpload) async throws

    /// Ends an upload in the transaction that has made it a blob.
    ///
    /// - Throws: ``Refusal`` when it has ended otherwise.
    func claim(_ upload: any BlobUpload, _ change: Change) throws

    /// Forgets an upload, with its bytes unless they have become a blob.
    func end(_ id: String) async

    /// Ends those without a request for `duration`.
    ///
    /// - Returns: how many.
    func expire(after duration: Duration) async throws -> Int
}

/// Ids of uploads.
enum UploadID {
    /// 128 random bits, in the form of a UUID.
    static func fresh() -> String {
        let random: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255) }
        var rest = Substring(Digest.hex(random))
        var parts: [String] = []
        for count in [8, 4, 4, 4, 12] {
            parts.append(String(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return parts.joined(separator: "-")
    }
}
