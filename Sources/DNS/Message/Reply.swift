import NIOCore

/// Messages of our own making.
struct Reply {
    /// Docker's, in seconds.
    private static let lifetime: UInt32 = 600
    /// A pointer to the question's name.
    private static let questionName: UInt16 = 0xC000 | UInt16(Wire.headerBytes)
    private static let optionBytes = 11

    private(set) var buffer: ByteBuffer
    private let start: Int
    private let bytesMax: Int
    private var answers: UInt16 = 0

    /// Begins an answer that repeats the question byte by byte.
    ///
    /// - Parameter message: what `query` was read from; starts at its reader index.
    /// - Parameter bytesMax: what the client takes.
    /// - Parameter framed: true to put the length before it, as streams need.
    init(to query: Query, _ message: ByteBuffer, code: UInt8, bytesMax: Int, framed: Bool, capacity: Int) {
        buffer = ByteBufferAllocator().buffer(capacity: capacity)
        if framed { buffer.writeInteger(UInt16(0)) }
        start = buffer.writerIndex
        let reserved = query.options == nil ? 0 : Self.optionBytes
        self.bytesMax = bytesMax - reserved
        var flags: HeaderFlags = [.response, .recursionAvailable]
        flags.formUnion(query.flags.intersection([.recursionDesired, .checkingDisabled]))
        buffer.writeMultipleIntegers(
            query.id, flags.rawValue | UInt16(code & 15), UInt16(1), UInt16(0), UInt16(0), UInt16(0))
        let question = message.getSlice(
            at: message.readerIndex + Wire.headerBytes, length: query.questionEnd - Wire.headerBytes)
        if let question { buffer.writeImmutableBuffer(question) }
    }

    /// Adds an address; false when it does not fit: then the answer is marked as cut.
    mutating func append(_ type: UInt16, _ writeData: (inout ByteBuffer) -> Int) -> Bool {
        let before = buffer.writerIndex
        buffer.writeMultipleIntegers(Self.questionName, type, RecordClass.internet, Self.lifetime)
        let lengthIndex = buffer.writerIndex
        buffer.writeInteger(UInt16(0))
        let length = writeData(&buffer)
        buffer.setInteger(UInt16(length), at: lengthIndex)
        guard buffer.writerIndex - start <= bytesMax else {
            buffer.moveWriterIndex(to: before)
            let flags = buffer.getInteger(at: start + 2, as: UInt16.self) ?? 0
            buffer.setInteger(flags | HeaderFlags.truncated.rawValue, at: start + 2)
            return false
        }
        answers += 1
        return true
    }

    /// Completes the message.
    mutating func finish(for query: Query, code: UInt8 = 0) -> ByteBuffer {
        buffer.setInteger(answers, at: start + 6)
        if let options = query.options {
            buffer.setInteger(UInt16(1), at: start + 10)
            Self.writeOptions(&buffer, code: code, wantsSignatures: options.wantsSignatures)
        }
        Self.frame(&buffer, start)
        return buffer
    }

    /// An OPT record of ours (RFC 6891).
    static func writeOptions(_ buffer: inout ByteBuffer, code: UInt8, wantsSignatures: Bool) {
        let flags: UInt16 = wantsSignatures ? 0x8000 : 0
        buffer.writeMultipleIntegers(
            UInt8(0), RecordType.opt, Wire.datagramBytesOffered, code >> 4, UInt8(0), flags, UInt16(0))
    }

    /// Writes the length before a message for a stream, which begins at 2.
    static func frame(_ buffer: inout ByteBuffer, _ start: Int) {
        guard start == 2 else { return }
        buffer.setInteger(UInt16(buffer.writerIndex - start), at: 0)
    }
}

extension Reply {
    /// An answer without records.
    static func empty(
        _ query: Query, _ message: ByteBuffer, code: UInt8 = ResponseCode.noError, framed: Bool
    ) -> ByteBuffer {
        var reply = Reply(to: query, message, code: code, bytesMax: .max, framed: framed, capacity: 512)
        return reply.finish(for: query, code: code)
    }

    /// An answer with the addresses of one family. Several are in random order.
    static func addresses(
        _ query: Query, _ message: ByteBuffer, _ answer: NameAnswer, bytesMax: Int, framed: Bool,
        using random: inout some RandomNumberGenerator
    ) -> ByteBuffer {
        let count = query.type == RecordType.a ? answer.ipv4.count : answer.ipv6.count
        let capacity = min(bytesMax, 300 + count * 28)
        var reply = Reply(
            to: query, message, code: ResponseCode.noError, bytesMax: bytesMax, framed: framed, capacity: capacity)
        if query.type == RecordType.a {
            let addresses = count > 1 ? answer.ipv4.shuffled(using: &random) : answer.ipv4
            for address in addresses where !reply.append(RecordType.a, { $0.writeInteger(address) }) { break }
        } else {
            let addresses = count > 1 ? answer.ipv6.shuffled(using: &random) : answer.ipv6
            for address in addresses where !reply.append(RecordType.aaaa, { $0.writeInteger(address) }) { break }
        }
        return reply.finish(for: query)
    }

    /// The answer to a reverse query; nil when `name` is none that a message can carry.
    static func pointer(
        _ query: Query, _ message: ByteBuffer, to name: String, bytesMax: Int, framed: Bool
    ) -> ByteBuffer? {
        let labels = name.utf8.split(separator: UInt8(ascii: "."))
        let length = labels.reduce(1) { $0 + 1 + $1.count }
        guard !labels.isEmpty, length <= Wire.nameBytesMax, labels.allSatisfy({ $0.count <= Wire.labelBytesMax }) else {
            return nil
        }
        var reply = Reply(
            to: query, message, code: ResponseCode.noError, bytesMax: bytesMax, framed: framed, capacity: 512)
        _ = reply.append(RecordType.ptr) { buffer in
            for label in labels {
                buffer.writeInteger(UInt8(label.count))
                buffer.writeBytes(label)
            }
            buffer.writeInteger(UInt8(0))
            return length
        }
        return reply.finish(for: query)
    }

    /// The answer to what cannot be read: a header alone, never longer than what it answers.
    ///
    /// Nil for what must not be answered: less than a header, or an answer itself, lest two servers talk for ever.
    static func refusal(of message: ByteBuffer, _ error: MessageError, framed: Bool) -> ByteBuffer? {
        let first = message.readerIndex
        guard message.readableBytes >= Wire.headerBytes, error != .direction,
            let id = message.getInteger(at: first, as: UInt16.self),
            let word = message.getInteger(at: first + 2, as: UInt16.self)
        else { return nil }
        let code = error == .opcode ? ResponseCode.notImplemented : ResponseCode.formatError
        // The kind of query and "recursion desired" are the client's.
        let flags = HeaderFlags.response.rawValue | word & 0x7900 | UInt16(code)
        var buffer = ByteBufferAllocator().buffer(capacity: Wire.headerBytes + 2)
        if framed { buffer.writeInteger(UInt16(Wire.headerBytes)) }
        buffer.writeMultipleIntegers(id, flags, UInt16(0), UInt16(0), UInt16(0), UInt16(0))
        return buffer
    }
}
