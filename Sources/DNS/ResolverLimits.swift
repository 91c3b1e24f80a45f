package import NIOCore

/// Bounds on what containers and name servers can make the resolver hold or wait for.
package struct ResolverLimits: Sendable {
    /// Servers that one question is put to: resolv.conf(5) has no more.
    package var upstreamsMax = 3
    /// How long a server has before the next one is asked, too. Two servers fit into the five seconds of a usual client.
    package var attemptTimeout: TimeAmount = .seconds(2)
    /// Queries of one container that wait for servers; more are refused, as Docker does.
    package var queriesPerContainerMax = 1024
    /// The same for all containers.
    package var queriesMax = 16_384
    /// Connections to servers at once, for answers that do not fit a datagram.
    package var upstreamConnectionsMax = 256
    /// Sockets, hence source ports, to one server at once.
    package var upstreamSocketsMax = 32
    /// Queries that one of them sends before it is replaced, so that nobody has long to find its port.
    package var queriesPerSocketMax = 128
    /// Connections of one container at once; more are closed.
    package var connectionsPerContainerMax = 64
    /// Queries of one connection that wait for servers, before the next is read.
    package var pipelinedMax = 64
    /// How long a connection may be without traffic.
    package var idleTimeout: TimeAmount = .seconds(10)
    /// Bytes of answers that are kept for all containers together, with what it takes to keep them.
    package var cacheBytesMax = 8 << 20
    /// Answers that are kept.
    package var cacheEntriesMax = 16_384
    /// Seconds that a positive answer is kept, whatever it says: stale answers of a server that errs go within the hour.
    package var positiveSecondsMax: UInt32 = 3600
    /// Seconds that a negative answer is kept (RFC 2308 leaves the bound to us).
    package var negativeSecondsMax: UInt32 = 900

    package init() {}
}
