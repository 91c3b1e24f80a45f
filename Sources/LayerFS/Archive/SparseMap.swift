import CLinux
import Glibc
import Kernel

/// Where a sparse file has data, and how an archive says so (GNU tar manual, "PAX Format, Version 1.0").
struct SparseMap: Sendable {
    /// Files that are stored in fewer bytes than they have, by at least this, are archived as sparse ones: a hole of less
    /// saves less than its map takes.
    private static let holeBytesMin: Int64 = 64 << 10

    /// Ranges of data, in order; the last may be empty and stand at the end of the file.
    let ranges: [Range<UInt64>]
    /// The map as it stands before the data, whole blocks.
    let text: [UInt8]
    /// Bytes of data.
    let dataBytes: UInt64

    /// The map of a file; nil for one that is archived plainly.
    init?(of file: borrowing OwnedFD, _ status: NodeStatus) {
        guard status.size - status.storedBytes >= Self.holeBytesMin else { return nil }
        let (raw, size) = (file.raw, status.size)
        var ranges: [Range<UInt64>] = []
        var offset: Int64 = 0
        while offset < size {
            let start = Int64(lseek(raw, off_t(offset), CInt(CL_SEEK_DATA)))
            if start < 0 && errno == ENXIO { break }
            guard start >= 0, start < size else {
                if start < 0 { return nil }
                break
            }
            let hole = Int64(lseek(raw, off_t(start), CInt(CL_SEEK_HOLE)))
            let end = min(size, hole < 0 ? size : hole)
            guard end > start, ranges.count < TarLimits().sparseSegmentsMax - 1 else { return nil }
            ranges.append(UInt64(start)..<UInt64(end))
            offset = end
        }
        if ranges.last?.upperBound != UInt64(size) { ranges.append(UInt64(size)..<UInt64(size)) }
        self.ranges = ranges
        dataBytes = ranges.reduce(0) { $0 + UInt64($1.count) }
        var text = Array("\(ranges.count)\n".utf8)
        for range in ranges { text += Array("\(range.lowerBound)\n\(range.count)\n".utf8) }
        text += [UInt8](repeating: 0, count: PAXHeader.padding(after: UInt64(text.count)))
        self.text = text
    }

    /// The name that readers without sparse files see: `d/f` is `d/GNUSparseFile.0/f`.
    static func memberName(_ path: [UInt8]) -> [UInt8] {
        let (directory, name) = NodeName.split(path)
        return NodeName.join(NodeName.join(directory, Array("GNUSparseFile.0".utf8)), name)
    }
}
