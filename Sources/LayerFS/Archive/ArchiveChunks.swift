import Glibc
package import Kernel
import Synchronization

/// Reads a pipe or a file chunk by chunk (``ContentChunker``).
package final class ChunkReader: Sendable {
    /// Bytes of one read; fewer than the shortest chunk has.
    private static let readBytes = 128 << 10

    private struct State {
        var chunker: ContentChunker
        /// What was read behind the last chunk.
        var rest: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: readBytes)
    }

    private let source: OwnedFD
    private let state: Mutex<State>

    package init(_ source: consuming OwnedFD, average: Int) {
        self.source = source
        state = Mutex(State(chunker: ContentChunker(average: average)))
    }

    /// The next chunk; nil after the last. Waits for the source: for a thread that may.
    package func next() throws(LayerError) -> [UInt8]? {
        try state.withLock { (state) throws(LayerError) in try Self.next(&state, source.raw) }
    }

    private static func next(_ state: inout State, _ source: CInt) throws(LayerError) -> [UInt8]? {
        var chunk = state.rest
        state.rest = []
        var seen = 0
        while true {
            if seen < chunk.count {
                let end = chunk.withUnsafeBytes { bytes in
                    state.chunker.take(UnsafeRawBufferPointer(rebasing: bytes[seen...]))
                }
                if let end {
                    state.rest = Array(chunk[(seen + end)...])
                    chunk.removeLast(chunk.count - seen - end)
                    return chunk
                }
                seen = chunk.count
            }
            let count: Int
            do throws(SystemError) {
                count = try checked("read") {
                    state.buffer.withUnsafeMutableBytes { read(source, $0.baseAddress, $0.count) }
                }
            } catch { throw LayerError(error, "reading the archive") }
            if count == 0 { return chunk.isEmpty ? nil : chunk }
            chunk.append(contentsOf: state.buffer[..<count])
        }
    }
}

/// Chunks as they are stored: each a zstd frame of its own.
package enum ArchiveChunk {
    /// The most bytes that a chunk of so many is stored as: what cannot be compressed grows by a header for each block.
    package static func storedBytesMax(_ bytes: Int64) -> Int64 { bytes + bytes / 128 + 1024 }

    /// A chunk compressed; the same bytes give the same.
    package static func compress(_ bytes: [UInt8]) throws(LayerError) -> [UInt8] {
        var encoder = try Encoder(.zstd)
        var result: [UInt8] = []
        let sink: Encoder.Sink = { (part) throws(LayerError) in result.append(contentsOf: part) }
        let written: Result<Void, LayerError> = bytes.withUnsafeBytes { bytes in
            do throws(LayerError) { return .success(try encoder.write(bytes, sink)) } catch { return .failure(error) }
        }
        try written.get()
        try encoder.finish(sink)
        return result
    }

    /// The bytes of a compressed chunk.
    ///
    /// - Parameter size: how many they are; no more room is taken, whatever the chunk says.
    /// - Throws: `LayerError` `.malformed` for what does not decompress, `.mismatch` for what has another size.
    package static func expand(_ stored: [UInt8], to size: Int) throws(LayerError) -> [UInt8] {
        var failure: LayerError?
        // One byte more, so that a chunk which has more is seen to.
        let bytes = [UInt8](unsafeUninitializedCapacity: size + 1) { room, count in
            do throws(LayerError) { count = try expand(stored, into: UnsafeMutableRawBufferPointer(room)) } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        guard bytes.count == size else {
            throw LayerError(.mismatch, "the chunk has another size than its list says")
        }
        return bytes
    }

    /// - Returns: how many bytes there were, or room for.
    private static func expand(_ stored: [UInt8], into room: UnsafeMutableRawBufferPointer) throws(LayerError) -> Int {
        var decoder = try Decoder(.zstd)
        var (taken, made) = (0, 0)
        while made < room.count {
            let step: Result<DecodeStep, LayerError> = stored.withUnsafeBytes { bytes in
                do throws(LayerError) {
                    return .success(
                        try decoder.decode(
                            UnsafeRawBufferPointer(rebasing: bytes[taken...]),
                            into: UnsafeMutableRawBufferPointer(rebasing: room[made...])))
                } catch { return .failure(error) }
            }
            let (consumed, produced) = (try step.get().consumed, try step.get().produced)
            if consumed == 0, produced == 0 { break }
            taken += consumed
            made += produced
        }
        if made < room.count { try decoder.finish() }
        return made
    }
}
