/// A request that is answered with a status of its own before any handler sees it, or while its body is read.
package struct HTTPError: Error, Sendable, Hashable, CustomStringConvertible {
    package let status: Int
    package let message: String

    package init(_ status: Int, _ message: String) {
        self.status = status
        self.message = message
    }

    package var description: String { message }

    /// The rest of a body did not come in time.
    static let stalled = HTTPError(408, "the request body did not arrive in time: send it without pauses")

    static func badRequest(_ message: String) -> HTTPError { HTTPError(400, message) }
}

/// The connection ended under a read or a write.
package struct ConnectionClosed: Error, Sendable, CustomStringConvertible {
    package init() {}
    package var description: String { "the client closed the connection" }
}
