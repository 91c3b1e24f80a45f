import CLinux

/// The head of a record in ``LogSpec/Format/frames``: which stream, when, and how many bytes follow.
package struct LogFrame: Sendable, Hashable {
    package static let headerBytes = MemoryLayout<lp_log_frame>.size

    package let isStderr: Bool
    /// The bytes end a line; its line feed is not among them.
    package let endsLine: Bool
    package let length: Int
    /// Nanoseconds since 1970.
    package let time: Int64

    /// - Parameter bytes: at least ``headerBytes``.
    /// - Returns: nil for what is no head.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.headerBytes else { return nil }
        let kind = Int(bytes[0])
        length = Int(bytes[1]) | Int(bytes[2]) << 8 | Int(bytes[3]) << 16
        guard kind & ~Int(LP_LOG_STDERR | LP_LOG_LINE_ENDED) == Int(LP_LOG_FRAME), length <= LogSpec.pieceBytesMax
        else {
            return nil
        }
        isStderr = kind & Int(LP_LOG_STDERR) != 0
        endsLine = kind & Int(LP_LOG_LINE_ENDED) != 0
        time = Int64(bitPattern: bytes.loadUnaligned(fromByteOffset: 4, as: UInt64.self).littleEndian)
    }
}
