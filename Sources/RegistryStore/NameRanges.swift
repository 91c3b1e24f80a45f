/// Names of repositories as intervals in the order of bytes, none of which touches another: what somebody is told of, however
/// many grants name it how often. A list seeks from one to the next, and costs what its page and the intervals do.
struct NameRanges: Sendable, Hashable {
    struct Range: Sendable, Hashable {
        /// The first that may be in it.
        var low: String
        /// The first behind it; nil where it has no end.
        var high: String?

        /// What a statement asks of a column with names.
        func condition(_ column: String) -> (sql: String, arguments: [SQLValue]) {
            guard let high else { return ("\(column) >= ?", [.text(low)]) }
            return ("(\(column) >= ? AND \(column) < ?)", [.text(low), .text(high)])
        }
    }

    /// Intervals that are compared one after the other: fewer let a database use its index for each.
    private static let leafMax = 4
    /// Intervals that a statement compares with: SQLite takes seconds to make one that has thousands. With more, rows are looked
    /// at when they are here.
    static let comparedMax = 256

    let ranges: [Range]

    /// All names.
    static let all = NameRanges(ranges: [Range(low: "", high: nil)])

    private init(ranges: [Range]) { self.ranges = ranges }

    /// - Parameter names: of repositories; each stands for those below it, too.
    init(_ names: [String]) {
        // "0" comes after "/".
        let found = names.flatMap { [Range(low: $0, high: Self.after($0)), Range(low: $0 + "/", high: $0 + "0")] }
        var ranges: [Range] = []
        for range in found.sorted(by: { Self.isBefore($0.low, $1.low) }) {
            guard let last = ranges.last?.high, let high = range.high, !Self.isBefore(last, range.low) else {
                ranges.append(range)
                continue
            }
            if Self.isBefore(last, high) { ranges[ranges.count - 1].high = high }
        }
        self.ranges = ranges
    }

    /// Behind a text and before every name that comes after it: names have no character as low as this one.
    static func after(_ text: String) -> String { text + "!" }

    private static func isBefore(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    func contains(_ name: String) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if Self.isBefore(name, ranges[middle].low) { high = middle } else { low = middle + 1 }
        }
        guard low > 0 else { return false }
        return ranges[low - 1].high.map { Self.isBefore(name, $0) } ?? true
    }

    /// Those from `low` on and before `high`; nil for no end.
    func clipped(from low: String, to high: String?) -> NameRanges {
        NameRanges(
            ranges: ranges.compactMap { range in
                var range = range
                if Self.isBefore(range.low, low) { range.low = low }
                if let high { range.high = range.high.map { Self.isBefore($0, high) ? $0 : high } ?? high }
                return range.high.map { Self.isBefore(range.low, $0) } ?? true ? range : nil
            })
    }

    /// What a statement asks of a column whose names it does not seek by: a few comparisons, however many intervals there are.
    func condition(_ column: String) -> (sql: String, arguments: [SQLValue]) {
        if self == .all { return ("TRUE", []) }
        return ranges.isEmpty ? ("FALSE", []) : Self.condition(column, ranges[...])
    }

    private static func condition(_ column: String, _ ranges: ArraySlice<Range>) -> (sql: String, arguments: [SQLValue])
    {
        guard ranges.count > leafMax else {
            let each = ranges.map { $0.condition(column) }
            return ("(\(each.map(\.sql).joined(separator: " OR ")))", each.flatMap(\.arguments))
        }
        let middle = ranges.startIndex + ranges.count / 2
        let (before, behind) = (condition(column, ranges[..<middle]), condition(column, ranges[middle...]))
        return (
            "CASE WHEN \(column) < ? THEN \(before.sql) ELSE \(behind.sql) END",
            [.text(ranges[middle].low)] + before.arguments + behind.arguments
        )
    }
}
