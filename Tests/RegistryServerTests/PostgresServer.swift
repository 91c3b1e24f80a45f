import Foundation
import Synchronization
import Testing

/// A PostgreSQL of its own, as the user postgres, behind a socket in a directory of its own; what it has answered is durable.
final class PostgresServer: Sendable {
    let directory: String
    private let process = Mutex<Process?>(nil)

    /// For the tests that only want a database: it ends with the process.
    static let shared = Result { () throws in
        let server = try PostgresServer()
        atexit { PostgresServer.atEnd?.remove() }
        atEnd = server
        return server
    }
    nonisolated(unsafe) private static var atEnd: PostgresServer?  // written once, under the lock of `shared`

    private static func program(_ name: String) throws -> String {
        let root = "/usr/lib/postgresql"
        let versions = try FileManager.default.contentsOfDirectory(atPath: root).compactMap { Int($0) }
        return "\(root)/\(try #require(versions.max(), "apt-get install postgresql"))/bin/\(name)"
    }

    init() throws {
        directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/postgres-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let user = try #require(getpwnam("postgres"), "apt-get install postgresql")
        try #require(chown(directory, user.pointee.pw_uid, user.pointee.pw_gid) == 0)
        let made = try asPostgres([
            try Self.program("initdb"), "-D", directory + "/data", "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8",
        ])
        made.waitUntilExit()
        try #require(made.terminationStatus == 0, "\(log)")
        try start()
    }

    deinit { remove() }

    private func remove() {
        stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private func asPostgres(_ command: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/setpriv")
        process.arguments = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] + command
        process.currentDirectoryURL = URL(filePath: "/")
        _ = FileManager.default.createFile(atPath: directory + "/log", contents: nil)
        let output = FileHandle(forWritingAtPath: directory + "/log") ?? .nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
        return process
    }

    var log: String { (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? "" }

    func start() throws {
        let process = try asPostgres([
            try Self.program("postgres"), "-D", directory + "/data", "-k", directory, "-c", "listen_addresses=",
        ])
        self.process.withLock { $0 = process }
        try #require(soon(60) { (try? query("SELECT 1", in: "postgres")) == "1" }, "\(log)")
    }

    /// Ends it as a crash would: sessions are cut, and the next start has to recover (immediate shutdown).
    func stop() {
        process.withLock { process in
            guard let running = process else { return }
            kill(running.processIdentifier, SIGQUIT)
            running.waitUntilExit()
            process = nil
        }
    }

    /// What a statement answers, as text.
    @discardableResult
    func query(_ sql: String, in database: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: try Self.program("psql"))
        process.arguments = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url(of: database)]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw LabFailure("psql: \(sql)") }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private func url(of database: String) -> String {
        "postgres://postgres@/\(database)?host=\(directory.replacing("/", with: "%2F"))"
    }

    /// Makes a database.
    func database() throws -> Database {
        let name = "d" + UUID().uuidString.prefix(8).lowercased()
        try query("CREATE DATABASE \(name)", in: "postgres")
        return Database(server: self, name: name, url: url(of: name))
    }

    /// One that nobody else uses.
    struct Database: Sendable {
        let server: PostgresServer
        let name: String
        let url: String

        @discardableResult
        func query(_ sql: String) throws -> String { try server.query(sql, in: name) }

        /// Ends all sessions that registries have.
        func cutSessions() throws {
            try server.query(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '\(name)'",
                in: "postgres")
        }
    }
}

/// Runs each test twice: on the embedded index, and on PostgreSQL, where every registry gets a database of its own.
struct OnBothIndexes: SuiteTrait, TestTrait, TestScoping {
    @TaskLocal static var server: PostgresServer?

    let isRecursive = true

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await function()
        guard testCase != nil else { return }
        try await Self.$server.withValue(try PostgresServer.shared.get(), operation: function)
    }
}

extension Trait where Self == OnBothIndexes {
    static var onBothIndexes: Self { OnBothIndexes() }
}
