import CCrypt
import struct Crypto.SHA256
import Glibc
import Kernel
import OCI
import RegistryStore

/// Hashes of passwords, by crypt(3), and of secrets that the registry has made. What hashes a password takes tens of
/// milliseconds of a processor: not on the cooperative pool.
enum PasswordHash {
    /// bcrypt's forms. Others that htpasswd(1) writes can be tried by the million.
    private static let forms = ["$2y$", "$2b$", "$2a$"]
    /// log2 of bcrypt's rounds: some 50 ms, as htpasswd -B -C 10.
    static let cost: UInt = 10
    /// What everybody is made to wait as long as, at most: some 200 ms. Hashes of a password file that take longer can be told by that.
    private static let equalCostMax: UInt = 12
    /// What bcrypt looks at. Of a longer one the rest would be of no meaning, and nobody would know.
    static let passwordBytesMax = 72
    /// Random bytes of a robot's secret.
    private static let secretBytes = 32
    /// Begins every secret, so that those who look for lost ones find it.
    private static let secretPrefix = "drs_"

    /// log2 of the rounds of a hash; nil for what is none.
    static func cost(of hash: String) -> UInt? {
        isBcrypt(hash) ? UInt(hash.dropFirst(4).prefix(2)) : nil
    }

    static func isBcrypt(_ hash: String) -> Bool { forms.contains { hash.hasPrefix($0) } }

    /// A new hash of a password.
    ///
    /// - Throws: ``Refusal`` for one that bcrypt cannot take whole.
    static func make(_ password: String) async throws -> String {
        guard !password.isEmpty, password.utf8.count <= passwordBytesMax, !password.utf8.contains(0) else {
            throw Refusal(.unknown, 400, "a password has 1 to \(passwordBytesMax) bytes, and no NUL")
        }
        return try await BlockingPool.shared.run { () throws(Refusal) in try hash(password) }
    }

    private static func hash(_ password: String) throws(Refusal) -> String {
        let random = (0..<16).map { _ in CChar(bitPattern: UInt8.random(in: 0...255)) }
        guard let setting = crypt_gensalt_ra("$2b$", cost, random, CInt(random.count)) else {
            throw Refusal(.unknown, 500, "crypt(3) of this machine has no bcrypt: \(String(cString: strerror(errno)))")
        }
        defer { free(setting) }
        guard let hash = crypt(password, String(cString: setting)) else {
            throw Refusal(.unknown, 500, "crypt(3) failed: \(String(cString: strerror(errno)))")
        }
        return hash
    }

    /// Whether that is the password of a hash. How long it takes does not tell whether there is one, or what it costs.
    ///
    /// - Parameters:
    ///   - hash: nil for a name that nobody has: never right.
    ///   - cost: the highest of all that may be asked for.
    static func matches(_ password: String, _ hash: String?, asLongAs cost: UInt) -> Bool {
        let cost = min(cost, equalCostMax)
        guard let hash else {
            _ = crypt(password, nobody(cost))
            return false
        }
        let isRight = crypt(password, hash).map { areEqual($0, hash) } ?? false
        // Each step doubles the rounds: those of the hash, and once more what has been, up to all.
        let own = Self.cost(of: hash) ?? cost
        if own < cost { for step in own..<cost { _ = crypt(password, nobody(step)) } }
        return isRight
    }

    /// The beginning of a hash: how crypt(3) is told what to do.
    private static func nobody(_ cost: UInt) -> String { "$2y$\(cost < 10 ? "0" : "")\(cost)$abcdefghijklmnopqrstuu" }

    private static func crypt(_ password: String, _ setting: String) -> String? {
        // Behind a NUL anything would be right.
        guard !password.utf8.contains(0) else { return nil }
        var memory: UnsafeMutableRawPointer?
        var size: CInt = 0
        defer { free(memory) }
        return crypt_ra(password, setting, &memory, &size).map { String(cString: $0) }
    }

    // MARK: Secrets

    /// A new secret of a robot, and what is kept of it.
    static func makeSecret() -> (secret: String, hash: String) {
        let secret = secretPrefix + Digest.hex((0..<secretBytes).map { _ in UInt8.random(in: 0...255) })
        return (secret, hash(ofSecret: secret))
    }

    /// 256 random bits need no slow hash.
    static func hash(ofSecret secret: String) -> String { Digest.hex(Array(SHA256.hash(data: Array(secret.utf8)))) }

    /// Takes as long whatever differs.
    static func areEqual(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
