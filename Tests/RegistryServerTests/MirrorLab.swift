import Foundation
import OCI
import RegistryStore
import Synchronization
import TestServers

/// A registry that a mirror asks, and that does what a test wants instead where it says so.
final class Origin: Sendable {
    typealias Handler = @Sendable (FaultyServer.Asked, FaultyServer.Answer) -> Bool

    let server: FaultyServer
    var url: String { "http://\(server.authority)" }
    private let held = Held()

    init() throws {
        let held = held
        server = try FaultyServer { held.serve($0, $1) }
    }

    /// What the server's threads use.
    private final class Held: Sendable {
        let content = Mutex<[String: (type: String, bytes: [UInt8])]>([:])
        let special = Mutex<Handler?>(nil)

        func serve(_ asked: FaultyServer.Asked, _ answer: FaultyServer.Answer) {
            if let handler = special.withLock({ $0 }), handler(asked, answer) { return }
            guard let found = content.withLock({ $0[asked.target] }) else { return answer.reply(404) }
            Origin.send(found.bytes, found.type, asked, answer)
        }
    }

    /// The whole, or what is asked for of it; HEAD has no bytes.
    static func send(_ bytes: [UInt8], _ type: String, _ asked: FaultyServer.Asked, _ answer: FaultyServer.Answer) {
        var headers = ["Content-Type: \(type)"]
        if type.contains("json") {
            headers.append("Docker-Content-Digest: \(StreamHash.digest(of: bytes, .sha256))")
        }
        if asked.method == "HEAD" {
            let lines = ["HTTP/1.1 200 OK", "Content-Length: \(bytes.count)", "Connection: close"] + headers
            return answer.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
        }
        guard let range = asked.headers["range"], let first = Int(range.dropFirst("bytes=".count).dropLast()) else {
            return answer.reply(200, headers, bytes)
        }
        headers.append("Content-Range: bytes \(first)-\(bytes.count - 1)/\(bytes.count)")
        answer.reply(206, headers, Array(bytes[first...]))
    }

    /// Has a blob's first download end behind `count` bytes, or go on as `rest` wants it.
    func begins(
        _ bytes: [UInt8], with count: Int, _ rest: @escaping @Sendable (FaultyServer.Answer) -> Void = { _ in }
    ) {
        replace { asked, answer in
            guard asked.method == "GET", asked.headers["range"] == nil else { return false }
            answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\nConnection: close\r\n\r\n")
            answer.send(Array(bytes[..<count]))
            rest(answer)
            return true
        }
    }

    /// Does what a test wants with a request; false leaves it to the content.
    func replace(_ handler: Handler?) { held.special.withLock { $0 = handler } }

    @discardableResult
    func blob(_ bytes: [UInt8], of name: String = "team/app") -> Digest {
        let digest = StreamHash.digest(of: bytes, .sha256)
        held.content.withLock { $0["/v2/\(name)/blobs/\(digest)"] = ("application/octet-stream", bytes) }
        return digest
    }

    /// A manifest of a configuration and one layer.
    @discardableResult
    func image(_ layer: [UInt8], tag: String = "latest", of name: String = "team/app") -> Digest {
        let config = Array("{\"of\":\"\(tag)\"}".utf8)
        let (configDigest, layerDigest) = (blob(config, of: name), blob(layer, of: name))
        let manifest = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)",\
            "config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(configDigest)","size":\(config.count)},\
            "layers":[{"mediaType":"\(MediaType.ociLayer)","digest":"\(layerDigest)","size":\(layer.count)}]}
            """.utf8)
        let digest = StreamHash.digest(of: manifest, .sha256)
        held.content.withLock { content in
            content["/v2/\(name)/manifests/\(tag)"] = (MediaType.ociManifest, manifest)
            content["/v2/\(name)/manifests/\(digest)"] = (MediaType.ociManifest, manifest)
        }
        return digest
    }

    /// How often it was asked for what `target` ends in.
    func count(_ method: String, _ target: some CustomStringConvertible) -> Int {
        server.asked.filter { $0.method == method && $0.target.hasSuffix(target.description) }.count
    }
}

/// A mirror with a configuration of its own.
final class MirrorLab: Sendable {
    let registry: RegistryLab
    private let file: String

    /// - Parameters:
    ///   - mirrors: JSON of the configuration's `mirrors`.
    ///   - options: of `docker registry serve`.
    init(_ mirrors: String, _ options: [String] = []) throws {
        file =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp")
            + "/mirror-\(UUID().uuidString.prefix(8)).json"
        try Data("{\"mirrors\":\(mirrors)}".utf8).write(to: URL(filePath: file))
        do { registry = try RegistryLab(["--config", file] + options) } catch {
            unlink(file)
            throw error
        }
    }

    deinit { unlink(file) }

    /// Blobs that are on their way, or were.
    var partial: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: registry.directory + "/data/mirror")) ?? []
    }

    func get(_ path: String, _ headers: [String] = []) throws -> RegistryLab.Reply {
        try registry.ask("GET", "/v2/" + path, headers)
    }

    /// What comes of an answer that may be cut: head and body.
    func raw(_ path: String) throws -> [UInt8] {
        let wire = try Wire(registry.port)
        wire.send(Array("GET /v2/\(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
        return wire.receive()
    }
}

/// Bytes that differ from place to place and by seed.
func noise(_ count: Int, _ seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 24)
    }
}
