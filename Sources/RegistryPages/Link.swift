import OCI

/// Addresses of pages, and of what images name elsewhere. They are markup's values: each is put between double quotes.
package enum Link {
    /// Bytes of an address that an image names: longer ones are shown and not linked.
    static let addressBytesMax = 2048

    /// `text` as a part of a path or of a query (RFC 3986 §2.3, and what names of repositories have beside it).
    package static func escaped(_ text: some StringProtocol) -> String {
        var result = ""
        for byte in text.utf8 {
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "-._~/:".utf8.contains(byte)
            result += isPlain ? String(UnicodeScalar(byte)) : "%" + Digest.hex([byte]).uppercased()
        }
        return result
    }

    /// - Parameter query: names with their values; those without a value are left out.
    package static func path(_ path: String, _ query: KeyValuePairs<String, String?> = [:]) -> String {
        let parts = query.compactMap { name, value in value.map { "\(name)=\(escaped($0))" } }
        return parts.isEmpty ? path : path + "?" + parts.joined(separator: "&")
    }

    package static func repository(_ name: String) -> String { "/r/" + escaped(name) }
    package static func tag(_ tag: String, of name: String) -> String { "/r/\(escaped(name)):\(escaped(tag))" }
    package static func manifest(_ digest: String, of name: String) -> String {
        "/r/\(escaped(name))@\(escaped(digest))"
    }

    /// What an image says is an address on the web; nil for everything that a browser could do more with than go there.
    package static func web(_ text: some StringProtocol) -> String? {
        let isWeb = ["https://", "http://"].contains { text.lowercased().hasPrefix($0) }
        guard isWeb, text.utf8.count <= addressBytesMax,
            text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7f && $0 != "\\" })
        else { return nil }
        return String(text)
    }
}

extension HTML {
    /// A link to somewhere else: it is told nothing of us, and we vouch for nothing.
    package static func outside(_ address: String, _ text: HTML) -> HTML {
        "<a href=\"\(address)\" rel=\"nofollow noopener noreferrer ugc\">\(text)</a>"
    }

    /// `text`, which leads there when it is an address on the web.
    static func value(_ text: String) -> HTML {
        Link.web(text).map { .outside($0, HTML(escaping: text)) } ?? HTML(escaping: text)
    }

    /// As ``value(_:)``, without the scheme, which says little and takes a line of a narrow column.
    static func shortValue(_ text: String) -> HTML {
        guard let address = Link.web(text) else { return HTML(escaping: text) }
        return .outside(address, HTML(escaping: address.drop { $0 != ":" }.dropFirst("://".count)))
    }
}
