import Glibc
package import Kernel

/// Bytes that a thread of the engine produces, read from a pipe: an archive, an export.
package struct OutgoingStream: ~Copyable, Sendable {
    /// The reading end.
    package let reader: OwnedFD
    /// Ends with the producer; throws when what was read is not the whole.
    package let completion: Task<Void, any Error>

    /// Starts `produce` on a blocking thread; a reader that goes away ends it with EPIPE.
    package static func producing(
        _ produce: @escaping @Sendable (borrowing OwnedFD) throws -> Void
    ) throws -> OutgoingStream {
        let pipe = try Pipe()
        let box = DescriptorBox(pipe.writer)
        let completion = Task {
            try await BlockingPool.shared.run {
                guard let writer = box.take() else { return }
                try produce(writer)
            }
        }
        return OutgoingStream(reader: pipe.reader, completion: completion)
    }

    /// The reading end alone; the stream is over with it.
    package consuming func takeReader() -> OwnedFD { reader }

    private init(reader: consuming OwnedFD, completion: Task<Void, any Error>) {
        self.reader = reader
        self.completion = completion
    }
}

/// Carries an `OwnedFD` into an escaping closure, once.
package final class DescriptorBox: Sendable {
    private let state: Guarded<CInt>

    package init(_ descriptor: consuming OwnedFD) { state = Guarded(descriptor.release()) }

    deinit {
        let raw = state.withLock { $0 }
        if raw >= 0 { _ = close(raw) }
    }

    /// The descriptor, the first time; nil afterwards.
    package func take() -> OwnedFD? {
        let raw = state.withLock { value in
            defer { value = -1 }
            return value
        }
        return raw >= 0 ? OwnedFD(adopting: raw) : nil
    }
}
