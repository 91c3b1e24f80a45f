import LayerFS
import Testing

struct TarReaderHostileTests {
    private static let archive =
        paxHeader([("path", "p"), ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9000")])
        + tarMember("s", body: Array("1\n8192\n3\n".utf8) + [UInt8](repeating: 0, count: 503) + Array("abc".utf8))
        + tarMember("f", body: [UInt8](repeating: 7, count: 700)) + tarMember("k", type: "L", body: Array("longer".utf8))
        + tarMember("x") + tarEnd

    @Test func `the archive that is damaged below is a good one`() throws {
        #expect(try members(Self.archive).count == 3)
    }

    @Test func `an archive cut anywhere gives an error or whole members and never a trap`() {
        for count in 0..<Self.archive.count { _ = try? members(Array(Self.archive[..<count])) }
        #expect(throws: LayerError.self) { try members(Array(Self.archive[..<700])) }
    }

    @Test func `flipped bytes never trap`() {
        var generator = SplitMix(state: 42)
        for _ in 0..<3000 {
            var damaged = Self.archive
            for _ in 0..<3 { damaged[Int.random(in: 0..<damaged.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
            _ = try? members(damaged)
        }
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
