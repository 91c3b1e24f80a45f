/// Why something of the bucket failed.
package struct S3Error: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// The operator's settings cannot work.
        case configuration
        /// No connection.
        case unreachable
        /// The connection ended, or an answer was shorter than announced.
        case cut
        case timeout
        /// An answer with this status.
        case answered(Int)
        /// An answer that S3 does not give.
        case malformed
        case cancelled
    }

    package let kind: Kind
    package let message: String
    /// S3's own word, such as `NoSuchKey`; empty where there was none.
    package let code: String

    init(_ kind: Kind, _ message: String, code: String = "") {
        self.kind = kind
        self.message = message
        self.code = code
    }

    package var description: String { "S3: \(message)" }

    /// Whether the same request may do better later.
    package var isTransient: Bool {
        switch kind {
        case .unreachable, .cut, .timeout, .malformed: true
        case .answered(let status):
            [408, 429, 500, 502, 503, 504].contains(status) || Self.transientCodes.contains(code)
        case .configuration, .cancelled: false
        }
    }

    private static let transientCodes: Set<String> = [
        "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed", "Throttling",
        "ThrottlingException", "TooManyRequests", "OperationAborted", "BadDigest", "IncompleteBody",
    ]

    /// Parts that no upload has: what was kept of it is not whole.
    package static func noUpload(_ key: String) -> S3Error {
        S3Error(.answered(404), "\(key) has parts of no upload", code: "NoSuchUpload")
    }

    package var isNotFound: Bool { kind == .answered(404) }
}
