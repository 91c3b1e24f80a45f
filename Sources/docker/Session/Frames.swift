/// Splits the multiplexed stream of attach, exec and logs: 1 byte stream, 3 zero bytes, 4 bytes big-endian length, payload.
struct FrameReader {
    /// Where a piece of payload belongs.
    enum Stream: UInt8 { case input = 0, output = 1, error = 2, system = 3 }

    private var header: [UInt8] = []
    private var left = 0
    private var stream = Stream.output

    /// Takes bytes as they come and hands out payload pieces in order; nothing is gathered, whatever a frame's length.
    mutating func feed(_ bytes: [UInt8], _ emit: (Stream, ArraySlice<UInt8>) throws(CLIError) -> Void) throws(CLIError)
    {
        var position = 0
        while position < bytes.count {
            if left > 0 {
                let count = min(left, bytes.count - position)
                try emit(stream, bytes[position..<(position + count)])
                position += count
                left -= count
                continue
            }
            header.append(bytes[position])
            position += 1
            guard header.count == 8 else { continue }
            guard let next = Stream(rawValue: header[0]) else {
                throw CLIError("Unrecognized input header: \(header[0])")
            }
            stream = next
            left = header[4...].reduce(0) { $0 << 8 | Int($1) }
            header.removeAll(keepingCapacity: true)
        }
    }
}
