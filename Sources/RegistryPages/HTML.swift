/// Markup that is safe to send. Literals of this program are markup; everything that is put into one is text and is escaped,
/// unless it is markup itself. There is no way from a string that was made elsewhere to markup but by escaping it.
///
///     let row: HTML = "<td title=\"\(name)\">\(name)</td>"
///
/// A value inside of a tag goes between double quotes. What becomes an address goes through ``Link`` first.
package struct HTML: Sendable, Hashable, ExpressibleByStringInterpolation {
    /// As it is sent.
    package private(set) var text: String

    package static let empty: HTML = ""

    /// Of a literal; `StaticString` is none that was made at run time.
    package init(stringLiteral value: StaticString) { text = value.description }
    package init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }

    /// `text`, escaped.
    package init(escaping text: some StringProtocol) { self.text = Self.escaped(text) }

    /// The sheet and the script that are a part of this program: neither has anything to be escaped in it.
    init(trusting sheet: Stylesheet.Type) { text = sheet.text }
    init(trusting script: Script.Type) { text = script.text }

    package struct StringInterpolation: StringInterpolationProtocol {
        package typealias StringLiteralType = StaticString
        fileprivate var text = ""

        package init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity * 2) }

        package mutating func appendLiteral(_ literal: StaticString) { text += literal.description }
        package mutating func appendInterpolation(_ value: HTML) { text += value.text }
        package mutating func appendInterpolation(_ value: some StringProtocol) { text += HTML.escaped(value) }
        package mutating func appendInterpolation(_ value: some BinaryInteger) { text += "\(value)" }
        package mutating func appendInterpolation(_ value: HTML?) { if let value { text += value.text } }
    }

    package static func += (left: inout HTML, right: HTML) { left.text += right.text }
    package static func + (left: HTML, right: HTML) -> HTML {
        var sum = left
        sum += right
        return sum
    }

    /// Characters that turn the direction of what follows: a name would read as another.
    private static let directions: Set<UInt32> = [
        0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069,
    ]

    /// `text` for between tags and for values in double quotes. Control characters, which no page may have, and those that
    /// turn the direction of writing are shown as U+FFFD.
    private static func escaped(_ text: some StringProtocol) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\n", "\t": result.unicodeScalars.append(scalar)
            case _
            where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || directions.contains(scalar.value):
                result += "\u{fffd}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

extension Sequence<HTML> {
    /// One after another.
    package func joined() -> HTML { reduce(into: HTML.empty) { $0 += $1 } }
}

extension Sequence {
    /// The markup of each, one after another.
    package func html(_ body: (Element) -> HTML) -> HTML { reduce(into: HTML.empty) { $0 += body($1) } }
}

extension Optional {
    /// The markup of what is there, and nothing of what is not.
    package func html(_ body: (Wrapped) -> HTML) -> HTML { map(body) ?? .empty }
}
