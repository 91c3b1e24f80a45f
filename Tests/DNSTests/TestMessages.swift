/// Messages built from a few words; nothing here is shared with what is tested.
enum TestMessage {
    static let a: UInt16 = 1
    static let soa: UInt16 = 6
    static let txt: UInt16 = 16
    static let aaaa: UInt16 = 28

    static func words(_ values: UInt16...) -> [UInt8] {
        values.flatMap { (value: UInt16) -> [UInt8] in [UInt8(value >> 8), UInt8(value & 255)] }
    }

    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    /// A query, with an OPT record when `payload` is given.
    static func query(
        _ text: String, _ type: UInt16 = a, id: UInt16 = 0x1234, flags: UInt16 = 0x0100, payload: UInt16? = nil,
        wantsSignatures: Bool = false, options: [UInt8] = []
    ) -> [UInt8] {
        var bytes = words(id, flags, 1, 0, 0, payload == nil ? 0 : 1) + name(text) + words(type, 1)
        if let payload {
            bytes += [0] + words(41, payload, 0, wantsSignatures ? 0x8000 : 0, UInt16(options.count)) + options
        }
        return bytes
    }

    struct Record {
        var name: [UInt8] = [0xC0, 0x0C]
        var type = a
        var ttl: UInt32 = 300
        var data: [UInt8] = [192, 0, 2, 1]

        var bytes: [UInt8] {
            name + words(type, 1, UInt16(ttl >> 16), UInt16(ttl & 0xFFFF), UInt16(data.count)) + data
        }

        static func soa(ttl: UInt32 = 900, minimum: UInt32) -> Record {
            let numbers: [UInt32] = [1, 2, 3, 4, minimum]
            let data: [UInt8] = [0, 0] + numbers.flatMap { words(UInt16($0 >> 16), UInt16($0 & 0xFFFF)) }
            return Record(type: TestMessage.soa, ttl: ttl, data: data)
        }
    }

    /// Where the question of a query ends.
    static func questionEnd(_ query: [UInt8]) -> Int {
        var position = 12
        while query[position] != 0 { position += 1 + Int(query[position]) }
        return position + 5
    }

    /// An answer to `query`.
    static func answer(
        _ query: [UInt8], flags: UInt16 = 0x8180, _ answers: [Record] = [], authority: [Record] = [],
        extra: [UInt8] = []
    ) -> [UInt8] {
        let end = questionEnd(query)
        var bytes = Array(query[..<2]) + words(flags)
        bytes += words(1, UInt16(answers.count), UInt16(authority.count), extra.isEmpty ? 0 : 1)
        bytes += query[12..<end]
        for record in answers + authority { bytes += record.bytes }
        return bytes + extra
    }

    static func code(_ message: [UInt8]) -> UInt8 { message[3] & 15 }
    static func isTruncated(_ message: [UInt8]) -> Bool { message[2] & 2 != 0 }
    static func answerCount(_ message: [UInt8]) -> Int { Int(message[6]) << 8 | Int(message[7]) }
    /// The lifetime of the first answer, whose name is a pointer.
    static func lifetime(_ message: [UInt8]) -> UInt32 {
        let start = questionEnd(message) + 6
        return message[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
    static func framed(_ message: [UInt8]) -> [UInt8] { words(UInt16(message.count)) + message }
}
