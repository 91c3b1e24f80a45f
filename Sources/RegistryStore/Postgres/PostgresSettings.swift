import CLibpq
import OCI

/// Where the index is when it is in PostgreSQL: "database" of the registry's configuration.
package struct PostgresSettings: Sendable, Decodable {
    private static let known: Set<String> = ["url", "connections"]
    /// Of one registry: PostgreSQL gives a hundred to everybody unless it is told otherwise.
    private static let connectionsMax = 64

    /// `postgres://user:password@host:port/database?sslmode=…`, as libpq takes it.
    package let url: String
    /// For reading; one more is for writing.
    package var connections = 8
    /// Is told what an operator should know of: a server that does not answer.
    package var note: @Sendable (String) -> Void = { _ in }

    /// - Throws: ``StoreFailure`` for what is no URL of PostgreSQL.
    package init(url: String) throws(StoreFailure) {
        self.url = url
        guard url.hasPrefix("postgres://") || url.hasPrefix("postgresql://") else {
            throw StoreFailure("the database's URL does not begin with postgres://")
        }
        guard let options = PQconninfoParse(url, nil) else {
            // libpq would quote it, password and all.
            throw StoreFailure(
                "the database's URL cannot be read: what is no letter or digit of its user and password has to be percent-encoded"
            )
        }
        PQconninfoFree(options)
    }

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(Self.known)
        let url = try members.decode(String.self, forKey: "url")
        do throws(StoreFailure) { try self.init(url: url) } catch {
            throw DecodingError.dataCorruptedError(
                forKey: "url", in: members, debugDescription: error.description)
        }
        connections = try members.decodeIfPresent(Int.self, forKey: "connections") ?? connections
        guard (1...Self.connectionsMax).contains(connections) else {
            throw DecodingError.dataCorruptedError(
                forKey: "connections", in: members, debugDescription: "want 1 to \(Self.connectionsMax)")
        }
    }

    /// The server and the database, without the password.
    package var place: String {
        guard let options = PQconninfoParse(url, nil) else { return "PostgreSQL" }
        defer { PQconninfoFree(options) }
        var values: [String: String] = [:]
        var next = options
        while let keyword = next.pointee.keyword {
            if let value = next.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            next += 1
        }
        let host = values["host"] ?? values["hostaddr"] ?? "the local server"
        return "\(values["dbname"] ?? values["user"] ?? "the database") at \(host)"
            + (values["port"].map { ":\($0)" } ?? "")
    }
}
