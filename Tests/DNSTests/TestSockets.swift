import Foundation
import Glibc
import Kernel

/// Sockets on loopback, with blocking calls that give up.
enum TestSockets {
    struct Failure: Error { let text: String }

    /// Calls with an IPv4 address as the kernel takes it: family, port, address and eight unused bytes.
    static func withAddress<Result>(
        _ port: UInt16, _ host: UInt32 = 0x7f00_0001, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        let family = UInt16(AF_INET).littleEndian
        let bytes =
            withUnsafeBytes(of: family) { Array($0) } + TestMessage.words(port)
            + TestMessage.words(UInt16(host >> 16), UInt16(host & 0xFFFF)) + Array(repeating: 0, count: 8)
        return bytes.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { rebound in
                // Sixteen bytes are never nowhere.
                guard let first = rebound.baseAddress else { preconditionFailure() }
                return body(first, 16)
            }
        }
    }

    private static func make(_ type: __socket_type) throws -> OwnedFD {
        let raw = socket(AF_INET, CInt(type.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw Failure(text: "socket: \(errno)") }
        return OwnedFD(adopting: raw)
    }

    static func port(of socket: borrowing OwnedFD) -> UInt16 {
        var address = sockaddr()
        var length = socklen_t(MemoryLayout<sockaddr>.size)
        getsockname(socket.raw, &address, &length)
        return withUnsafeBytes(of: address) { UInt16($0[2]) << 8 | UInt16($0[3]) }
    }

    static func bound(_ type: __socket_type, port: UInt16 = 0, host: UInt32 = 0x7f00_0001) throws -> OwnedFD {
        let fd = try make(type)
        let raw = fd.raw
        var reuse: CInt = 1
        if type == SOCK_STREAM { setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<CInt>.size)) }
        guard withAddress(port, host, { bind(raw, $0, $1) }) == 0 else {
            throw Failure(text: "bind \(port): \(errno)")
        }
        if type == SOCK_DGRAM {
            // A server of the test is slow, and loses nothing all the same.
            var bytes: CInt = 4 << 20
            setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, socklen_t(MemoryLayout<CInt>.size))
        }
        if type == SOCK_STREAM, listen(raw, 128) != 0 { throw Failure(text: "listen: \(errno)") }
        return fd
    }

    /// A UDP and a listening TCP socket on one port, as a container's name server has.
    static func pair() throws -> Pair {
        for _ in 0..<50 {
            let tcp = try bound(SOCK_STREAM)
            let port = port(of: tcp)
            if let udp = try? bound(SOCK_DGRAM, port: port) { return Pair(port: port, udp: udp, tcp: tcp) }
        }
        throw Failure(text: "no port that is free for both")
    }

    struct Pair: ~Copyable {
        let port: UInt16
        let udp: OwnedFD
        let tcp: OwnedFD
    }

    /// A socket whose calls take three seconds at most.
    static func connected(_ type: __socket_type, _ port: UInt16, seconds: Int = 3) throws -> OwnedFD {
        let fd = try make(type)
        let raw = fd.raw
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(raw, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        guard withAddress(port, 0x7f00_0001, { connect(raw, $0, $1) }) == 0 else {
            throw Failure(text: "connect \(port): \(errno)")
        }
        return fd
    }

    static func send(_ socket: borrowing OwnedFD, _ bytes: [UInt8]) throws {
        let raw = socket.raw
        guard Glibc.send(raw, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count else {
            throw Failure(text: "send: \(errno)")
        }
    }

    /// One datagram, or what a stream has; nil when nothing came in time, empty at a stream's end.
    static func receive(_ socket: borrowing OwnedFD) -> [UInt8]? {
        var block = [UInt8](repeating: 0, count: 65536)
        let raw = socket.raw
        let count = recv(raw, &block, block.count, 0)
        return count < 0 ? nil : Array(block[..<count])
    }

    /// One message of a stream; nil when there is none.
    static func receiveFrame(_ socket: borrowing OwnedFD) -> [UInt8]? {
        guard let head = receive(socket, 2) else { return nil }
        return receive(socket, Int(head[0]) << 8 | Int(head[1]))
    }

    private static func receive(_ socket: borrowing OwnedFD, _ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let raw = socket.raw
        return recv(raw, &bytes, count, CInt(MSG_WAITALL)) == count ? bytes : nil
    }

    /// The answer to one query by UDP.
    static func ask(_ port: UInt16, _ query: [UInt8], seconds: Int = 6) throws -> [UInt8]? {
        let socket = try connected(SOCK_DGRAM, port, seconds: seconds)
        try send(socket, query)
        return receive(socket)
    }
}

/// Runs a program and gives what it printed.
func run(_ arguments: String...) throws -> String { try run(arguments) }

func run(_ arguments: [String]) throws -> String {
    let process = Foundation.Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    let output = Foundation.Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text
}
