import FoundationEssentials
import OCI
import RegistryStore

/// A JSON web token (RFC 7519) in its compact form, taken apart: nothing of it is to be believed before its signature has been
/// checked.
struct WebToken: Sendable {
    /// Bytes of a token: one with a chain of certificates and a hundred repositories fits.
    static let bytesMax = 16 << 10

    struct Header: Codable, Sendable {
        let alg: String
        var kid: String?
        var typ: String?
        /// Certificates, in base64 of their DER, the signer's first.
        var x5c: [String]?
        /// Extensions that must be understood (RFC 7515 §4.1.11): there is none that we do.
        var crit: [String]?
    }

    /// What the token says (Docker token authentication, "Token claims").
    struct Claims: Codable, Sendable, Hashable {
        var iss: String?
        var sub: String?
        var aud: Audience?
        /// Seconds since 1970.
        var exp: Double?
        var nbf: Double?
        var iat: Double?
        var jti: String?
        var access: [Scope]?
        /// Of tokens that are exchanged for others: which password the account had.
        var fingerprint: String?
    }

    /// One name, or a list of them.
    struct Audience: Codable, Sendable, Hashable {
        let names: [String]

        init(_ name: String) { names = [name] }

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            names = try (try? container.decode(String.self)).map { [$0] } ?? container.decode([String].self)
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            if names.count == 1 { try container.encode(names[0]) } else { try container.encode(names) }
        }
    }

    /// Why a token is not taken. Who shows a bad one learns no more than this.
    struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    let header: Header
    let claims: Claims
    /// What has been signed.
    let signed: [UInt8]
    let signature: [UInt8]

    init(parsing text: some StringProtocol) throws(Failure) {
        guard text.utf8.count <= Self.bytesMax else { throw Failure("the token has more than \(Self.bytesMax) bytes") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]), let claims = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2])
        else { throw Failure("the token is not HEADER.CLAIMS.SIGNATURE") }
        do {
            // Two readers of one member might read two different ones.
            try StrictJSON.check(Array(header))
            try StrictJSON.check(Array(claims))
            self.header = try JSONDecoder().decode(Header.self, from: header)
            self.claims = try JSONDecoder().decode(Claims.self, from: claims)
        } catch { throw Failure("the token's header or claims cannot be read") }
        guard self.header.crit == nil else { throw Failure("the token wants an extension that is not known") }
        signed = Array("\(parts[0]).\(parts[1])".utf8)
        self.signature = Array(signature)
    }

    /// A token that `sign` signs.
    static func make(_ header: Header, _ claims: Claims, sign: ([UInt8]) throws -> [UInt8]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        let head = Base64URL.encode(try encoder.encode(header))
        let body = Base64URL.encode(try encoder.encode(claims))
        let text = "\(head).\(body)"
        return "\(text).\(Base64URL.encode(try sign(Array(text.utf8))))"
    }
}

/// What a token has to be for to be taken here.
struct TokenExpectation: Sendable, Hashable {
    let issuer: String
    let audience: String
    /// How far the clocks of the two servers may be apart.
    let leeway: Duration

    /// - Parameter now: seconds since 1970.
    /// - Throws: ``WebToken/Failure`` for a token of another issuer, for another service, or of another time.
    func check(_ claims: WebToken.Claims, at now: Double) throws(WebToken.Failure) {
        guard claims.iss == issuer else { throw WebToken.Failure("the token is of another issuer") }
        guard let audience = claims.aud, audience.names.contains(self.audience) else {
            throw WebToken.Failure("the token is for another service")
        }
        let leeway = leeway / .seconds(1)
        guard let end = claims.exp else { throw WebToken.Failure("the token has no end") }
        guard now < end + leeway else { throw WebToken.Failure("the token has expired") }
        if let begin = claims.nbf, now < begin - leeway { throw WebToken.Failure("the token is not valid yet") }
    }
}
