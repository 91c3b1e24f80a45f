import Actors
import Foundation
import HTTP
import Kernel
import NIOCore

extension Containers {
    // MARK: Attach

    /// Joins the client to the container's monitor, before or after the start.
    static func attach(_ call: Call) async throws -> Response {
        let container = try await call.container()
        let tty = await container.snapshot().record.config.tty ?? false
        // Which the request names.
        let streams = Container.Streams(
            stdin: call.flag("stdin"), stdout: call.flag("stdout"), stderr: call.flag("stderr"))
        let showsLog = call.flag("logs")
        let keys = try DetachKeys(call.text("detachKeys"))
        guard call.flag("stream") else {
            guard showsLog else {
                throw EngineError(.invalidParameter, "you must choose at least one stream: stream=1 or logs=1")
            }
            return try await logTakeover(call, container, tty: tty, streams)
        }
        let (history, box) = try await attached(container, streams, tty: tty, showsLog: showsLog)
        return Response(
            headers: ["Content-Type": StreamFrame.contentType(tty: tty, version: call.version)],
            body: .takeover { stream in
                if let history { try await replay(history) { try await stream.write($0) } }
                let hasLeft = try await stream.splice(try box.take(), leavingOn: tty ? keys : nil)
                if hasLeft { await container.detached() }
            })
    }

    private static func attached(
        _ container: Container, _ streams: Container.Streams, tty: Bool, showsLog: Bool
    ) async throws -> (history: LogReader?, socket: DescriptorBox) {
        guard showsLog else { return (nil, DescriptorBox(try await container.attach(streams))) }
        let (history, socket) = try await container.attach(streams, after: logOptions(streams, tty: tty))
        return (history, socket)
    }

    private static func logOptions(_ streams: Container.Streams, tty: Bool) -> LogOptions {
        var options = LogOptions()
        options.isFramed = !tty
        options.stdout = streams.stdout
        options.stderr = streams.stderr
        return options
    }

    private static func logTakeover(
        _ call: Call, _ container: Container, tty: Bool, _ streams: Container.Streams
    ) async throws -> Response {
        let history = try await container.logs(logOptions(streams, tty: tty))
        return Response(
            headers: ["Content-Type": StreamFrame.contentType(tty: tty, version: call.version)],
            body: .takeover { stream in try await replay(history) { try await stream.write($0) } })
    }

    // MARK: Logs

    static func logs(_ call: Call) async throws -> Response {
        var options = LogOptions()
        options.stdout = call.flag("stdout")
        options.stderr = call.flag("stderr")
        guard options.stdout || options.stderr else {
            throw EngineError(.invalidParameter, "Bad parameters: you must choose at least one stream")
        }
        options.follow = call.flag("follow")
        options.details = call.flag("details")
        options.timestamps = call.flag("timestamps")
        // "all", or anything that is no number, means everything, as in Docker.
        options.tail = call.text("tail").flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
        options.since = try call.time("since")
        options.until = try call.time("until")
        let container = try await call.container()
        let tty = await container.snapshot().record.config.tty ?? false
        options.isFramed = !tty
        let reader = try await container.logs(options)
        return Response(
            headers: ["Content-Type": StreamFrame.contentType(tty: tty, version: call.version)],
            body: .stream { writer in try await replay(reader) { try await writer.write($0) } })
    }

    /// Writes records until the log ends, a block of them at a time.
    private static func replay(_ reader: LogReader, _ write: (ByteBuffer) async throws -> Void) async throws {
        var reader = reader
        while let block = try await reader.next() { try await write(ByteBuffer(bytes: block)) }
    }

    // MARK: Terminal size

    /// `h` and `w` of a request.
    static func size(_ call: Call) throws -> (rows: Int, columns: Int) {
        guard let rows = try call.int("h"), let columns = try call.int("w"), (0...65535).contains(rows),
            (0...65535).contains(columns)
        else { throw EngineError(.invalidParameter, "invalid terminal size: h and w must be numbers up to 65535") }
        return (rows, columns)
    }

    static func resize(_ call: Call) async throws -> Response {
        let (rows, columns) = try size(call)
        try await call.container().resize(rows: rows, columns: columns)
        return Response(200)
    }

    // MARK: Stats

    static func stats(_ call: Call) async throws -> Response {
        let container = try await call.container()
        let isStream = call.flag("stream", default: true)
        let isOneShot = call.flag("one-shot")
        return Response(
            headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                var previous: StatsSample?
                while true {
                    let sample = try await container.stats()
                    // Without a stream the one answer needs two samples, or says at once that it has only one.
                    if isStream || isOneShot || previous != nil || sample.counters == nil {
                        let record = await container.snapshot().record
                        var line = StatsWire.value(record, sample, previous: previous).bytes
                        line.writeStaticString("\n")
                        try await writer.write(line)
                        if !isStream { return }
                    }
                    previous = sample
                    try await Task.sleep(for: .seconds(1))
                }
            })
    }
}
