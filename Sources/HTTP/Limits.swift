package import NIOCore

/// Bounds on what a client can make the server hold or wait for.
package struct Limits: Sendable {
    /// Bytes of a request line and its headers: what Docker clients send, registry credentials included, fits many times.
    package var headBytesMax = 64 << 10
    /// Header lines of one request.
    package var headerCountMax = 128
    /// From the first byte of a head to its last; an idle connection waits without end, as Docker's clients keep them.
    package var headTimeout: TimeAmount = .seconds(10)
    /// Connections at once; more are answered 503 and closed, so that descriptors remain for containers.
    package var connectionsMax = 8192
    /// Unread bytes of a request body that are skipped to keep a connection; with more it is closed.
    package var drainBytesMax = 256 << 10
    /// How long a closing connection still takes what the client sends, so that it can read the answer.
    package var lingerTimeout: TimeAmount = .seconds(2)
    /// Bytes of one read from a socket.
    package var readBytesMax = 128 << 10

    package init() {}
}
