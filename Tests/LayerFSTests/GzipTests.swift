import Testing

@testable import LayerFS

/// A gzip stream that must be refused, and one that differs in nothing but the offence.
struct HostileMember: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let words: String
    private(set) var bad: [UInt8]
    private(set) var good: [UInt8]
    /// What the good one holds.
    private(set) var content: [UInt8]

    private static let header: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]

    /// Two streams of DEFLATE as members.
    init(_ name: String, _ words: String, bad: [UInt8], good: [UInt8], _ content: String) throws {
        let trailer = try piped("/usr/bin/gzip", ["-c"], Array(content.utf8)).suffix(8)
        testDescription = name
        self.words = words
        self.bad = Self.header + bad + trailer
        self.good = Self.header + good + trailer
        self.content = Array(content.utf8)
    }

    /// Two headers before the same data.
    init(_ name: String, bad: [UInt8], good: [UInt8]) throws {
        let body = try piped("/usr/bin/gzip", ["-nc"], Array("content".utf8)).dropFirst(10)
        testDescription = name
        words = "header is not valid"
        self.bad = bad + body
        self.good = good + body
        content = Array("content".utf8)
    }

    static func all() throws -> [HostileMember] { try blocks() + codes() + lengths() + matches() + headers() }

    private static func blocks() throws -> [HostileMember] {
        [
            try .init("a block of type 3", "no valid type", bad: DeflateBlock.type(3), good: DeflateBlock.type(1), ""),
            try .init(
                "a stored block of another length", "length of a stored block",
                bad: DeflateBlock.stored([97], length: 1, inverse: 0xFFFF),
                good: DeflateBlock.stored([97], length: 1, inverse: 0xFFFE), "a"),
        ]
    }

    private static let a = HuffmanCode(value: 0, length: 1)
    private static let one = HuffmanCode(value: 1, length: 1)
    private static let two = HuffmanCode(value: 2, length: 2)
    private static let three = HuffmanCode(value: 3, length: 2)

    private static func codes() throws -> [HostileMember] {
        let words = "codes of a block"
        func block(_ literals: [Int: Int], _ distances: [Int: Int] = [:], _ data: [HuffmanCode]) -> [UInt8] {
            DeflateBlock.dynamic(literals: literals, distances: distances, data)
        }
        let match = [97: 1, 256: 2, 257: 2]
        let copy = [a, three, a, two]
        return [
            try .init(
                "over-subscribed literals", words, bad: block([97: 1, 98: 1, 256: 1], [:], [a, one]),
                good: block([97: 1, 98: 2, 256: 2], [:], [a, three]), "a"),
            try .init(
                "incomplete literals", words, bad: block([97: 2, 256: 2], [:], [a, a, a, one]),
                good: block([97: 1, 256: 1], [:], [a, one]), "a"),
            try .init(
                "literals alone, without an end", words, bad: block([97: 1, 98: 1], [:], [a]),
                good: block([256: 1], [:], [a]), ""),
            try .init(
                "over-subscribed distances", words, bad: block(match, [0: 1, 1: 1, 2: 1], copy),
                good: block(match, [0: 1, 1: 1], copy), "aaaa"),
            try .init(
                "one distance of two bits", words, bad: block(match, [0: 2], [a, three, a, a]),
                good: block(match, [0: 1], copy), "aaaa"),
            try .init(
                "incomplete distances", words, bad: block(match, [0: 2, 1: 2], copy),
                good: block(match, [0: 2, 1: 2, 2: 1], [a, three, two, two]), "aaaa"),
            try .init(
                "the code that a single distance leaves", "deflate data", bad: block(match, [0: 1], [a, three, one]),
                good: block(match, [0: 1], copy), "aaaa"),
            try .init(
                "a match without any distance", "deflate data", bad: block(match, [:], copy),
                good: block(match, [:], [a, two]), "a"),
        ]
    }

    /// The lengths of `a`, of the end and of a distance, with runs of zeros; `first` comes before them.
    private static func header(
        _ first: [(Int, Int, Int)] = [], last: (Int, Int, Int) = (1, 0, 0), literalCount: Int = 257,
        distanceCount: Int = 1, lengthCodes: [Int] = DeflateBlock.lengthCodes
    ) -> [UInt8] {
        let literals =
            first + [(18, 97 - 11 - first.count, 7), (1, 0, 0), (18, 138 - 11, 7), (18, 20 - 11, 7), (1, 0, 0)]
        let rest = [(Int, Int, Int)](repeating: (0, 0, 0), count: literalCount - 257 + distanceCount - 1)
        return DeflateBlock.dynamic(
            literals: [:], distances: [:], literalCount: literalCount, distanceCount: distanceCount,
            lengthCodes: lengthCodes, lengths: literals + rest + [last], [a, one])
    }

    private static func lengths() throws -> [HostileMember] {
        let words = "codes of a block"
        var over = DeflateBlock.lengthCodes
        over[15] = 4
        var incomplete = DeflateBlock.lengthCodes
        incomplete[15] = 0
        return [
            try .init(
                "287 literals", words, bad: header(literalCount: 287), good: header(literalCount: 286), "a"),
            try .init(
                "31 distances", words, bad: header(distanceCount: 31), good: header(distanceCount: 30), "a"),
            try .init("over-subscribed lengths", words, bad: header(lengthCodes: over), good: header(), "a"),
            try .init("incomplete lengths", words, bad: header(lengthCodes: incomplete), good: header(), "a"),
            try .init(
                "a length that repeats nothing", words, bad: header([(16, 0, 2)]), good: header([(0, 0, 0)]), "a"),
            try .init(
                "a repeat that runs past the end", words, bad: header(last: (17, 0, 3)),
                good: header(last: (0, 0, 0)), "a"),
        ]
    }

    private static func matches() throws -> [HostileMember] {
        let good = DeflateBlock.fixed([.literal(97), .literal(257), .distance(0)])
        return [
            try .init(
                "a length that there is not", "deflate data",
                bad: DeflateBlock.fixed([.literal(97), .literal(286), .distance(0)]),
                good: DeflateBlock.fixed([.literal(97), .literal(285), .distance(0)]),
                String(repeating: "a", count: 259)),
            try .init(
                "a distance that there is not", "deflate data",
                bad: DeflateBlock.fixed([.literal(97), .literal(257), .distance(30)]), good: good, "aaaa"),
            try .init(
                "a match before the start", "before the start",
                bad: DeflateBlock.fixed([.literal(97), .literal(257), .distance(1)]), good: good, "aaaa"),
            try HostileMember(
                "a match into the member before", "before the start",
                bad: DeflateBlock.fixed([.literal(257), .distance(0)]), good: good, "aaaa"
            ).behind(Array("aaaa".utf8)),
        ]
    }

    private static func headers() throws -> [HostileMember] {
        func header(_ flags: UInt8, _ fields: [UInt8] = []) -> [UInt8] {
            [0x1F, 0x8B, 8, flags, 0, 0, 0, 0, 0, 3] + fields
        }
        return [
            try .init("a reserved flag", bad: header(0x20), good: header(1)),
            try .init("another method", bad: [0x1F, 0x8B, 7] + header(0).dropFirst(3), good: header(0)),
            try .init(
                "a wrong checksum of the header", bad: header(2, checksum(header(2)).map { $0 ^ 1 }),
                good: header(2, checksum(header(2)))),
            try .init(
                "a wrong checksum of all fields",
                bad: header(0x1E, fields + checksum(header(0x1E, fields)).map { $0 ^ 0x80 }),
                good: header(0x1E, fields + checksum(header(0x1E, fields)))),
        ]
    }

    private static let fields: [UInt8] = [3, 0, 1, 2, 0] + Array("name\u{0}comment\u{0}".utf8)

    /// The lower half of the CRC-32 of `header`, which gzip(1) computes.
    private static func checksum(_ header: [UInt8]) throws -> [UInt8] {
        try Array(piped("/usr/bin/gzip", ["-nc"], header).suffix(8).prefix(2))
    }

    /// The same behind another member.
    private func behind(_ bytes: [UInt8]) throws -> HostileMember {
        var result = self
        let first = try piped("/usr/bin/gzip", ["-nc"], bytes)
        result.bad = first + bad
        result.good = first + good
        result.content = bytes + content
        return result
    }
}

