/// A SELECT of those names alone that are in some ranges, by seeks in the index of a column with names.
struct RangedSelect {
    /// Seeks of one statement: each statement may be a round trip, and each seek may give a page of which nothing is wanted.
    private static let seeksMax = 16

    let connection: any SQLConnection
    /// `SELECT … FROM … WHERE …`, to which a condition and an order can be added.
    let sql: String
    let arguments: [SQLValue]
    /// As the tables call it; in the answer it is `name`.
    let column: String
    let ranges: NameRanges

    /// The first `countMax` rows by name. Nothing is read of the ranges behind those that have them, but for what one statement asks.
    func byName(isDescending: Bool, countMax: Int) throws -> [SQLRow] {
        let direction = isDescending ? " DESC" : ""
        var rows: [SQLRow] = []
        for batch in Self.batches(isDescending ? ranges.ranges.reversed() : ranges.ranges) {
            let count = SQLValue.integer(Int64(countMax - rows.count))
            let conditions = batch.map { $0.condition(column) }
            let parts = conditions.enumerated().map { place, condition in
                "SELECT * FROM (\(sql) AND \(condition.sql) ORDER BY \(column)\(direction) LIMIT ?) AS ranged\(place)"
            }
            rows += try connection.rows(
                "\(parts.joined(separator: " UNION ALL ")) ORDER BY name\(direction) LIMIT ?",
                conditions.flatMap { arguments + $0.arguments + [count] } + [count])
            guard rows.count < countMax else { break }
        }
        return rows
    }

    /// The first `countMax` rows of each few ranges, by the numbers of some columns: the first of all are among them. All rows of all
    /// ranges are read, and no others.
    func byNumbers(_ columns: [String], isDescending: Bool, countMax: Int) throws -> [SQLRow] {
        // A sum has no index, which would be read from one end to the other for a few names.
        let order = columns.map { "\($0) + 0\(isDescending ? " DESC" : "")" }.joined(separator: ", ")
        return try Self.batches(ranges.ranges).flatMap { batch in
            let conditions = batch.map { $0.condition(column) }
            let parts = conditions.map { "\(sql) AND \($0.sql)" }
            return try connection.rows(
                "SELECT * FROM (\(parts.joined(separator: " UNION ALL "))) AS ranged ORDER BY \(order) LIMIT ?",
                conditions.flatMap { arguments + $0.arguments } + [.integer(Int64(countMax))])
        }
    }

    /// How many rows there are; nothing but the index is read.
    func count() throws -> Int64 {
        try Self.batches(ranges.ranges).reduce(0) { sum, batch in
            let each = batch.map { $0.condition(column) }
            let counts = each.map { "(SELECT count(*) FROM (\(sql) AND \($0.sql)) AS ranged)" }
            let row = try connection.row(
                "SELECT \(counts.joined(separator: " + ")) AS count", each.flatMap { arguments + $0.arguments })
            return sum + (try row?.integer("count") ?? 0)
        }
    }

    private static func batches(_ ranges: [NameRanges.Range]) -> [[NameRanges.Range]] {
        stride(from: 0, to: ranges.count, by: seeksMax).map { Array(ranges[$0..<min($0 + seeksMax, ranges.count)]) }
    }
}
