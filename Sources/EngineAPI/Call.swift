import Actors
import Foundation
import HTTP
import Kernel
import Logging
import NIOCore
import OCI
import Registry

/// One request to a handler: where it came in, and typed access to its parameters.
struct Call: Sendable {
    /// Bytes of a JSON body: a container's configuration with thousands of variables and labels fits.
    private static let jsonBytesMax = 8 << 20

    let engine: Engine
    let request: Request
    let parameters: [String: String]
    let version: APIVersion
    let logger: Logger

    /// The `{id}` or `{name}` of the path.
    var id: String { parameters["id"] ?? parameters["name"] ?? "" }

    // MARK: Query

    func text(_ name: String) -> String? {
        request.query[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Docker's truth: anything but nothing, 0, no, false and none.
    func flag(_ name: String, default fallback: Bool = false) -> Bool {
        guard let text = request.query[name] else { return fallback }
        return !["", "0", "no", "false", "none"].contains(text.lowercased().trimmingCharacters(in: .whitespaces))
    }

    func int(_ name: String) throws -> Int? {
        guard let text = text(name) else { return nil }
        guard let value = Int(text) else {
            throw EngineError(
                .invalidParameter, "invalid value \"\(text)\" of parameter \(name): must be a whole number")
        }
        return value
    }

    /// A time to wait in seconds, at most what a clock can be set to: whoever gives more means for ever.
    func seconds(_ name: String) throws -> Int? { try int(name).map { min($0, Int(Int32.max)) } }

    /// `platform`: os[/arch[/variant]].
    func platform() throws -> Platform? {
        guard let text = text("platform") else { return nil }
        do { return try Platform(text) } catch {
            throw EngineError(.invalidParameter, error.message)
        }
    }

    /// A time: seconds since 1970 with an optional fraction, or RFC 3339.
    func time(_ name: String) throws -> Timestamp? {
        guard let text = text(name), text != "0" else { return nil }
        if let time = Timestamp(text) { return time }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count > 1 ? parts[1].prefix(9) : ""
        let padded = fraction + String(repeating: "0", count: 9 - fraction.count)
        guard let seconds = Int64(parts[0]), let nanoseconds = Int64(padded), nanoseconds >= 0,
            seconds.magnitude < UInt64(Int64.max / 1_000_000_000)
        else { throw EngineError(.invalidParameter, "invalid value \"\(text)\" of parameter \(name): must be a time") }
        return Timestamp(nanosecondsSince1970: seconds * 1_000_000_000 + nanoseconds)
    }

    /// `filters`: a map of lists, or of maps with true as Docker's clients write it.
    func filters() throws -> [String: [String]] {
        guard let text = text("filters") else { return [:] }
        let data = Data(text.utf8)
        if let lists = try? JSONDecoder().decode([String: [String]].self, from: data) { return lists }
        do {
            let maps = try JSONDecoder().decode([String: [String: Bool]].self, from: data)
            return maps.mapValues { $0.filter(\.value).keys.sorted() }
        } catch {
            throw EngineError(.invalidParameter, "invalid filters: must be a JSON map of lists")
        }
    }

    // MARK: Body and headers

    /// The JSON body; nil when there is none.
    func optionalBody<Value: Decodable>(_ type: Value.Type) async throws -> Value? {
        let bytes = try await request.body.collect(bytesMax: Self.jsonBytesMax)
        guard bytes.readableBytes > 0 else { return nil }
        let media = request.headers["content-type"] ?? ""
        guard
            media.isEmpty
                || media.lowercased().split(separator: ";").first?.trimmingCharacters(in: .whitespaces)
                    == "application/json"
        else {
            throw EngineError(
                .invalidParameter, "unsupported Content-Type header (\(media)): must be 'application/json'")
        }
        return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    }

    /// The JSON body.
    ///
    /// - Throws: 400 when there is none.
    func body<Value: Decodable>(_ type: Value.Type) async throws -> Value {
        guard let value = try await optionalBody(type) else {
            throw EngineError(.invalidParameter, "invalid JSON: got EOF while reading request body")
        }
        return value
    }

    /// `X-Registry-Auth`; what cannot be read counts as nothing, as in Docker.
    var credentials: Credentials? {
        request.headers["x-registry-auth"].flatMap { try? Credentials.decode(header: $0) }
    }

    func container() async throws -> Container { try await engine.containers.container(id) }

    // MARK: Answers

    static func json(_ value: JSON, status: Int = 200) -> Response {
        var bytes = value.bytes
        bytes.writeStaticString("\n")
        return Response(status, headers: ["Content-Type": "application/json"], body: .bytes(bytes))
    }
}
