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
        let (reader, writer) = try Pipe.open()
        let box = DescriptorBox(writer)
        let completion = Task {
            try await BlockingPool.shared.run {
                guard let writer = box.take() else { return }
                try produce(writer)
            }
        }
        return OutgoingStream(reader: reader, completion: completion)
    }

    /// The reading end alone; the stream is over with it.
    package consuming func takeReader() -> OwnedFD { reader }

    private init(reader: consuming OwnedFD, completion: Task<Void, any Error>) {
        self.reader = reader
        self.completion = completion
    }
}

/// pipe2(2) with room for a megabyte.
package enum Pipe {
    /// Bytes a pipe holds, as F_SETPIPE_SZ allows without privilege.
    private static let capacity: CInt = 1 << 20
    private static let setPipeSize: CInt = 1031

    /// - Returns: the reading and the writing end, both close-on-exec.
    package static func open() throws(SystemError) -> (reader: OwnedFD, writer: OwnedFD) {
        var ends: [CInt] = [-1, -1]
        try checked("pipe2") { pipe2(&ends, O_CLOEXEC) }
        // A smaller pipe (fs.pipe-user-pages-soft) only means more wake-ups.
        _ = DescriptorControl.set(ends[1], setPipeSize, capacity)
        return (OwnedFD(adopting: ends[0]), OwnedFD(adopting: ends[1]))
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
