import CLinux
import Glibc
package import Kernel
import NIOCore

/// The bytes of a blob to upload; readable at any offset, as often as it takes.
package struct BlobSource: Sendable {
    package let byteCount: Int64
    /// At least one byte and at most `bytesMax` at `offset`, which is below ``byteCount``.
    private let read: @Sendable (_ offset: Int64, _ bytesMax: Int) async throws -> BlobChunk

    /// - Parameter read: returns bytes at an offset; its error ends the upload.
    package init(
        byteCount: Int64, read: @escaping @Sendable (_ offset: Int64, _ bytesMax: Int) async throws -> BlobChunk
    ) {
        self.byteCount = byteCount
        self.read = read
    }

    package init(_ bytes: [UInt8]) {
        self.init(byteCount: Int64(bytes.count)) { offset, bytesMax in
            BlobChunk(copying: bytes[Int(offset)...].prefix(bytesMax))
        }
    }

    /// A file that does not change meanwhile. Each chunk is one pread(2) on the blocking pool, into the buffer that is sent.
    ///
    /// - Throws: `RegistryError` (`invalid`) when it cannot be opened.
    package static func file(_ path: String) throws(RegistryError) -> BlobSource {
        do throws(SystemError) {
            return try file(try OwnedFD.open(path, O_RDONLY))
        } catch {
            throw RegistryError(.invalid, "cannot read the blob to push: \(error)", cause: error)
        }
    }

    /// The same of a file that is open for reading.
    package static func file(_ descriptor: consuming OwnedFD) throws(SystemError) -> BlobSource {
        let file = OpenFile(descriptor)
        let byteCount = try file.descriptor.nodeStatus().size
        return BlobSource(byteCount: byteCount) { offset, bytesMax in
            try await BlockingPool.shared.run { () throws(SystemError) in try file.chunk(at: offset, bytesMax) }
        }
    }

    private final class OpenFile: Sendable {
        let descriptor: OwnedFD
        init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }

        func chunk(at offset: Int64, _ bytesMax: Int) throws(SystemError) -> BlobChunk {
            var buffer = ByteBufferAllocator().buffer(capacity: bytesMax)
            var failure: SystemError?
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { space in
                do throws(SystemError) {
                    return try descriptor.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: space[..<bytesMax]), at: offset)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            return BlobChunk(buffer)
        }
    }

    /// The bytes from `offset` on as a request body; each iteration begins anew.
    func body(from offset: Int64, chunkBytes: Int) -> Body { Body(source: self, start: offset, chunkBytes: chunkBytes) }

    struct Body: AsyncSequence, Sendable {
        typealias Element = ByteBuffer
        let source: BlobSource
        let start: Int64
        let chunkBytes: Int

        func makeAsyncIterator() -> Iterator { Iterator(body: self, offset: start) }

        struct Iterator: AsyncIteratorProtocol {
            let body: Body
            var offset: Int64

            mutating func next() async throws -> ByteBuffer? {
                guard offset < body.source.byteCount else { return nil }
                let bytesMax = Int(Swift.min(Int64(body.chunkBytes), body.source.byteCount - offset))
                let chunk: BlobChunk
                do { chunk = try await body.source.read(offset, bytesMax) } catch {
                    throw RegistryError(.invalid, "cannot read the blob to push: \(error)", cause: error)
                }
                guard (1...bytesMax).contains(chunk.byteCount) else {
                    throw RegistryError(
                        .invalid, "the blob to push ended after \(offset) of \(body.source.byteCount) bytes")
                }
                offset += Int64(chunk.byteCount)
                return chunk.buffer
            }
        }
    }
}
