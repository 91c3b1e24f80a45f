/// Text inside of a paragraph: code, emphasis, links.
struct Inline {
    /// Emphasis and links inside of one another: deeper ones are text.
    private static let depthMax = 6

    /// What a mark began, and where it ends.
    private typealias Found = (html: HTML, end: Int)

    private let text: ArraySlice<UInt8>
    private let depth: Int
    /// Whether this is a link's text, which has no other in it.
    private let isLinked: Bool
    private var position: Int
    private var result = HTML.empty
    /// Where text begins that has not been written yet.
    private var pending: Int
    /// Marks that nothing further on closes: they are not looked for again.
    private var unclosed: Set<[UInt8]> = []
    /// The bracket that closes each one that opens.
    private let brackets: [Int: Int]
    /// Where runs of so many backticks begin that may still close one, the last first.
    private var ticks: [Int: [Int]]

    static func html(_ text: ArraySlice<UInt8>) -> HTML { html(text, depth: 0, isLinked: false) }

    private static func html(_ text: ArraySlice<UInt8>, depth: Int, isLinked: Bool) -> HTML {
        guard depth < depthMax else { return HTML(escaping: String(decoding: text, as: UTF8.self)) }
        var inline = Inline(text, depth, isLinked)
        return inline.run()
    }

    private init(_ text: ArraySlice<UInt8>, _ depth: Int, _ isLinked: Bool) {
        self.text = text
        self.depth = depth
        self.isLinked = isLinked
        position = text.startIndex
        pending = text.startIndex
        brackets = Self.brackets(text)
        ticks = Self.ticks(text)
    }

    private static func brackets(_ text: ArraySlice<UInt8>) -> [Int: Int] {
        var (pairs, open, isEscaped) = ([Int: Int](), [Int](), false)
        for position in text.indices {
            let byte = text[position]
            if byte == UInt8(ascii: "["), !isEscaped { open.append(position) }
            if byte == UInt8(ascii: "]"), !isEscaped, let start = open.popLast() { pairs[start] = position }
            isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
        }
        return pairs
    }

    /// Looked up and not searched for: there may be as many lengths as a text has room for.
    private static func ticks(_ text: ArraySlice<UInt8>) -> [Int: [Int]] {
        var (runs, end) = ([Int: [Int]](), text.endIndex)
        while let last = text[..<end].lastIndex(of: UInt8(ascii: "`")) {
            let start = (text[..<last].lastIndex { $0 != UInt8(ascii: "`") }).map { $0 + 1 } ?? text.startIndex
            runs[last + 1 - start, default: []].append(start)
            end = start
        }
        return runs
    }

    private mutating func run() -> HTML {
        while position < text.endIndex {
            let found: Found?
            switch text[position] {
            case UInt8(ascii: "\\"): found = escape()
            case UInt8(ascii: "`"): found = code()
            case UInt8(ascii: "*"), UInt8(ascii: "_"), UInt8(ascii: "~"): found = emphasis()
            case UInt8(ascii: "!"): found = byte(1) == UInt8(ascii: "[") ? link(position + 1, isPicture: true) : nil
            case UInt8(ascii: "["): found = link(position, isPicture: false)
            case UInt8(ascii: "<"): found = tag()
            case UInt8(ascii: "&"): found = entity()
            case UInt8(ascii: "h"): found = address()
            default: found = nil
            }
            if let found {
                write(upTo: position)
                result += found.html
                position = found.end
                pending = found.end
            } else {
                position += 1
            }
        }
        write(upTo: text.endIndex)
        return result
    }

    private func byte(_ offset: Int) -> UInt8? { position + offset < text.endIndex ? text[position + offset] : nil }

    private mutating func write(upTo end: Int) {
        result += HTML(escaping: String(decoding: text[pending..<end], as: UTF8.self))
    }

    private func inner(_ range: Range<Int>, ofLink: Bool = false) -> HTML {
        Self.html(text[range], depth: depth + 1, isLinked: isLinked || ofLink)
    }

    private func string(_ range: Range<Int>) -> String { String(decoding: text[range], as: UTF8.self) }

    /// Where `mark` comes next, from `start` on.
    private mutating func find(_ mark: [UInt8], from start: Int) -> Int? {
        guard !unclosed.contains(mark), start <= text.endIndex else { return nil }
        if let found = text[start...].firstRange(of: mark) { return found.lowerBound }
        unclosed.insert(mark)
        return nil
    }

    // MARK: What a mark begins

    private func escape() -> Found? {
        guard let next = byte(1) else { return nil }
        if next == 0x0a { return ("<br>", position + 2) }
        let isMark =
            (0x21...0x2f).contains(next) || (0x3a...0x40).contains(next) || (0x5b...0x60).contains(next)
            || (0x7b...0x7e).contains(next)
        return isMark ? (HTML(escaping: string(position + 1..<position + 2)), position + 2) : nil
    }

