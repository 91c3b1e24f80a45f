import Foundation
import NIOCore
import S3
import Synchronization
import Testing

/// An S3 server that nobody here wrote (moto), with a bucket and an account whose signatures it checks.
final class BucketLab: Sendable {
    static let bucket = "blobs"
    let port: UInt16
    private let process: Process
    private let accessKey: String
    private let secretKey: String
    /// Files with settings of registries.
    private let files = Mutex<[String]>([])

    private static var python: String { RegistryLab.root.path + "/.build/python/bin/python3" }

    /// Whether `make deps` has brought it.
    static let isThere = FileManager.default.fileExists(
        atPath: RegistryLab.root.path + "/.build/python/bin/moto_server")

    /// What an account needs, by an S3 client that nobody here wrote, either.
    private static let setUp = """
        import sys, boto3
        options = dict(endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        iam = boto3.client("iam", **options)
        iam.create_user(UserName="registry")
        iam.put_user_policy(UserName="registry", PolicyName="all", PolicyDocument=
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}')
        boto3.client("s3", **options).create_bucket(Bucket="\(bucket)")
        key = iam.create_access_key(UserName="registry")["AccessKey"]
        print(key["AccessKeyId"], key["SecretAccessKey"])
        """
    /// Requests of ``setUp``, which come from nobody.
    private static let setUpRequests = "4"

    /// Keys of one page of a list.
    static let pageKeys = 4

    /// - Parameter checks: false takes any signature; moto knows none in URLs.
    init(checks: Bool = true) throws {
        port = try RegistryLab.freePort()
        process = Process()
        process.executableURL = URL(filePath: Self.python)
        process.arguments = ["-m", "moto.server", "-H", "127.0.0.1", "-p", "\(port)"]
        process.environment = ProcessInfo.processInfo.environment.merging(
            [
                "INITIAL_NO_AUTH_ACTION_COUNT": checks ? Self.setUpRequests : "inf",
                "MOTO_S3_DEFAULT_MAX_KEYS": "\(Self.pageKeys)",
            ]
        ) { $1 }
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
        let (port, server) = (port, process)
        guard soon(60, { !server.isRunning || (try? Wire(port)) != nil }), server.isRunning else {
            Self.end(server)
            throw LabFailure("the S3 server does not start")
        }
        let setUp = Process()
        setUp.executableURL = URL(filePath: Self.python)
        setUp.arguments = ["-c", Self.setUp, "http://127.0.0.1:\(port)"]
        let output = Pipe()
        setUp.standardOutput = output
        try setUp.run()
        let words = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            .split(whereSeparator: \.isWhitespace)
        setUp.waitUntilExit()
        guard words.count == 2 else {
            Self.end(server)
            throw LabFailure("the S3 server makes no account")
        }
        (accessKey, secretKey) = (String(words[0]), String(words[1]))
    }

    deinit {
        Self.end(process)
        for file in files.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: file) }
    }

    /// SIGTERM would wait for connections that others keep.
    private static func end(_ process: Process) {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// - Parameter port: of a proxy before it.
    func configuration(port: UInt16? = nil) -> S3Configuration {
        var configuration = S3Configuration(bucket: Self.bucket)
        configuration.endpoint = "http://127.0.0.1:\(port ?? self.port)"
        configuration.region = "us-east-1"
        configuration.prefix = "registry"
        configuration.accessKey = accessKey
        configuration.secretKey = secretKey
        configuration.partBytes = 5 << 20
        configuration.timeoutSeconds = 20
        return configuration
    }

    /// A registry whose blobs are in the bucket.
    ///
    /// - Parameters:
    ///   - database: of the index; nil for one of its own.
    ///   - rules: JSON of the configuration's `redirects`.
    func registry(
        _ options: [String] = [], port: UInt16? = nil, database: PostgresServer.Database? = nil, rules: String = "[]",
        _ change: (inout S3Configuration) -> Void = { _ in }
    ) throws -> RegistryLab {
        var configuration = configuration(port: port)
        change(&configuration)
        let storage = String(decoding: try JSONEncoder().encode(["s3": configuration]), as: UTF8.self)
        let file = try file(json: Data("{\"storage\":\(storage),\"redirects\":\(rules)}".utf8))
        return try RegistryLab(["--config", file] + options, database: database)
    }

    /// A file of JSON that goes with the bucket.
    func file(_ value: some Encodable) throws -> String { try file(json: try JSONEncoder().encode(value)) }

    private func file(json: Data) throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/bucket-\(UUID().uuidString.prefix(8)).json"
        files.withLock { $0.append(path) }
        try json.write(to: URL(filePath: path))
        return path
    }

    func withClient<Value>(_ body: (S3Client) async throws -> Value) async throws -> Value {
        let client = try S3Client(configuration())
        do {
            let value = try await body(client)
            await client.close()
            return value
        } catch {
            await client.close()
            throw error
        }
    }

    /// Keys of all objects of blobs.
    func objects() async throws -> [String] {
        try await withClient { client in
            var (keys, token): ([String], String?) = ([], nil)
            repeat {
                let page = try await client.list("blobs/", token: token)
                (keys, token) = (keys + page.objects.map(\.key), page.next)
            } while token != nil
            return keys
        }
    }
}

