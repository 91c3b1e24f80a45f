import AsyncHTTPClient
package import NIOCore
import NIOHTTP1

/// A range of an object, read as it is asked for. A connection that is cut is made anew, and goes on where it was; what comes
/// to an end early, or does not end, is an error.
package struct ObjectBytes: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer
    package typealias Failure = S3Error

    let client: S3Client
    let key: String
    let range: Range<Int64>
    let size: Int64
    let first: HTTPClientResponse?

    package func makeAsyncIterator() -> Iterator { Iterator(self) }

    package struct Iterator: AsyncIteratorProtocol {
        /// Failures without a byte in between.
        private static let failuresMax = 6

        private let bytes: ObjectBytes
        private var body: HTTPClientResponse.Body.AsyncIterator?
        private var offset: Int64
        private var failures = 0

        init(_ bytes: ObjectBytes) {
            self.bytes = bytes
            body = bytes.first?.body.makeAsyncIterator()
            offset = bytes.range.lowerBound
        }

        /// The next bytes; nil after the last.
        ///
        /// - Throws: ``S3Error`` when the rest cannot be had.
        package mutating func next() async throws(S3Error) -> ByteBuffer? {
            while offset < bytes.range.upperBound {
                do throws(S3Error) {
                    if let part = try await step() { return part }
                } catch {
                    body = nil
                    failures += 1
                    guard error.isTransient, failures < Self.failuresMax else { throw error }
                    try await S3Client.pause(after: failures)
                }
            }
            return nil
        }

        private mutating func step() async throws(S3Error) -> ByteBuffer? {
            let rest = offset..<bytes.range.upperBound
            if body == nil {
                body = try await bytes.client.openRange(bytes.key, rest, size: bytes.size).body.makeAsyncIterator()
            }
            guard var current = body else { return nil }
            body = nil
            let part: ByteBuffer?
            do { part = try await current.next(isolation: #isolation) } catch {
                throw S3Client.failure(error, S3Client.Ask(method: .GET, key: bytes.key))
            }
            guard let part else {
                throw S3Error(.cut, "GET \(bytes.key): it ended after \(offset) of \(bytes.range.upperBound) bytes")
            }
            guard part.readableBytes <= rest.count else {
                throw S3Error(.answered(200), "GET \(bytes.key): it is longer than \(bytes.range.upperBound) bytes")
            }
            body = current
            offset += Int64(part.readableBytes)
            if part.readableBytes > 0 { failures = 0 }
            return part
        }
    }
}
