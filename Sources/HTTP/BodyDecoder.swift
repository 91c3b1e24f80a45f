import NIOCore

/// Takes a request body out of the bytes of a connection. Pure: bytes in, payload out.
struct BodyDecoder: Sendable {
    private enum State {
        case length(Int)
        case chunkSize
        case chunkData(Int)
        case chunkEnd
        case trailers(Int)
        case done
    }

    /// Longest chunk-size line, its extensions included.
    private static let sizeLineMax = 4096
    /// Bytes of all trailers.
    private static let trailersMax = 16 << 10

    private var state: State

    init(_ framing: RequestHead.Framing) {
        state =
            switch framing {
            case .none: .done
            case .length(let count): .length(count)
            case .chunked: .chunkSize
            }
    }

    var isDone: Bool { if case .done = state { true } else { false } }

    /// Payload bytes that `input` has now, removed from it.
    ///
    /// - Returns: nil when more input is needed or the body is at its end (``isDone`` tells which).
    /// - Throws: ``HTTPError`` 400 for malformed chunks.
    mutating func next(_ input: inout ByteBuffer) throws(HTTPError) -> ByteBuffer? {
        while true {
            switch state {
            case .done: return nil
            case .length(let rest):
                guard let part = Self.take(&input, rest) else { return nil }
                state = rest == part.readableBytes ? .done : .length(rest - part.readableBytes)
                return part
            case .chunkData(let rest):
                guard let part = Self.take(&input, rest) else { return nil }
                state = rest == part.readableBytes ? .chunkEnd : .chunkData(rest - part.readableBytes)
                return part
            case .chunkSize:
                guard let line = try Self.line(&input, bytesMax: Self.sizeLineMax) else { return nil }
                let size = try Self.size(line)
                state = size == 0 ? .trailers(Self.trailersMax) : .chunkData(size)
            case .chunkEnd:
                guard let line = try Self.line(&input, bytesMax: 0) else { return nil }
                guard line.isEmpty else { throw .badRequest("malformed chunk") }
                state = .chunkSize
            case .trailers(let rest):
                guard let line = try Self.line(&input, bytesMax: rest) else { return nil }
                state = line.isEmpty ? .done : .trailers(max(0, rest - line.count - 2))
            }
        }
    }

    private static func take(_ input: inout ByteBuffer, _ countMax: Int) -> ByteBuffer? {
        let count = min(countMax, input.readableBytes)
        return count == 0 ? nil : input.readSlice(length: count)
    }

    /// One line without its CR LF; nil when it is not complete yet.
    private static func line(_ input: inout ByteBuffer, bytesMax: Int) throws(HTTPError) -> [UInt8]? {
        let view = input.readableBytesView.prefix(bytesMax + 2)
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else {
            guard view.count < bytesMax + 2 else { throw .badRequest("malformed chunk") }
            return nil
        }
        let count = end - view.startIndex
        guard count > 0, view[end - 1] == UInt8(ascii: "\r"), let line = input.readBytes(length: count - 1) else {
            throw .badRequest("malformed chunk")
        }
        input.moveReaderIndex(forwardBy: 2)
        return line
    }

    /// Hexadecimal size, then nothing or an extension.
    private static func size(_ line: [UInt8]) throws(HTTPError) -> Int {
        let digits = line.prefix { $0 != UInt8(ascii: ";") }
        let isHex = digits.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x46).contains($0 & 0xdf) }
        guard (1...15).contains(digits.count), isHex, !line.contains(UInt8(ascii: "\r")),
            let size = Int(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw .badRequest("malformed chunk size") }
        return size
    }
}
