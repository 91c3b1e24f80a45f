import Glibc
import Kernel
import LayerFS

/// The files of one log: the one that is written, and full ones, whose numbers only grow: `path.7`, or `path.7.gz`.
struct LogFiles: Sendable {
    private static let compressedSuffix = ".gz"

    let path: String
    let kind: LogDriver.Kind

    private var directory: String { String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) }

    /// Numbers of the full files, oldest first. Blocking.
    func rotated() -> [UInt32] { Set(names().map(\.number)).sorted() }

    private func names() -> [(number: UInt32, isCompressed: Bool)] {
        let prefix = (path.split(separator: "/").last ?? "") + "."
        return ((try? Files.list(directory)) ?? []).compactMap { name in
            guard name.hasPrefix(prefix) else { return nil }
            let isCompressed = name.hasSuffix(Self.compressedSuffix)
            let digits = name.dropFirst(prefix.count).dropLast(isCompressed ? Self.compressedSuffix.count : 0)
            return UInt32(digits).map { ($0, isCompressed) }
        }
    }

    /// A full file.
    struct Full: Sendable {
        let number: UInt32
        /// It is open, so that its content stays when it is removed or compressed.
        fileprivate var held: (file: DescriptorBoxed, isCompressed: Bool)?
    }

    /// So many of the oldest are held; those after them have time until it is their turn.
    private static let heldMax = 32

    /// Full files whose numbers are wanted, oldest first. Blocking.
    func full(_ isWanted: (UInt32) -> Bool) throws -> [Full] {
        let numbers = rotated().filter(isWanted)
        return try numbers.enumerated().map { index, number in
            Full(number: number, held: index < Self.heldMax ? try hold(number) : nil)
        }
    }

    private func hold(_ number: UInt32) throws -> (file: DescriptorBoxed, isCompressed: Bool)? {
        // Between the two looks it may be compressed.
        for _ in 0..<2 {
            if let plain = try existing("\(path).\(number)") { return (plain, false) }
            if let packed = try existing("\(path).\(number)\(Self.compressedSuffix)") { return (packed, true) }
        }
        return nil
    }

    /// The number the file that is written now will get. Blocking, and nothing where there is no log yet.
    func nextNumber() -> UInt32 { Files.exists(path) ? (rotated().last ?? 0) + 1 : 1 }

    /// The content of a full file, decompressed where need be; nil when it has gone. Blocking.
    func open(_ full: Full) throws -> DescriptorBoxed? {
        guard let (file, isCompressed) = try full.held ?? hold(full.number) else { return nil }
        return isCompressed ? try unpacked(file.descriptor) : file
    }

    /// The file that is written, and the number it will get; nil where there is none. Blocking.
    func openLive() throws -> (file: DescriptorBoxed, number: UInt32)? {
        for _ in 1..<Self.looksMax {
            let before = rotated().last ?? 0
            guard let file = try existing(path) else { return nil }
            // Otherwise it may have been renamed meanwhile.
            if (rotated().last ?? 0) == before { return (file, before + 1) }
        }
        return try existing(path).map { ($0, (rotated().last ?? 0) + 1) }
    }

    /// A log of files of one line is renamed faster than one can look.
    private static let looksMax = 100

    private func existing(_ path: String) throws -> DescriptorBoxed? {
        do throws(SystemError) { return DescriptorBoxed(try OwnedFD.open(path, O_RDONLY)) } catch
            where error.code == ENOENT
        {
            return nil
        }
    }

    // MARK: Compression

    private static let blockBytes = 256 << 10

    /// The content of a compressed file, in a file without a name.
    private func unpacked(_ packed: borrowing OwnedFD) throws -> DescriptorBoxed {
        let result = try OwnedFD.open(directory, O_RDWR | O_TMPFILE_LINUX, mode: 0o600)
        var decoder = try Decoder(.gzip)
        var input = [UInt8](repeating: 0, count: Self.blockBytes)
        var output = [UInt8](repeating: 0, count: Self.blockBytes)
        // Its own position may have been moved: it may be read more than once.
        var offset: Int64 = 0
        while case let count = try input.withUnsafeMutableBytes({ try packed.read(into: $0, at: offset) }), count > 0 {
            offset += Int64(count)
            var start = 0
            var isFull = false
            while start < count || isFull {
                let step = try input.withUnsafeBytes { source in
                    try output.withUnsafeMutableBytes { target in
                        try decoder.decode(UnsafeRawBufferPointer(rebasing: source[start..<count]), into: target)
                    }
                }
                try output.withUnsafeBytes {
                    try result.writeAll(UnsafeRawBufferPointer(rebasing: $0[..<step.produced]))
                }
                start += step.consumed
                isFull = step.produced == output.count
            }
        }
        try decoder.finish()
        return DescriptorBoxed(result)
    }

    /// Compresses every full file. Blocking; one at a time.
    func compress() throws {
        let all = names()
        for (number, isCompressed) in all where !isCompressed {
            guard let plain = try existing("\(path).\(number)") else { continue }
            let target = "\(path).\(number)\(Self.compressedSuffix)"
            try pack(plain.descriptor, to: target + ".new")
            try checked("rename", target) { rename(target + ".new", target) }
            // The monitor removes first the one and then the other: whoever comes last finds both.
            if unlink("\(path).\(number)") != 0 { unlink(target) }
        }
    }

    private func pack(_ plain: borrowing OwnedFD, to target: String) throws {
        let file = try OwnedFD.open(target, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o640)
        var encoder = try Encoder(.gzip)
        let write: Encoder.Sink = { bytes throws(LayerError) in
            do throws(SystemError) { try file.writeAll(bytes) } catch { throw LayerError(.system, "\(error)") }
        }
        while case let block = try plain.readBlock(bytesMax: Self.blockBytes), !block.isEmpty {
            try block.withUnsafeBytes { try encoder.write($0, write) }
        }
        try encoder.finish(write)
    }
}

/// O_TMPFILE of open(2): a file without a name. Swift cannot import the expression.
private let O_TMPFILE_LINUX: CInt = 0o20000000 | O_DIRECTORY
