/// An API version such as 1.41.
package struct APIVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    package let major: Int
    package let minor: Int

    package init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// `1.41`; nil for anything else.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.count <= 4 && $0.allSatisfy(\.isNumber) }),
            let major = Int(parts[0]), let minor = Int(parts[1])
        else { return nil }
        self.init(major, minor)
    }

    package var description: String { "\(major).\(minor)" }

    package static func < (left: APIVersion, right: APIVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

/// One row of an API's table: method and path pattern, and what answers.
///
/// In a pattern `{name}` stands for one segment and `{name:.*}` for one or more, slashes included.
package struct Route<Handler: Sendable>: Sendable {
    package let method: Method
    package let pattern: String
    package let handler: Handler
    /// The first version that has it.
    package let since: APIVersion?

    package init(_ method: Method, _ pattern: String, _ handler: Handler, since: APIVersion? = nil) {
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.since = since
    }
}

/// Finds the row of a request, with or without a `/v1.NN` prefix.
package struct Router<Handler: Sendable>: Sendable {
    package struct Match: Sendable {
        package let handler: Handler
        /// Of the row, such as `/containers/{id}/json`.
        package let pattern: String
        package let parameters: [String: String]
        /// As in the path, or the newest.
        package let version: APIVersion
    }

    private enum Part: Sendable {
        case literal(String)
        case segment(String)
        case rest(String)
    }

    private struct Row: Sendable {
        let route: Route<Handler>
        let parts: [Part]
    }

    private let versions: ClosedRange<APIVersion>
    /// Rows by method and first segment, so that a request meets a few patterns only.
    private let rows: [Method: [String: [Row]]]

    package init(_ routes: [Route<Handler>], versions: ClosedRange<APIVersion>) {
        self.versions = versions
        var rows: [Method: [String: [Row]]] = [:]
        for route in routes {
            let parts = route.pattern.split(separator: "/").map(Self.part)
            let first = route.pattern.split(separator: "/").first.map(String.init) ?? ""
            rows[route.method, default: [:]][first, default: []].append(Row(route: route, parts: parts))
        }
        self.rows = rows
    }

    private static func part(_ text: Substring) -> Part {
        guard text.hasPrefix("{"), text.hasSuffix("}") else { return .literal(String(text)) }
        let name = text.dropFirst().dropLast()
        return name.hasSuffix(":.*") ? .rest(String(name.dropLast(3))) : .segment(String(name))
    }

    /// - Throws: ``HTTPError`` 404 for an unknown path or method, 400 for a version we do not speak.
    package func match(_ method: Method, _ path: String) throws(HTTPError) -> Match {
        var segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        var version = versions.upperBound
        if let first = segments.first, first.hasPrefix("v"), let asked = APIVersion(first.dropFirst()) {
            version = asked
            segments = segments.dropFirst()
        }
        guard let (row, parameters) = find(method, segments) else { throw HTTPError(404, "page not found") }
        try check(version)
        if let since = row.route.since, version < since { throw HTTPError(404, "page not found") }
        return Match(
            handler: row.route.handler, pattern: row.route.pattern, parameters: parameters, version: version)
    }

    private func check(_ version: APIVersion) throws(HTTPError) {
        guard version >= versions.lowerBound else {
            throw HTTPError(
                400,
                "client version \(version) is too old. Minimum supported API version is \(versions.lowerBound), "
                    + "please upgrade your client to a newer version")
        }
        guard version <= versions.upperBound else {
            throw HTTPError(
                400,
                "client version \(version) is too new. Maximum supported API version is \(versions.upperBound)")
        }
    }

    private func find(_ method: Method, _ segments: ArraySlice<Substring>) -> (Row, [String: String])? {
        guard let first = segments.first else { return nil }
        for row in rows[method]?[String(first)] ?? [] {
            if let parameters = Self.parameters(row.parts[...], segments) { return (row, parameters) }
        }
        return nil
    }

    private static func parameters(_ parts: ArraySlice<Part>, _ segments: ArraySlice<Substring>) -> [String: String]? {
        var segments = segments
        var result: [String: String] = [:]
        for (index, part) in parts.enumerated() {
            guard let segment = segments.first, !segment.isEmpty else { return nil }
            switch part {
            case .literal(let text):
                guard segment == text else { return nil }
                segments = segments.dropFirst()
            case .segment(let name):
                result[name] = String(segment)
                segments = segments.dropFirst()
            case .rest(let name):
                let count = segments.count - (parts.count - index - 1)
                guard count > 0 else { return nil }
                result[name] = segments.prefix(count).joined(separator: "/")
                segments = segments.dropFirst(count)
            }
        }
        return segments.isEmpty ? result : nil
    }
}