struct GzipTests {
    /// Decompresses in parts of so many bytes, into so much room that is filled from its beginning again and again.
    private func decompressed(_ bytes: [UInt8], step: Int = .max, room: Int = 100_000) throws -> [UInt8] {
        var decoder = try Decoder(.gzip)
        var result: [UInt8] = []
        var output = [UInt8](repeating: 0, count: room)
        var rest = bytes[...]
        var filled = 0
        while true {
            let part = rest.prefix(step)
            let done = try part.withUnsafeBytes { input in
                try output.withUnsafeMutableBytes {
                    try decoder.decode(
                        input, into: UnsafeMutableRawBufferPointer(rebasing: $0[filled...]), after: filled)
                }
            }
            result += output[filled..<filled + done.produced]
            rest = rest.dropFirst(done.consumed)
            filled += done.produced
            if rest.isEmpty, filled < room { break }
            if filled == room { filled = 0 }
        }
        try decoder.finish()
        return result
    }

    @Test(arguments: try HostileMember.all(), [1, 7, Int.max])
    func `a hostile member is refused as zlib refuses it, its twin is read as zlib reads it`(
        member: HostileMember, step: Int
    ) throws {
        let error = #expect(throws: LayerError.self) { try decompressed(member.bad, step: step) }
        #expect(error?.code == .malformed)
        #expect(error?.message.contains(member.words) == true, "\(error?.message ?? "")")
        #expect(throws: (any Error).self) { try decompressedByZlib(member.bad) }
        #expect(try decompressed(member.good, step: step) == member.content)
        #expect(try decompressedByZlib(member.good) == member.content)
    }

