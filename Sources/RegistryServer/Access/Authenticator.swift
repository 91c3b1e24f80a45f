import struct Crypto.HMAC
import struct Crypto.SHA256
import struct Crypto.SymmetricKey
import FoundationEssentials
import Glibc
import Kernel
package import Logging
package import RegistryStore

/// Finds out who a request is from. The password file is read again when it has changed.
package actor Authenticator {
    /// Log-ins that are checked at once: each takes a processor for tens of milliseconds.
    private static let checksMax = 4
    /// How long a password that was right is not checked again; a change of the file ends it at once.
    private static let memory = Duration.seconds(300)
    /// Passwords that are remembered, by a keyed digest; when there are more, all are forgotten.
    private static let rememberedMax = 4096
    /// How often the file is looked at.
    private static let lookInterval = Duration.seconds(1)
    private static let fileBytesMax = 16 << 20

    private struct Stamp: Hashable, Sendable {
        var seconds: Int
        var nanoseconds: Int
        var bytes: Int64
        var inode: UInt64
    }

    private let path: String
    private let logger: Logger
    private let checks = Allowance(checksMax)
    private let key = SymmetricKey(size: .bits256)
    private var accounts: PasswordFile
    private var stamp: Stamp?
    private var lookedAt = ContinuousClock.now
    private var remembered: [[UInt8]: ContinuousClock.Instant] = [:]

    /// - Throws: what keeps the file from being used.
    package init(passwordFile path: String, logger: Logger) throws {
        self.path = path
        self.logger = logger
        stamp = Self.stamp(path)
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

    private static func stamp(_ path: String) -> Stamp? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec, bytes: Int64(status.st_size),
            inode: UInt64(status.st_ino))
    }

    private func look() async {
        guard ContinuousClock.now - lookedAt >= Self.lookInterval else { return }
        lookedAt = .now
        let path = path
        let (now, read) = await BlockingPool.shared.run { (Self.stamp(path), Result { try Self.read(path) }) }
        guard now != stamp else { return }
        switch read {
        case .success(let file):
            accounts = file
            stamp = now
            remembered = [:]
            logger.info("\(path) was read again")
        case .failure(let error):
            // Half of a file may be there: the accounts of before go on, and it is looked at again.
            logger.error("\(error): the accounts of before stay")
        }
    }

    /// The account that an `Authorization` header is of; nil without one.
    ///
    /// - Throws: ``Refusal`` UNAUTHORIZED for a name or password that is not right, TOOMANYREQUESTS.
    package func user(of header: String?) async throws(Refusal) -> String? {
        guard let header else { return nil }
        guard let (name, password) = Self.credentials(header) else { throw Self.refusal }
        // What skopeo, podman and buildah send when they have nothing to send.
        if name.isEmpty, password.isEmpty { return nil }
        await look()
        let digest = Array(HMAC<SHA256>.authenticationCode(for: Data("\(name)\0\(password)".utf8), using: key))
        if let until = remembered[digest], until > .now { return name }
        guard checks.take() else {
            throw Refusal(.tooManyRequests, 429, "too many log-ins at once: try again in a second")
        }
        let accounts = accounts
        let isRight = await BlockingPool.shared.run { accounts.matches(name, password) }
        checks.give()
        guard isRight else { throw Self.refusal }
        if remembered.count >= Self.rememberedMax { remembered = [:] }
        remembered[digest] = .now + Self.memory
        return name
    }

    static let refusal = Refusal(.unauthorized, 401, "authentication required: unknown name or wrong password")

    /// Name and password of `Basic` (RFC 7617).
    static func credentials(_ header: String) -> (name: String, password: String)? {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic", let data = Data(base64Encoded: String(parts[1])),
            let text = String(validating: data, as: UTF8.self), let colon = text.firstIndex(of: ":")
        else { return nil }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }
}
