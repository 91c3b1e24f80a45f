import Glibc
import Kernel

/// A key of an account, and its secret.
package struct S3Credentials: Sendable, Hashable {
    package let accessKey: String
    package let secretKey: String
    /// Of keys that end.
    package let sessionToken: String?

    package init(accessKey: String, secretKey: String, sessionToken: String? = nil) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken
    }

    /// From the configuration, else the environment, else a credentials file.
    ///
    /// - Throws: ``S3Error`` where there are none, or half of them.
    package static func find(_ configuration: S3Configuration) throws(S3Error) -> S3Credentials {
        if configuration.accessKey != nil || configuration.secretKey != nil {
            return try make(
                configuration.accessKey, configuration.secretKey, configuration.sessionToken, "the configuration")
        }
        if let key = variable("AWS_ACCESS_KEY_ID") {
            return try make(
                key, variable("AWS_SECRET_ACCESS_KEY"), variable("AWS_SESSION_TOKEN"), "the environment (AWS_…)")
        }
        let path =
            configuration.credentialsFile ?? variable("AWS_SHARED_CREDENTIALS_FILE")
            ?? variable("HOME").map { $0 + "/.aws/credentials" }
        let profile = configuration.profile ?? variable("AWS_PROFILE") ?? "default"
        guard let path, Files.exists(path) else {
            throw S3Error(
                .configuration,
                "there are no credentials: set accessKey and secretKey, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                    + "or credentialsFile")
        }
        let bytes: [UInt8]
        do { bytes = try Files.read(path, bytesMax: fileBytesMax) } catch {
            throw S3Error(.configuration, "cannot read credentials: \(error)")
        }
        let section = parse(String(decoding: bytes, as: UTF8.self), profile)
        return try make(
            section["aws_access_key_id"], section["aws_secret_access_key"], section["aws_session_token"],
            "section [\(profile)] of \(path)")
    }

    /// Bytes of a credentials file: hundreds of sections.
    private static let fileBytesMax = 1 << 20

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func make(
        _ access: String?, _ secret: String?, _ token: String?, _ place: String
    ) throws(S3Error) -> S3Credentials {
        guard let access, let secret, !access.isEmpty, !secret.isEmpty else {
            throw S3Error(.configuration, "\(place) has not both an access key and a secret key")
        }
        return S3Credentials(accessKey: access, secretKey: secret, sessionToken: token)
    }

    /// The settings of one section of an INI file.
    static func parse(_ text: String, _ section: String) -> [String: String] {
        var found: [String: String] = [:]
        var isInside = false
        for line in text.split(whereSeparator: \.isNewline) {
            let line = trimmed(line)
            if line.hasPrefix("#") || line.hasPrefix(";") { continue }
            if line.hasPrefix("["), line.hasSuffix("]") {
                isInside = trimmed(line.dropFirst().dropLast()) == section
            } else if isInside, let equals = line.firstIndex(of: "=") {
                found[trimmed(line[..<equals])] = trimmed(line[line.index(after: equals)...])
            }
        }
        return found
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let kept = text.drop { $0 == " " || $0 == "\t" }
        guard let last = kept.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return String(kept[...last])
    }
}