    @Test func `a header without end is refused at its limit`() throws {
        let name = [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3] + [UInt8](repeating: 97, count: GzipHeader.bytesMax)
        let error = #expect(throws: LayerError.self) { try decompressed(name, step: 65_536) }
        #expect(error?.code == .limit)
    }

    /// Text, numbers that do not compress, long runs, and matches of all distances up to the window's 32 KiB.
    static let sample: [UInt8] = {
        var random = SplitMix(state: 3)
        var bytes: [UInt8] = []
        while bytes.count < 600_000 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0:
                bytes += (0..<Int.random(in: 1...600, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            case 1: bytes += [UInt8](repeating: 0, count: Int.random(in: 1...2000, using: &random))
            case 2...4:
                let distance = min(bytes.count, Int.random(in: 1...(32 << 10), using: &random))
                bytes += bytes[(bytes.count - distance)...].prefix(Int.random(in: 3...300, using: &random))
            default: bytes += Array("word\(Int.random(in: 0..<500, using: &random)) ".utf8)
            }
        }
        return bytes
    }()

    static let programs: [[String]] =
        (1...9).flatMap { [["gzip", "-nc\($0)"], ["pigz", "-nc\($0)"]] } + [["pigz", "-nc0"], ["pigz", "-nc11"]]
        + (0...3).map { ["igzip", "-c\($0)"] } + [["pigz", "-ncH"], ["pigz", "-ncRi", "-b128"]]

    @Test(arguments: programs)
    func `what the programs compress comes back, in whatever parts`(program: [String]) throws {
        let bytes = try piped("/usr/bin/" + program[0], Array(program[1...]), Self.sample)
        for (step, room) in [(Int.max, 1 << 20), (65_536, 384 << 10), (1009, 70_001), (17, 333)] {
            #expect(try decompressed(bytes, step: step, room: room) == Self.sample, "\(step), \(room)")
        }
    }

    /// Members of stored, fixed and dynamic blocks, by zlib, and one with all fields of a header.
    private static func members() throws -> [UInt8] {
        let text = Array(sample[5000..<9000])
        let stored = try piped("/usr/bin/pigz", ["-nc0"], Array(text.prefix(300)))
        let fixed = try piped("/usr/bin/gzip", ["-c"], Array("aaaaaaaaaabcabcabc".utf8))
        return try stored + fixed + piped("/usr/bin/gzip", ["-nc9"], text) + HostileMember.all().flatMap(\.good)
    }

    @Test func `a stream may be cut in two at any byte`() throws {
        let bytes = try Self.members()
        let whole = try decompressedByZlib(bytes)
        for cut in 0...bytes.count {
            var decoder = try Decoder(.gzip)
            var result: [UInt8] = []
            var output = [UInt8](repeating: 0, count: whole.count + 1)
            for part in [bytes[..<cut], bytes[cut...]] {
                var rest = part
                while !rest.isEmpty {
                    let done = try rest.withUnsafeBytes { input in
                        try output.withUnsafeMutableBytes { try decoder.decode(input, into: $0) }
                    }
                    result += output[..<done.produced]
                    rest = rest.dropFirst(done.consumed)
                }
            }
            try decoder.finish()
            #expect(result == whole, "cut at \(cut)")
        }
    }

    @Test(arguments: [4096, 65_536, 100_003, 1 << 20])
    func `matches that reach far back are found wherever their bytes are now`(room: Int) throws {
        var content: [UInt8] = []
        var generator = SplitMix(state: 7)
        while content.count < 600_000 {
            let far = Int(generator.next() % 32_700) + 1
            if far <= content.count, generator.next() % 4 != 0 {
                let start = content.count - far
                content += content[start..<min(start + Int(generator.next() % 300) + 3, content.count)]
            } else {
                content += (0..<40).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            }
        }
        let member = try piped("/usr/bin/gzip", ["-nc"], content)
        // The second member cannot see the first, whose bytes lie before its own.
        for step in [997, 65_536, Int.max] {
            #expect(try decompressed(member + member, step: step, room: room) == content + content)
        }
    }

    @Test func `a member does not reach back into the one before it`() throws {
        let first = try piped("/usr/bin/gzip", ["-nc"], [UInt8](repeating: 7, count: 200_000))
        // Fixed codes: a match of 3 bytes at distance 1, then the end of the block.
        let header: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
        let reaching = header + [0x03, 0x02, 0x00] + [UInt8](repeating: 0, count: 8)
        for step in [1, Int.max] {
            let error = #expect(throws: LayerError.self) { try decompressed(first + reaching, step: step) }
            #expect(error?.message.contains("distance reaches before the start") == true, "\(error.debugDescription)")
        }
    }

    @Test(arguments: [1, 2, 3, 31, 258, 385])
    func `output may have room for so many bytes at a time`(room: Int) throws {
        let bytes = try Self.members()
        let whole = try decompressedByZlib(bytes)
        for step in [1, 5, 1000, Int.max] { #expect(try decompressed(bytes, step: step, room: room) == whole) }
    }
}
