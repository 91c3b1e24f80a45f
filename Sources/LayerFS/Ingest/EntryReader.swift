import CLinux
import Glibc
import Kernel

/// Reads a layer's `entries` file as ``EntryWriter`` left it.
package enum EntryReader {
    /// Calls `body` with every member in tar order, reading in blocks.
    ///
    /// - Throws: ``LayerError``: `.malformed` when the file is cut or altered (rebuild it from the tar), or what `body` throws.
    ///   Damage may be found after `body` saw members.
    package static func forEach(
        _ path: String, _ body: (LayerEntry) throws(LayerError) -> Void
    ) throws(LayerError) {
        let file: OwnedFD
        do throws(SystemError) { file = try OwnedFD.open(path, O_RDONLY) } catch {
            throw LayerError(error, "reading a layer's members")
        }
        var source = RecordSource(file: file, path: path)
        let header = try source.header()
        var buffer = source.takeBuffer()
        for _ in 0..<header.count {
            let length = Int(
                try source.need(4, &buffer).prefix(4).enumerated().reduce(UInt32(0)) {
                    $0 | UInt32($1.element) << UInt32(8 * $1.offset)
                })
            buffer.start += 4
            guard length <= EntryFormat.recordBytesMax else { throw source.damaged("a record is too long") }
            _ = try source.need(length, &buffer)
            let range = buffer.start..<(buffer.start + length)
            var cursor = RecordCursor(range)
            guard let entry = cursor.entry(buffer.bytes.span), cursor.isAtEnd else {
                throw source.damaged("a record is broken")
            }
            buffer.start += length
            try body(entry)
        }
        try source.finish(header, buffer)
    }

    /// All members in tar order; for layers whose number of members is known to be bearable.
    package static func readAll(_ path: String) throws(LayerError) -> [LayerEntry] {
        var entries: [LayerEntry] = []
        try forEach(path) { (entry: LayerEntry) throws(LayerError) in entries.append(entry) }
        return entries
    }
}

/// Bytes read and not yet used.
private struct RecordBuffer {
    var bytes: [UInt8] = []
    var start = 0
}

private struct RecordHeader {
    var checksum: UInt32
    var count: UInt64
    var bytes: UInt64
}

private struct RecordSource: ~Copyable {
    let file: OwnedFD
    let path: String
    private var checksum: UInt32 = 0
    private var position: Int64 = 0

    init(file: consuming OwnedFD, path: String) {
        self.file = file
        self.path = path
    }

    func damaged(_ why: String) -> LayerError {
        LayerError(.malformed, "\(path) is damaged: \(why); remove the layer and pull it again")
    }

    func takeBuffer() -> RecordBuffer { RecordBuffer() }

    mutating func header() throws(LayerError) -> RecordHeader {
        var bytes: [UInt8] = []
        while bytes.count < EntryFormat.headerBytes {
            let more = try read(EntryFormat.headerBytes - bytes.count)
            guard !more.isEmpty else { throw damaged("it is shorter than its header") }
            bytes += more
        }
        func number(_ range: Range<Int>) -> UInt64 {
            range.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
        }
        guard number(0..<8) == EntryFormat.magic else { throw damaged("it was never finished") }
        guard number(8..<12) == UInt64(EntryFormat.version) else { throw damaged("its version is \(number(8..<12))") }
        let header = RecordHeader(
            checksum: UInt32(truncatingIfNeeded: number(12..<16)), count: number(16..<24), bytes: number(24..<32))
        let size: Int
        let descriptor = file.raw
        do throws(SystemError) {
            size = Int(try checked("lseek", path) { lseek(descriptor, 0, SEEK_END) })
        } catch { throw LayerError(error, "reading a layer's members") }
        guard size >= EntryFormat.headerBytes, UInt64(size - EntryFormat.headerBytes) == header.bytes else {
            throw damaged("its length is wrong")
        }
        return header
    }

