/// Writes DEFLATE (RFC 1951) by hand, also what no compressor writes.
struct DeflateWriter {
    private(set) var bytes: [UInt8] = []
    private var bitCount = 0

    /// A number, lowest bit first.
    mutating func number(_ value: Int, _ count: Int) {
        for bit in 0..<count {
            if bitCount % 8 == 0 { bytes.append(0) }
            bytes[bytes.count - 1] |= UInt8(value >> bit & 1) << UInt8(bitCount % 8)
            bitCount += 1
        }
    }

    /// A code, highest bit first.
    mutating func code(_ code: HuffmanCode) {
        for bit in (0..<code.length).reversed() { number(code.value >> bit & 1, 1) }
    }

    mutating func align() { bitCount = bytes.count * 8 }
}

struct HuffmanCode {
    var value: Int
    var length: Int

    /// The codes of a set of lengths (RFC 1951, 3.2.2), also of a set that cannot be.
    static func all(_ lengths: [Int]) -> [HuffmanCode] {
        var codes = lengths.map { HuffmanCode(value: 0, length: $0) }
        var next = 0
        for length in 1...15 {
            next <<= 1
            for symbol in lengths.indices where lengths[symbol] == length {
                codes[symbol].value = next
                next += 1
            }
        }
        return codes
    }

    static let fixedLiterals = all(
        [Int](repeating: 8, count: 144) + [Int](repeating: 9, count: 112) + [Int](repeating: 7, count: 24)
            + [Int](repeating: 8, count: 8))
    static let fixedDistances = all([Int](repeating: 5, count: 32))
}

/// The last block of a stream.
enum DeflateBlock {
    static let endOfBlock = 256

    static func type(_ type: Int) -> [UInt8] {
        var writer = DeflateWriter()
        writer.number(1, 1)
        writer.number(type, 2)
        writer.number(0, 7)
        return writer.bytes
    }

    static func stored(_ bytes: [UInt8], length: Int, inverse: Int) -> [UInt8] {
        var writer = DeflateWriter()
        writer.number(1, 3)
        writer.align()
        writer.number(length, 16)
        writer.number(inverse, 16)
        return writer.bytes + bytes
    }

    /// Symbols with the fixed codes: literals and lengths, or a distance.
    enum Symbol {
        case literal(Int)
        case distance(Int)
    }

    static func fixed(_ symbols: [Symbol]) -> [UInt8] {
        var writer = DeflateWriter()
        writer.number(1, 1)
        writer.number(1, 2)
        for symbol in symbols {
            switch symbol {
            case .literal(let number): writer.code(HuffmanCode.fixedLiterals[number])
            case .distance(let number): writer.code(HuffmanCode.fixedDistances[number])
            }
        }
        writer.code(HuffmanCode.fixedLiterals[endOfBlock])
        return writer.bytes
    }

    /// For each of the 19 symbols that lengths are written with, the length of its code: a complete set.
    static let lengthCodes = [Int](repeating: 4, count: 13) + [Int](repeating: 5, count: 6)
    private static let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

    /// A header of codes, and bits behind it.
    ///
    /// - Parameter lengths: the symbols of the lengths with their extra bits, when they are not one for each code.
    static func dynamic(
        literals: [Int: Int], distances: [Int: Int], literalCount: Int = 258, distanceCount: Int = 4,
        lengthCodes: [Int] = lengthCodes, lengths: [(symbol: Int, extra: Int, bits: Int)]? = nil,
        _ data: [HuffmanCode]
    ) -> [UInt8] {
        var writer = DeflateWriter()
        writer.number(1, 1)
        writer.number(2, 2)
        writer.number(literalCount - 257, 5)
        writer.number(distanceCount - 1, 5)
        writer.number(15, 4)
        for symbol in order { writer.number(lengthCodes[symbol], 3) }
        let codes = HuffmanCode.all(lengthCodes)
        let each = (0..<literalCount).map { literals[$0] ?? 0 } + (0..<distanceCount).map { distances[$0] ?? 0 }
        for length in lengths ?? each.map({ ($0, 0, 0) }) {
            writer.code(codes[length.symbol])
            writer.number(length.extra, length.bits)
        }
        for code in data { writer.code(code) }
        return writer.bytes
    }
}

/// What zlib makes of gzip members, by Python.
///
/// - Throws: `SystemError` when it refuses them.
func decompressedByZlib(_ bytes: [UInt8]) throws -> [UInt8] {
    let script = """
        import sys, zlib
        rest = sys.stdin.buffer.read()
        try:
            while rest:
                member = zlib.decompressobj(31)
                sys.stdout.buffer.write(member.decompress(rest) + member.flush())
                if not member.eof: sys.exit(1)
                rest = member.unused_data
        except zlib.error:
            sys.exit(1)
        """
    return try piped("/usr/bin/python3", ["-c", script], bytes)
}
