/// Columns aligned as Go's tabwriter does for Docker: as wide as the widest cell, three spaces between.
struct Table {
    private var rows: [[String]]
    /// Of each column but the last of a row.
    private var widths: [Int] = []

    init(_ header: [String]) {
        rows = []
        add(header)
    }

    mutating func add(_ row: [String]) {
        for (index, cell) in row.dropLast().enumerated() {
            if index == widths.count { widths.append(0) }
            widths[index] = max(widths[index], Self.width(of: cell))
        }
        rows.append(row)
    }

    /// In Unicode scalars, as Go's tabwriter counts.
    private static func width(of cell: String) -> Int { cell.utf8.count { $0 & 0xc0 != 0x80 } }

    /// The lines, each ending in a newline. The last column is not padded.
    func rendered(gap: Int = 3, minimum: Int = 10) -> String {
        let blanks = String(repeating: " ", count: (widths.max() ?? 0) + gap + minimum)
        var out = ""
        for row in rows {
            for (index, cell) in row.enumerated() {
                out += cell
                guard index < row.count - 1 else { break }
                let width = max(widths[index] + gap, minimum)
                out += Substring(blanks.utf8.prefix(width - Self.width(of: cell)))
            }
            out += "\n"
        }
        return out
    }
}
