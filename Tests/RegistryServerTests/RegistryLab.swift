import Foundation
import OCI
import RegistryStore
import Synchronization
import Testing

/// A registry of its own in a directory of its own, and a client that sends what a test wants, byte by byte.
final class RegistryLab: Sendable {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let binaries =
        ProcessInfo.processInfo.environment["DOCKER_SWIFT_BINARIES"] ?? root.appending(path: ".build/debug").path

    let directory: String
    let port: UInt16
    var address: String { "127.0.0.1:\(port)" }
    private let options: [String]
    private let process = Mutex<Process?>(nil)

    private let isEncrypted: Bool
    private let index: Mutex<PostgresServer.Database?>

    /// - Parameters:
    ///   - options: of `docker registry serve`.
    ///   - database: of the index; without it that is a file, but for tests that run on both.
    init(_ options: [String] = [], database: PostgresServer.Database? = nil) throws {
        self.options = options
        index = Mutex(try database ?? OnBothIndexes.server?.database())
        isEncrypted = options.contains("--tlscert")
        directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/registry-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        port = try Self.freePort()
        try start()
    }

    deinit {
        process.withLock {
            $0?.terminate()
            $0?.waitUntilExit()
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(descriptor, $0, length) == 0)
                try #require(getsockname(descriptor, $0, &length) == 0)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    /// - Parameter more: options of this run alone.
    func start(_ more: [String] = []) throws {
        let process = Process()
        process.executableURL = URL(filePath: Self.binaries + "/docker")
        process.arguments = ["registry", "serve", "--addr", address, "--data", directory + "/data"] + options + more
        if let database {
            process.environment = ProcessInfo.processInfo.environment.merging(
                ["DOCKER_REGISTRY_DATABASE_URL": database.url], uniquingKeysWith: { $1 })
        }
        _ = FileManager.default.createFile(atPath: directory + "/log", contents: nil)
        process.standardError = FileHandle(forWritingAtPath: directory + "/log") ?? .nullDevice
        try process.run()
        self.process.withLock { $0 = process }
        // A loaded machine may take long; a registry that has ended answers never.
        for _ in 0..<1200 where process.isRunning {
            if isEncrypted ? (try? Wire(port)) != nil : (try? ask("GET", "/healthz"))?.status == 200 { return }
            usleep(50_000)
        }
        throw LabFailure("the registry does not answer: \(log)")
    }

    /// Where the index is from the next start on.
    func use(_ database: PostgresServer.Database?) { index.withLock { $0 = database } }
    /// nil for a file.
    var database: PostgresServer.Database? { index.withLock { $0 } }

    var log: String { (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? "" }
    var pid: Int32 { process.withLock { $0?.processIdentifier ?? 0 } }

    /// SIGKILL, as a crash would.
    func crash() {
        process.withLock { process in
            guard let running = process else { return }
            kill(running.processIdentifier, SIGKILL)
            running.waitUntilExit()
            process = nil
        }
    }

    // MARK: Requests

    struct Reply: Sendable {
        let status: Int
        /// By names in lower case.
        let headers: [String: String]
        /// All of them, in the order that they came.
        let fields: [(name: String, value: String)]
        let body: [UInt8]
        var text: String { String(decoding: body, as: UTF8.self) }

        /// - Parameter name: in lower case.
        func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

        /// The code of the first error in the body.
        var code: String? {
            let object = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]
            return (object?["errors"] as? [[String: Any]])?.first?["code"] as? String
        }

        var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any]) ?? [:]
        }
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// - Parameters:
    ///   - headers: as lines; Content-Length is added unless `isRaw`.
    ///   - isRaw: the body is what comes after the head, whatever the headers say.
    func ask(
        _ method: String, _ path: String, _ headers: [String] = [], _ body: [UInt8] = [], isRaw: Bool = false
    ) throws -> Reply {
        try Self.ask(port, method, path, headers, body, isRaw: isRaw)
    }

    /// As a client of any server on loopback.
    static func ask(
        _ port: UInt16, _ method: String, _ path: String, _ headers: [String] = [], _ body: [UInt8] = [],
        isRaw: Bool = false
    ) throws -> Reply {
        let connection = try Wire(port)
        var lines = ["\(method) \(path) HTTP/1.1", "Host: 127.0.0.1:\(port)", "Connection: close"] + headers
        if !isRaw, !body.isEmpty || method != "GET" { lines.append("Content-Length: \(body.count)") }
        connection.send(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
        connection.send(body)
        return try Self.parse(connection.receive(), isHead: method == "HEAD")
    }

    private static func parse(_ bytes: [UInt8], isHead: Bool) throws -> Reply {
        // Bytes that are no text take long to be made one.
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw LabFailure("no answer: \(String(decoding: bytes.prefix(200), as: UTF8.self))")
        }
        let count = end.upperBound
        let text = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
        let lines = text.components(separatedBy: "\r\n")
        let fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            return (name: parts[0].lowercased(), value: parts.count > 1 ? parts[1] : "")
        }
        let headers = Dictionary(fields.map { ($0.name, $0.value) }) { $1 }
        guard let status = lines[0].split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw LabFailure("no status: \(lines[0])")
        }
        let body = Array(bytes.dropFirst(count))
        if !isHead, let length = headers["content-length"].flatMap({ Int($0) }), length != body.count {
            throw LabFailure("\(status): \(body.count) bytes of \(length)")
        }
        return Reply(status: status, headers: headers, fields: fields, body: body)
    }

    // MARK: Content

    /// Pushes a blob in one request.
    @discardableResult
    func push(_ blob: [UInt8], to name: String, _ algorithm: Digest.Algorithm = .sha256) throws -> Digest {
        let digest = StreamHash.digest(of: blob, algorithm)
        let reply = try ask("POST", "/v2/\(name)/blobs/uploads/?digest=\(digest)", [], blob)
        guard reply.status == 201 else { throw LabFailure("push: \(reply.status) \(reply.text)") }
        return digest
    }

    /// A manifest of a configuration and one layer, which are pushed first.
    func image(_ seed: String, in name: String, extra: String = "") throws -> [UInt8] {
        let (config, layer) = (Array("{\"seed\":\"\(seed)\"}".utf8), Array("layer \(seed)".utf8))
        let (configDigest, layerDigest) = (try push(config, to: name), try push(layer, to: name))
        return Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)"\(extra),\
            "config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(configDigest)","size":\(config.count)},\
            "layers":[{"mediaType":"\(MediaType.ociLayer)","digest":"\(layerDigest)","size":\(layer.count)}]}
            """.utf8)
    }

    func put(_ manifest: [UInt8], _ reference: String, in name: String, type: String = MediaType.ociManifest) throws
        -> Reply
    {
        try ask("PUT", "/v2/\(name)/manifests/\(reference)", ["Content-Type: \(type)"], manifest)
    }

    /// Files of blobs, of both algorithms.
    var blobFiles: [String] {
        ["sha256", "sha512"].flatMap {
            (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/data/blobs/\($0)")) ?? []
        }
    }

    var uploadFiles: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/data/uploads")) ?? []
    }
}

struct LabFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A blocking connection to loopback.
final class Wire: Sendable {
    private let socket: CInt

    init(_ port: UInt16) throws {
        socket = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let socket = socket
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(socket)
            throw LabFailure("connect: \(errno)")
        }
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(socket) }

    /// Sends what the server takes; a server that has closed ends it.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// What comes to the end of the connection, or until there is so much of it.
    func receive(atLeast wanted: Int = .max) -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while bytes.count < wanted {
            let count = recv(socket, &block, block.count, 0)
            guard count > 0 else { return bytes }
            bytes.append(contentsOf: block[..<count])
        }
        return bytes
    }
}
