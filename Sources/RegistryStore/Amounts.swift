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

/// A number of bytes as people write it (`ByteCount`).
package struct ByteAmount: Sendable, Hashable, Decodable {
    package let bytes: Int64

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let count = ByteCount.parse(text) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription:
                        "invalid size \(text.prefix(40)): want a number of bytes such as 500MB, 50GB or 2TiB"))
        }
        bytes = count
    }
}
