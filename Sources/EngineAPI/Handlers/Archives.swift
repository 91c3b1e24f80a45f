import Actors
import Foundation
import HTTP
import Kernel
import LayerFS
import NIOCore

/// What `docker cp` asks of a container or a volume.
enum Archives {
    private static let statHeader = "X-Docker-Container-Path-Stat"

    private static func path(_ call: Call) throws -> String {
        guard let path = call.text("path") else {
            throw EngineError(.invalidParameter, "bad parameter: 'path' cannot be empty")
        }
        return path
    }

    static func status(of tree: some FileTree, _ call: Call) async throws -> Response {
        let status = try await tree.statPath(try path(call))
        return Response(headers: ["Content-Type": "application/json", statHeader: encoded(status)])
    }

    static func get(from tree: some FileTree, _ call: Call) async throws -> Response {
        let path = try path(call)
        let status = try await tree.statPath(path)
        let stream = try await tree.archive(path)
        return Response(
            headers: ["Content-Type": "application/x-tar", statHeader: encoded(status)],
            body: .stream { try await stream.send(to: $0) })
    }

    static func put(into tree: some FileTree, _ call: Call) async throws -> Response {
        let path = try path(call)
        let keepsKind = call.flag("noOverwriteDirNonDir")
        try await PipeTransfer.receive(call.request.body) { reader in
            try await tree.extract(into: path, noOverwriteDirNonDir: keepsKind, from: reader)
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

extension Volumes {
    static func statPath(_ call: Call) async throws -> Response { try await Archives.status(of: files(call), call) }

    static func getArchive(_ call: Call) async throws -> Response { try await Archives.get(from: files(call), call) }

    static func putArchive(_ call: Call) async throws -> Response { try await Archives.put(into: files(call), call) }

    private static func files(_ call: Call) -> VolumeFiles { call.engine.files(of: call.id) }
}
