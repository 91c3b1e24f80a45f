import NIOCore

/// What a name server answered, checked from its first byte to its last record.
struct UpstreamAnswer {
    /// From the header to the last record.
    let bytes: [UInt8]
    private let questionEnd: Int
    /// Where the lifetimes are that grow shorter with time.
    private let lifetimeOffsets: [UInt16]
    /// Seconds that it may be kept for others (RFC 2308 when it is negative); 0 when it may not.
    let lifetime: UInt32
    let flags: HeaderFlags
    /// The OPT record, in case everything else must go.
    private let options: Range<Int>?

    /// Records of one answer: a name server's answer with more is not one.
    private static let recordsMax = 8192

    /// - Parameter questionEnd: of the query; the answer's question has been compared with it.
    init(_ message: ByteBuffer, questionEnd: Int, _ limits: ResolverLimits) throws(MessageError) {
        let span = message.readableBytesUInt8Span
        flags = HeaderFlags(rawValue: try Wire.word(span, 2))
        guard flags.contains(.response), flags.opcode == 0 else { throw .direction }
        let type = try Wire.word(span, questionEnd - 4)
        let counts = [
            Int(try Wire.word(span, 6)), Int(try Wire.word(span, 8)), Int(try Wire.word(span, 10)),
        ]
        guard counts.reduce(0, +) <= Self.recordsMax else { throw .recordCount }
        var reading = Reading(questionType: type)
        var position = questionEnd
        for (section, count) in counts.enumerated() {
            for _ in 0..<count {
                let record = try RecordView(span, at: position)
                try reading.take(record, span, section: section, start: position)
                position = record.data.upperBound
            }
        }
        bytes = Array(message.readableBytesView.prefix(position))
        self.questionEnd = questionEnd
        lifetimeOffsets = reading.lifetimeOffsets
        options = reading.options
        lifetime = reading.lifetime(flags, limits)
    }

    /// Bytes that keeping it takes, for the budget of a cache.
    var cost: Int { bytes.count + 2 * lifetimeOffsets.count }

    /// The answer as `query`'s client gets it, `age` seconds after it came.
    func message(for query: PendingQuery, age: UInt32, framed: Bool) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: min(bytes.count, query.bytesMax) + 2)
        if framed { buffer.writeInteger(UInt16(0)) }
        let start = buffer.writerIndex
        if bytes.count <= query.bytesMax {
            buffer.writeBytes(bytes)
            if age > 0 { shorten(&buffer, start, age) }
        } else {
            writeCut(&buffer, start)
        }
        buffer.setInteger(query.id, at: start)
        buffer.setBytes(query.question, at: start + Wire.headerBytes)
        Reply.frame(&buffer, start)
        return buffer
    }

    private func shorten(_ buffer: inout ByteBuffer, _ start: Int, _ age: UInt32) {
        for offset in lifetimeOffsets {
            let index = start + Int(offset)
            let lifetime = buffer.getInteger(at: index, as: UInt32.self) ?? 0
            buffer.setInteger(lifetime > age ? lifetime - age : 0, at: index)
        }
    }

    /// The header, the question and OPT, marked as cut, so that the client comes back by TCP.
    private func writeCut(_ buffer: inout ByteBuffer, _ start: Int) {
        buffer.writeBytes(bytes[..<questionEnd])
        buffer.setInteger(flags.union(.truncated).rawValue, at: start + 2)
        buffer.setInteger(UInt32(0), at: start + 6)
        buffer.setInteger(UInt16(options == nil ? 0 : 1), at: start + 10)
        if let options { buffer.writeBytes(bytes[options]) }
    }
}

extension UpstreamAnswer {
    /// What is noted while the records go by.
    private struct Reading {
        let questionType: UInt16
        var lifetimeOffsets: [UInt16] = []
        var options: Range<Int>?
        private var shortest = UInt32.max
        private var isAnswered = false
        private var negative: UInt32?

        init(questionType: UInt16) { self.questionType = questionType }

        mutating func take(
            _ record: RecordView, _ message: Span<UInt8>, section: Int, start: Int
        ) throws(MessageError) {
            guard record.type != RecordType.opt else {
                guard section == 2, options == nil else { throw .options }
                options = start..<record.data.upperBound
                return
            }
            guard let offset = UInt16(exactly: record.ttlOffset) else { throw .short }
            lifetimeOffsets.append(offset)
            // A lifetime with the highest bit set counts as none (RFC 2181, 8).
            let lifetime = record.ttl > UInt32(Int32.max) ? 0 : record.ttl
            shortest = min(shortest, lifetime)
            switch section {
            case 0 where record.type == questionType || questionType == RecordType.any:
                isAnswered = true
            case 1 where record.type == RecordType.soa:
                // The last of the five numbers after two names.
                guard record.data.count >= 22 else { throw .short }
                negative = min(lifetime, try Wire.long(message, record.data.upperBound - 4))
            default:
                break
            }
        }

        func lifetime(_ flags: HeaderFlags, _ limits: ResolverLimits) -> UInt32 {
            guard !flags.contains(.truncated) else { return 0 }
            switch flags.responseCode {
            case ResponseCode.noError where isAnswered:
                return min(shortest, limits.positiveSecondsMax)
            case ResponseCode.noError, ResponseCode.nameError:
                guard let negative else { return 0 }
                return min(shortest, negative, limits.negativeSecondsMax)
            default:
                return 0
            }
        }
    }
}
