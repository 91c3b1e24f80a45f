import FoundationEssentials
import Glibc
import Kernel
package import Logging

/// Who did what, a line of JSON each: appended to a file.
///
/// The line of a change, and of what was refused, is on disk (fdatasync) before its answer is sent; changes that wait share a sync.
/// Lines of what was only read follow within a second. A file that was renamed or removed is made anew by the next line.
package actor AuditLog {
    /// A line. What nobody knows is left out; there is no secret in it.
    struct Entry: Encodable, Sendable {
        /// Who has no name of an account.
        enum Actor: String, Encodable, Sendable {
            /// Whoever has asked by the socket in the registry's folder.
            case `operator`
            /// A rule of the configuration.
            case retention
        }

        var time = ""
        var by: Actor?
        /// Of an operator: the user and the process that have connected.
        var uid: UInt32?
        var pid: Int32?
        var peer: String?
        var user: String?
        let action: String
        var method: String?
        /// The account that is changed.
        var account: String?
        /// Of an account that is changed.
        var rights: String?
        /// Where a move goes, without credentials; a webhook, or a rule.
        var target: String?
        /// One, or the pattern of a grant.
        var repository: String?
        /// A tag, those that came with a digest, or an upload.
        var reference: String?
        var digest: String?
        let status: Int
        var bytes: Int64?
    }

    private struct Waiting {
        let line: [UInt8]
        let done: CheckedContinuation<Void, Never>?
    }

    /// Lines that wait to be written. When there are more, whoever only reads waits as well.
    private static let waitingMax = 10_000
    private static let interval = Duration.seconds(1)

    private let path: String
    private let logger: Logger
    private var file: AuditFile
    private var waiting: [Waiting] = []
    private var isWriting = false
    private var isScheduled = false

    /// - Throws: `SystemError` for a file that cannot be opened.
    package init(_ path: String, logger: Logger) throws {
        self.path = path
        self.logger = logger
        file = try AuditFile(path)
    }

    /// - Parameter isPatient: whether the caller goes on when the line is on disk, not before.
    func add(_ entry: Entry, isPatient: Bool) async {
        var entry = entry
        entry.time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // Texts and numbers always encode.
        guard let line = try? encoder.encode(entry) else { return }
        let bytes = Array(line) + [UInt8(ascii: "\n")]
        guard isPatient || waiting.count >= Self.waitingMax else {
            waiting.append(Waiting(line: bytes, done: nil))
            guard !isScheduled, !isWriting else { return }
            isScheduled = true
            Task {
                // Nothing cancels it; if it were, the lines would come earlier.
                try? await Task.sleep(for: Self.interval)
                isScheduled = false
                await write()
            }
            return
        }
        await withCheckedContinuation { done in
            waiting.append(Waiting(line: bytes, done: done))
            Task { await write() }
        }
    }

    private func write() async {
        guard !isWriting else { return }
        isWriting = true
        while !waiting.isEmpty {
            let batch = waiting
            waiting = []
            let (path, before, bytes) = (path, file, batch.flatMap(\.line))
            let result = await BlockingPool.shared.run { () -> Result<AuditFile, SystemError> in
                do throws(SystemError) {
                    let file = before.isCurrent(path) ? before : try AuditFile(path)
                    try file.append(bytes)
                    return .success(file)
                } catch { return .failure(error) }
            }
            switch result {
            case .success(let current): file = current
            // What was done is done: it is not undone because nobody can write it down.
            case .failure(let error): logger.error("the audit log lost \(batch.count) lines: \(error)")
            }
            for entry in batch { entry.done?.resume() }
        }
        isWriting = false
    }

    /// Writes what waits.
    package func finish() async {
        guard isWriting || !waiting.isEmpty else { return }
        await withCheckedContinuation { done in
            waiting.append(Waiting(line: [], done: done))
            Task { await write() }
        }
    }
}

/// The open file, and which one it is.
private final class AuditFile: Sendable {
    private let file: OwnedFD
    private let identity: FileStamp.Identity

    init(_ path: String) throws(SystemError) {
        let file = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        identity = try FileStamp(of: file).identity
        self.file = file
    }

    /// Whether the file still has its name.
    func isCurrent(_ path: String) -> Bool { FileStamp(path)?.identity == identity }

    func append(_ bytes: [UInt8]) throws(SystemError) {
        var failure: SystemError?
        bytes.withUnsafeBytes { data in
            do throws(SystemError) { try file.writeAll(data) } catch { failure = error }
        }
        if let failure { throw failure }
        try file.syncData()
    }
}
