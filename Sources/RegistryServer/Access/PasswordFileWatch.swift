import Kernel
import Logging

/// A password file as it is now: it is read again when it has changed.
actor PasswordFileWatch {
    /// How often the file is looked at.
    private static let lookInterval = Duration.seconds(1)
    private static let fileBytesMax = 16 << 20

    private let path: String
    private let logger: Logger
    private var accounts: PasswordFile
    private var stamp: FileStamp?
    private var lookedAt = ContinuousClock.now

    /// - Throws: what keeps the file from being used.
    init(_ path: String, logger: Logger) throws {
        self.path = path
        self.logger = logger
        stamp = FileStamp(path)
        accounts = try Self.read(path)
    }

    private static func read(_ path: String) throws -> PasswordFile {
        let bytes = try Files.read(path, bytesMax: fileBytesMax)
        do throws(PasswordFile.Failure) {
            return try PasswordFile(parsing: String(decoding: bytes, as: UTF8.self))
        } catch {
            throw PasswordFile.Failure(description: "\(path): \(error)")
        }
    }

    /// The hash of an account's password; nil for a name that the file does not have.
    func hash(of name: String) async -> String? {
        await look()
        return accounts.hash(of: name)
    }

    /// The highest cost of its hashes.
    var cost: UInt { accounts.cost }

    private func look() async {
        guard ContinuousClock.now - lookedAt >= Self.lookInterval else { return }
        lookedAt = .now
        let path = path
        let (now, read) = await BlockingPool.shared.run { (FileStamp(path), Result { try Self.read(path) }) }
        guard now != stamp else { return }
        switch read {
        case .success(let file):
            accounts = file
            stamp = now
            logger.info("\(path) was read again")
        case .failure(let error):
            // Half of a file may be there: the accounts of before go on, and it is looked at again.
            logger.error("\(error): the accounts of before stay")
        }
    }
}
