import Actors
import Foundation
import HTTP
import Kernel
import NIOCore

/// Further processes in running containers.
enum Execs {
    static func create(_ call: Call) async throws -> Response {
        let wire = try await call.body(ExecCreateBody.self)
        guard let cmd = wire.cmd, !cmd.isEmpty else {
            throw EngineError(.invalidParameter, "No exec command specified")
        }
        var config = wire.config
        config.detachKeys = try DetachKeys(wire.detachKeys).bytes
        let id = try await call.engine.containers.createExec(call.id, config)
        return Call.json(["Id": .string(id)], status: 201)
    }

    static func start(_ call: Call) async throws -> Response {
        let wire = try await call.optionalBody(ExecStartBody.self) ?? ExecStartBody()
        let exec = try await call.engine.containers.exec(call.id)
        let state = await exec.inspect()
        let size = wire.consoleSize ?? []
        let rows = size.count == 2 ? size[0] : 0
        let columns = size.count == 2 ? size[1] : 0
        guard wire.detach != true else {
            _ = try await exec.start(detach: true, rows: rows, columns: columns)
            return Response(200)
        }
        let (tty, version) = (state.config.tty, call.version)
        let keys = tty ? DetachKeys(state.config.detachKeys) : nil
        return Response(
            headers: ["Content-Type": StreamFrame.contentType(tty: tty, version: version)],
            body: .takeover { stream in
                let streams: OwnedFD?
                // After the head: docker-py loses output that comes in one piece with it.
                do { streams = try await exec.start(detach: false, rows: rows, columns: columns) } catch {
                    return try await stream.write(refusal(error, tty))
                }
                if let streams, try await stream.splice(streams, leavingOn: keys) { await exec.detached() }
            })
    }

    /// Docker's clients know no refusal here: they upgrade, read the reason as output, then ask for the exit code.
    private static func refusal(_ error: any Error, _ tty: Bool) -> ByteBuffer {
        var text = ByteBuffer()
        let message = Array("\(APIError.describe(error).message)\r\n".utf8)
        if tty { text.writeBytes(message) } else { StreamFrame.append(1, message, to: &text) }
        return text
    }

    static func resize(_ call: Call) async throws -> Response {
        let (rows, columns) = try Containers.size(call)
        try await call.engine.containers.exec(call.id).resize(rows: rows, columns: columns)
        return Response(200)
    }

    static func inspect(_ call: Call) async throws -> Response {
        let state = try await call.engine.containers.exec(call.id).inspect()
        let config = state.config
        var process: JSON = [
            "tty": .bool(config.tty), "entrypoint": JSON(config.cmd.first ?? ""),
            "arguments": JSON(Array(config.cmd.dropFirst())), "privileged": .bool(config.privileged),
        ]
        if !config.user.isEmpty { process.append("user", .string(config.user)) }
        return Call.json([
            "ID": .string(state.id), "Running": .bool(state.running), "ExitCode": JSON(state.exitCode),
            "ProcessConfig": process,
            "OpenStdin": .bool(config.attachStdin), "OpenStderr": .bool(config.attachStderr),
            "OpenStdout": .bool(config.attachStdout), "CanRemove": .bool(state.canRemove),
            // Go's JSON of bytes.
            "ContainerID": .string(state.containerID),
            "DetachKeys": .string(Data(config.detachKeys).base64EncodedString()), "Pid": JSON(state.pid),
        ])
    }
}
