import Glibc
import Kernel
import NIOCore

/// A blob's file, open for reading: what is open stays readable when the file is removed.
final class BlobFile: Sendable {
    /// Bytes of one read.
    private static let blockBytes = 1 << 20

    let path: String
    let identity: FileIdentity
    private let file: OwnedFD

    /// nil when there is no such file. Blocks its thread.
    init?(_ path: String) throws(SystemError) {
        self.path = path
        do throws(SystemError) { file = try OwnedFD.open(path, O_RDONLY) } catch {
            guard error.code == ENOENT else { throw error }
            return nil
        }
        identity = try FileIdentity(file)
    }

    static func open(_ path: String) async throws(SystemError) -> BlobFile? {
        try await BlockingPool.shared.run { () throws(SystemError) in try BlobFile(path) }
    }

    /// The bytes at `offset`, as many as are read at once; none at the end.
    func read(at offset: Int64) async throws(SystemError) -> ByteBuffer {
        try await BlockingPool.shared.run { () throws(SystemError) in
            var buffer = ByteBuffer()
            var failure: SystemError?
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.blockBytes) { space in
                do throws(SystemError) {
                    return try self.file.read(into: .init(rebasing: space[..<Self.blockBytes]), at: offset)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            return buffer
        }
    }
}
