/// A line of a README, and what it begins.
struct Line: Sendable, Hashable {
    let bytes: ArraySlice<UInt8>
    /// Blanks at the beginning.
    let indent: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        indent = bytes.prefix { $0 == 0x20 }.count
    }

    var isBlank: Bool { bytes.allSatisfy { $0 == 0x20 || $0 == 0x09 } }
    func dropping(_ count: Int) -> Line { Line(bytes.dropFirst(count)) }
    private var body: ArraySlice<UInt8> { bytes.dropFirst(indent) }

    /// Without blanks at both ends; two of them at the end break the line, as a backslash does.
    var trimmed: ArraySlice<UInt8> {
        let breaks = bytes.suffix(2).elementsEqual("  ".utf8)
        var text = body
        while let last = text.last, last == 0x20 || last == 0x09 { text.removeLast() }
        return breaks && !text.isEmpty ? text + "\\".utf8 : text
    }

    struct Fence: Sendable, Hashable {
        let mark: UInt8
        let count: Int
        let isBare: Bool
        func closes(_ other: Fence) -> Bool { isBare && mark == other.mark && count >= other.count }
    }

    var fence: Fence? {
        guard indent < 4, let mark = body.first, mark == UInt8(ascii: "`") || mark == UInt8(ascii: "~") else {
            return nil
        }
        let count = body.prefix { $0 == mark }.count
        let info = body.dropFirst(count)
        guard count >= 3, !info.contains(UInt8(ascii: "`")) else { return nil }
        return Fence(mark: mark, count: count, isBare: info.allSatisfy { $0 == 0x20 })
    }

    var heading: (level: Int, text: ArraySlice<UInt8>)? {
        let level = body.prefix { $0 == UInt8(ascii: "#") }.count
        let rest = body.dropFirst(level)
        guard (1...6).contains(level), rest.first.map({ $0 == 0x20 }) ?? true else { return nil }
        var text = Line(rest).trimmed
        let marks = text.reversed().prefix { $0 == UInt8(ascii: "#") }.count
        if marks > 0, marks == text.count || text.dropLast(marks).last == 0x20 {
            text = Line(text.dropLast(marks)).trimmed
        }
        return (level, text)
    }

    /// A line of `===` or `---` makes what is above it a heading.
    var underline: Int? {
        guard indent < 4, let mark = body.first, mark == UInt8(ascii: "=") || mark == UInt8(ascii: "-") else {
            return nil
        }
        let isWhole = body.drop { $0 == mark }.allSatisfy { $0 == 0x20 }
        return isWhole ? (mark == UInt8(ascii: "=") ? 1 : 2) : nil
    }

    var isRule: Bool {
        let marks = body.filter { $0 != 0x20 }
        guard let mark = marks.first, "*-_".utf8.contains(mark) else { return false }
        return marks.count >= 3 && marks.allSatisfy { $0 == mark }
    }

    var isQuote: Bool { indent < 4 && body.first == UInt8(ascii: ">") }
    var unquoted: Line {
        let rest = body.dropFirst()
        return Line(rest.first == 0x20 ? rest.dropFirst() : rest)
    }

    struct Bullet: Sendable, Hashable {
        let isOrdered: Bool
        let number: Int
        /// Bytes up to the item's text.
        let width: Int
    }

    var bullet: Bullet? {
        guard indent < 4, let first = body.first else { return nil }
        // A number of nine digits is none of a list, says CommonMark, too.
        let digits = body.prefix { (0x30...0x39).contains($0) }
        let mark: Int
        if "-*+".utf8.contains(first) {
            mark = 1
        } else if (1...9).contains(digits.count), let dot = body.dropFirst(digits.count).first, ".)".utf8.contains(dot)
        {
            mark = digits.count + 1
        } else {
            return nil
        }
        let rest = body.dropFirst(mark)
        guard rest.first == 0x20 else { return nil }
        let blanks = rest.prefix { $0 == 0x20 }.count
        let number = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return Bullet(isOrdered: !digits.isEmpty, number: number, width: indent + mark + (blanks <= 4 ? blanks : 1))
    }

    /// Whether no paragraph goes on with it.
    var endsParagraph: Bool { fence != nil || heading != nil || isRule || isQuote || bullet != nil }
}

/// A table as GitHub has them: a head, a line of dashes, rows.
struct Table {
    private let head: [ArraySlice<UInt8>]
    private let rows: [[ArraySlice<UInt8>]]

    /// Columns of one table: what has more is text.
    private static let columnsMax = 64

    /// Takes a table from the beginning of `rest`; nil when there is none.
    init?(_ rest: inout ArraySlice<Line>) {
        guard let first = rest.first, first.bytes.contains(UInt8(ascii: "|")), let dashes = rest.dropFirst().first,
            dashes.bytes.contains(UInt8(ascii: "-")),
            dashes.bytes.allSatisfy({ " |:-".utf8.contains($0) })
        else { return nil }
        let cells = Self.cells(first)
        guard cells.count == Self.cells(dashes).count, cells.count <= Self.columnsMax else { return nil }
        head = cells
        rest = rest.dropFirst(2)
        rows = Markdown.take(&rest) { !$0.isBlank && $0.bytes.contains(UInt8(ascii: "|")) }
            .map { Array(Self.cells($0).prefix(cells.count)) }
    }

    /// What is between the bars; one behind a backslash is text.
    private static func cells(_ line: Line) -> [ArraySlice<UInt8>] {
        let text = line.trimmed
        var (cells, start, isEscaped) = ([ArraySlice<UInt8>](), text.startIndex, false)
        for position in text.indices {
            if text[position] == UInt8(ascii: "|"), !isEscaped {
                cells.append(text[start..<position])
                start = position + 1
            }
            isEscaped = text[position] == UInt8(ascii: "\\") && !isEscaped
        }
        cells.append(text[start...])
        if text.first == UInt8(ascii: "|") { cells.removeFirst() }
        if cells.last?.allSatisfy({ $0 == 0x20 }) == true { cells.removeLast() }
        return cells.map { Line($0).trimmed }
    }

    var html: HTML {
        let titles = head.html { "<th scope=\"col\">\(Inline.html($0))</th>" }
        let body = rows.html { row in "<tr>\(row.html { "<td>\(Inline.html($0))</td>" })</tr>" }
        return """
            <div class="scroll" tabindex="0"><table><thead><tr>\(titles)</tr></thead><tbody>\(body)</tbody></table></div>
            """
    }
}
