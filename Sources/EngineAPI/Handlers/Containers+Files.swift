import Actors
import Foundation
import HTTP
import Kernel
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

    private static let statHeader = "X-Docker-Container-Path-Stat"

    private static func path(_ call: Call) throws -> String {
        guard let path = call.text("path") else {
            throw EngineError(.invalidParameter, "bad parameter: 'path' cannot be empty")
        }
        return path
    }

    static func statPath(_ call: Call) async throws -> Response {
        let status = try await call.container().statPath(try path(call))
        return Response(headers: ["Content-Type": "application/json", statHeader: encoded(status)])
    }

    static func getArchive(_ call: Call) async throws -> Response {
        let container = try await call.container()
        let path = try path(call)
        let status = try await container.statPath(path)
        let stream = try await container.archive(path)
        return Response(
            headers: ["Content-Type": "application/x-tar", statHeader: encoded(status)],
            body: .stream { try await stream.send(to: $0) })
    }

    static func putArchive(_ call: Call) async throws -> Response {
        let container = try await call.container()
        let path = try path(call)
        let keepsKind = call.flag("noOverwriteDirNonDir")
        try await PipeTransfer.receive(call.request.body) { reader in
            try await container.extract(into: path, noOverwriteDirNonDir: keepsKind, from: reader)
        }
        return Response(200)
    }

    /// Base64 of the JSON that the Docker client decodes.
    private static func encoded(_ status: PathStatus) -> String {
        let seconds = status.mtime.seconds
        let time = Timestamp(
            nanosecondsSince1970: seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue
                &+ Int64(status.mtime.nanoseconds))
        let value: JSON = [
            "name": .string(status.name), "size": .int(status.size), "mode": .int(Int64(status.mode)),
            "mtime": .string(time.text), "linkTarget": .string(status.linkTarget),
        ]
        return Data(value.bytes.readableBytesView).base64EncodedString()
    }
}
