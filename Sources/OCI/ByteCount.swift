/// Numbers of bytes as operators write and read them: `500MB` of thousands, `500MiB` of 1024s.
package enum ByteCount {
    private static let units: [(name: String, bytes: Int64)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("B", 1), ("", 1),
    ]

    /// nil for any other text, and for more than fits.
    package static func parse(_ text: String) -> Int64? {
        guard let unit = units.first(where: { text.uppercased().hasSuffix($0.name.uppercased()) }),
            let number = Int64(text.dropLast(unit.name.count)), number >= 0
        else { return nil }
        let (bytes, isTooMuch) = number.multipliedReportingOverflow(by: unit.bytes)
        return isTooMuch ? nil : bytes
    }

    /// `48.2GB`, of thousands.
    package static func text(_ bytes: Int64) -> String {
        guard let unit = units.first(where: { !$0.name.contains("i") && bytes >= $0.bytes }), unit.bytes > 1 else {
            return "\(bytes)B"
        }
        let tenths = bytes / (unit.bytes / 10)
        return "\(tenths / 10).\(tenths % 10)\(unit.name)"
    }
}
