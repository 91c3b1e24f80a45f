/// A value that is stored as its text.
package protocol TextCoded: Codable, CustomStringConvertible {
    /// What the text is, for errors: "an IP address".
    static var kind: String { get }
    init?(_ text: some StringProtocol)
}

extension TextCoded {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Self(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is not \(Self.kind)")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
