/// An element of an answer. What S3 answers is plain: elements, text, the five entities; nothing else is taken.
struct XMLNode: Sendable {
    let name: String
    fileprivate(set) var text = ""
    fileprivate(set) var children: [XMLNode] = []

    /// The text of the first child of that name.
    subscript(_ name: String) -> String? { children.first { $0.name == name }?.text }
    func all(_ name: String) -> [XMLNode] { children.filter { $0.name == name } }

    /// - Throws: ``S3Error`` `malformed`.
    static func parse(_ bytes: [UInt8]) throws(S3Error) -> XMLNode {
        var parser = XMLParser(bytes)
        return try parser.document()
    }
}

private struct XMLParser {
    /// Elements inside one another: S3's answers have four.
    private static let depthMax = 16

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private func broken(_ what: String) -> S3Error {
        S3Error(.malformed, "the answer is no XML: \(what) at byte \(position)")
    }

    mutating func document() throws(S3Error) -> XMLNode {
        skipSpace()
        if starts(with: "<?xml") {
            guard let end = find("?>") else { throw broken("a declaration without an end") }
            position = end + 2
        }
        skipSpace()
        let root = try element(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw broken("something after the end") }
        return root
    }

    private mutating func element(depth: Int) throws(S3Error) -> XMLNode {
        guard depth < Self.depthMax else { throw broken("too many elements inside one another") }
        guard starts(with: "<") else { throw broken("no element") }
        position += 1
        let name = try self.name()
        guard let close = find(">") else { throw broken("a tag without an end") }
        // Attributes are name spaces and types: nothing depends on them.
        let isEmpty = bytes[close - 1] == 0x2f
        guard !bytes[position..<close].contains(0x3c) else { throw broken("a tag inside a tag") }
        position = close + 1
        var node = XMLNode(name: name)
        if isEmpty { return node }
        var text: [UInt8] = []
        while true {
            guard position < bytes.count else { throw broken("\(name) does not end") }
            if starts(with: "</") {
                position += 2
                guard try self.name() == name, starts(with: ">") else { throw broken("\(name) ends otherwise") }
                position += 1
                node.text = String(decoding: text, as: UTF8.self)
                return node
            }
            if bytes[position] == 0x3c {
                node.children.append(try element(depth: depth + 1))
            } else {
                text += try character()
            }
        }
    }

    private mutating func name() throws(S3Error) -> String {
        let start = position
        while position < bytes.count, URICoding.isUnreserved(bytes[position]) || bytes[position] == 0x3a {
            position += 1
        }
        guard position > start else { throw broken("an element without a name") }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private static let entities: [String: UInt8] = ["amp": 0x26, "lt": 0x3c, "gt": 0x3e, "quot": 0x22, "apos": 0x27]
    /// Bytes of the longest reference, `&#x10FFFF;`.
    private static let entityBytesMax = 10

    private mutating func character() throws(S3Error) -> [UInt8] {
        let byte = bytes[position]
        guard byte == 0x26 else {
            position += 1
            return [byte]
        }
        guard let end = find(";"), end - position <= Self.entityBytesMax else { throw broken("a bare &") }
        let text = String(decoding: bytes[position + 1..<end], as: UTF8.self)
        position = end + 1
        if let known = Self.entities[text] { return [known] }
        let isHex = text.hasPrefix("#x")
        guard text.hasPrefix("#"), let code = UInt32(text.dropFirst(isHex ? 2 : 1), radix: isHex ? 16 : 10),
            let scalar = Unicode.Scalar(code)
        else { throw broken("an unknown entity") }
        return Array(String(Character(scalar)).utf8)
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
    }

    private func starts(with text: String) -> Bool { bytes[position...].starts(with: text.utf8) }

    private func find(_ text: String) -> Int? {
        let wanted = Array(text.utf8)
        var index = position
        while index + wanted.count <= bytes.count {
            if bytes[index] == wanted[0], bytes[index..<index + wanted.count].elementsEqual(wanted) { return index }
            index += 1
        }
        return nil
    }
}