    /// Sees to it that `count` bytes follow `buffer.start`.
    mutating func need(_ count: Int, _ buffer: inout RecordBuffer) throws(LayerError) -> ArraySlice<UInt8> {
        while buffer.bytes.count - buffer.start < count {
            let more = try read(max(EntryFormat.blockBytes, count))
            guard !more.isEmpty else { throw damaged("it ends inside a record") }
            checksum = more.withUnsafeBytes { EntryFormat.checksum(checksum, $0) }
            if buffer.start == buffer.bytes.count {
                buffer.bytes = more
            } else {
                buffer.bytes = Array(buffer.bytes[buffer.start...]) + more
            }
            buffer.start = 0
        }
        return buffer.bytes[buffer.start..<(buffer.start + count)]
    }

    mutating func finish(_ header: RecordHeader, _ buffer: RecordBuffer) throws(LayerError) {
        guard buffer.start == buffer.bytes.count, try read(1).isEmpty else {
            throw damaged("it goes on after its last record")
        }
        guard checksum == header.checksum else { throw damaged("its checksum is wrong") }
    }

    private mutating func read(_ count: Int) throws(LayerError) -> [UInt8] {
        var failure: SystemError?
        let offset = position
        let descriptor = file.raw
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(SystemError) {
                initialized = try checked("pread", path) {
                    pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
                }
            } catch { failure = error }
        }
        if let failure { throw LayerError(failure, "reading a layer's members") }
        position += Int64(bytes.count)
        return bytes
    }
}

/// Decodes one record; every read is bounded by the record's end.
private struct RecordCursor {
    private var index: Int
    private let end: Int

    init(_ range: Range<Int>) {
        index = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { index == end }

    mutating func entry(_ bytes: Span<UInt8>) -> LayerEntry? {
        guard end - index >= 2, let kind = LayerEntry.Kind(rawValue: bytes[index]) else { return nil }
        let flags = bytes[index + 1]
        index += 2
        guard let mode = number(bytes), let uid = number(bytes), let gid = number(bytes), let seconds = number(bytes),
            let size = number(bytes), let path = text(bytes), mode <= 0o7777, let uid = UInt32(exactly: uid),
            let gid = UInt32(exactly: gid)
        else { return nil }
        var entry = LayerEntry(path: path, kind: kind, mode: UInt16(mode), uid: uid, gid: gid, size: size)
        entry.mtimeSeconds = Int64(bitPattern: seconds >> 1) ^ -Int64(seconds & 1)
        if flags & EntryFormat.hasMtimeNanoseconds != 0 {
            guard let value = number(bytes), value < 1_000_000_000 else { return nil }
            entry.mtimeNanoseconds = UInt32(value)
        }
        if flags & EntryFormat.hasDevice != 0 {
            guard let major = number(bytes), let minor = number(bytes), let major = UInt32(exactly: major),
                let minor = UInt32(exactly: minor)
            else { return nil }
            entry.deviceMajor = major
            entry.deviceMinor = minor
        }
        if flags & EntryFormat.hasLink != 0 {
            guard let target = text(bytes) else { return nil }
            entry.linkTarget = target
        }
        if flags & EntryFormat.hasAttributes != 0 {
            guard let attributes = attributes(bytes) else { return nil }
            entry.attributes = attributes
        }
        if flags & EntryFormat.hasContent != 0 {
            guard let offset = number(bytes) else { return nil }
            entry.content = LayerEntry.Extent(
                source: flags & EntryFormat.isInSparse != 0 ? .sparse : .tar, offset: offset)
        }
        return entry
    }

    private mutating func attributes(_ bytes: Span<UInt8>) -> [LayerEntry.Attribute]? {
        guard let count = number(bytes), count <= UInt64(end - index) else { return nil }
        var attributes: [LayerEntry.Attribute] = []
        for _ in 0..<count {
            guard let name = text(bytes), let value = text(bytes) else { return nil }
            attributes.append(LayerEntry.Attribute(name: name, value: value))
        }
        return attributes
    }

    private mutating func number(_ bytes: Span<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while index < end, shift < 64 {
            let byte = bytes[index]
            index += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    private mutating func text(_ bytes: Span<UInt8>) -> [UInt8]? {
        guard let count = number(bytes), count <= UInt64(end - index) else { return nil }
        let start = index
        let length = Int(count)
        index += length
        return bytes.extracting(start..<(start + length)).withUnsafeBufferPointer { Array($0) }
    }
}
