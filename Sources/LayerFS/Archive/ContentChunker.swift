/// Cuts a stream into chunks where its content says so, so that what is inserted or removed changes the chunks around it and no
/// others (FastCDC: a gear hash over the last 64 bytes, a stricter condition before the average than after it).
///
/// Chunks have between a quarter of and twice the average; the last one may be shorter. The same bytes are cut alike, however
/// they come. Other conditions or another table would cut other chunks, and nothing that is stored already would be found again.
package struct ContentChunker: Sendable {
    /// Averages there are, each twice the one before, in bytes. Smaller ones cost a request for too little; what is larger does
    /// not fit into memory a few times.
    package static let averageMin = 1 << 20
    package static let averageMax = 64 << 20
    /// Chunks that a stream should rather not have more of: their list is a manifest, which registries bound.
    private static let wantedCount: Int64 = 4096
    /// No chunk is longer, in bytes.
    package static let bytesMax = averageMax * 2
    /// Bytes that decide about a cut.
    private static let window = 64

    private let shortest: Int
    private let average: Int
    private let longest: Int
    /// The hash's upper bits that are zero where a chunk ends, before the average and after it.
    private let strict: UInt64
    private let loose: UInt64
    /// Bytes of the chunk so far.
    private var length = 0
    private var hash: UInt64 = 0

    /// - Parameter average: a power of two between ``averageMin`` and ``averageMax``; the nearest below is taken for others.
    package init(average wanted: Int = averageMin) {
        let inside = min(max(wanted, Self.averageMin), Self.averageMax)
        let bits = Int.bitWidth - 1 - inside.leadingZeroBitCount
        average = 1 << bits
        shortest = average / 4
        longest = average * 2
        strict = ~(UInt64.max >> UInt64(bits + 1))
        loose = ~(UInt64.max >> UInt64(bits - 2))
    }

    /// The average with which a stream of `bytes` has a few thousand chunks at most.
    package static func average(forBytes bytes: Int64) -> Int {
        var average = averageMin
        while average < averageMax, bytes / Int64(average) > wantedCount { average *= 2 }
        return average
    }

    /// Takes the next bytes of the stream.
    ///
    /// - Returns: how many of them belong to the chunk that ends among them, after which the next begins with the rest; nil when
    ///   all of them do and it goes on.
    package mutating func take(_ bytes: UnsafeRawBufferPointer) -> Int? {
        // Nothing before the last bytes of the shortest chunk decides about anything.
        var index = min(max(0, shortest - Self.window - length), bytes.count)
        let parts: [(end: Int, mask: UInt64?)] = [(shortest, nil), (average, strict), (longest, loose)]
        for (end, mask) in parts {
            let stop = min(end - length, bytes.count)
            guard index < stop else { continue }
            if let cut = scan(bytes, index..<stop, mask) { return ended(cut) }
            index = stop
        }
        if length + bytes.count >= longest { return ended(longest - length) }
        length += bytes.count
        return nil
    }

    private mutating func ended(_ count: Int) -> Int {
        (length, hash) = (0, 0)
        return count
    }

    /// Rolls the hash over a range of the bytes.
    ///
    /// - Returns: the index behind the byte at which `mask` says that the chunk ends; nil where it does not.
    private mutating func scan(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ mask: UInt64?) -> Int? {
        // Without a mask no hash is small enough.
        let mask = mask ?? 0
        let isCutting = mask != 0
        var hash = hash
        let found = Self.gear.withUnsafeBufferPointer { gear -> Int? in
            var index = range.lowerBound
            while index < range.upperBound {
                hash = hash << 1 &+ gear[Int(bytes[index])]
                index += 1
                if isCutting, hash & mask == 0 { return index }
            }
            return nil
        }
        self.hash = hash
        return found
    }

    /// A number for each byte, from SplitMix64 with the seed 0.
    private static let gear: [UInt64] = {
        var state: UInt64 = 0
        return (0..<256).map { _ in
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
            return value ^ value >> 31
        }
    }()
}
