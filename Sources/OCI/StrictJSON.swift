/// What a JSON document that a digest names must be beyond well formed, so that every reader reads it alike: UTF-8 (not
/// UTF-16, which some decoders take), one object or array, and no member twice in one object, of which some decoders
/// take
/// the first and others the last (RFC 8259 §4, §8.1).
package enum StrictJSON {
    /// Objects and arrays inside of one another: what Foundation's decoder reads at most.
    private static let depthMax = 512

    package enum Top: UInt8, Sendable {
        case object = 0x7b
        case array = 0x5b
    }

    /// Checks all of `bytes`; whether they are well formed otherwise is the decoder's to say.
    ///
    /// - Throws: ``OCIError`` that says what is wrong.
    package static func check(_ bytes: [UInt8], is top: Top = .object) throws(OCIError) {
        guard bytes.first(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }) == top.rawValue, !bytes.contains(0) else {
            throw OCIError("it is not a JSON \(top == .object ? "object" : "array") in UTF-8")
        }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw OCIError("it is not UTF-8") }
        var scanner = Scanner(bytes: bytes)
        try scanner.run()
    }

    /// Follows strings, objects and arrays; everything else is passed over.
    private struct Scanner {
        private enum Frame {
            case array
            case object(names: Set<[UInt8]>, isName: Bool)
        }

        let bytes: [UInt8]
        private var position = 0
        private var frames: [Frame] = []

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func run() throws(OCIError) {
            while position < bytes.count {
                let byte = bytes[position]
                position += 1
                switch byte {
                case 0x22: try take(string())
                case 0x7b: try open(.object(names: [], isName: true))
                case 0x5b: try open(.array)
                case 0x7d, 0x5d: _ = frames.popLast()
                case 0x2c: expectName(true)
                case 0x3a: expectName(false)
                default: break
                }
            }
        }

        private mutating func open(_ frame: Frame) throws(OCIError) {
            guard frames.count < StrictJSON.depthMax else {
                throw OCIError("it is nested deeper than \(StrictJSON.depthMax)")
            }
            frames.append(frame)
        }

        private mutating func expectName(_ isName: Bool) {
            guard case .object(let names, _) = frames.last else { return }
            frames[frames.count - 1] = .object(names: names, isName: isName)
        }

        private mutating func take(_ text: [UInt8]) throws(OCIError) {
            guard case .object(var names, true) = frames.last else { return }
            frames[frames.count - 1] = .array  // so that the set is not shared while it changes
            guard names.insert(text).inserted else {
                throw OCIError("member \(OCIError.quoted(String(decoding: text, as: UTF8.self))) is there twice")
            }
            frames[frames.count - 1] = .object(names: names, isName: true)
        }

        /// The content of the string whose opening quote was read.
        private mutating func string() -> [UInt8] {
            var text: [UInt8] = []
            while position < bytes.count, bytes[position] != 0x22 {
                if bytes[position] == 0x5c {
                    text += escape()
                } else {
                    text.append(bytes[position])
                    position += 1
                }
            }
            position += 1
            return text
        }

        /// What the backslash here and what follows stand for.
        private mutating func escape() -> [UInt8] {
            position += 1
            guard position < bytes.count else { return [] }
            let byte = bytes[position]
            position += 1
            switch byte {
            case 0x62: return [0x08]
            case 0x66: return [0x0c]
            case 0x6e: return [0x0a]
            case 0x72: return [0x0d]
            case 0x74: return [0x09]
            case 0x75:
                let digits = String(decoding: bytes[position...].prefix(4), as: UTF8.self)
                guard digits.utf8.count == 4, let unit = UInt32(digits, radix: 16) else { return [byte] }
                position += 4
                // Halves of a pair stay as they are written: equal names are equal that way, too.
                guard let scalar = Unicode.Scalar(unit) else { return Array("\\u\(digits.lowercased())".utf8) }
                return Array(String(Character(scalar)).utf8)
            default: return [byte]
            }
        }
    }
}
