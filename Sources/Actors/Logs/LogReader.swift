import Glibc
import Isolation
import Kernel

/// Reads a log, oldest file first, and goes on while the container writes.
package struct LogReader: Sendable {
    /// Bytes read from the file at once.
    private static let blockBytes = 256 << 10
    /// And from one that is followed, while that is all there is: thousands may wake for a line each.
    private static let blockBytesLeast = 4096

    private let files: LogFiles
    private let options: LogOptions
    /// Nil unless the log is followed.
    private let writer: LogWriter?
    /// Full files still to read before the one that is written.
    private var older: ArraySlice<LogFiles.Full>
    /// The file that is written as it was found first: without `follow` nothing is read beyond that.
    private var live: OpenLog?
    private var current: OpenLog?
    private var isOver = false

    /// A file that is being read.
    private struct OpenLog {
        let file: DescriptorBoxed
        let number: UInt32
        let identity: NodeStatus.Identity
        let isLive: Bool
        /// Nil while it may grow.
        var end: Int64?
        /// Where the next record begins.
        var offset: Int64 = 0
        /// How much is read of it next.
        var blockBytes = LogReader.blockBytes

        init(_ file: DescriptorBoxed, number: UInt32, isLive: Bool) throws(SystemError) {
            let status = try file.descriptor.nodeStatus()
            self.file = file
            self.number = number
            self.isLive = isLive
            identity = status.identity
            end = status.size
        }
    }

    /// - Parameter writer: tells whether more may still be written, and when; nil to read what is there now.
    init(_ files: LogFiles, _ options: LogOptions, writer: LogWriter?) async throws {
        self.files = files
        self.options = options
        self.writer = writer
        let isFollowed = writer != nil
        (older, live) = try await BlockingPool.shared.run {
            let live = try Self.openLive(files, isFollowed: isFollowed)
            return (try files.full { $0 < live?.number ?? .max }[...], live)
        }
        if let tail = options.tail { try await skip(tail: tail) }
    }

    private static func openLive(_ files: LogFiles, isFollowed: Bool) throws -> OpenLog? {
        guard let (file, number) = try files.openLive() else { return nil }
        var opened = try OpenLog(file, number: number, isLive: true)
        if isFollowed { opened.end = nil }
        return opened
    }

    /// Begins `tail` records before the end.
    private mutating func skip(tail: Int) async throws {
        let (files, all, live) = (files, older, live)
        (older, current) = try await BlockingPool.shared.run {
            var missing = tail
            if let live, let offset = try LogTail.offset(live.file.descriptor, files.kind, &missing) {
                var live = live
                live.offset = offset
                return ([], live)
            }
            for index in all.indices.reversed() {
                guard let file = try files.open(all[index]) else { continue }
                var opened = try OpenLog(file, number: all[index].number, isLive: false)
                guard let offset = try LogTail.offset(opened.file.descriptor, files.kind, &missing) else { continue }
                opened.offset = offset
                return (all[(index + 1)...], opened)
            }
            return (all, nil)
        }
        if current?.isLive == true { self.live = nil }
    }

    /// The next records that are wanted, as ``LogOptions`` says; nil at the end of the log.
    package mutating func next() async throws -> [UInt8]? {
        while !isOver {
            try Task.checkCancellation()
            // Before reading: what ends meanwhile has written all that is read next.
            let mayGrow = writer?.isRunning ?? false
            if let shown = try await readBlock() {
                if !shown.isEmpty { return shown }
                continue
            }
            // What has an end has been replaced, or there is nobody who could.
            let mayHaveNext = writer?.takeNewFiles() == true || !mayGrow || current?.end != nil || current == nil
            if mayHaveNext, try await advance() { continue }
            guard mayGrow else { return nil }
            await writer?.changes()
        }
        return nil
    }

    /// Opens what comes after the current file.
    ///
    /// - Returns: false when there is nothing yet.
    private mutating func advance() async throws -> Bool {
        let files = files
        while let full = older.popFirst() {
            let opened = try await BlockingPool.shared.run {
                try files.open(full).map { try OpenLog($0, number: full.number, isLive: false) }
            }
            guard let opened else { continue }
            current = opened
            return true
        }
        if let live {
            current = live
            self.live = nil
            return true
        }
        guard writer != nil else { return false }
        return try await advanceWithWriter()
    }

    /// After a rotation: what was the live file may have grown until it was replaced, so it is read to its end once more.
    private mutating func advanceWithWriter() async throws -> Bool {
        let (files, current) = (files, current)
        let (between, found) = try await BlockingPool.shared.run {
            let found = try Self.openLive(files, isFollowed: true)
            return (try files.full { $0 > current?.number ?? 0 && $0 < found?.number ?? .max }, found)
        }
        guard let found, found.identity != current?.identity else { return false }
        if var last = current, last.end == nil {
            last.end = try last.file.descriptor.nodeStatus().size
            self.current = last
            return true
        }
        older = between[...]
        live = found
        return try await advance()
    }

    // MARK: Blocks

    /// Reads on in the current file.
    ///
    /// - Returns: what of it is wanted; nil when it has no whole record left.
    private mutating func readBlock() async throws -> [UInt8]? {
        guard let start = current else { return nil }
        var log = start
        let wanted = Int(min(Int64(log.blockBytes), (log.end ?? .max) - log.offset))
        guard wanted > 0 else { return nil }
        let (file, offset) = (log.file, log.offset)
        var block = try Self.read(file.descriptor, at: offset, count: wanted, waits: false)
        if block == nil {
            block = try await BlockingPool.shared.run { () throws(SystemError) in
                try Self.read(file.descriptor, at: offset, count: wanted, waits: true)
            }
        }
        guard let block, !block.isEmpty else { return nil }
        let isFull = block.count == wanted
        log.blockBytes = isFull || log.end != nil ? Self.blockBytes : Self.blockBytesLeast
        current = log
        let (shown, used) = show(block)
        // A record that is longer than the block is read whole the next time.
        if used == 0, isFull, wanted < Self.blockBytes, wanted == start.blockBytes { return [] }
        // What is as long as no record can be, and has no end, is none.
        let passed = used == 0 && block.count > LogFormat.recordBytesMax ? block.count : used
        guard passed > 0 || isOver else { return nil }
        log.offset += Int64(passed)
        current = log
        return shown
    }

    /// - Returns: nil where it would have to wait for a disk, which only `waits` allows.
    private static func read(
        _ file: borrowing OwnedFD, at offset: Int64, count: Int, waits: Bool
    ) throws(SystemError) -> [UInt8]? {
        var failure: SystemError?
        var wouldWait = false
        let block = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let place = UnsafeMutableRawBufferPointer(buffer)
            do throws(SystemError) {
                let got = waits ? try file.read(into: place, at: offset) : try file.readNow(into: place, at: offset)
                (filled, wouldWait) = (got ?? 0, got == nil)
            } catch { failure = error }
        }
        if let failure { throw failure }
        return wouldWait ? nil : block
    }

    /// Room for records of few bytes, which heads make longer, and for what comes before one.
    private static let growth = 4
    private static let roomLeast = 1024
    /// A block, and the longest record.
    private static let roomMost = blockBytes + (64 << 10)
    /// Attributes, every byte escaped.
    private static let detailsRoom = 3 * LogSpec.attributesBytesMax + 1

    private mutating func show(_ block: [UInt8]) -> (shown: [UInt8], used: Int) {
        let textRoom = min(block.count * Self.growth + Self.roomLeast, Self.roomMost)
        let room = textRoom + (options.details ? Self.detailsRoom : 0)
        var used = 0
        var isOver = false
        let shown = [UInt8](unsafeUninitializedCapacity: room) { output, count in
            var sink = LogSink(UnsafeMutableRawBufferPointer(output), options)
            used = block.withUnsafeBytes { LogFormat.parse($0, files.kind, into: &sink) }
            (count, isOver) = (sink.count, sink.isOver)
        }
        self.isOver = isOver
        return (shown, used)
    }
}

