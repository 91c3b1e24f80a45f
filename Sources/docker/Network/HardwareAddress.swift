/// Addresses of network cards.
enum HardwareAddress {
    /// Whether this is an address of 6, 8 or 20 bytes in one of the usual notations: `02:42:ac:11:00:02`,
    /// `02-42-ac-11-00-02` or `0242.ac11.0002`.
    static func isValid(_ text: String) -> Bool {
        [(":", 2), ("-", 2), (".", 4)].contains { (separator: Character, digits: Int) in
            let groups = text.split(separator: separator, omittingEmptySubsequences: false)
            return [6, 8, 20].contains(groups.count * digits / 2)
                && groups.allSatisfy { $0.utf8.count == digits && $0.utf8.allSatisfy(isHexadecimal) }
        }
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }
}