/// Stands between a registry and its bucket, and spoils what a test wants spoilt.
final class FaultyWay: Sendable {
    enum Fault: Sendable {
        case status(Int)
        /// The connection ends when half of the request has been read.
        case cutRequest
        /// The request arrives, and half of the answer comes back.
        case cutAnswer
        /// Nothing comes back for so long that nobody waits for it.
        case silence
        /// The answer announces a byte more than it has.
        case longLength
        /// The request goes on when this returns.
        case held(@Sendable () -> Void)
        /// The body of the answer is what this makes of it.
        case rewritten(@Sendable (String) -> String)
    }

    let port: UInt16
    private let listener: CInt
    private let target: UInt16
    private let choose: @Sendable (_ method: String, _ path: String) -> Fault?
    private let counter = Mutex(0)

    /// How many requests were spoilt.
    var spoilt: Int { counter.withLock { $0 } }

    init(to target: UInt16, _ choose: @escaping @Sendable (_ method: String, _ path: String) -> Fault?) throws {
        self.target = target
        self.choose = choose
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = RegistryLab.loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        port = try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(listener, $0, length) == 0)
                try #require(listen(listener, 128) == 0)
                try #require(getsockname(listener, $0, &length) == 0)
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
        Thread { [weak self] in
            while case let connection = accept(listener, nil, nil), connection >= 0 {
                guard let self else {
                    close(connection)
                    return
                }
                Thread { self.serve(connection) }.start()
            }
        }.start()
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private func serve(_ connection: CInt) {
        defer { close(connection) }
        guard var bytes = Self.read(connection, until: { Self.headEnd($0) != nil }), let end = Self.headEnd(bytes)
        else {
            return
        }
        let head = String(decoding: bytes[..<end], as: UTF8.self)
        let lines = head.components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ").map(String.init)
        let length =
            lines.compactMap { line -> Int? in
                let parts = line.split(separator: ":", maxSplits: 1)
                guard parts.count == 2, parts[0].lowercased() == "content-length" else { return nil }
                return Int(parts[1].trimmingCharacters(in: .whitespaces))
            }.first ?? 0
        let fault = words.count > 1 ? choose(words[0], words[1]) : nil
        if fault != nil { counter.withLock { $0 += 1 } }
        if case .cutRequest? = fault {
            _ = Self.read(connection, until: { bytes.count - end + $0.count >= length / 2 })
            return
        }
        let missing = end + length - bytes.count
        if missing > 0 {
            guard let rest = Self.read(connection, until: { $0.count >= missing }) else { return }
            bytes += rest
        }
        switch fault {
        case .status(let status):
            let body = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
            Self.write(
                connection, Array("HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)".utf8))
        case .silence: _ = Self.read(connection, until: { _ in false })
        case .cutAnswer:
            let answer = forward(bytes, end)
            Self.write(connection, Array(answer.prefix(answer.count / 2)))
        case .longLength: Self.write(connection, Self.lengthened(forward(bytes, end)))
        case .held(let wait):
            wait()
            Self.write(connection, forward(bytes, end))
        case .rewritten(let change): Self.write(connection, Self.rewritten(forward(bytes, end), change))
        case .cutRequest, nil: Self.write(connection, forward(bytes, end))
        }
    }

    /// The answer to a request that is on a connection of its own.
    private func forward(_ request: [UInt8], _ end: Int) -> [UInt8] {
        guard let wire = try? Wire(target) else { return [] }
        wire.send(Array(request[..<(end - 2)]) + Array("Connection: close\r\n\r\n".utf8))
        wire.send(Array(request[end...]))
        return wire.receive()
    }

    private static func lengthened(_ answer: [UInt8]) -> [UInt8] {
        guard let end = headEnd(answer) else { return answer }
        let lines = String(decoding: answer[..<(end - 4)], as: UTF8.self).components(separatedBy: "\r\n").map { line in
            guard line.lowercased().hasPrefix("content-length:"),
                let length = Int(line.dropFirst(15).filter(\.isNumber))
            else { return line }
            return "Content-Length: \(length + 1)"
        }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + answer[end...]
    }

    private static func rewritten(_ answer: [UInt8], _ change: (String) -> String) -> [UInt8] {
        guard let end = headEnd(answer) else { return answer }
        let body = Array(change(String(decoding: answer[end...], as: UTF8.self)).utf8)
        return Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body
    }

    private static func headEnd(_ bytes: [UInt8]) -> Int? { bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound }

    private static func read(_ connection: CInt, until isEnough: ([UInt8]) -> Bool) -> [UInt8]? {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while !isEnough(bytes) {
            let count = recv(connection, &block, block.count, 0)
            guard count > 0 else { return nil }
            bytes.append(contentsOf: block[..<count])
        }
        return bytes
    }

    private static func write(_ connection: CInt, _ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
        // What the other side still sends would otherwise take the answer with it.
        shutdown(connection, Int32(SHUT_WR))
    }
}
