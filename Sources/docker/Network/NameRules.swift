/// `--link`: `NAME`, `NAME:ALIAS`.
enum LinkRule: ListRule {
    static func value(of text: String) throws(FlagReason) -> String {
        guard !text.isEmpty else { throw FlagReason("empty string specified for links") }
        guard text.utf8.filter({ $0 == 0x3a }).count < 2 else { throw FlagReason("bad format for links: \(text)") }
        return text
    }
}

/// `--dns`: an address, kept in its shortest notation.
enum NameServerRule: ListRule {
    static func value(of text: String) throws(FlagReason) -> String {
        guard let address = IPAddress(text.trimmed) else {
            throw FlagReason("IP address is not correctly formatted: \(text)")
        }
        return address.description
    }

    /// Whether a container has this address for itself, so that it rarely is the name server that is meant.
    static func isLoopback(_ address: String) -> Bool { address == "::1" || address.hasPrefix("127.") }
}

/// `--dns-search`: a domain's name, or `.` for none.
enum SearchDomainRule: ListRule {
    /// RFC 1035, in bytes.
    private static let lengthMax = 254

    static func value(of text: String) throws(FlagReason) -> String {
        let name = text.trimming { $0 == " " }
        if name == "." { return name }
        let domain = name.hasSuffix(".") ? String(name.dropLast()) : name
        let labels = domain.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.allSatisfy(isLabel), domain.utf8.count <= lengthMax, domain.contains(where: \.isLetter) else {
            throw FlagReason("\(name) is not a valid domain")
        }
        return domain
    }

    private static func isLabel(_ label: Substring) -> Bool {
        !label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.unicodeScalars.allSatisfy {
                $0 == "-" || $0.isASCII && $0.properties.isAlphabetic || ("0"..."9").contains($0)
            }
    }
}

/// `--add-host`: `NAME:ADDRESS` or `NAME=ADDRESS`, sent with a colon and without brackets.
enum ExtraHostRule: ListRule {
    static func value(of text: String) throws(FlagReason) -> String {
        let separator: Character = text.contains("=") ? "=" : ":"
        let (name, behind) = text.cut(separator)
        guard !name.isEmpty, !name.contains(":"), var address = behind else {
            throw FlagReason("bad format for add-host: \(text.goQuoted)")
        }
        if address == "host-gateway" { return "\(name):\(address)" }
        if address.utf8.count > 2, address.hasPrefix("["), address.hasSuffix("]") {
            address = String(address.dropFirst().dropLast())
        }
        guard IPAddress(address.trimmed) != nil else {
            throw FlagReason("invalid IP address in add-host: \(address.goQuoted)")
        }
        return "\(name):\(address)"
    }
}
