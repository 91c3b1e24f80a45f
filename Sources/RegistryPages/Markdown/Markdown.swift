/// A README as markup: the parts of CommonMark and of GitHub's tables that READMEs have. It is a stranger's text: what it has
/// of HTML is left out, pictures become links, and links lead to the web alone. Everything takes time in proportion to the text.
package enum Markdown {
    /// Bytes that are rendered; a README that is longer ends there.
    package static let bytesMax = 256 << 10
    /// Quotes and lists inside of one another: deeper ones are text.
    static let depthMax = 6
    /// A README's headings come below the page's own.
    private static let headingMin = 3

    package static func html(_ text: String) -> HTML {
        let cut = text.utf8.count > bytesMax ? String(decoding: text.utf8.prefix(bytesMax), as: UTF8.self) : text
        let lines = cut.split(omittingEmptySubsequences: false) { $0.isNewline }
            .map { Line(Array(expanded($0).utf8)[...]) }
        return blocks(lines[...], depth: 0)
    }

    /// Tabs at the beginning of a line, as four blanks.
    private static func expanded(_ line: Substring) -> String {
        let indent = line.prefix { $0 == " " || $0 == "\t" }
        guard indent.contains("\t") else { return String(line) }
        return indent.reduce(into: "") { $0 += $1 == "\t" ? "    " : " " } + line.dropFirst(indent.count)
    }

    // MARK: Blocks

    static func blocks(_ lines: ArraySlice<Line>, depth: Int) -> HTML {
        var (rest, result) = (lines, HTML.empty)
        while let line = rest.first {
            if line.isBlank {
                rest.removeFirst()
            } else if let fence = line.fence {
                result += code(fenced: &rest, by: fence)
            } else if line.indent >= 4 {
                result += code(indented: &rest)
            } else if let heading = line.heading {
                rest.removeFirst()
                result += self.heading(heading.level, heading.text)
            } else if line.isRule {
                rest.removeFirst()
                result += "<hr>"
            } else if depth < depthMax, line.isQuote {
                let quoted = take(&rest) { $0.isQuote }
                result += "<blockquote>\(blocks(quoted.map(\.unquoted)[...], depth: depth + 1))</blockquote>"
            } else if depth < depthMax, line.bullet != nil {
                result += list(&rest, depth: depth)
            } else if let table = Table(&rest) {
                result += table.html
            } else {
                result += paragraph(&rest)
            }
        }
        return result
    }

    /// Takes lines from the beginning.
    static func take(_ rest: inout ArraySlice<Line>, while isPart: (Line) -> Bool) -> ArraySlice<Line> {
        let taken = rest.prefix(while: isPart)
        rest = rest.dropFirst(taken.count)
        return taken
    }

    private static func heading(_ level: Int, _ text: ArraySlice<UInt8>) -> HTML {
        let inline = Inline.html(text)
        switch min(6, level + headingMin - 1) {
        case 3: return "<h3>\(inline)</h3>"
        case 4: return "<h4>\(inline)</h4>"
        case 5: return "<h5>\(inline)</h5>"
        default: return "<h6>\(inline)</h6>"
        }
    }

    private static func code(fenced rest: inout ArraySlice<Line>, by fence: Line.Fence) -> HTML {
        let indent = rest.removeFirst().indent
        let body = take(&rest) { $0.fence.map { !$0.closes(fence) } ?? true }
        rest = rest.dropFirst()
        return code(body.map { $0.dropping(min(indent, $0.indent)) })
    }

    private static func code(indented rest: inout ArraySlice<Line>) -> HTML {
        var body = take(&rest) { $0.indent >= 4 || $0.isBlank }
        while body.last?.isBlank == true { body.removeLast() }
        return code(body.map { $0.dropping(min(4, $0.indent)) })
    }

    private static func code(_ lines: [Line]) -> HTML {
        let text = lines.map { String(decoding: $0.bytes, as: UTF8.self) }.joined(separator: "\n")
        return "<pre tabindex=\"0\"><code>\(text)</code></pre>"
    }

    private static func paragraph(_ rest: inout ArraySlice<Line>) -> HTML {
        // What has come here is text, whatever it looks like.
        var lines = [rest.removeFirst()]
        while let line = rest.first, !line.isBlank {
            if let level = line.underline {
                rest.removeFirst()
                return heading(level, joined(lines))
            }
            guard !line.endsParagraph else { break }
            lines.append(line)
            rest.removeFirst()
        }
        let inline = Inline.html(joined(lines))
        return inline.text.allSatisfy(\.isWhitespace) ? .empty : "<p>\(inline)</p>"
    }

    private static func joined(_ lines: [Line]) -> ArraySlice<UInt8> {
        lines.map { $0.trimmed }.joined(separator: [0x0a]).map { $0 }[...]
    }

    /// Items of one kind, each with what is indented below it.
    private static func list(_ rest: inout ArraySlice<Line>, depth: Int) -> HTML {
        guard let first = rest.first?.bullet else { return .empty }
        var items = HTML.empty
        while let line = rest.first, let bullet = line.bullet, bullet.isOrdered == first.isOrdered {
            rest.removeFirst()
            var body = [line.dropping(bullet.width)]
            while let next = rest.first {
                let isBelow = next.indent >= bullet.width || (next.isBlank && isBelowBlank(rest, bullet.width))
                let goesOn = !next.isBlank && !next.endsParagraph && body.last?.isBlank == false
                guard isBelow || goesOn else { break }
                body.append(next.dropping(min(bullet.width, next.indent)))
                rest.removeFirst()
            }
            items += "<li>\(item(body, depth: depth))</li>"
            let after = rest.drop { $0.isBlank }
            if after.first?.bullet?.isOrdered == first.isOrdered { rest = after }
        }
        return first.isOrdered ? "<ol start=\"\(first.number)\">\(items)</ol>" : "<ul>\(items)</ul>"
    }

    /// Whether what comes after an empty line still is of the item.
    private static func isBelowBlank(_ rest: ArraySlice<Line>, _ width: Int) -> Bool {
        // One empty line is looked behind: more of them end an item, and cost nothing.
        rest.dropFirst().first.map { !$0.isBlank && $0.indent >= width } ?? false
    }

    /// A short item is no paragraph.
    private static func item(_ lines: [Line], depth: Int) -> HTML {
        let isShort = lines.allSatisfy { !$0.isBlank && !$0.endsParagraph && $0.indent < 4 && $0.underline == nil }
        return isShort ? Inline.html(joined(lines)) : blocks(lines[...], depth: depth + 1)
    }
}
