import Glibc
import Kernel

/// A sparse member between its header and the end of its data.
struct SparseMember: Sendable {
    struct Segment: Sendable {
        var offset: UInt64
        var count: UInt64
    }

    var entry: LayerEntry
    var realSize: UInt64
    /// Bytes the archive holds for it, after the map.
    var stored: UInt64
    var segments: [Segment] = []
    /// Where the expanded content begins in the sparse file.
    var base: UInt64 = 0
    var segmentIndex = 0
    var segmentDone: UInt64 = 0
    /// Position of its header, for messages.
    var start: UInt64
    /// PAX 1.0: the number under way, numbers read, and how many there will be.
    var digits: UInt64?
    var pendingOffset: UInt64?
    var segmentsWanted: UInt64?
}

/// The file that holds expanded sparse members one behind the other, holes kept.
struct SparseFile: ~Copyable {
    let path: String?
    let bytesMax: UInt64
    private(set) var size: UInt64 = 0
    private var file: OwnedFD?

    /// Members begin at a multiple of this, so that they can be mapped.
    private static let alignment: UInt64 = 4096

    init(path: String?, bytesMax: UInt64) {
        self.path = path
        self.bytesMax = bytesMax
    }

    /// Makes room for a member of `count` bytes.
    ///
    /// - Returns: where it begins.
    /// - Throws: ``LayerError`` `.limit` when the layer's budget is used up.
    mutating func allocate(_ count: UInt64) throws(LayerError) -> UInt64 {
        let base = (size + Self.alignment - 1) / Self.alignment * Self.alignment
        guard base <= bytesMax, count <= bytesMax - base else {
            throw LayerError(.limit, "sparse files of the layer expand to more than \(bytesMax) bytes")
        }
        size = base + count
        guard let path, file == nil else { return base }
        do { file = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600) } catch {
            throw LayerError(error, "expanding a sparse file")
        }
        return base
    }

    borrowing func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(LayerError) {
        guard file != nil else { return }
        let result: Result<Void, SystemError> = bytes.withUnsafeBytes { raw in
            do throws(SystemError) { return .success(try file?.writeAll(raw, at: Int64(offset)) ?? ()) } catch {
                return .failure(error)
            }
        }
        if case .failure(let error) = result { throw LayerError(error, "expanding a sparse file") }
    }

    /// Gives the file its size and makes it durable.
    mutating func finish() throws(LayerError) {
        guard let descriptor = file?.raw else { return }
        let size = off_t(self.size)
        do throws(SystemError) {
            try checked("ftruncate") { ftruncate(descriptor, size) }
            try checked("fdatasync") { fdatasync(descriptor) }
        } catch {
            throw LayerError(error, "expanding a sparse file")
        }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }
}

extension TarReader {
    /// Fields of the old GNU sparse header.
    private static let oldMap = 386..<482
    private static let oldIsExtended = 482
    private static let oldRealSize = 483..<495
    private static let extensionMap = 0..<504
    private static let extensionIsExtended = 504

    /// A member of type `S`: four segments in the header, more in blocks behind it.
    mutating func beginOldSparse(
        _ entry: LayerEntry, _ block: Span<UInt8>, stored: UInt64, at start: UInt64, _ emit: Emit
    ) throws(LayerError) {
        guard let realSize = TarHeader.number(block, Self.oldRealSize), realSize >= 0 else {
            throw malformed("real size of a sparse file is not a number", at: start)
        }
        resetLocal()
        sparseMember = SparseMember(entry: entry, realSize: UInt64(realSize), stored: stored, start: start)
        try appendOldSegments(block, Self.oldMap)
        if block[Self.oldIsExtended] != 0 {
            phase = .sparseExtension
        } else {
            try beginSparseData(emit)
        }
    }

    mutating func takeSparseExtension(_ block: Span<UInt8>, _ emit: Emit) throws(LayerError) {
        try appendOldSegments(block, Self.extensionMap)
        if block[Self.extensionIsExtended] == 0 { try beginSparseData(emit) }
    }

    private mutating func appendOldSegments(_ block: Span<UInt8>, _ field: Range<Int>) throws(LayerError) {
        for start in stride(from: field.lowerBound, to: field.upperBound, by: 24) {
            // An unused slot is empty.
            if block[start] == 0, block[start + 12] == 0 { return }
            guard let from = TarHeader.number(block, start..<(start + 12)), from >= 0,
                let count = TarHeader.number(block, (start + 12)..<(start + 24)), count >= 0
            else { throw malformed("the map of a sparse file is not made of numbers", at: offset) }
            try appendSegment(UInt64(from), UInt64(count))
        }
    }

