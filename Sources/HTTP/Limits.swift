package import NIOCore

/// Bounds on what a client can make the server hold or wait for.
package struct Limits: Sendable {
    /// Bytes of a request line and its headers: what Docker clients send, registry credentials included, fits many times.
    package var headBytesMax = 64 << 10
    /// Header lines of one request.
    package var headerCountMax = 128
    /// From the first byte of a head to its last; on the network from the connection to the first head's last.
    package var headTimeout: TimeAmount = .seconds(10)
    /// How long a connection may wait for its next request: longer than Docker's clients keep one they do not use.
    package var idleTimeout: TimeAmount = .minutes(10)
    /// For a body that is read as a whole, a few megabytes at most: from when it is asked for to its end.
    package var bodyTimeout: TimeAmount = .minutes(1)
    /// Without a byte of a body that is read as it comes, such as an archive, whose producer may have to think.
    package var stallTimeout: TimeAmount = .minutes(10)
    /// Until an answer of known size, or a part of one that is streamed, is with the kernel. Streams of unknown size and
    /// connections that left HTTP have no limit.
    package var answerTimeout: TimeAmount = .minutes(1)
    /// How often time limits are looked at: what an expired one is late by.
    package var sweepInterval: TimeAmount = .seconds(1)
    /// Connections at once, over all listeners. For one more those that wait longest for a request go; it is answered 503
    /// when none waits. A waiting one costs about 2 KiB and a descriptor.
    package var connectionsMax = 8192
    /// Bytes of a file that have to be taken within `answerTimeout`: slower clients than 17 KiB/s are cut off.
    package var filePartBytes = 1 << 20
    /// Bytes of a file that a client is sent in one turn, before others have theirs. One event loop waits for the disk for as long
    /// as the kernel's read-ahead does not have them.
    package var fileTurnBytes = 4 << 20
    /// Between two words about the same limit in the log.
    package var noteInterval: TimeAmount = .minutes(1)
    /// Unread bytes of a request body that are skipped to keep a connection; with more it is closed.
    package var drainBytesMax = 256 << 10
    /// How long a closing connection still takes what the client sends, so that it can read the answer.
    package var lingerTimeout: TimeAmount = .seconds(2)
    /// Bytes of one read from a socket.
    package var readBytesMax = 128 << 10

    package init() {}

    /// - Parameters:
    ///   - descriptors: that the process may have open.
    ///   - percent: how many of a hundred of them are for connections. One that is attached to a container, or moves a blob,
    ///     takes two, and containers, layers and the database need theirs.
    ///   - connections: at most.
    package init(descriptors: Int, percent: Int = 33, connections: Int = 8192) {
        connectionsMax = max(1, min(connections, descriptors / 100 * percent))
    }
}
