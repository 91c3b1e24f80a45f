/// The `filters` of list operations: every key must match, and of a key's values any.
package enum Filter {
    /// - Throws: ``EngineError`` `.invalidParameter` for a filter that is not among `known`.
    package static func check(_ filters: [String: [String]], known: Set<String>) throws(EngineError) {
        for key in filters.keys.sorted() where !known.contains(key) {
            throw .invalid("invalid filter '\(key.printable)'")
        }
    }

    /// The truth of the filter `key`, or `fallback` where it is not given.
    ///
    /// - Throws: ``EngineError`` `.invalidParameter` for what is neither true nor false, or both.
    package static func truth(
        _ filters: [String: [String]], _ key: String, default fallback: Bool
    ) throws(EngineError) -> Bool {
        guard let wanted = filters[key], !wanted.isEmpty else { return fallback }
        let truths = Set(wanted.map(GoBool.parse))
        guard truths.count == 1, let truth = truths.first, let truth else {
            throw .invalid("invalid filter '\(key)=\(wanted.joined(separator: ",").printable)'")
        }
        return truth
    }

    package static func equals(_ wanted: [String]?, _ value: String) -> Bool {
        guard let wanted, !wanted.isEmpty else { return true }
        return wanted.contains(value)
    }

    package static func contains(_ wanted: [String]?, in value: String) -> Bool {
        guard let wanted, !wanted.isEmpty else { return true }
        return wanted.contains { value.contains($0) }
    }

    package static func hasPrefix(_ wanted: [String]?, of value: String) -> Bool {
        guard let wanted, !wanted.isEmpty else { return true }
        return wanted.contains { value.hasPrefix($0) }
    }

    /// `key` or `key=value`; all must hold, as in Docker.
    package static func labels(_ wanted: [String]?, _ labels: [String: String]) -> Bool {
        (wanted ?? []).allSatisfy { entry in
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let value = labels[String(parts[0])] else { return false }
            return parts.count == 1 || value == parts[1]
        }
    }

    /// `label!`: none may hold.
    package static func lacksLabels(_ unwanted: [String]?, _ labels: [String: String]) -> Bool {
        (unwanted ?? []).allSatisfy { !self.labels([$0], labels) }
    }

    package static func isTrue(_ wanted: [String]?) -> Bool {
        wanted?.contains { ["1", "true", "True", "TRUE", "t"].contains($0) } ?? false
    }

    /// No filter, or the filter's truth equals `value`.
    package static func flag(_ wanted: [String]?, _ value: Bool) -> Bool {
        guard let wanted, !wanted.isEmpty else { return true }
        return isTrue(wanted) == value
    }
}
