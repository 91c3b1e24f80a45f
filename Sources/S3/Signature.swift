import Crypto

/// AWS Signature Version 4 (docs.aws.amazon.com, "Signature Version 4 signing process"), for S3.
struct Signature: Sendable {
    let credentials: S3Credentials
    let region: String

    /// What S3 takes in the place of a digest of the body.
    static let unsignedPayload = "UNSIGNED-PAYLOAD"
    /// The digest of no bytes.
    static let emptyPayload = hex(SHA256.hash(data: [UInt8]()))

    /// What is signed of a request.
    struct Subject: Sendable {
        var method: String
        var host: String
        /// Percent-encoded.
        var path: String
        var query: [(name: String, value: String)] = []
        /// Names in lower case.
        var headers: [(name: String, value: String)] = []
    }

    /// The headers that make a request signed, `host` excepted.
    func headers(for subject: Subject, payload: String, at seconds: Int64) -> [(name: String, value: String)] {
        let time = Timestamp.compact(seconds)
        var added = [(name: "x-amz-content-sha256", value: payload), (name: "x-amz-date", value: time)]
        if let token = credentials.sessionToken { added.append((name: "x-amz-security-token", value: token)) }
        let all = (subject.headers + added + [(name: "host", value: subject.host)]).sorted { $0.name < $1.name }
        let names = all.map(\.name).joined(separator: ";")
        let signature = sign(
            subject.method, subject.path, Self.canonical(subject.query), all, names, payload, time: time)
        let authorization =
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope(time)), SignedHeaders=\(names), "
            + "Signature=\(signature)"
        return added + [(name: "authorization", value: authorization)]
    }

    /// A query that lets whoever has it send the request for some time.
    ///
    /// - Parameter seconds: since 1970, from when it is counted.
    func presigned(_ subject: Subject, at seconds: Int64, validFor validity: Int64) -> String {
        let time = Timestamp.compact(seconds)
        var query = subject.query
        query += [
            (name: "X-Amz-Algorithm", value: "AWS4-HMAC-SHA256"),
            (name: "X-Amz-Credential", value: "\(credentials.accessKey)/\(scope(time))"),
            (name: "X-Amz-Date", value: time), (name: "X-Amz-Expires", value: "\(validity)"),
            (name: "X-Amz-SignedHeaders", value: "host"),
        ]
        if let token = credentials.sessionToken { query.append((name: "X-Amz-Security-Token", value: token)) }
        let canonical = Self.canonical(query)
        let signature = sign(
            subject.method, subject.path, canonical, [(name: "host", value: subject.host)], "host",
            Self.unsignedPayload, time: time)
        return canonical + "&X-Amz-Signature=" + signature
    }

    /// Sorted and percent-encoded: as it is signed and as it is sent.
    static func canonical(_ query: [(name: String, value: String)]) -> String {
        query.map { (URICoding.encode($0.name), URICoding.encode($0.value)) }.sorted { $0 < $1 }
            .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }

    private func scope(_ time: String) -> String { "\(time.prefix(8))/\(region)/s3/aws4_request" }

    private func sign(
        _ method: String, _ path: String, _ query: String, _ headers: [(name: String, value: String)],
        _ names: String, _ payload: String, time: String
    ) -> String {
        let lines = headers.map { "\($0.name):\($0.value)\n" }.joined()
        let request = "\(method)\n\(path)\n\(query)\n\(lines)\n\(names)\n\(payload)"
        let text = "AWS4-HMAC-SHA256\n\(time)\n\(scope(time))\n\(Self.hex(SHA256.hash(data: Array(request.utf8))))"
        var key = Array("AWS4\(credentials.secretKey)".utf8)
        for part in [String(time.prefix(8)), region, "s3", "aws4_request"] { key = Self.hmac(part, key) }
        return Self.hex(Self.hmac(text, key))
    }

    private static func hmac(_ text: String, _ key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: SymmetricKey(data: key)))
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
