import Glibc
package import Kernel
import Synchronization

/// Archives a whole tree, and its root as `./`: owners, modes, times to the nanosecond, attributes, hard links, holes, fifos and
/// devices. The same tree gives the same bytes.
///
/// Threads open, read and describe the files, many at a time; one puts what they made in order. The order is that of a walk:
/// parents before children, siblings sorted by the bytes of their names.
package struct TreeArchive: ~Copyable {
    /// Objects one thread takes at a time.
    private static let batch = 64
    /// Batches between the first that is under way and the last: what a slow one holds up.
    private static let window = 4 * 2

    private let exchange: ArchiveExchange
    private let move: BulkMove

    /// - Parameter root: of a tree that no device can be opened in (``OwnedFD/quietTree(_:)``).
    package init(_ root: consuming OwnedFD, move: BulkMove) throws(LayerError) {
        do throws(SystemError) { exchange = ArchiveExchange(try TreeSteps(root), window: Self.window) } catch {
            throw LayerError(error, "reading the tree")
        }
        self.move = move
    }

    /// Writes the archive, and its end.
    ///
    /// - Throws: `LayerError`, `.cancelled` when the move was stopped.
    package consuming func write(to output: inout ArchiveOutput) throws(LayerError) {
        let (exchange, move) = (exchange, move)
        var failure: LayerError?
        var links = HardLinks()
        Workers.run("archive") {
            let reader = SegmentReader(move: move)
            while let (number, steps) = exchange.take(Self.batch, move) {
                let segment = exchange.emptySegment()
                let result: Result<ArchiveSegment, LayerError>
                do throws(LayerError) {
                    try reader.read(steps, into: segment)
                    result = .success(segment)
                } catch { result = .failure(error) }
                exchange.put(number, result)
            }
        } beside: {
            do throws(LayerError) {
                try Self.writeRoot(exchange.root, to: &output)
                while let segment = try exchange.next() {
                    try segment.write(to: &output, &links, move)
                    exchange.recycle(segment)
                }
            } catch {
                failure = error
                exchange.end()
            }
        }
        if let failure { throw failure }
        try output.finish()
    }

    private static func writeRoot(_ root: TreeDirectory, to output: inout ArchiveOutput) throws(LayerError) {
        guard var entry = NodeArchiver.entry([UInt8(ascii: ".")], root.status) else { return }
        try NodeArchiver.describe(&entry, root.handle)
        try output.write(PAXHeader.encode(entry, size: 0))
    }
}

/// First path of every object with several names: its other names become hard links to it.
struct HardLinks {
    private var firstPaths: [NodeStatus.Identity: [UInt8]] = [:]

    /// The path that the object was archived under already; nil for the first, which `path` is then.
    mutating func first(_ identity: NodeStatus.Identity, _ path: [UInt8]) -> [UInt8]? {
        if let first = firstPaths[identity] { return first }
        firstPaths[identity] = path
        return nil
    }
}

/// Hands steps of a walk to threads and what they make of them back in order.
private final class ArchiveExchange: Sendable {
    private struct State {
        /// Batches given out, and put in order.
        var taken = 0
        var written = 0
        var isWalked = false
        var ended = false
        var results: [Int: Result<ArchiveSegment, LayerError>] = [:]
        var free: [ArchiveSegment] = []
    }

    private let steps: Mutex<TreeSteps>
    private let state = Guarded(State())
    private let window: Int
    let root: TreeDirectory

    init(_ steps: sending TreeSteps, window: Int) {
        root = steps.root
        self.steps = Mutex(steps)
        self.window = window
    }

    /// The next batch and its number; nil when there is none any more.
    func take(_ countMax: Int, _ move: BulkMove) -> (number: Int, steps: [TreeSteps.Step])? {
        let window = window
        // Room first: whoever holds the walk never waits.
        let isOver = state.wait(until: { $0.taken - $0.written < window || $0.ended || $0.isWalked }) {
            $0.ended || $0.isWalked
        }
        if isOver { return nil }
        return steps.withLock { steps in
            do throws(SystemError) {
                try move.check()
                let batch = try steps.take(countMax)
                return state.withLock { state in
                    if batch.isEmpty || state.isWalked {
                        state.isWalked = true
                        return nil
                    }
                    state.taken += 1
                    return (state.taken - 1, batch)
                }
            } catch {
                let failure = Self.error(error)
                state.withLock { state in
                    state.results[state.taken] = .failure(failure)
                    state.taken += 1
                    state.isWalked = true
                }
                return nil
            }
        }
    }

