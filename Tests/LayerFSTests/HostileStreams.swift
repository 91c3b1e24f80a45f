import Testing

@testable import LayerFS

/// A compressed layer that must be refused, and one that differs in nothing but the offence.
struct HostileStream: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let code: LayerError.Code
    let words: String
    let bad: [UInt8]
    let good: [UInt8]
    var limits = IngestLimits()

    init(
        _ name: String, _ code: LayerError.Code, _ words: String, bad: [UInt8], good: [UInt8],
        limits: IngestLimits = IngestLimits()
    ) {
        testDescription = name
        self.code = code
        self.words = words
        self.bad = bad
        self.good = good
        self.limits = limits
    }

    /// The layer in each of ``HostileStream``'s good streams: one member, `f`.
    static let tar = tarMember("f", body: (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 5) }) + tarEnd
    static let codecs: [Compression] = [.gzip, .zstd, .bzip2, .xz]

    static func all() throws -> [HostileStream] {
        var result = try codecs.flatMap { try damages(of: $0) + bombs(of: $0) }
        result += try gzip() + zstd()
        return result
    }

    private static func flipped(_ bytes: [UInt8], at index: Int) -> [UInt8] {
        var bytes = bytes
        bytes[index] ^= 0x55
        return bytes
    }

    private static func damages(of codec: Compression) throws -> [HostileStream] {
        let good = try compressed(tar, codec)
        let two = try compressed(Array(tar.prefix(1000)), codec) + compressed(Array(tar.dropFirst(1000)), codec)
        let words = "broken \(codec.rawValue) stream"
        return [
            .init(
                "\(codec): a bit in the middle", .malformed, words, bad: flipped(good, at: good.count / 2), good: good),
            .init("\(codec): cut by a byte", .malformed, "truncated", bad: good.dropLast(), good: good),
            .init("\(codec): the second stream is cut", .malformed, "truncated", bad: two.dropLast(9), good: two),
            .init(
                "\(codec): garbage behind", .malformed,
                codec == .xz || codec == .zstd || codec == .gzip ? words : "bzip2",
                bad: good + Array("garbage behind the end".utf8), good: good),
        ]
    }

    /// 32 MiB of zeros: an empty archive with a long end.
    private static func bombs(of codec: Compression) throws -> [HostileStream] {
        let bomb = try compressed([UInt8](repeating: 0, count: 32 << 20), codec)
        let ratio = IngestLimits(expansionRatioMax: 100, expansionFreeBytes: 1 << 20)
        return [
            .init(
                "\(codec): a bomb", .limit, "expands to more than 100 times", bad: bomb,
                good: try compressed([UInt8](repeating: 0, count: 1 << 20), codec), limits: ratio),
            .init(
                "\(codec): a layer above the budget", .limit, "more than 4194304 bytes uncompressed", bad: bomb,
                good: try compressed([UInt8](repeating: 0, count: 4 << 20), codec),
                limits: IngestLimits(uncompressedBytesMax: 4 << 20)),
        ]
    }

    private static func gzip() throws -> [HostileStream] {
        let good = try compressed(tar, .gzip)
        return [
            .init(
                "gzip: a wrong CRC-32", .malformed, "checksum or size is wrong", bad: flipped(good, at: good.count - 6),
                good: good),
            .init(
                "gzip: a wrong size", .malformed, "checksum or size is wrong", bad: flipped(good, at: good.count - 2),
                good: good),
            .init(
                "gzip: a member, zeros, garbage", .malformed, "garbage after the end", bad: good + [0, 0, 0, 1],
                good: good + [0, 0, 0, 0]),
            .init(
                "gzip: a name without end", .malformed, "truncated",
                bad: [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3] + [UInt8](repeating: 97, count: 2 << 20),
                good: [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3] + [UInt8](repeating: 97, count: 2 << 20) + [0]
                    + good.dropFirst(10)),
        ]
    }

    /// A frame of nothing with a window of `1 << log` bytes (RFC 8878, 3.1.1.1).
    private static func frame(windowLog log: UInt8) -> [UInt8] {
        [0x28, 0xB5, 0x2F, 0xFD, 0, (log - 10) << 3, 1, 0, 0]
    }
    private static func skippable(_ count: UInt8, _ given: Int) -> [UInt8] {
        [0x5F, 0x2A, 0x4D, 0x18, count, 0, 0, 0] + [UInt8](repeating: 0xEE, count: given)
    }

    private static func zstd() throws -> [HostileStream] {
        let good = try compressed(tar, .zstd)
        return [
            .init(
                "zstd: a window of 256 MiB", .limit, "window of more than 128 MiB", bad: frame(windowLog: 28) + good,
                good: frame(windowLog: 27) + good),
            .init(
                "zstd: a window of 2 TiB", .limit, "window of more than 128 MiB", bad: frame(windowLog: 41) + good,
                good: frame(windowLog: 20) + good),
            .init(
                "zstd: a wrong content checksum", .malformed, "broken zstd stream",
                bad: flipped(good, at: good.count - 1), good: good),
            .init(
                "zstd: a skippable frame that is cut", .malformed, "truncated", bad: good + skippable(9, 8),
                good: skippable(9, 9) + good + skippable(3, 3) + skippable(0, 0)),
            .init(
                "zstd: a frame behind that is none", .malformed, "broken zstd stream", bad: skippable(9, 10) + good,
                good: skippable(9, 9) + good),
        ]
    }
}
