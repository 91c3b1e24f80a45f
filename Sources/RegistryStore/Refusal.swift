import OCI

/// Why a request is refused: code and status of the OCI distribution specification ("Error Codes"), and what was wrong.
package struct Refusal: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Code: String, Sendable, Hashable {
        case blobUnknown = "BLOB_UNKNOWN"
        case uploadInvalid = "BLOB_UPLOAD_INVALID"
        case uploadUnknown = "BLOB_UPLOAD_UNKNOWN"
        case digestInvalid = "DIGEST_INVALID"
        case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
        case manifestInvalid = "MANIFEST_INVALID"
        case manifestUnknown = "MANIFEST_UNKNOWN"
        case nameInvalid = "NAME_INVALID"
        case nameUnknown = "NAME_UNKNOWN"
        case sizeInvalid = "SIZE_INVALID"
        case tagInvalid = "TAG_INVALID"
        case unauthorized = "UNAUTHORIZED"
        case denied = "DENIED"
        case unsupported = "UNSUPPORTED"
        case tooManyRequests = "TOOMANYREQUESTS"
        /// Not of the specification, but of what most clients know from distribution.
        case pageInvalid = "PAGINATION_NUMBER_INVALID"
        case rangeInvalid = "RANGE_INVALID"
        case unknown = "UNKNOWN"
    }

    package let code: Code
    package let status: Int
    package let message: String
    /// When to ask again, where somebody has said so; whole seconds.
    package let retryAfter: Duration?

    package init(_ code: Code, _ status: Int, _ message: String, retryAfter: Duration? = nil) {
        self.retryAfter = retryAfter
        self.code = code
        self.status = status
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }

    static func blobUnknown(_ digest: some CustomStringConvertible) -> Refusal {
        Refusal(.blobUnknown, 404, "blob unknown to registry: \(digest)")
    }

    static func manifestUnknown(_ reference: some CustomStringConvertible) -> Refusal {
        Refusal(.manifestUnknown, 404, "manifest unknown: \(reference)")
    }

    static let uploadUnknown = Refusal(
        .uploadUnknown, 404, "blob upload unknown to registry: it has ended or expired, begin another")

    static let tooManyUploads = Refusal(
        .tooManyRequests, 429, "too many uploads are under way: end some, or try again later")

    static let uploadIsBusy = Refusal(
        .uploadInvalid, 409, "another request writes to this upload: wait for its end")

    static func wrongDigest(_ digest: Digest, found: Digest) -> Refusal {
        Refusal(
            .digestInvalid, 400, "provided digest \(digest) did not match uploaded content, which has \(found)")
    }
}
