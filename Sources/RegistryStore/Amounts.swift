import OCI

/// A time as people write it (`TimeSpan`).
package struct Span: Sendable, Hashable, Decodable {
    package let seconds: Int64
    package var duration: Duration { .seconds(seconds) }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let duration = TimeSpan.parse(text) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription: "invalid time \(text.prefix(40)): want a number and s, m, h or d, such as 24h"))
        }
        seconds = duration.components.seconds
    }
}

/// A number of bytes as people write it: `512`, `50MB`, `2GB`, of which each is 1024 times the one before.
package struct ByteAmount: Sendable, Hashable, Decodable {
    package let bytes: Int64

    private static let units: [(name: String, shift: Int64)] = [
        ("KB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("B", 0),
    ]

    /// nil for what is none.
    package init?(_ text: String) {
        let upper = text.uppercased()
        let unit = Self.units.first { upper.hasSuffix($0.name) } ?? ("", 0)
        guard let count = Int64(upper.dropLast(unit.name.count)), count >= 0, count <= Int64.max >> unit.shift else {
            return nil
        }
        bytes = count << unit.shift
    }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let amount = ByteAmount(text) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription:
                        "invalid size \(text.prefix(40)): want a number and KB, MB, GB or TB, such as 50MB"
                ))
        }
        self = amount
    }
}
