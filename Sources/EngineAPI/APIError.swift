import Actors
import HTTP
import Kernel
import OCI
import Registry

/// The only place where an error becomes a status; the body is always `{"message": ...}`.
enum APIError {
    static func response(_ error: any Error) -> Response {
        let (status, message) = describe(error)
        guard status != 304 else { return Response(304) }
        return Call.json(["message": .string(message)], status: status)
    }

    /// Status and message of any error.
    static func describe(_ error: any Error) -> (status: Int, message: String) {
        switch error {
        case let error as HTTPError: (error.status, error.message)
        case let error as EngineError: (status(error.code), error.message)
        case let error as OCIError: (400, reference(error))
        case let error as RegistryError: (status(error.code), error.description)
        case is DecodingError: (400, "invalid JSON: \(reason(error))")
        default: (500, "\(error)")
        }
    }

    private static func reference(_ error: OCIError) -> String {
        let words = "invalid reference format"
        return error.message.hasPrefix(words) ? error.message : "\(words): \(error.message)"
    }

    private static func status(_ code: EngineError.Code) -> Int {
        switch code {
        case .invalidParameter: 400
        case .unauthorized: 401
        case .forbidden: 403
        case .notFound: 404
        case .conflict: 409
        case .notModified: 304
        case .notImplemented: 501
        case .unavailable: 503
        case .system: 500
        }
    }

    private static func status(_ code: RegistryError.Code) -> Int {
        switch code {
        case .unauthorized: 401
        case .denied: 403
        case .notFound, .manifestUnknown, .noPlatform: 404
        case .invalid: 400
        default: 500
        }
    }

    /// Which member of a request is wrong, and how.
    private static func reason(_ error: any Error) -> String {
        func path(_ context: DecodingError.Context) -> String {
            let names = context.codingPath.map(\.stringValue).joined(separator: ".")
            return names.isEmpty ? context.debugDescription : "\(names): \(context.debugDescription)"
        }
        return switch error as? DecodingError {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
            .dataCorrupted(let context):
            path(context)
        default: "\(error)"
        }
    }
}