    /// A file whose extended header describes it as sparse (PAX formats 0.0, 0.1 and 1.0).
    mutating func beginPAXSparse(
        _ entry: LayerEntry, _ records: PAXRecords.Sparse, stored: UInt64, at start: UInt64, _ emit: Emit
    ) throws(LayerError) {
        guard let realSize = records.realSize else { throw malformed("a sparse file without its real size", at: start) }
        sparseMember = SparseMember(entry: entry, realSize: realSize, stored: stored, start: start)
        switch (records.major, records.minor) {
        case (1, 0):
            phase = .sparseMap
        case (0, _):
            guard records.map.count % 2 == 0,
                records.segmentCount ?? UInt64(records.map.count / 2) == records.map.count / 2
            else { throw malformed("the map of a sparse file is cut", at: start) }
            for index in stride(from: 0, to: records.map.count, by: 2) {
                try appendSegment(records.map[index], records.map[index + 1])
            }
            try beginSparseData(emit)
        default:
            throw LayerError(
                .unsupported,
                "tar archive at byte \(start): sparse format \(records.major).\(records.minor) is not known")
        }
    }

    /// One block of decimal lines: the number of segments, then offset and length of each.
    mutating func takeSparseMap(_ block: Span<UInt8>, _ emit: Emit) throws(LayerError) {
        guard var member = sparseMember, member.stored >= UInt64(Self.blockBytes) else {
            throw malformed("the map of a sparse file is cut", at: offset)
        }
        sparseMember = nil
        member.stored -= UInt64(Self.blockBytes)
        var isWhole = false
        for index in 0..<block.count where !isWhole {
            isWhole = try take(block[index], &member)
        }
        sparseMember = member
        if isWhole { try beginSparseData(emit) }
    }

    /// - Returns: true when `byte` ends the map.
    private func take(_ byte: UInt8, _ member: inout SparseMember) throws(LayerError) -> Bool {
        if (0x30...0x39).contains(byte) {
            let digits = member.digits ?? 0
            guard digits < UInt64(Int64.max) / 10 - 10 else {
                throw malformed("a number of a sparse map is too large", at: offset)
            }
            member.digits = digits * 10 + UInt64(byte - 0x30)
            return false
        }
        guard byte == 0x0A, let number = member.digits else {
            throw malformed("the map of a sparse file is broken", at: offset)
        }
        member.digits = nil
        guard let wanted = member.segmentsWanted else {
            member.segmentsWanted = number
            return number == 0
        }
        guard let start = member.pendingOffset else {
            member.pendingOffset = number
            return false
        }
        member.pendingOffset = nil
        try checkSegments(member)
        member.segments.append(SparseMember.Segment(offset: start, count: number))
        return UInt64(member.segments.count) == wanted
    }

    private mutating func appendSegment(_ start: UInt64, _ count: UInt64) throws(LayerError) {
        if let member = sparseMember { try checkSegments(member) }
        sparseMember?.segments.append(SparseMember.Segment(offset: start, count: count))
    }

    private func checkSegments(_ member: SparseMember) throws(LayerError) {
        guard member.segments.count < limits.sparseSegmentsMax else {
            throw LayerError(
                .limit,
                "sparse file \(TarPath.quoted(member.entry.path)) has more than \(limits.sparseSegmentsMax) segments")
        }
    }

    /// Checks the map, makes room and emits the member; its data comes next.
    private mutating func beginSparseData(_ emit: Emit) throws(LayerError) {
        guard var member = sparseMember else { return }
        var end: UInt64 = 0
        var total: UInt64 = 0
        for segment in member.segments {
            let (next, overflow) = segment.offset.addingReportingOverflow(segment.count)
            guard !overflow, segment.offset >= end, next <= member.realSize else {
                throw malformed(
                    "the map of sparse file \(TarPath.quoted(member.entry.path)) contradicts itself", at: member.start)
            }
            end = next
            total += segment.count
        }
        guard total == member.stored else {
            throw malformed(
                "sparse file \(TarPath.quoted(member.entry.path)) has not the data of its map", at: member.start)
        }
        member.entry.size = member.realSize
        if member.realSize > 0 {
            member.base = try sparse.allocate(member.realSize)
            member.entry.content = LayerEntry.Extent(source: .sparse, offset: member.base)
        }
        let entry = member.entry
        sparseMember = member
        try beginBody(member.stored, .sparseData)
        try emit(entry)
    }

    /// Writes the next stored bytes where the map wants them.
    mutating func placeSparseData(_ bytes: Span<UInt8>) throws(LayerError) {
        guard var member = sparseMember else { return }
        sparseMember = nil
        var index = 0
        while index < bytes.count, member.segmentIndex < member.segments.count {
            let segment = member.segments[member.segmentIndex]
            let count = Int(min(segment.count - member.segmentDone, UInt64(bytes.count - index)))
            if count > 0 {
                try sparse.write(
                    bytes.extracting(index..<(index + count)), at: member.base + segment.offset + member.segmentDone)
            }
            index += count
            member.segmentDone += UInt64(count)
            if member.segmentDone == segment.count {
                member.segmentIndex += 1
                member.segmentDone = 0
            }
        }
        sparseMember = member
    }
}
