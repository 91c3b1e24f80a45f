@preconcurrency import Glibc

extension String {
    /// Whether this is an IPv4 or IPv6 address in its usual notation.
    var isIPAddress: Bool {
        var bytes = in6_addr()
        return inet_pton(AF_INET, self, &bytes) == 1 || inet_pton(AF_INET6, self, &bytes) == 1
    }
}

extension StringProtocol {
    /// The text without the matching characters at both ends.
    func trimming(_ matches: (Character) -> Bool) -> String {
        var slice = self[...]
        while let first = slice.first, matches(first) { slice = slice.dropFirst() }
        while let last = slice.last, matches(last) { slice = slice.dropLast() }
        return String(slice)
    }

    /// The text without white space at both ends.
    var trimmed: String { trimming(\.isWhitespace) }

    /// The scheme of a URL and what is behind its `://`; no scheme without one.
    var scheme: (name: String?, rest: String) {
        var index = startIndex
        while let colon = self[index...].firstIndex(of: ":") {
            if self[colon...].hasPrefix("://") {
                return (String(self[..<colon]), String(self[self.index(colon, offsetBy: 3)...]))
            }
            index = self.index(after: colon)
        }
        return (nil, String(self))
    }

    /// The parts before and after the first `separator`; the second is `nil` without one.
    func cut(_ separator: Character) -> (String, String?) {
        guard let index = firstIndex(of: separator) else { return (String(self), nil) }
        return (String(self[..<index]), String(self[self.index(after: index)...]))
    }
}
