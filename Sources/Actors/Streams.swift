package import Kernel

/// Bytes that a thread of the engine produces, read from a pipe: an archive, an export.
package struct OutgoingStream: Sendable {
    /// The reading end.
    package let reader: DescriptorBox
    /// Ends with the producer; throws when what was read is not the whole.
    package let completion: Task<Void, any Error>

    /// Starts `produce` on a blocking thread; a reader that goes away ends it with EPIPE.
    package static func producing(
        _ produce: @escaping @Sendable (borrowing OwnedFD) throws -> Void
    ) throws -> OutgoingStream {
        let pipe = try Pipe()
        // Not the pipe: the producer must not hold the reading end, or one that nobody reads would block for ever.
        let (reader, box) = (pipe.reader, pipe.writer)
        let completion = Task {
            try await BlockingPool.shared.run {
                let writer = try box.take()
                try produce(writer)
            }
        }
        return OutgoingStream(reader: reader, completion: completion)
    }
}

/// A descriptor shared by a reader's copies.
final class DescriptorBoxed: Sendable {
    let descriptor: OwnedFD
    init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }
}
