import Glibc

/// Which part of a container's log is wanted, and in which form.
package struct LogOptions: Sendable {
    package var stdout = true
    package var stderr = true
    package var follow = false
    /// Records from the end; nil for all.
    package var tail: Int?
    package var since: Timestamp?
    package var until: Timestamp?
    /// What is written beside the lines comes before them.
    package var details = false
    /// Each line's time comes before it.
    package var timestamps = false
    /// Frames keep the two streams apart; otherwise the text alone is given.
    package var isFramed = true

    package init() {}
}

/// Takes records one by one, and lays out those that are wanted for a client: head of a frame, time, attributes, text.
///
/// A log has millions of records, so nothing is allocated for one. The text of the record under way is written where it will
/// stay; what belongs before it, and whether it is wanted, may be known later.
struct LogSink {
    enum Stream: UInt8, Sendable { case stdout = 1, stderr = 2 }

    private static let frameBytes = 8
    private static let timeBytes = LogTime.textBytes + 1

    private let output: UnsafeMutableRawBufferPointer
    private let wanted: LogOptions
    private let since: Int64
    private let until: Int64
    private let headBytes: Int
    /// Bytes of whole records.
    private(set) var count = 0
    /// Records from here on are later than any that is wanted.
    private(set) var isOver = false
    /// Where the text under way ends.
    private var end = 0
    private var time = LogTime.Text()
    private var attributes = LogDetails()

    /// - Parameter output: outlives the sink.
    init(_ output: UnsafeMutableRawBufferPointer, _ options: LogOptions) {
        self.output = output
        wanted = options
        since = options.since?.nanosecondsSince1970 ?? .min
        until = options.until?.nanosecondsSince1970 ?? .max
        headBytes = (options.isFramed ? Self.frameBytes : 0) + (options.timestamps ? Self.timeBytes : 0)
    }

    /// Begins a record whose text has at most `bytesMax` bytes.
    ///
    /// - Returns: false where there is no room for it.
    mutating func begin(bytesMax: Int) -> Bool {
        guard output.count - count >= headBytes + bytesMax else { return false }
        end = count + headBytes
        return true
    }

    /// Forgets the text under way.
    mutating func restart() { end = count + headBytes }

    mutating func append(_ bytes: UnsafeRawPointer, _ length: Int) {
        guard let base = output.baseAddress, length > 0, length <= output.count - end else { return }
        memcpy(base + end, bytes, length)
        end += length
    }

    mutating func append(_ byte: UInt8) {
        guard end < output.count else { return }
        output[end] = byte
        end += 1
    }

    /// Ends the record, which is kept where it is wanted.
    ///
    /// - Parameter json: what was written beside it: an object, or nothing.
    /// - Returns: false where there is no room for what belongs before the text: the record counts as not begun.
    mutating func finish(_ stream: Stream, time: Int64, attributes json: UnsafeRawBufferPointer) -> Bool {
        guard time <= until else {
            isOver = true
            return true
        }
        guard time >= since, stream == .stdout ? wanted.stdout : wanted.stderr, let base = output.baseAddress else {
            return true
        }
        if wanted.details, !json.isEmpty {
            let bytes = attributes.text(json)
            guard bytes.count <= output.count - end else { return false }
            let start = count + headBytes
            memmove(base + start + bytes.count, base + start, end - start)
            bytes.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(start: base + start, count: $0.count).copyMemory(from: $0)
            }
            end += bytes.count
        }
        var head = base + count
        if wanted.isFramed {
            head.storeBytes(of: UInt32(stream.rawValue).littleEndian, as: UInt32.self)
            let length = UInt32(truncatingIfNeeded: end - count - Self.frameBytes)
            (head + 4).storeBytes(of: length.bigEndian, as: UInt32.self)
            head += Self.frameBytes
        }
        if wanted.timestamps {
            self.time.write(time, to: head)
            (head + LogTime.textBytes).storeBytes(of: UInt8(ascii: " "), as: UInt8.self)
        }
        count = end
        return true
    }
}

/// What `--details` shows of the attributes of a record, which most often are those of the one before.
private struct LogDetails {
    private var json: [UInt8] = []
    private var rendered: [UInt8] = []

    /// - Parameter json: an object of strings; anything else shows as nothing.
    mutating func text(_ json: UnsafeRawBufferPointer) -> [UInt8] {
        guard !json.elementsEqual(self.json) else { return rendered }
        self.json = Array(json)
        rendered = Array((LogAttributes.details(self.json) ?? "").utf8)
        return rendered
    }
}
