import Actors
import HTTP
import LayerFS
import NIOCore

extension Containers {
    static func changes(_ call: Call) async throws -> Response {
        let changes = try await call.container().changes()
        guard !changes.isEmpty else { return Call.json(nil) }
        return Call.json(
            .array(changes.map { ["Path": .string($0.text), "Kind": JSON($0.kind.rawValue)] }))
    }

    static func export(_ call: Call) async throws -> Response {
        let stream = try await call.container().export()
        return Response(
            headers: ["Content-Type": "application/x-tar"], body: .stream { try await stream.send(to: $0) })
    }

    // MARK: Archive

    static func statPath(_ call: Call) async throws -> Response {
        try await Archives.status(of: call.container(), call)
    }

    static func getArchive(_ call: Call) async throws -> Response {
        try await Archives.get(from: call.container(), call)
    }

    static func putArchive(_ call: Call) async throws -> Response {
        try await Archives.put(into: call.container(), call)
    }
}
