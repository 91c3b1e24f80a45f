import OCI

/// What the engine answers when it will not or cannot: a kind that maps to one HTTP status, Docker's words, and a cause.
package struct EngineError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// 400
        case invalidParameter
        /// 401
        case unauthorized
        /// 403
        case forbidden
        /// 404
        case notFound
        /// 409
        case conflict
        /// 304: it already is as asked.
        case notModified
        /// 501
        case notImplemented
        /// 503
        case unavailable
        /// 500
        case system
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }

    package static func noSuchContainer(_ name: String) -> Self { .init(.notFound, "No such container: \(name)") }
    package static func noSuchImage(_ name: String) -> Self { .init(.notFound, "No such image: \(name)") }
    package static func noSuchVolume(_ name: String) -> Self { .init(.notFound, "get \(name): no such volume") }
    package static func notRunning(_ id: String) -> Self { .init(.conflict, "container \(id) is not running") }

    /// Any error as an `EngineError`: a known one keeps its code, the rest is `.system` with its text.
    package static func wrapping(_ error: any Error) -> EngineError {
        switch error {
        case let error as EngineError: error
        case let error as OCIError: EngineError(.invalidParameter, error.message)
        default: EngineError(.system, "\(error)")
        }
    }
}
