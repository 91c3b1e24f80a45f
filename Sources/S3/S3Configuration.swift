import OCI

/// Where a bucket is, and how it is used.
package struct S3Configuration: Codable, Sendable, Hashable {
    /// `https://s3.example`, with a port where it is another than the scheme's; nil is Amazon's of the region.
    package var endpoint: String?
    package var bucket: String
    package var region: String?
    /// Of all keys; a `/` is put behind it.
    package var prefix: String?
    /// `https://host/bucket/key` in the place of `https://bucket.host/key`.
    package var pathStyle: Bool?
    /// Without it: `AWS_ACCESS_KEY_ID` of the environment, else the credentials file.
    package var accessKey: String?
    package var secretKey: String?
    package var sessionToken: String?
    /// An INI file as Amazon's tools have it; `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
    package var credentialsFile: String?
    /// Its section; `AWS_PROFILE`, else `default`.
    package var profile: String?
    /// Lets clients fetch blobs from the bucket themselves.
    package var redirect: Bool?
    /// Bytes of one part of an upload.
    package var partBytes: Int?
    /// Parts that are in memory at once, of all uploads.
    package var partsAtOnce: Int?
    /// Seconds without a byte of an answer, after which a request is tried again.
    package var timeoutSeconds: Int?

    package init(bucket: String) { self.bucket = bucket }

    package enum CodingKeys: String, CodingKey, CaseIterable {
        case endpoint, bucket, region, prefix, pathStyle, accessKey, secretKey, sessionToken, credentialsFile, profile
        case redirect, partBytes, partsAtOnce, timeoutSeconds
    }

    package init(from decoder: any Decoder) throws {
        _ = try decoder.members(Set(CodingKeys.allCases.map(\.rawValue)))
        let members = try decoder.container(keyedBy: CodingKeys.self)
        func text(_ key: CodingKeys) throws -> String? { try members.decodeIfPresent(String.self, forKey: key) }
        func number(_ key: CodingKeys) throws -> Int? { try members.decodeIfPresent(Int.self, forKey: key) }
        bucket = try members.decode(String.self, forKey: .bucket)
        (endpoint, region, prefix) = (try text(.endpoint), try text(.region), try text(.prefix))
        (accessKey, secretKey, sessionToken) = (try text(.accessKey), try text(.secretKey), try text(.sessionToken))
        (credentialsFile, profile) = (try text(.credentialsFile), try text(.profile))
        pathStyle = try members.decodeIfPresent(Bool.self, forKey: .pathStyle)
        redirect = try members.decodeIfPresent(Bool.self, forKey: .redirect)
        (partBytes, partsAtOnce) = (try number(.partBytes), try number(.partsAtOnce))
        timeoutSeconds = try number(.timeoutSeconds)
    }

    /// S3's own bounds of a part but the last.
    package static let partBytesAllowed = 5 << 20...512 << 20
    /// Parts of one object, S3's bound.
    package static let partsMax = 10_000

    package var partSize: Int { partBytes ?? 8 << 20 }
    /// Five of 8 MiB: what is held for all uploads stays below 64 MiB, however many there are.
    package var partLimit: Int { partsAtOnce ?? 5 }

    /// - Throws: ``S3Error`` for what cannot work.
    package func check() throws(S3Error) {
        guard (3...63).contains(bucket.utf8.count), bucket.utf8.allSatisfy(Self.isBucketByte) else {
            throw S3Error(.configuration, "invalid bucket \(bucket): want 3 to 63 lower-case letters, digits, . and -")
        }
        guard Self.partBytesAllowed.contains(partSize) else {
            throw S3Error(
                .configuration, "invalid partBytes \(partSize): S3 takes parts from 5 MiB on, want at most 512 MiB")
        }
        guard (2...1024).contains(partLimit) else {
            throw S3Error(.configuration, "invalid partsAtOnce \(partLimit): want 2 to 1024")
        }
        guard (1...3600).contains(timeoutSeconds ?? 30) else {
            throw S3Error(.configuration, "invalid timeoutSeconds: want 1 to 3600")
        }
        let isPrefixPlain = (prefix ?? "").utf8.allSatisfy { URICoding.isUnreserved($0) || $0 == 0x2f }
        guard isPrefixPlain, !(prefix ?? "").hasPrefix("/"), !(prefix ?? "").contains("//") else {
            throw S3Error(.configuration, "invalid prefix \(prefix ?? ""): want letters, digits, - . _ ~, joined by /")
        }
    }

    private static func isBucketByte(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2e || byte == 0x2d
    }
}
