@preconcurrency import Glibc
import NIOCore
import NIOPosix
import NIOSSL

/// Connects its standard streams to a daemon that speaks TLS. `docker` starts it for such a daemon, and stays as small as it
/// is for all others.
@main
enum DockerTLS {
    /// Exit codes: nobody listens there, or it is refused by one side.
    private static let (unreachable, refused): (CInt, CInt) = (2, 1)

    static func main() async {
        do {
            try await run(try Arguments(Array(CommandLine.arguments.dropFirst())))
            exit(0)
        } catch let error as NIOConnectionError {
            fail(
                error.connectionErrors.first.map { "\($0.error)" } ?? "dial tcp \(error.host): no such host",
                unreachable)
        } catch let error as IOError {
            fail("\(error)", error.errnoCode == ECONNREFUSED ? unreachable : refused)
        } catch let error as ArgumentError {
            fail(error.message, refused)
        } catch {
            fail("tls: \(error)", refused)
        }
    }

    private static func fail(_ message: String, _ code: CInt) -> Never {
        fputs(message + "\n", stderr)
        exit(code)
    }

    private typealias Bytes = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    private static func run(_ arguments: Arguments) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let context = try NIOSSLContext(configuration: try arguments.configuration())
        let name = arguments.isAddress ? nil : arguments.host
        // The end of one direction is passed on and leaves the other one open: that is how a client says that its input ended.
        let configuration = Bytes.Configuration(isOutboundHalfClosureEnabled: true)
        let remote = try await ClientBootstrap(group: group)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: arguments.host, port: arguments.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(context: context, serverHostname: name)
                    try channel.pipeline.syncOperations.addHandler(handler)
                    return try Bytes(wrappingChannelSynchronously: channel, configuration: configuration)
                }
            }
        let local = try await NIOPipeBootstrap(group: group)
            .takingOwnershipOfDescriptors(input: 0, output: 1) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Bytes(wrappingChannelSynchronously: channel, configuration: configuration)
                }
            }
        try await relay(local, remote)
    }

    /// Passes bytes on both ways until the daemon has said everything.
    private static func relay(_ local: Bytes, _ remote: Bytes) async throws {
        try await remote.executeThenClose { answers, requests in
            try await local.executeThenClose { input, output in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await part in input { try await requests.write(part) }
                        requests.finish()
                    }
                    do {
                        for try await part in answers { try await output.write(part) }
                    } catch NIOSSLError.uncleanShutdown {
                        // What is cut short is told by the length that HTTP announces.
                    }
                    group.cancelAll()
                }
            }
        }
    }
}

/// Why the program cannot do what it was asked for.
struct ArgumentError: Error {
    let message: String
}

/// `HOST PORT [--ca FILE] [--cert FILE] [--key FILE] [--insecure]`.
struct Arguments {
    private(set) var host: String
    private(set) var port: Int
    private var files: [String: String] = [:]
    private var verifies = true

    init(_ words: [String]) throws {
        guard words.count >= 2, let port = UInt16(words[1]) else {
            throw ArgumentError(
                message: "usage: docker-tls HOST PORT [--ca FILE] [--cert FILE] [--key FILE] [--insecure]")
        }
        (host, self.port) = (words[0], Int(port))
        var rest = words[2...]
        while let word = rest.popFirst() {
            if word == "--insecure" {
                verifies = false
            } else if ["--ca", "--cert", "--key"].contains(word), let path = rest.popFirst() {
                files[word] = path
            } else {
                throw ArgumentError(message: "docker-tls: unknown argument \(word)")
            }
        }
    }

    /// Whether the host is an address: names alone are told to servers.
    var isAddress: Bool {
        var bytes = in6_addr()
        return inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1
    }

    func configuration() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.certificateVerification = verifies ? .fullVerification : .none
        if let path = files["--ca"] {
            configuration.trustRoots = .certificates(try read(path) { try NIOSSLCertificate.fromPEMFile($0) })
        }
        if let path = files["--cert"] {
            configuration.certificateChain = try read(path) { try NIOSSLCertificate.fromPEMFile($0) }
                .map { .certificate($0) }
        }
        if let path = files["--key"] {
            configuration.privateKey = .privateKey(try read(path) { try NIOSSLPrivateKey(file: $0, format: .pem) })
        }
        return configuration
    }

    private func read<Value>(_ path: String, _ body: (String) throws -> Value) throws -> Value {
        do { return try body(path) } catch { throw ArgumentError(message: "could not read \(path): \(error)") }
    }
}
