@preconcurrency import Glibc

/// A container whose streams and exit are followed on two connections, both opened before it starts.
struct AttachedContainer {
    let client: Client
    let id: String
    private let stream: Response
    private let wait: Connection

    /// Sends attach and wait at once, on connections of their own, then reads both heads.
    static func open(
        _ client: Client, _ id: String, input: Bool, output: Bool, errors: Bool, detachKeys: String, condition: String
    ) throws(CLIError) -> AttachedContainer {
        let streams: [(String, String?)] = [
            ("detachKeys", detachKeys.isEmpty ? nil : detachKeys), ("stderr", errors ? "1" : nil),
            ("stdin", input ? "1" : nil), ("stdout", output ? "1" : nil), ("stream", "1"),
        ]
        let attaching = try client.begin(
            Request(method: "POST", path: "/containers/\(id)/attach" + query(streams), upgrade: true))
        let waiting = try client.begin(
            Request(
                method: "POST",
                path: "/containers/\(id)/wait" + query([("condition", condition.isEmpty ? nil : condition)])))
        let stream = try client.checked(try Response(from: attaching, method: "POST"))
        return AttachedContainer(client: client, id: id, stream: stream, wait: waiting)
    }

    /// Runs the session; throws the container's exit code unless it is 0.
    ///
    /// - Returns: how it ended: the keys that leave a container running are no failure here.
    @discardableResult
    func run(_ options: Session.Options, start: () throws(CLIError) -> Void) throws(CLIError) -> Session.End {
        let path = "/containers/\(id)"
        var session = Session(
            client: client, stream: stream.connection, options: options,
            resize: { size in
                // A size that cannot be set is only cosmetic: the container may have ended already.
                _ = try? client.call("POST", "\(path)/resize?h=\(size.rows)&w=\(size.columns)")
            },
            signal: { name in
                // A container that ended meanwhile cannot be signalled, and its exit is about to be reported.
                _ = try? client.call("POST", "\(path)/kill" + query([("signal", name)]))
            })
        let end = try session.run(started: start)
        guard end != .detached else { return end }
        let code = try exitCode()
        guard code == 0 else { throw .silent(code) }
        return end
    }

    private func exitCode() throws(CLIError) -> CInt {
        let answer = try client.checked(try Response(from: wait, method: "POST")).json()
        if let text = answer["Error"]?["Message"]?.string, !text.isEmpty { throw CLIError(text, exitCode: 125) }
        return CInt(clamping: answer.int("StatusCode"))
    }
}

extension Client {
    /// Sends a request on a new connection and leaves its response unread.
    func begin(_ request: Request) throws(CLIError) -> Connection {
        let connection = try connect()
        var versioned = request
        versioned.path = "/v\(negotiatedVersion)" + request.path
        versioned.headers += extraHeaders
        try connection.send(versioned.encoded())
        return connection
    }
}
