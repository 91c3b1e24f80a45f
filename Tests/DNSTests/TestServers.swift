import Glibc
import Kernel
import Logging
import NIOCore
import NIOPosix
import Synchronization

@testable import DNS

/// A name server of the test: answers as a closure says, and remembers what it was asked.
final class ScriptedServer: Sendable {
    struct Asked: Sendable {
        let message: [UInt8]
        let isStream: Bool
        let source: UInt16
    }

    typealias Script = @Sendable (_ query: [UInt8], _ isStream: Bool) -> [[UInt8]]

    let port: UInt16
    private let asked = Mutex<[Asked]>([])
    let channels = Mutex<[any Channel]>([])

    var endpoint: DNSEndpoint { DNSEndpoint(.v4(0x7f00_0001), port: port) }
    var queries: [Asked] { asked.withLock { $0 } }

    /// Listens on loopback, by TCP as well unless `stream` is false.
    init(stream: Bool = true, _ script: @escaping Script) async throws {
        let pair = try TestSockets.pair()
        port = pair.port
        let (udp, tcp) = Self.release(pair)
        let group = MultiThreadedEventLoopGroup.singleton
        let datagrams = try await DatagramBootstrap(group: group)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65536))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DatagramScript(self, script))
                }
            }
            .withBoundSocket(udp).get()
        channels.withLock { $0.append(datagrams) }
        guard stream else {
            Glibc.close(tcp)
            return
        }
        let listener = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(StreamScript(self, script))
                }
            }
            .withBoundSocket(tcp).get()
        channels.withLock { $0.append(listener) }
    }

    private static func release(_ pair: consuming TestSockets.Pair) -> (CInt, CInt) {
        let udp = try? pair.udp.duplicate()
        let tcp = try? pair.tcp.duplicate()
        return (udp?.release() ?? -1, tcp?.release() ?? -1)
    }

    func close() async {
        for channel in channels.withLock({ $0 }) { try? await channel.close() }
    }

    fileprivate func note(_ message: [UInt8], isStream: Bool, _ source: SocketAddress?) {
        asked.withLock { $0.append(Asked(message: message, isStream: isStream, source: UInt16(source?.port ?? 0))) }
    }
}

private final class DatagramScript: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    let server: ScriptedServer
    let script: ScriptedServer.Script

    init(_ server: ScriptedServer, _ script: @escaping ScriptedServer.Script) {
        self.server = server
        self.script = script
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let query = Array(envelope.data.readableBytesView)
        server.note(query, isStream: false, envelope.remoteAddress)
        for answer in script(query, false) {
            let reply = AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: answer))
            context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
        }
    }
}

private final class StreamScript: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let server: ScriptedServer
    let script: ScriptedServer.Script
    var input = ByteBuffer()

    init(_ server: ScriptedServer, _ script: @escaping ScriptedServer.Script) {
        self.server = server
        self.script = script
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        input.writeBuffer(&bytes)
        while let frame = input.readLengthPrefixedSlice(as: UInt16.self) {
            let query = Array(frame.readableBytesView)
            server.note(query, isStream: true, context.remoteAddress)
            for answer in script(query, true) {
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: TestMessage.framed(answer))), promise: nil)
            }
        }
    }
}

/// Debian's dnsmasq with some names, on loopback.
final class Dnsmasq {
    private let process: Int32
    let port: UInt16
    var endpoint: DNSEndpoint { DNSEndpoint(.v4(0x7f00_0001), port: port) }

    init(_ options: [String]) async throws {
        let pair = try TestSockets.pair()
        port = pair.port
        Self.drop(pair)
        let nowhere = try OwnedFD.open("/dev/null", O_RDWR)
        // Not Foundation's Process, which waits for a descriptor that dnsmasq closes.
        process = try Spawn.run(
            "/usr/sbin/dnsmasq",
            [
                "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root",
                "--pid-file", "--bind-interfaces", "--listen-address=127.0.0.1", "--port=\(port)", "--log-facility=-",
            ] + options, descriptors: [nowhere.raw, nowhere.raw, nowhere.raw])
        for _ in 0..<100 {
            if try TestSockets.ask(port, TestMessage.query("up.test"), seconds: 1) != nil { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        stop()
        throw TestSockets.Failure(text: "dnsmasq does not answer")
    }

    private static func drop(_ pair: consuming TestSockets.Pair) {}

    /// Ends it, who may have been started with other signals blocked.
    func stop() {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
    }
}

/// A resolver with one container served on loopback.
struct Served {
    let resolver: DNS.Resolver
    let port: UInt16

    static let names = NameTable(
        answers: [
            "web": NameAnswer(ipv4: [0x0A00_0002], ipv6: [0x2001_0db8_0000_0000_0000_0000_0000_0002]),
            "db": NameAnswer(ipv4: [0x0A00_0003]), "0123456789ab": NameAnswer(ipv4: [0x0A00_0003]),
            "six": NameAnswer(ipv6: [0x2001_0db8_0000_0000_0000_0000_0000_0006]),
            "pool": NameAnswer(ipv4: [0x0A00_0010, 0x0A00_0011, 0x0A00_0012]),
            "crowd": NameAnswer(ipv4: (1...100).map { 0x0A01_0000 + $0 }),
        ],
        names: [
            .v4(0x0A00_0002): "web.app_net", .v6(0x2001_0db8_0000_0000_0000_0000_0000_0002): "web.app_net",
        ])

    init(
        _ upstream: [DNSEndpoint] = [], forwards: Bool = true, forwardsSingleLabels: Bool = true,
        limits: ResolverLimits = ResolverLimits()
    ) async throws {
        resolver = DNS.Resolver(
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: .init(label: "test"), limits: limits)
        port = try await Self.add(
            "c1", to: resolver,
            ClientConfiguration(
                names: Self.names, upstream: upstream, forwards: forwards, forwardsSingleLabels: forwardsSingleLabels))
    }

    static func add(_ container: String, to resolver: DNS.Resolver, _ configuration: ClientConfiguration) async throws
        -> UInt16
    {
        let pair = try TestSockets.pair()
        let port = pair.port
        try await resolver.serve(
            container, udp: pair.udp.duplicate(), tcp: pair.tcp.duplicate(), configuration: configuration)
        return port
    }

    func ask(_ query: [UInt8], seconds: Int = 6) throws -> [UInt8]? {
        try TestSockets.ask(port, query, seconds: seconds)
    }

    /// What dig prints without its comments, or with them where `+comments` is among the arguments.
    func dig(_ arguments: String...) throws -> String {
        try run(["dig", "@127.0.0.1", "-p", "\(port)", "+tries=1", "+time=5"] + arguments)
    }
}