    private mutating func code() -> Found? {
        let count = text[position...].prefix { $0 == UInt8(ascii: "`") }.count
        while let next = ticks[count]?.last, next < position + count { ticks[count]?.removeLast() }
        guard let end = ticks[count]?.last else {
            // All of them are text: the second would be looked for like the first.
            return (HTML(escaping: string(position..<position + count)), position + count)
        }
        return ("<code>\(string(position + count..<end))</code>", end + count)
    }

    private mutating func emphasis() -> Found? {
        let mark = text[position]
        let count = text[position...].prefix(2).prefix { $0 == mark }.count
        if mark == UInt8(ascii: "~"), count < 2 { return nil }
        let isWord = position > text.startIndex && Self.isWord(text[position - 1])
        // snake_case is a name.
        if mark == UInt8(ascii: "_"), isWord { return nil }
        let start = position + count
        guard start < text.endIndex, text[start] != 0x20, text[start] != 0x0a,
            let end = find([UInt8](repeating: mark, count: count), from: start), end > start, text[end - 1] != 0x20
        else { return nil }
        let body = inner(start..<end)
        if mark == UInt8(ascii: "~") { return ("<del>\(body)</del>", end + count) }
        return (count == 2 ? "<strong>\(body)</strong>" : "<em>\(body)</em>", end + count)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte >= 0x80
    }

    /// `[text](address "title")`. A picture becomes a link to it: no page fetches anything from elsewhere.
    private mutating func link(_ open: Int, isPicture: Bool) -> Found? {
        guard let close = brackets[open], close + 1 < text.endIndex, text[close + 1] == UInt8(ascii: "("),
            let end = find([UInt8(ascii: ")")], from: close + 2)
        else { return nil }
        let address = text[(close + 2)..<end].prefix { $0 != 0x20 && $0 != 0x0a }
        let body = inner(open + 1..<close, ofLink: true)
        guard !isLinked, let target = Link.web(String(decoding: address, as: UTF8.self)) else {
            return (body, end + 1)
        }
        let shown = body == .empty && isPicture ? HTML(escaping: target) : body
        return (.outside(target, shown), end + 1)
    }

    /// `<https://…>` is a link; every other tag is left out, with comments.
    private mutating func tag() -> Found? {
        guard let next = byte(1), Self.isWord(next) || next == UInt8(ascii: "/") || next == UInt8(ascii: "!") else {
            return nil
        }
        if text[position...].starts(with: "<!--".utf8) {
            guard let end = find(Array("-->".utf8), from: position + 4) else { return nil }
            return (.empty, end + 3)
        }
        guard let end = find([UInt8(ascii: ">")], from: position) else { return nil }
        if !isLinked, let target = Link.web(string(position + 1..<end)) {
            return (.outside(target, HTML(escaping: target)), end + 1)
        }
        let isBreak = string(position..<min(end, position + 3)).lowercased() == "<br"
        return (isBreak ? "<br>" : .empty, end + 1)
    }

    private static let entities = ["amp": "&", "lt": "<", "gt": ">", "quot": "\"", "nbsp": "\u{a0}", "copy": "©"]

    private func entity() -> Found? {
        let name = text[(position + 1)...].prefix(5).prefix { $0 != UInt8(ascii: ";") }
        guard name.endIndex < text.endIndex, text[name.endIndex] == UInt8(ascii: ";"),
            let character = Self.entities[String(decoding: name, as: UTF8.self)]
        else { return nil }
        return (HTML(escaping: character), name.endIndex + 1)
    }

    /// An address that stands in the text.
    private func address() -> Found? {
        let rest = text[position...].prefix(Link.addressBytesMax + 1)
        guard !isLinked, rest.starts(with: "http://".utf8) || rest.starts(with: "https://".utf8),
            position == text.startIndex || !Self.isWord(text[position - 1])
        else { return nil }
        var body = rest.prefix { $0 > 0x20 && !"<>\"'`|()[]*".utf8.contains($0) }
        while let last = body.last, ".,;:!?".utf8.contains(last) { body.removeLast() }
        // What is cut here is not linked; it is cut between two characters, and not looked at again.
        if body.count > Link.addressBytesMax { while let last = body.last, last >= 0x80 { body.removeLast() } }
        let shown = String(decoding: body, as: UTF8.self)
        guard body.count > "https://".utf8.count, let target = Link.web(shown) else {
            return (HTML(escaping: shown), body.endIndex)
        }
        return (.outside(target, HTML(escaping: shown)), body.endIndex)
    }
}
