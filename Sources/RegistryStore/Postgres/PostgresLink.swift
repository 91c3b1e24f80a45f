import CLibpq
import Glibc

/// A connection of libpq, on one thread at a time. Each wait has an end: a server that is frozen never answers.
final class PostgresLink {
    /// Seconds until a server has to have taken a connection.
    private static let connectSeconds = 5
    /// Oldest version of the server whose SQL is known to do.
    private static let versionMin: CInt = 130_000

    private let raw: OpaquePointer
    /// Nothing can be asked any more, or nothing that is safe.
    private(set) var isBroken = false

    /// Connects.
    ///
    /// - Throws: ``PostgresFailure``.
    init(_ url: String) throws(PostgresFailure) {
        // What comes before the URL is what it may say otherwise.
        let options = [
            ("connect_timeout", "\(Self.connectSeconds)"), ("tcp_user_timeout", "15000"), ("keepalives_idle", "30"),
            ("fallback_application_name", "docker-registry"), ("target_session_attrs", "read-write"),
            ("dbname", url), ("client_encoding", "UTF8"),
        ]
        let (keys, values) = (CTexts(options.map(\.0)), CTexts(options.map(\.1)))
        guard let raw = PQconnectdbParams(keys.pointers, values.pointers, 1) else {
            throw PostgresFailure(.lost, "no memory for a connection")
        }
        self.raw = raw
        PQsetNoticeProcessor(raw, { _, _ in }, nil)
        guard PQstatus(raw) == CONNECTION_OK else {
            isBroken = true
            throw PostgresFailure(.lost, Self.message(raw))
        }
        guard PQserverVersion(raw) >= Self.versionMin else {
            throw PostgresFailure(.other, "the server is older than version \(Self.versionMin / 10_000)")
        }
        guard PQparameterStatus(raw, "server_encoding").map({ String(cString: $0) }) == "UTF8" else {
            throw PostgresFailure(.other, "the database is not of encoding UTF8: make one that is")
        }
        guard PQsetnonblocking(raw, 1) == 0 else { throw PostgresFailure(.lost, Self.message(raw)) }
    }

    deinit { PQfinish(raw) }

    private static func message(_ raw: OpaquePointer) -> String {
        PQerrorMessage(raw).map { trimmed($0) } ?? "it cannot be reached"
    }

    fileprivate static func trimmed(_ text: UnsafePointer<CChar>) -> String {
        var message = Substring(String(cString: text))
        while message.last?.isWhitespace == true { message.removeLast() }
        return message.split(whereSeparator: \.isNewline).joined(separator: "; ")
    }

    // MARK: Statements

    /// Runs statements without arguments, one after another, up to the first that fails.
    @discardableResult
    func script(_ sql: String, within limit: Duration) throws(PostgresFailure) -> [PostgresAnswer] {
        try exchange(limit) { PQsendQuery(raw, sql) }
    }

    func prepare(_ name: String, _ sql: String, _ types: [Oid], within limit: Duration) throws(PostgresFailure) {
        try exchange(limit) { PQsendPrepare(raw, name, sql, CInt(types.count), types) }
    }

    func execute(
        _ name: String, _ arguments: [SQLValue], within limit: Duration
    ) throws(PostgresFailure) -> PostgresAnswer {
        let wire = WireArguments(arguments)
        let answers = try exchange(limit) {
            wire.withPointers { values in
                PQsendQueryPrepared(raw, name, CInt(arguments.count), values, wire.lengths, wire.formats, 0)
            }
        }
        guard let answer = answers.first else { throw PostgresFailure(.lost, "the server gave no answer") }
        return answer
    }

