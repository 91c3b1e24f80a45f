import Logging
import NIOCore

/// Asks name servers. Belongs to the event loop.
///
/// Identical questions to the same servers are asked once; answers are kept as long as they say.
final class Forwarder {
    let loop: any EventLoop
    let limits: ResolverLimits
    private let logger: Logger
    private var lists: [[DNSEndpoint]: ServerList] = [:]
    private var listNumber: UInt32 = 0
    private var cache: AnswerCache
    private var flights: [UInt64: Flight] = [:]
    private var flightsByKey: [AnswerKey: Flight] = [:]
    private var flightNumber: UInt64 = 0
    private var waiting = 0
    private var pools: [DNSEndpoint: DatagramPool] = [:]
    private var connections = 0
    private var clock: Scheduled<Void>?
    private var lastLimitNote = NIODeadline.uptimeNanoseconds(0)

    /// How often deadlines are looked at.
    private static let tick = TimeAmount.milliseconds(100)
    /// A limit that is met again and again is told so often.
    private static let noteInterval = TimeAmount.seconds(2)

    init(_ loop: any EventLoop, _ logger: Logger, _ limits: ResolverLimits) {
        self.loop = loop
        self.logger = logger
        self.limits = limits
        cache = AnswerCache(entriesMax: limits.cacheEntriesMax, bytesMax: limits.cacheBytesMax)
    }

    // MARK: Lists of servers

    /// The list that a configuration forwards to; nil when it forwards nothing. Give it back by ``release(_:)``.
    func list(for configuration: ClientConfiguration) -> ServerList? {
        let servers = Array(configuration.upstream.prefix(limits.upstreamsMax))
        guard configuration.forwards, !servers.isEmpty else { return nil }
        let list: ServerList
        if let known = lists[servers] {
            list = known
        } else {
            listNumber &+= 1
            list = ServerList(servers, number: listNumber)
            lists[servers] = list
        }
        list.users += 1
        return list
    }

    func release(_ list: ServerList?) {
        guard let list else { return }
        list.users -= 1
        if list.users == 0 { lists[list.servers] = nil }
    }

    // MARK: Queries

    /// The answer when it is there at once; otherwise nil, and it goes to the query's route later.
    ///
    /// - Parameter whole: the query as it came, when it must be passed on like that.
    func answer(_ query: PendingQuery, whole: [UInt8]?, _ list: ServerList) -> ByteBuffer? {
        let framed = query.route.isStream
        let key = whole == nil ? Self.key(query, list) : nil
        if let key, let (answer, age) = cache.answer(to: key, at: .now()) {
            return answer.message(for: query, age: age, framed: framed)
        }
        guard waiting < limits.queriesMax, query.client.waiting < limits.queriesPerContainerMax else {
            noteLimit(query.client)
            return query.failure(ResponseCode.refused)
        }
        waiting += 1
        query.client.waiting += 1
        if let key, let flight = flightsByKey[key] {
            flight.waiting.append(query)
            return nil
        }
        flightNumber += 1
        let flight = Flight(
            flightNumber, key, message: whole ?? Self.message(for: query),
            questionEnd: Wire.headerBytes + query.question.count, list.servers, startsWithStream: framed)
        flight.waiting.append(query)
        flights[flight.number] = flight
        if let key { flightsByKey[key] = flight }
        startClock()
        askNext(flight)
        return nil
    }

    private static func key(_ query: PendingQuery, _ list: ServerList) -> AnswerKey {
        let fields = query.question.count - 4
        var question = query.question
        for offset in 0..<fields { question[offset] = Flight.lowercased(question[offset]) }
        return AnswerKey(
            servers: list.number,
            flags: query.flags.intersection([.recursionDesired, .authenticData, .checkingDisabled]),
            hasOptions: query.hasOptions, wantsSignatures: query.wantsSignatures, question: question)
    }

    /// What servers are asked: the question, and OPT when the client has it, for its size of datagrams is not ours.
    private static func message(for query: PendingQuery) -> [UInt8] {
        let flags = query.flags.intersection([.recursionDesired, .authenticData, .checkingDisabled])
        var buffer = ByteBuffer()
        buffer.writeMultipleIntegers(
            UInt16(0), flags.rawValue, UInt16(1), UInt16(0), UInt16(0), UInt16(query.hasOptions ? 1 : 0))
        buffer.writeBytes(query.question)
        if query.hasOptions { Reply.writeOptions(&buffer, code: 0, wantsSignatures: query.wantsSignatures) }
        return Array(buffer.readableBytesView)
    }

