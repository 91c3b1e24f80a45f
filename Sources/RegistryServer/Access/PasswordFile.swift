/// The accounts of an htpasswd file: `name:hash`, a line each, hashes by bcrypt.
struct PasswordFile: Sendable {
    /// What keeps the file from being used; the message says which line.
    struct Failure: Error, Sendable, CustomStringConvertible {
        let description: String
    }

    private let hashes: [String: String]
    /// The highest of its hashes.
    let cost: UInt

    init(parsing text: String) throws(Failure) {
        var hashes: [String: String] = [:]
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty, PasswordHash.isBcrypt(parts[1]) else {
                throw Failure(description: "line \(number + 1) is not NAME:HASH with a bcrypt hash: use htpasswd -B")
            }
            hashes[parts[0]] = parts[1]
        }
        self.hashes = hashes
        cost = hashes.values.compactMap(PasswordHash.cost(of:)).max() ?? 0
    }

    func hash(of name: String) -> String? { hashes[name] }
}
