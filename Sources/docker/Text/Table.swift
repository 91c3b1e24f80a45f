/// Columns aligned as Go's tabwriter does for Docker: as wide as the widest cell, three spaces between.
struct Table {
    private var rows: [[String]]

    init(_ header: [String]) { rows = [header] }

    mutating func add(_ row: [String]) { rows.append(row) }

    /// The lines, each ending in a newline. The last column is not padded.
    func rendered(gap: Int = 3, minimum: Int = 10) -> String {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() where index < row.count - 1 {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.unicodeScalars.count)
            }
        }
        var out = ""
        for row in rows {
            for (index, cell) in row.enumerated() {
                out += cell
                guard index < row.count - 1 else { break }
                let width = max(widths[index] + gap, minimum)
                out += String(repeating: " ", count: width - cell.unicodeScalars.count)
            }
            out += "\n"
        }
        return out
    }
}