    private func noteLimit(_ client: Client) {
        let now = NIODeadline.now()
        guard now - lastLimitNote > Self.noteInterval else { return }
        lastLimitNote = now
        logger.warning(
            "name server refuses queries: too many wait for upstream servers",
            metadata: ["container": "\(client.container)", "waiting": "\(client.waiting)", "all": "\(waiting)"])
    }

    // MARK: Attempts

    private func askNext(_ flight: Flight) {
        guard flights[flight.number] != nil else { return }
        guard let server = flight.next() else { return land(flight, flight.cut) }
        flight.deadline = .now() + limits.attemptTimeout
        if flight.startsWithStream {
            askByStream(flight, server, flight.attempt)
        } else {
            pool(server).ask(flight, attempt: flight.attempt)
        }
    }

    private func askByStream(_ flight: Flight, _ server: DNSEndpoint, _ attempt: Int) {
        guard connections < limits.upstreamConnectionsMax else { return failed(flight, attempt) }
        connections += 1
        flight.deadline = .now() + limits.attemptTimeout
        let exchange = StreamExchange(self, flight, attempt)
        flight.exchanges.append(exchange)
        exchange.start(server)
    }

    /// An exchange by TCP has ended, whatever its outcome.
    func noteConnectionEnded() { connections -= 1 }

    private func pool(_ server: DNSEndpoint) -> DatagramPool {
        if let pool = pools[server] { return pool }
        let pool = DatagramPool(self, server)
        pools[server] = pool
        return pool
    }

    /// An attempt can have no answer any more.
    func failed(_ flight: Flight, _ attempt: Int) {
        guard flights[flight.number] != nil, attempt == flight.attempt else { return }
        if flight.isOneServer { land(flight, flight.cut) } else { askNext(flight) }
    }

    /// A server's answer, which has the id and the question of the attempt.
    func received(_ message: ByteBuffer, _ flight: Flight, _ attempt: Int, byStream: Bool) {
        guard flights[flight.number] != nil else { return }
        guard let answer = try? UpstreamAnswer(message, questionEnd: flight.questionEnd, limits) else {
            // Perhaps a datagram that was cut on its way; a stream's is the server's own.
            return byStream ? failed(flight, attempt) : askByStream(flight, flight.servers[attempt], attempt)
        }
        switch answer.flags.responseCode {
        case ResponseCode.serverFailure, ResponseCode.refused:
            failed(flight, attempt)
        default:
            guard answer.flags.contains(.truncated), !byStream else { return land(flight, answer) }
            flight.cut = answer
            askByStream(flight, flight.servers[attempt], attempt)
        }
    }

    /// Gives the answer to all who wait for it; nil: no server had one.
    private func land(_ flight: Flight, _ answer: UpstreamAnswer?) {
        flights[flight.number] = nil
        if let key = flight.key {
            flightsByKey[key] = nil
            if let answer { cache.store(answer, for: key, at: .now()) }
        }
        for (socket, id) in flight.datagrams { socket.forget(id, of: flight) }
        for exchange in flight.exchanges { exchange.cancel() }
        flight.datagrams = []
        flight.exchanges = []
        let queries = flight.waiting
        flight.waiting = []
        waiting -= queries.count
        for query in queries {
            query.client.waiting -= 1
            let message =
                answer?.message(for: query, age: 0, framed: query.route.isStream)
                ?? query.failure(ResponseCode.serverFailure)
            query.route.deliver(message)
        }
    }

    // MARK: Time

    private func startClock() {
        guard clock == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: loop)
        clock = loop.scheduleTask(in: Self.tick) { bound.value.advance() }
    }

    /// Looks after deadlines and idle sockets as long as there are any.
    private func advance() {
        clock = nil
        let now = NIODeadline.now()
        for flight in flights.values where flight.deadline <= now { askNext(flight) }
        for (server, pool) in pools {
            pool.closeIdle(now)
            if pool.isEmpty { pools[server] = nil }
        }
        if !flights.isEmpty || !pools.isEmpty { startClock() }
    }

    /// Answers who still waits, and closes all sockets.
    func close() {
        for flight in flights.values { land(flight, nil) }
        for pool in pools.values { pool.close() }
        pools = [:]
        clock?.cancel()
        clock = nil
    }
}
