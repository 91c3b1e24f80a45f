/// A key of a JSON object by any name.
package struct NamedKey: CodingKey, ExpressibleByStringLiteral, Sendable {
    package let stringValue: String
    package var intValue: Int? { nil }

    package init(stringLiteral value: String) { stringValue = value }
    package init?(stringValue: String) { self.stringValue = stringValue }
    package init?(intValue: Int) { return nil }
}

extension Decoder {
    /// Members of an object that a person has written: a key that is misspelt would be as good as not there.
    ///
    /// - Throws: `DecodingError` that names a key which is none of `known`.
    package func members(_ known: Set<String>) throws -> KeyedDecodingContainer<NamedKey> {
        let members = try container(keyedBy: NamedKey.self)
        for key in members.allKeys.sorted(by: { $0.stringValue < $1.stringValue })
        where !known.contains(key.stringValue) {
            let choice = known.sorted().joined(separator: ", ")
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: codingPath,
                    debugDescription: "unknown key \(OCIError.quoted(key.stringValue)): want one of \(choice)"))
        }
        return members
    }
}
