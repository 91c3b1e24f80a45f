/// Spans of time as operators write them: `90s`, `10m`, `24h`, `7d`.
package enum TimeSpan {
    private static let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
    /// Days: a century.
    private static let daysMax: Int64 = 36500

    /// nil for any other text.
    package static func parse(_ text: String) -> Duration? {
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count >= 0,
            count <= daysMax * 86400 / unit
        else { return nil }
        return .seconds(count * unit)
    }
}
