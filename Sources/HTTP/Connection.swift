import NIOCore

/// Serves one request of a connection.
struct Connection: Sendable {
    private enum Next { case request, close }

    let transport: Transport
    let input: ConnectionInput
    let service: HTTPService
    let limits: Limits

    init(_ transport: Transport, _ service: HTTPService, _ limits: Limits) {
        self.transport = transport
        self.service = service
        self.limits = limits
        input = ConnectionInput(transport, limits)
    }

    /// Answers the request whose head is here; the connection then waits for the next one, or is closed.
    func serve() async {
        do {
            if let head = try await input.nextHead() {
                transport.beginRequest()
                if try await placed(head) == .request { return transport.wait(try await input.takeEarly()) }
            }
            try await transport.flush()
        } catch let error as HTTPError {
            await refuse(error)
        } catch {
            // The client is gone or the server ends: nobody is left to tell.
        }
        await transport.closeLingering(limits)
    }

    /// Answers a request that could not be read; the connection ends with it.
    private func refuse(_ error: HTTPError) async {
        do {
            try await sendWhole(service.failure(error), ofHead: nil, closes: true)
            try await transport.flush()
        } catch {
            // The client did not wait for the answer.
        }
    }

    // MARK: One exchange

    /// Exchanges where the service wants to.
    private func placed(_ head: RequestHead) async throws -> Next {
        guard !service.isBrief(head) else { return try await exchange(head) }
        return try await withTaskExecutorPreference(globalConcurrentExecutor) { try await exchange(head) }
    }

    private func exchange(_ head: RequestHead) async throws -> Next {
        if head.headers["origin"] != nil, !service.acceptsOrigin(head) {
            try await sendWhole(
                service.failure(HTTPError(403, "requests from browsers are refused")), ofHead: head, closes: true)
            return .close
        }
        return try await whileConnected { try await answer(head) }
    }

    /// Runs `body`, cancelled when the client leaves.
    private func whileConnected(_ body: @escaping @Sendable () async throws -> Next) async throws -> Next {
        try await withThrowingTaskGroup(of: Next?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                await transport.disconnected()
                return nil
            }
            let first = try await group.next() ?? nil
            group.cancelAll()
            guard let first else { throw ConnectionClosed() }
            return first
        }
    }

    private func answer(_ head: RequestHead) async throws -> Next {
        let request = Request(head: head, body: RequestBody(input: input))
        let response: Response
        do {
            response = try await service.respond(request)
        } catch let error as ConnectionClosed {
            throw error
        } catch {
            try Task.checkCancellation()
            response = service.failure(error)
        }
        switch response.body {
        case .bytes: return try await answerWhole(response, head)
        case .file(let file): return try await send(file, response, head)
        case .stream(let produce): return try await stream(response, head, produce)
        case .takeover(let use):
            try await takeOver(response, head, use)
            return .close
        }
    }

    private func answerWhole(_ response: Response, _ head: RequestHead) async throws -> Next {
        let canGoOn = try await input.drain()
        let closes = !head.keepsAlive || !canGoOn
        try await sendWhole(response, ofHead: head, closes: closes)
        return closes ? .close : .request
    }

    private func sendWhole(_ response: Response, ofHead head: RequestHead?, closes: Bool) async throws {
        guard case .bytes(let body) = response.body else { return }
        var extra = [("Date", ResponseHead.date())]
        let hasBody = response.status != 204 && response.status != 304
        if hasBody && response.headers["content-length"] == nil {
            extra.append(("Content-Length", "\(body.readableBytes)"))
        }
        extra += Self.connectionFields(head, closes: closes)
        var bytes = ResponseHead.bytes(response.status, headers: response.headers, extra: extra)
        if hasBody && head?.method != .head { bytes.writeImmutableBuffer(body) }
        try await transport.writeInTime(bytes)
    }

    private static func connectionFields(_ head: RequestHead?, closes: Bool) -> [(String, String)] {
        if closes { return [("Connection", "close")] }
        return head?.minorVersion == 0 ? [("Connection", "keep-alive")] : []
    }

    private func send(_ file: FileBody, _ response: Response, _ head: RequestHead) async throws -> Next {
        let canGoOn = try await input.drain()
        let closes = !head.keepsAlive || !canGoOn
        let extra =
            [("Date", ResponseHead.date()), ("Content-Length", "\(file.count)")]
            + Self.connectionFields(head, closes: closes)
        let bytes = ResponseHead.bytes(response.status, headers: response.headers, extra: extra)
        try await transport.writeInTime(bytes, head.method == .head || file.count == 0 ? nil : file)
        return closes ? .close : .request
    }

    private func stream(
        _ response: Response, _ head: RequestHead, _ produce: @Sendable (ResponseWriter) async throws -> Void
    ) async throws -> Next {
        let isPlain = response.headers["content-length"] != nil
        let framing: ResponseWriter.Framing =
            head.method == .head ? .discard : isPlain ? .plain : head.minorVersion == 0 ? .untilClose : .chunked
        let closes = !head.keepsAlive || head.minorVersion == 0
        var extra = [("Date", ResponseHead.date())]
        if !isPlain && head.minorVersion == 1 { extra.append(("Transfer-Encoding", "chunked")) }
        if closes { extra.append(("Connection", "close")) }
        try await transport.write(ResponseHead.bytes(response.status, headers: response.headers, extra: extra))
        transport.noteHeadSent()
        let writer = ResponseWriter(transport: transport, framing: framing, limits: limits)
        do {
            try await produce(writer)
        } catch {
            service.noteBroken(head, error)
            // Without its last chunk the client sees that the answer is not whole.
            throw ConnectionClosed()
        }
        try await writer.finish()
        guard !closes, try await input.drain() else { return .close }
        return .request
    }

    private func takeOver(
        _ response: Response, _ head: RequestHead, _ use: @Sendable (RawStream) async throws -> Void
    ) async throws {
        guard try await input.drain() else { throw HTTPError(413, "request body is too large, or does not end") }
        let bytes =
            head.wantsUpgrade
            ? ResponseHead.bytes(
                101, "UPGRADED", headers: response.headers, extra: [("Connection", "Upgrade"), ("Upgrade", "tcp")])
            : ResponseHead.bytes(200, headers: response.headers, extra: [])
        try await transport.write(bytes)
        do {
            try await use(RawStream(transport: transport, input: input, limits: limits))
        } catch {
            service.noteBroken(head, error)
        }
        try await transport.flush()
    }
}