    private static func error(_ error: SystemError) -> LayerError {
        error.code == ECANCELED
            ? LayerError(.cancelled, "the archive was cancelled", cause: error) : LayerError(error, "reading the tree")
    }

    func emptySegment() -> ArchiveSegment { state.withLock { $0.free.popLast() } ?? ArchiveSegment() }

    func put(_ number: Int, _ result: Result<ArchiveSegment, LayerError>) {
        state.withLock { $0.results[number] = result }
    }

    /// The segment that is next in order; nil at the end.
    func next() throws(LayerError) -> ArchiveSegment? {
        let result = state.wait(until: { $0.results[$0.written] != nil || ($0.isWalked && $0.written == $0.taken) }) {
            state in
            defer { state.written += 1 }
            return state.results.removeValue(forKey: state.written)
        }
        return try result?.get()
    }

    func recycle(_ segment: ArchiveSegment) {
        segment.clear()
        state.withLock { $0.free.append(segment) }
    }

    /// Nobody wants more.
    func end() { state.withLock { $0.ended = true } }
}

/// A run of the archive that one thread has made: bytes, and between them what only the order decides or is too large.
final class ArchiveSegment: @unchecked Sendable {  // one thread at a time has it; the exchange's lock hands it over
    /// Files above this are not taken into the segment's bytes.
    static let inlineBytesMax = 128 << 10
    /// Room for headers and files; what does not fit is left to whoever writes.
    static let bytesMax = 512 << 10

    enum Piece {
        case bytes(Range<Int>)
        /// What the buffer has no room for.
        case text([UInt8])
        /// A member whose content, if it has any, is read while it is written. `identity` of one with several names.
        case member(LayerEntry, DescriptorBox, NodeStatus, identity: NodeStatus.Identity?)
    }

    private(set) var pieces: [Piece] = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytesMax, alignment: 4096)
    private(set) var used = 0
    private var begun = 0
    /// Bytes of content in `buffer`.
    var contentBytes = 0

    deinit { buffer.deallocate() }

    var room: Int { buffer.count - used }

    func clear() {
        pieces.removeAll(keepingCapacity: true)
        (used, begun, contentBytes) = (0, 0, 0)
    }

    /// Takes the next `count` bytes of the buffer, which are filled already, into the archive.
    func advance(_ count: Int) { used += count }

    /// Puts a header into the archive; it fits.
    func append(_ header: PAXHeader) {
        header.write(to: UnsafeMutableRawBufferPointer(rebasing: buffer[used...]))
        used += header.byteCount
    }

    func append(_ piece: Piece) {
        close()
        pieces.append(piece)
    }

    /// Ends the run of bytes.
    func close() {
        if used > begun { pieces.append(.bytes(begun..<used)) }
        begun = used
    }

    func write(to output: inout ArchiveOutput, _ links: inout HardLinks, _ move: BulkMove) throws(LayerError) {
        for piece in pieces {
            switch piece {
            case .bytes(let range): try output.write(UnsafeRawBufferPointer(rebasing: buffer[range]))
            case .text(let bytes): try output.write(bytes)
            case .member(var entry, let box, let status, let identity):
                if let identity, let first = links.first(identity, entry.path) {
                    entry.kind = .hardlink
                    entry.linkTarget = first
                    entry.size = 0
                    entry.attributes = []
                    try output.write(PAXHeader.encode(entry, size: 0))
                    continue
                }
                try Self.write(entry, box, status, to: &output)
            }
        }
        move.add(contentBytes)
    }

    private static func write(
        _ entry: LayerEntry, _ box: DescriptorBox, _ status: NodeStatus, to output: inout ArchiveOutput
    ) throws(LayerError) {
        guard entry.kind == .file, status.size > 0 else { return try output.write(PAXHeader.encode(entry, size: 0)) }
        let file: OwnedFD
        do throws(SystemError) { file = try box.take() } catch { throw LayerError(error, "reading the tree") }
        let size = UInt64(status.size)
        guard let map = SparseMap(of: file, status) else {
            try output.write(PAXHeader.encode(entry, size: size))
            try output.content(of: file, 0..<size, entry.path)
            return try output.zeros(UInt64(PAXHeader.padding(after: size)))
        }
        let stored = UInt64(map.text.count) + map.dataBytes
        try output.write(PAXHeader.encode(entry, size: stored, expandedSize: size))
        try output.write(map.text)
        for range in map.ranges { try output.content(of: file, range, entry.path) }
        try output.zeros(UInt64(PAXHeader.padding(after: stored)))
    }
}

