/// A pattern of names, as rules have them: `*` stands for any characters, slashes included, `?` for one.
package struct NamePattern: Sendable, Hashable, Decodable, CustomStringConvertible {
    package let description: String
    private let bytes: [UInt8]

    package init(_ text: String) {
        description = text
        bytes = Array(text.utf8)
    }

    package init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// Takes time in proportion to the product of both lengths at most, whatever the pattern is.
    package func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        var (place, at) = (0, 0)
        /// Where the last star was, and up to where it stands for characters.
        var star: (place: Int, at: Int)?
        while at < name.count {
            if place < bytes.count, bytes[place] == UInt8(ascii: "*") {
                star = (place, at)
                place += 1
            } else if place < bytes.count, bytes[place] == UInt8(ascii: "?") || bytes[place] == name[at] {
                place += 1
                at += 1
            } else if let last = star {
                star = (last.place, last.at + 1)
                place = last.place + 1
                at = last.at + 1
            } else {
                return false
            }
        }
        return bytes[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

extension [NamePattern] {
    package func matches(_ name: String) -> Bool { contains { $0.matches(name) } }
}

/// Patterns of a rule: one as a text, or several as a list.
package struct NamePatterns: Sendable, Hashable, Decodable {
    package let all: [NamePattern]

    package init(_ texts: [String]) { all = texts.map { NamePattern($0) } }

    package init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let one = try? value.decode(String.self) {
            all = [NamePattern(one)]
        } else {
            all = try value.decode([NamePattern].self)
        }
    }
}
