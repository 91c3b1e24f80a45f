import Glibc

/// Space a directory takes.
enum DiskUsage {
    /// Bytes of blocks allocated below `path`, without crossing mounts; what cannot be read counts nothing.
    static func bytes(below path: String) -> Int64 {
        var total: Int64 = 0
        var seen: Set<UInt> = []
        guard let start = strdup(path) else { return 0 }
        defer { free(start) }
        var paths: [UnsafeMutablePointer<CChar>?] = [start, nil]
        guard let walk = fts_open(&paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nil) else { return 0 }
        defer { fts_close(walk) }
        while let entry = fts_read(walk) {
            guard Int32(entry.pointee.fts_info) != FTS_DP, let status = entry.pointee.fts_statp?.pointee else { continue }
            if status.st_nlink > 1, status.st_mode & S_IFMT != S_IFDIR, !seen.insert(UInt(status.st_ino)).inserted { continue }
            total += Int64(status.st_blocks) * 512
        }
        return total
    }
}
