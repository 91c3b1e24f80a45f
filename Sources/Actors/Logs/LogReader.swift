import Glibc
import Kernel

/// Which part of a container's log is wanted.
package struct LogOptions: Sendable {
    package var stdout = true
    package var stderr = true
    package var follow = false
    /// Records from the end; nil for all.
    package var tail: Int?
    package var since: Timestamp?
    package var until: Timestamp?
    /// What is written beside the lines is wanted, too.
    package var details = false

    package init() {}
}

/// Reads a log, oldest file first, and goes on while the container writes.
package struct LogReader: Sendable {
    /// Bytes read from the file at once.
    private static let blockBytes = 256 << 10

    private let files: LogFiles
    private let options: LogOptions
    /// Nil unless the log is followed.
    private let writer: LogWriter?
    /// Full files still to read before the one that is written.
    private var older: [UInt32]
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
        var end: Int64?
        var offset: Int64 = 0
        /// The beginning of a record at the end of what was read.
        var rest: [UInt8] = []

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
            return (files.rotated().filter { $0 < live?.number ?? .max }, live)
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
        let (files, numbers, live) = (files, older, live)
        (older, current) = try await BlockingPool.shared.run {
            var missing = tail
            if let live, let offset = try LogTail.offset(live.file.descriptor, files.kind, &missing) {
                var live = live
                live.offset = offset
                return ([], live)
            }
            for (index, number) in numbers.enumerated().reversed() {
                guard let file = try files.open(number) else { continue }
                var opened = try OpenLog(file, number: number, isLive: false)
                guard let offset = try LogTail.offset(opened.file.descriptor, files.kind, &missing) else { continue }
                opened.offset = offset
                return (Array(numbers[(index + 1)...]), opened)
            }
            return (numbers, nil)
        }
        if current?.isLive == true { self.live = nil }
    }

    /// The next records, at least one; nil at the end of the log.
    package mutating func next() async throws -> LogBatch? {
        while !isOver {
            try Task.checkCancellation()
            let mayGrow = await writer?.isRunning() ?? false
            if current == nil, !(try await advance()) {
                guard mayGrow else { return nil }
                await writer?.changes()
                continue
            }
            let (batch, isAtEnd) = try await readBlock()
            if !batch.records.isEmpty { return batch }
            guard isAtEnd, !isOver else { continue }
            if try await advance() { continue }
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
        while !older.isEmpty {
            let number = older.removeFirst()
            let opened = try await BlockingPool.shared.run {
                try files.open(number).map { try OpenLog($0, number: number, isLive: false) }
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

    /// After a rotation: what was the live file may have grown until it was renamed, so it is read to its end once more.
    private mutating func advanceWithWriter() async throws -> Bool {
        let (files, current) = (files, current)
        let (between, found) = try await BlockingPool.shared.run {
            let found = try Self.openLive(files, isFollowed: true)
            return (files.rotated().filter { $0 > current?.number ?? 0 && $0 < found?.number ?? .max }, found)
        }
        guard let found, found.identity != current?.identity else { return false }
        if var last = current, last.isLive {
            let size = try last.file.descriptor.nodeStatus().size
            if last.offset < size {
                last.end = size
                self.current = last
                return true
            }
        }
        older = between
        live = found
        return try await advance()
    }

    // MARK: Blocks

    private mutating func readBlock() async throws -> (LogBatch, isAtEnd: Bool) {
        guard var log = current else { return (LogBatch(), true) }
        let (kind, withAttributes) = (files.kind, options.details)
        let start = log
        let (batch, next, isAtEnd) = try await BlockingPool.shared.run { () throws(SystemError) in
            var log = start
            let size = try log.file.descriptor.nodeStatus().size
            // Begun again from the start: all there may be is one file.
            if log.offset > size { (log.offset, log.rest) = (0, []) }
            let wanted = Int(min(Int64(Self.blockBytes), (log.end ?? size) - log.offset))
            guard wanted > 0 else { return (LogBatch(), log, true) }
            let block = try Self.read(log.file.descriptor, at: log.offset, count: wanted)
            guard !block.isEmpty else { return (LogBatch(), log, true) }
            log.offset += Int64(block.count)
            var batch = LogBatch()
            log.rest += block
            let used = log.rest.withUnsafeBytes {
                LogFormat.parse($0, kind, withAttributes: withAttributes, into: &batch)
            }
            log.rest.removeFirst(used)
            if log.rest.count > LogFormat.recordBytesMax { log.rest = [] }
            return (batch, log, false)
        }
        log = next
        current = log
        return (filtered(batch), isAtEnd)
    }

    private static func read(
        _ file: borrowing OwnedFD, at offset: Int64, count: Int
    ) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let raw = file.raw
        let block = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let got = pread(raw, buffer.baseAddress, count, off_t(offset))
            if got < 0 { failure = SystemError("pread", errno) }
            filled = max(0, got)
        }
        if let failure { throw failure }
        return block
    }

    private mutating func filtered(_ batch: LogBatch) -> LogBatch {
        if options.since == nil, options.until == nil, options.stdout, options.stderr { return batch }
        var batch = batch
        if let until = options.until?.nanosecondsSince1970,
            let first = batch.records.firstIndex(where: { $0.time > until })
        {
            batch.records.removeSubrange(first...)
            isOver = true
        }
        let since = options.since?.nanosecondsSince1970 ?? .min
        batch.records.removeAll { record in
            record.time < since || !(record.stream == .stdout ? options.stdout : options.stderr)
        }
        return batch
    }
}

/// The container that writes a log, for who follows it.
final class LogWriter: Sendable {
    private let signal = Signal()
    private let watching: DirectoryWatch.Watching?
    private let end: Task<Void, Never>
    let isRunning: @Sendable () async -> Bool
    /// How often a log is looked at where the system has no watches left.
    private static let pollInterval = Duration.milliseconds(200)

    init(_ container: Container, _ watch: DirectoryWatch, directory: String) {
        let signal = signal
        watching = try? watch.watch(directory, signal)
        isRunning = { [weak container] in await container?.isRunning ?? false }
        end = Task { [weak container] in
            guard let ends = await container?.waiter(.notRunning) else { return }
            for await _ in ends { break }
            signal.set()
        }
    }

    deinit { end.cancel() }

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
