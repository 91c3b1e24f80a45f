import Actors
import HTTP
import LayerFS
import NIOCore

/// Transfer events as lines of JSON.
enum Progress {
    typealias Events = AsyncThrowingStream<TransferEvent, any Error>

    /// Holds an iterator while its first event is awaited outside of the response's closure.
    private struct Begun: @unchecked Sendable {  // made by one task for one closure, which runs once
        let first: TransferEvent?
        var rest: Events.AsyncIterator
    }

    /// Answers with the events. An error before the first is a status of its own, a later one the last line.
    static func response(_ events: Events) async throws -> Response {
        var iterator = events.makeAsyncIterator()
        let first = try await iterator.next()
        let begun = Begun(first: first, rest: iterator)
        return Response(
            headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                try await reporting(writer) {
                    var rest = begun.rest
                    if let first = begun.first { try await writer.write(line(first)) }
                    while let event = try await rest.next() { try await writer.write(line(event)) }
                }
            })
    }

    /// Runs `body`; its error becomes the last line.
    static func reporting(_ writer: ResponseWriter, _ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as ConnectionClosed {
            throw error
        } catch {
            try Task.checkCancellation()
            let message = APIError.describe(error).message
            var line = JSON.object([
                ("errorDetail", ["message": .string(message)]), ("error", .string(message)),
            ]).bytes
            line.writeStaticString("\r\n")
            try await writer.write(line)
        }
    }

    static func send(
        _ events: Events, to writer: ResponseWriter, where isWanted: (TransferEvent) -> Bool
    ) async throws {
        for try await event in events where isWanted(event) { try await writer.write(line(event)) }
    }

    static func line(_ event: TransferEvent) -> ByteBuffer {
        var bytes = value(event).bytes
        bytes.writeStaticString("\r\n")
        return bytes
    }

    private static func value(_ event: TransferEvent) -> JSON {
        var value: JSON = [:]
        if let aux = event.aux {
            value.append("progressDetail", [:])
            value.append("aux", self.aux(aux))
            return value
        }
        if event.isStream { return ["stream": .string(event.status)] }
        value.append("status", .string(event.status))
        if event.id != nil || event.current != nil { value.append("progressDetail", detail(event)) }
        if let current = event.current { value.append("progress", .string(bar(current, event.total ?? 0))) }
        if let id = event.id { value.append("id", .string(id)) }
        return value
    }

    private static func detail(_ event: TransferEvent) -> JSON {
        var detail: JSON = [:]
        if let current = event.current { detail.append("current", .int(current)) }
        if let total = event.total, total > 0 { detail.append("total", .int(total)) }
        return detail
    }

    private static func aux(_ aux: TransferEvent.Aux) -> JSON {
        switch aux {
        case .pushed(let tag, let digest, let size):
            ["Tag": .string(tag), "Digest": .string("\(digest)"), "Size": .int(size)]
        case .stored(let new, let known):
            [
                "NewChunks": .int(Int64(new.chunks)), "NewBytes": .int(new.bytes),
                "KnownChunks": .int(Int64(known.chunks)), "KnownBytes": .int(known.bytes),
            ]
        case .trace(let layers):
            [
                "trace": .array(
                    layers.flatMap { layer in
                        layer.spans.map { span in
                            [
                                "layer": .string(layer.layer), "stage": .string(span.stage), "start": .uint(span.start),
                                "end": .uint(span.end), "bytes": .int(span.bytes), "busy": .uint(span.busy),
                            ]
                        }
                    })
            ]
        }
    }

    /// Docker's bar of fifty, and the amounts.
    static func bar(_ current: Int64, _ total: Int64) -> String {
        guard total > 0 else { return HumanText.size(current).leftPadded(to: 8) }
        let share = min(50, Int(Double(max(0, current)) / Double(total) * 50))
        let bar = String(repeating: "=", count: share) + ">" + String(repeating: " ", count: 50 - share)
        return "[\(share == 50 ? String(repeating: "=", count: 50) + ">" : bar)]  "
            + "\(HumanText.size(current).leftPadded(to: 8))/\(HumanText.size(total))"
    }
}

extension String {
    func leftPadded(to count: Int) -> String { String(repeating: " ", count: max(0, count - self.count)) + self }
}