/// The container that writes a log, for who follows it.
final class LogWriter: Sendable {
    private let signal = Signal()
    private let watching: DirectoryWatch.Watching?
    private let end: Task<Void, Never>
    /// How often a log is looked at where the system has no watches left.
    private static let pollInterval = Duration.milliseconds(200)

    init(_ container: Container, _ watch: DirectoryWatch, directory: String) {
        let signal = signal
        watching = try? watch.watch(directory, signal)
        end = Task { [weak container] in
            if let ends = await container?.waiter(.notRunning) { for await _ in ends { break } }
            // Not when its followers have gone.
            guard !Task.isCancelled else { return }
            signal.end()
        }
    }

    deinit { end.cancel() }

    /// The container may still write.
    var isRunning: Bool { !signal.hasEnded }

    /// Whether a file was made or renamed since this was last asked; where nobody tells, always.
    func takeNewFiles() -> Bool { watching == nil || signal.takeNewFiles() }

    /// Returns when something was written, or the container has ended.
    func changes() async {
        guard watching == nil else { return await signal.wait() }
        // Cancelled with the request.
        try? await Task.sleep(for: Self.pollInterval)
    }
}

/// Finds the last records of a file.
enum LogTail {
    private static let blockBytes = 64 << 10

    /// Where the last `records` records of a file start; nil when it has fewer, which are then subtracted. Blocking.
    static func offset(
        _ file: borrowing OwnedFD, _ kind: LogDriver.Kind, _ records: inout Int
    ) throws(SystemError) -> Int64? {
        let size = try file.nodeStatus().size
        if records == 0 { return size }
        return kind == .local
            ? try offsetOfFrame(file, size, &records) : try offsetOfLine(file, size, &records)
    }

    private static func offsetOfLine(
        _ file: borrowing OwnedFD, _ size: Int64, _ records: inout Int
    ) throws(SystemError) -> Int64? {
        var end = size
        var buffer = [UInt8](repeating: 0, count: blockBytes)
        while end > 0 {
            let start = max(0, end - Int64(blockBytes))
            let wanted = Int(end - start)
            let raw = file.raw
            let count = try checked("pread") { pread(raw, &buffer, wanted, off_t(start)) }
            for index in (0..<count).reversed() where buffer[index] == 0x0a && start + Int64(index) != size - 1 {
                records -= 1
                if records == 0 { return start + Int64(index) + 1 }
            }
            end = start
        }
        if size > 0 { records -= 1 }
        return records == 0 ? 0 : nil
    }

    /// Frames are found from the start: each tells where the next one is.
    private static func offsetOfFrame(
        _ file: borrowing OwnedFD, _ size: Int64, _ records: inout Int
    ) throws(SystemError) -> Int64? {
        let offsets = try LogFormat.frameOffsets(file, size)
        guard offsets.count >= records else {
            records -= offsets.count
            return nil
        }
        return offsets[offsets.count - records]
    }
}
