import FoundationEssentials
import OCI

/// The body of an error reply: `{"errors":[{"code","message"}]}` (OCI distribution specification, "Error Codes").
struct WireErrors: Decodable {
    struct Item: Decodable {
        var code: String?
        var message: String?
    }
    var errors: [Item]?
    /// What Docker Hub's token server sends instead.
    var details: String?

    /// `manifest unknown: manifest unknown`: the code in lower case, then the message, as Docker prints them.
    private static func text(_ item: Item) -> String {
        let code = (item.code ?? "UNKNOWN").lowercased().map { $0 == "_" ? " " : $0 }
        return printable(String(code) + ": " + (item.message ?? "unknown error"))
    }

    /// A server's text without control characters and cut, so that it cannot fill a terminal or a log.
    private static func printable(_ text: String) -> String {
        String(
            text.unicodeScalars.prefix(textScalarsMax).map { $0.value < 0x20 || $0.value == 0x7f ? " " : Character($0) }
        )
    }
    private static let textScalarsMax = 1000

    /// What a reply with an error status means.
    ///
    /// - Parameters:
    ///   - reference: the image it was about, for Docker's wording of pulls; `nil` for pushes and log-ins.
    ///   - challenges: of the same reply; a bearer challenge says why a token was not enough (RFC 6750 §3.1).
    static func error(
        status: Int, body: [UInt8], challenges: [Challenge] = [], retryAfter: Duration? = nil, reference: Reference?
    ) -> RegistryError {
        // An error body that is not JSON is common (proxies): the status alone speaks then.
        let wire = try? JSONDecoder().decode(WireErrors.self, from: Data(body))
        var item = wire?.errors?.first
        if let details = wire?.details, item == nil, status == 401 {
            item = Item(code: "UNAUTHORIZED", message: details)
        }
        if status == 401, let bearer = challenges.first(where: { $0.parameters["error"] == "insufficient_scope" }) {
            let said = bearer.parameters["error_description"] ?? "requested access to the resource is denied"
            item = Item(code: "DENIED", message: said)
        }
        var error = translate(status: status, item: item, reference: reference)
        error.retryAfter = retryAfter
        return error
    }

    private static func translate(status: Int, item: Item?, reference: Reference?) -> RegistryError {
        let text = item.map(text)
        switch (item?.code?.uppercased(), status) {
        case ("DENIED", _), (nil, 403):
            return denied(text ?? "denied: requested access to the resource is denied", reference)
        case ("UNAUTHORIZED", _), (nil, 401):
            return RegistryError(
                .unauthorized, text ?? "unauthorized: authentication required",
                remedy: "check the credentials: docker login")
        case ("MANIFEST_UNKNOWN", _):
            return RegistryError(
                .manifestUnknown, reference.map { "manifest for \($0.familiar) not found: \(text ?? "")" } ?? text ?? ""
            )
        case ("NAME_UNKNOWN", _):
            return RegistryError(
                .notFound, reference.map { "repository \($0.familiarName) not found: \(text ?? "")" } ?? text ?? "")
        case ("TOOMANYREQUESTS", _), (_, 429):
            return RegistryError(
                .rateLimited, text ?? "toomanyrequests: too many requests", remedy: "wait, or log in for a higher limit"
            )
        case (_, 404):
            return RegistryError(.notFound, text ?? "received unexpected HTTP status: 404 Not Found")
        case (_, 500...):
            return RegistryError(.server, text ?? "received unexpected HTTP status: \(status)")
        case ("UNSUPPORTED", _), (_, 405):
            return RegistryError(.unsupported, text ?? "unsupported: the operation is unsupported")
        default:
            return RegistryError(.malformed, text ?? "received unexpected HTTP status: \(status)")
        }
    }

    private static func denied(_ text: String, _ reference: Reference?) -> RegistryError {
        guard let reference else { return RegistryError(.denied, text) }
        return RegistryError(
            .denied,
            "pull access denied for \(reference.familiarName), repository does not exist or may require 'docker login': \(text)"
        )
    }
}