/// Opens, describes and reads what a walk has handed out.
private struct SegmentReader {
    let move: BulkMove

    func read(_ steps: [TreeSteps.Step], into segment: ArchiveSegment) throws(LayerError) {
        for step in steps {
            do throws(SystemError) { try move.check() } catch {
                throw LayerError(.cancelled, "the archive was cancelled", cause: error)
            }
            switch step {
            case .directory(let directory):
                guard var entry = NodeArchiver.entry(directory.path, directory.status) else { continue }
                if directory.handle.hasAttributes { try NodeArchiver.describe(&entry, directory.handle) }
                add(entry, to: segment)
            case .member(let directory, let name, let isFile):
                try read(directory, name, isFile, into: segment)
            }
        }
        segment.close()
    }

    private func add(_ entry: LayerEntry, to segment: ArchiveSegment) {
        let header = PAXHeader(entry, size: entry.size)
        guard header.byteCount > segment.room else { return segment.append(header) }
        segment.append(.text(PAXHeader.encode(entry, size: entry.size)))
    }

    private func read(
        _ directory: TreeDirectory, _ name: [UInt8], _ isFile: Bool, into segment: ArchiveSegment
    ) throws(LayerError) {
        let path = NodeName.join(directory.path, name)
        guard let node = try open(directory, name, isFile, path) else { return }
        let status = node.status
        let file = node.take()
        guard status.kind != .directory, var entry = NodeArchiver.entry(path, status) else { return }
        if status.kind != .file || file.hasAttributes { try NodeArchiver.describe(&entry, file) }
        if status.links > 1 {
            return segment.append(.member(entry, DescriptorBox(file), status, identity: status.identity))
        }
        guard status.kind == .file, status.size > 0 else { return add(entry, to: segment) }
        entry.size = UInt64(status.size)
        let padding = PAXHeader.padding(after: entry.size)
        let header = PAXHeader(entry, size: entry.size)
        guard status.size <= ArchiveSegment.inlineBytesMax,
            header.byteCount + Int(status.size) + padding <= segment.room
        else { return segment.append(.member(entry, DescriptorBox(file), status, identity: nil)) }
        segment.append(header)
        try fill(segment, from: file, Int(status.size), path)
        segment.advance(Int(status.size) + padding)
        segment.contentBytes += Int(status.size)
    }

    private func open(
        _ directory: TreeDirectory, _ name: [UInt8], _ isFile: Bool, _ path: [UInt8]
    ) throws(LayerError) -> OpenedNode? {
        do throws(SystemError) { return try directory.handle.open(member: name, isFile: isFile) } catch {
            throw LayerError(error, "reading \(NodeName.text(path))")
        }
    }

    /// Reads a file to where the segment goes on, with zeros for what it has lost and up to the next block.
    private func fill(
        _ segment: ArchiveSegment, from file: borrowing OwnedFD, _ size: Int, _ path: [UInt8]
    ) throws(LayerError) {
        let target = UnsafeMutableRawBufferPointer(
            rebasing: segment.buffer[segment.used..<(segment.used + size + PAXHeader.padding(after: UInt64(size)))])
        var done = 0
        while done < size {
            let count: Int
            do throws(SystemError) {
                count = try file.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: target[done..<size]), at: Int64(done))
            } catch { throw LayerError(error, "reading \(NodeName.text(path))") }
            if count == 0 { break }
            done += count
        }
        UnsafeMutableRawBufferPointer(rebasing: target[done...]).initializeMemory(as: UInt8.self, repeating: 0)
    }
}
