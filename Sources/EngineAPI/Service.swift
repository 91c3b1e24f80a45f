package import Actors
package import HTTP
package import Logging

/// The Engine API over the engine: finds the handler of a request and answers its errors.
package struct EngineAPI: Sendable {
    /// Versions spoken.
    package static let versions = APIVersion(1, 24)...APIVersion(1, 51)

    private let engine: Engine
    private let logger: Logger
    private let router = Router(Endpoints.all, versions: Self.versions)

    package init(_ engine: Engine, logger: Logger) {
        self.engine = engine
        self.logger = logger
    }

    /// What a server needs to serve it.
    package var service: HTTPService {
        let logger = logger
        return HTTPService(
            respond: { try await respond($0) }, failure: { Self.marked(APIError.response($0)) },
            noteBroken: { head, error in
                logger.debug(
                    "answer was cut short", metadata: ["path": "\(head.path)", "error": "\(error)"])
            },
            noteLimit: { logger.warning("\($0.rawValue)") })
    }

    private func respond(_ request: Request) async throws -> Response {
        let match = try router.match(request.method, request.path)
        let call = Call(
            engine: engine, request: request, parameters: match.parameters, version: match.version, logger: logger)
        do {
            let response = Self.marked(try await match.handler(call))
            note(request, match.pattern, status: response.status)
            return response
        } catch {
            let (status, message) = APIError.describe(error)
            note(request, match.pattern, status: status)
            // What the engine does not do is told to the client alone.
            if status == 500 {
                logger.error("request failed", metadata: ["path": "\(request.path)", "error": "\(message)"])
            }
            throw error
        }
    }

    /// What was asked by whom, for a daemon that logs more. Names and queries are left out: they may hold secrets.
    private func note(_ request: Request, _ pattern: String, status: Int) {
        logger.debug(
            "request",
            metadata: [
                "operation": "\(request.method) \(pattern)", "status": "\(status)",
                "agent": "\((request.headers["user-agent"] ?? "").printable)",
            ])
    }

    /// The headers every answer carries.
    private static func marked(_ response: Response) -> Response {
        var response = response
        response.headers.add("Api-Version", "\(versions.upperBound)")
        response.headers.add("Docker-Experimental", "false")
        response.headers.add("Ostype", "linux")
        response.headers.add("Server", "Docker/\(Engine.version) (linux)")
        return response
    }
}

/// Answers one call.
typealias Handler = @Sendable (Call) async throws -> Response
typealias Endpoint = Route<Handler>
