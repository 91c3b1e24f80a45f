package import AsyncHTTPClient
import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1

/// A volume driver beside the daemon, spoken to by Docker's plugin protocol: a POST for each operation, JSON both ways
/// (https://docs.docker.com/engine/extend/plugins_volume/).
package struct VolumeDriver: Sendable {
    /// How long a driver may take; Docker's times.
    package struct Patience: Sendable {
        /// To make, remove, mount and unmount: storage may have to be attached.
        package var change = Duration.seconds(120)
        /// To tell something.
        package var look = Duration.seconds(60)
        /// Until a connection is there, tried again and again: a driver may just be starting again.
        package var connect = Duration.seconds(5)

        package init() {}
    }

    /// Bytes of an answer: a list of ten thousand volumes and more.
    private static let answerBytesMax = 8 << 20
    /// Bytes of a driver's error that are told.
    private static let errorBytesMax = 2000
    private static let contentType = "application/vnd.docker.plugins.v1.1+json"

    package let name: String
    package let address: DriverAddress
    private let client: HTTPClient
    private let patience: Patience

    package init(_ name: String, at address: DriverAddress, client: HTTPClient, patience: Patience) {
        self.name = name
        self.address = address
        self.client = client
        self.patience = patience
    }

    /// What sends the requests of all drivers; to be shut down by whoever made it.
    package static func client(_ patience: Patience) -> HTTPClient {
        var options = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: TimeAmount(patience.connect)),
            decompression: .disabled)
        options.httpVersion = .http1Only
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: options)
    }

    // MARK: Operations

    /// Asks what the program does.
    ///
    /// - Throws: ``DriverError`` `.notFound` when it has nothing to do with volumes.
    package func activate() async throws(DriverError) {
        let answer: DriverMessages.Activation = try await call(
            "Plugin.Activate", DriverMessages.Nothing(), patience.look)
        guard answer.implements?.contains("VolumeDriver") == true else {
            throw DriverError(.notFound, "plugin \(name) does not implement VolumeDriver")
        }
    }

    package func create(_ volume: String, options: [String: String]) async throws(DriverError) {
        try await change("Create", DriverMessages.Create(name: volume, options: options))
    }

    package func remove(_ volume: String) async throws(DriverError) {
        try await change("Remove", DriverMessages.Name(name: volume))
    }

    /// Makes a volume usable on this host.
    ///
    /// - Parameter id: of who uses it; ``unmount(_:for:)`` with the same id ends that.
    /// - Returns: the directory where its content is.
    package func mount(_ volume: String, for id: String) async throws(DriverError) -> String {
        let answer: DriverMessages.Path = try await call(
            "VolumeDriver.Mount", DriverMessages.Use(name: volume, id: id), patience.change)
        return try checked(answer.mountpoint ?? "", of: volume)
    }

    package func unmount(_ volume: String, for id: String) async throws(DriverError) {
        try await change("Unmount", DriverMessages.Use(name: volume, id: id))
    }

    /// Where a volume is mounted; empty while it is not.
    package func path(of volume: String) async throws(DriverError) -> String {
        let answer: DriverMessages.Path = try await call(
            "VolumeDriver.Path", DriverMessages.Name(name: volume), patience.look)
        return answer.mountpoint ?? ""
    }

    /// - Returns: nil when the driver says nothing about it.
    package func get(_ volume: String) async throws(DriverError) -> DriverVolume? {
        let answer: DriverMessages.Get = try await call(
            "VolumeDriver.Get", DriverMessages.Name(name: volume), patience.look)
        return answer.volume
    }

    package func list() async throws(DriverError) -> [DriverVolume] {
        let answer: DriverMessages.List = try await call(
            "VolumeDriver.List", DriverMessages.Nothing(), patience.look)
        return answer.volumes ?? []
    }

    /// `local` or `global`; a driver that does not say is local.
    package func scope() async throws(DriverError) -> String {
        do throws(DriverError) {
            let answer: DriverMessages.Capabilities = try await call(
                "VolumeDriver.Capabilities", DriverMessages.Nothing(), patience.look)
            return answer.capabilities?.scope?.lowercased() == "global" ? "global" : "local"
        } catch {
            guard error.code == .unreachable else { return "local" }
            throw error
        }
    }

    /// A directory that a container may get as a volume.
    private func checked(_ path: String, of volume: String) throws(DriverError) -> String {
        let isPath =
            path.hasPrefix("/") && path.utf8.count < 4096 && !path.utf8.contains(0)
            && !path.split(separator: "/").contains("..") && path.contains { $0 != "/" }
        guard isPath else {
            throw DriverError(
                .invalid, "plugin \(name): mount of \(volume) answered \"\(path.prefix(200))\", which is no mountpoint")
        }
        return path
    }

    // MARK: One call

    private struct Answer: Decodable { init(from decoder: any Decoder) throws {} }

    private func change(_ method: String, _ body: some Encodable & Sendable) async throws(DriverError) {
        let _: Answer = try await call("VolumeDriver." + method, body, patience.change)
    }

    private func call<Reply: Decodable>(
        _ method: String, _ body: some Encodable & Sendable, _ limit: Duration
    ) async throws(DriverError) -> Reply {
        let (status, bytes) = try await exchange(method, body, limit)
        let failure = try? JSONDecoder().decode(DriverMessages.Failure.self, from: bytes)
        if let text = failure?.error, !text.isEmpty { throw refusal(status == 200 ? text : "\(method): \(text)") }
        guard status == 200 else {
            throw refusal("\(method): " + String(decoding: bytes.prefix(Self.errorBytesMax), as: UTF8.self))
        }
        do { return try JSONDecoder().decode(Reply.self, from: bytes) } catch {
            throw DriverError(.invalid, "plugin \(name): the answer to \(method) is not the JSON that it should be")
        }
    }

    /// The driver's words, on one line.
    private func refusal(_ text: String) -> DriverError {
        let clean = text.unicodeScalars.prefix(Self.errorBytesMax).map { scalar in
            scalar.value < 0x20 || scalar.value == 0x7f ? " " : Character(scalar)
        }
        return DriverError(.refused, String(clean))
    }

    private func exchange(
        _ method: String, _ body: some Encodable & Sendable, _ limit: Duration
    ) async throws(DriverError) -> (status: UInt, body: Data) {
        do {
            var request = HTTPClientRequest(url: address.base + "/" + method)
            request.method = .POST
            request.headers.add(name: "Accept", value: Self.contentType)
            request.headers.add(name: "Content-Type", value: Self.contentType)
            // A driver that has started again does not know the connection.
            request.headers.add(name: "Connection", value: "close")
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
            let deadline = NIODeadline.now() + TimeAmount(limit)
            let response = try await client.execute(request, deadline: deadline)
            let bytes = try await response.body.collect(upTo: Self.answerBytesMax)
            return (response.status.code, Data(bytes.readableBytesView))
        } catch is NIOTooManyBytesError {
            throw DriverError(
                .invalid, "plugin \(name): the answer to \(method) is larger than \(Self.answerBytesMax >> 20) MiB")
        } catch let error as HTTPClientError where error == .deadlineExceeded || error == .readTimeout {
            throw DriverError(
                .unreachable, "plugin \(name): no answer to \(method) within \(limit.components.seconds) seconds")
        } catch {
            throw DriverError(.unreachable, "plugin \(name): \(method): \(Self.reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as HTTPClientError where error == .connectTimeout: "cannot connect in time"
        case is HTTPClientError: "the connection ended before the answer"
        default: "\(error)"
        }
    }
}
