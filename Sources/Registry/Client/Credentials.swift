import FoundationEssentials

/// What a user presents to one registry; the content of the Engine API's `X-Registry-Auth` header.
package struct Credentials: Sendable, Hashable, CustomStringConvertible {
    package var username: String
    package var password: String
    /// A refresh token from an earlier log-in (OAuth 2), used instead of the password.
    package var identityToken: String
    /// A bearer token to send as it is.
    package var registryToken: String
    /// The registry they are for, as the client wrote it; may be empty.
    package var serverAddress: String

    package init(
        username: String = "", password: String = "", identityToken: String = "", registryToken: String = "",
        serverAddress: String = ""
    ) {
        self.username = username
        self.password = password
        self.identityToken = identityToken
        self.registryToken = registryToken
        self.serverAddress = serverAddress
    }

    /// Never the secret: this may end in a log.
    package var description: String { "Credentials(\(username.isEmpty ? "anonymous" : username))" }

    /// True when there is nothing to present.
    package var isEmpty: Bool { username.isEmpty && password.isEmpty && identityToken.isEmpty && registryToken.isEmpty }

    /// Longest `X-Registry-Auth` header, in bytes.
    private static let headerBytesMax = 64 << 10

    /// Decodes an `X-Registry-Auth` header: base64url (padded or not) of a JSON object.
    ///
    /// - Returns: `nil` for an empty header or an object without credentials.
    /// - Throws: `RegistryError` (`invalid`); Docker's handlers go on without credentials then.
    package static func decode(header: String) throws(RegistryError) -> Credentials? {
        guard !header.isEmpty else { return nil }
        guard header.utf8.count <= headerBytesMax, let data = decodeBase64(header) else {
            throw RegistryError(.invalid, "invalid X-Registry-Auth header: must be base64url encoded")
        }
        return try decode(json: Array(data))
    }

    /// Decodes the JSON object of `POST /auth` or of an `X-Registry-Auth` header.
    ///
    /// - Returns: `nil` for an object without credentials.
    /// - Throws: `RegistryError` (`invalid`).
    package static func decode(json: [UInt8]) throws(RegistryError) -> Credentials? {
        let wire: Wire
        do { wire = try JSONDecoder().decode(Wire.self, from: Data(json)) } catch {
            throw RegistryError(.invalid, "invalid X-Registry-Auth header: not a JSON object of strings", cause: error)
        }
        var result = Credentials(
            username: wire.username ?? "", password: wire.password ?? "", identityToken: wire.identitytoken ?? "",
            registryToken: wire.registrytoken ?? "", serverAddress: wire.serveraddress ?? "")
        if result.username.isEmpty, let packed = wire.auth, !packed.isEmpty {
            guard let data = decodeBase64(packed) else {
                throw RegistryError(.invalid, "invalid X-Registry-Auth header: auth is not base64")
            }
            let pair = String(decoding: data, as: UTF8.self).split(
                separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else {
                throw RegistryError(.invalid, "invalid X-Registry-Auth header: auth is not user:password")
            }
            result.username = String(pair[0])
            result.password = String(pair[1])
        }
        return result.isEmpty ? nil : result
    }

    private struct Wire: Decodable {
        var username: String?
        var password: String?
        var auth: String?
        var identitytoken: String?
        var registrytoken: String?
        var serveraddress: String?
    }

    /// Both alphabets of RFC 4648, with or without padding.
    private static func decodeBase64(_ text: String) -> Data? {
        var standard = text.replacing("-", with: "+").replacing("_", with: "/")
        while standard.hasSuffix("=") { standard.removeLast() }
        standard += String(repeating: "=", count: (4 - standard.utf8.count % 4) % 4)
        return Data(base64Encoded: standard)
    }

    /// The value of an `Authorization: Basic` header (RFC 7617).
    var basic: String { "Basic " + Data("\(username):\(password)".utf8).base64EncodedString() }
}
