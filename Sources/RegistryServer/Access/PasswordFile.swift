import CCrypt
import Glibc

/// The accounts of an htpasswd file: `name:hash`, a line each, hashes by bcrypt.
struct PasswordFile: Sendable {
    /// What keeps the file from being used; the message says which line.
    struct Failure: Error, Sendable, CustomStringConvertible {
        let description: String
    }

    private let hashes: [String: String]

    /// bcrypt's forms. Others that htpasswd(1) writes can be tried by the million.
    private static let forms = ["$2y$", "$2b$", "$2a$"]
    /// Of a name that nobody has, so that asking for one takes as long as for an account.
    private static let nobody = "$2y$10$abcdefghijklmnopqrstuuhaIXPMRwKCM6Bk4vAJqVbnTBEDFGYCq"

    init(parsing text: String) throws(Failure) {
        var hashes: [String: String] = [:]
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty, Self.forms.contains(where: { parts[1].hasPrefix($0) }) else {
                throw Failure(description: "line \(number + 1) is not NAME:HASH with a bcrypt hash: use htpasswd -B")
            }
            hashes[parts[0]] = parts[1]
        }
        self.hashes = hashes
    }

    /// Whether that is the account's password. Takes tens of milliseconds of a processor: not on the cooperative pool.
    func matches(_ name: String, _ password: String) -> Bool {
        let hash = hashes[name]
        let isRight = Self.hash(password, hash ?? Self.nobody).map { Self.areEqual($0, hash ?? "") } ?? false
        return isRight && hash != nil
    }

    private static func hash(_ password: String, _ setting: String) -> String? {
        // Behind a NUL anything would be right.
        guard !password.utf8.contains(0) else { return nil }
        var memory: UnsafeMutableRawPointer?
        var size: CInt = 0
        defer { free(memory) }
        return crypt_ra(password, setting, &memory, &size).map { String(cString: $0) }
    }

    /// Takes as long whatever differs.
    private static func areEqual(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