    /// Sends by `send`, and waits for all that the server answers.
    @discardableResult
    private func exchange(_ limit: Duration, _ send: () -> CInt) throws(PostgresFailure) -> [PostgresAnswer] {
        guard !isBroken else { throw PostgresFailure(.lost, "the connection is broken") }
        guard send() == 1 else { throw broken() }
        let end = ContinuousClock.now + limit
        var answers: [PostgresAnswer] = []
        while true {
            try awaitAnswer(end)
            guard let result = PQgetResult(raw) else { break }
            answers.append(PostgresAnswer(result))
        }
        if PQstatus(raw) != CONNECTION_OK { isBroken = true }
        for answer in answers {
            guard let failure = answer.failure else { continue }
            throw isBroken ? PostgresFailure(.lost, failure.message) : failure
        }
        guard !answers.isEmpty else { throw broken() }
        return answers
    }

    private func broken() -> PostgresFailure {
        isBroken = true
        return PostgresFailure(.lost, Self.message(raw))
    }

    /// Waits until the next answer can be taken without waiting.
    private func awaitAnswer(_ end: ContinuousClock.Instant) throws(PostgresFailure) {
        var isSent = false
        while true {
            if !isSent {
                let left = PQflush(raw)
                guard left >= 0 else { throw broken() }
                isSent = left == 0
            }
            if isSent, PQisBusy(raw) == 0 { return }
            let left = (end - .now).components
            guard left.seconds >= 0, left.attoseconds >= 0 else {
                isBroken = true
                throw PostgresFailure(.lost, "the server does not answer")
            }
            var entry = pollfd(fd: PQsocket(raw), events: Int16(POLLIN | (isSent ? 0 : POLLOUT)), revents: 0)
            let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000 + 1
            guard poll(&entry, 1, CInt(clamping: milliseconds)) > 0 else { continue }
            guard Int32(entry.revents) & (POLLIN | POLLERR | POLLHUP | POLLNVAL) != 0 else { continue }
            guard PQconsumeInput(raw) == 1 else { throw broken() }
        }
    }
}

/// What a server has answered to one statement.
final class PostgresAnswer {
    private let raw: OpaquePointer

    /// PG_DIAG_MESSAGE_PRIMARY and PG_DIAG_SQLSTATE, which are characters of C.
    private static let (messageField, stateField) = (CInt(UInt8(ascii: "M")), CInt(UInt8(ascii: "C")))

    fileprivate init(_ raw: OpaquePointer) { self.raw = raw }

    deinit { PQclear(raw) }

    fileprivate var failure: PostgresFailure? {
        switch PQresultStatus(raw) {
        case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY: return nil
        default: break
        }
        let text = PQresultErrorField(raw, Self.messageField) ?? PQresultErrorMessage(raw)
        let message = text.map { PostgresLink.trimmed($0) } ?? "an answer that was not expected"
        guard let state = PQresultErrorField(raw, Self.stateField) else { return PostgresFailure(.lost, message) }
        return PostgresFailure(state: String(cString: state), message)
    }

    /// What the server did: `COMMIT`, `INSERT 0 1`.
    var command: String { PQcmdStatus(raw).map { String(cString: $0) } ?? "" }
    /// Rows that were changed.
    var changed: Int { PQcmdTuples(raw).flatMap { Int(String(cString: $0)) } ?? 0 }
    var rowCount: Int { Int(PQntuples(raw)) }
    var columns: [String] {
        (0..<PQnfields(raw)).map { column in PQfname(raw, column).map { String(cString: $0) } ?? "" }
    }
    var types: [Oid] { (0..<PQnfields(raw)).map { PQftype(raw, $0) } }

    /// A value, which came as text.
    func value(_ row: Int, _ column: Int, _ type: Oid) -> SQLValue {
        let (row, column) = (CInt(row), CInt(column))
        guard PQgetisnull(raw, row, column) == 0, let start = PQgetvalue(raw, row, column) else { return .null }
        let bytes = UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(raw, row, column)))
        return PostgresType.value(bytes, type)
    }
}

/// Texts as C wants them: pointers, and none at the end.
private final class CTexts {
    let pointers: [UnsafePointer<CChar>?]

    init(_ texts: [String]) { pointers = texts.map { UnsafePointer(strdup($0)) } + [nil] }

    deinit { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
}
