import Foundation
import NIOCore
import Synchronization
import Testing

@testable import S3

/// What the client signs, reads and understands, against the documents of S3.
@Suite struct S3Tests {
    /// The examples of "Signature Calculations for the Authorization Header" and "Authenticating Requests: Using Query
    /// Parameters" (docs.aws.amazon.com).
    private static let signature = Signature(
        credentials: S3Credentials(
            accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region: "us-east-1")
    private static let moment: Int64 = 1_369_353_600
    private static let host = "examplebucket.s3.amazonaws.com"

    @Test func `a request is signed as Amazon's example is`() {
        let headers = Self.signature.headers(
            for: .init(
                method: "GET", host: Self.host, path: "/test.txt", headers: [(name: "range", value: "bytes=0-9")]),
            payload: Signature.emptyPayload, at: Self.moment)
        let authorization = headers.first { $0.name == "authorization" }?.value ?? ""
        #expect(
            authorization.hasSuffix("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"))
        #expect(authorization.contains("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"))
    }

    @Test func `a list is signed as Amazon's example is`() {
        let headers = Self.signature.headers(
            for: .init(
                method: "GET", host: Self.host, path: "/",
                query: [(name: "prefix", value: "J"), (name: "max-keys", value: "2")]),
            payload: Signature.emptyPayload, at: Self.moment)
        let authorization = headers.first { $0.name == "authorization" }?.value ?? ""
        #expect(
            authorization.hasSuffix("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"))
    }

    @Test func `a URL is signed as Amazon's example is`() {
        let query = Self.signature.presigned(
            .init(method: "GET", host: Self.host, path: "/test.txt"), at: Self.moment, validFor: 86400)
        #expect(
            query.hasSuffix(
                "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"))
    }

    @Test func `times are read and written to the second`() {
        #expect(Timestamp.compact(Self.moment) == "20130524T000000Z")
        for moment: Int64 in [0, 951_782_399, 951_782_400, 1_709_164_800, 4_102_444_799] {
            let text = Timestamp.compact(moment)
            let parts = [0..<4, 4..<6, 6..<8, 9..<11, 11..<13, 13..<15].map { range in
                text.dropFirst(range.lowerBound).prefix(range.count)
            }
            #expect(
                Timestamp.parse("\(parts[0])-\(parts[1])-\(parts[2])T\(parts[3]):\(parts[4]):\(parts[5]).000Z")
                    == moment)
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-0a-01T00:00:00Z"] {
            #expect(Timestamp.parse(text) == nil)
        }
    }

    @Test func `answers are read strictly`() throws {
        let page = try XMLNode.parse(
            Array(
                """
                <?xml version="1.0" encoding="UTF-8"?>
                <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Empty/>
                <Contents><Key>a&amp;b&#x41;&#66;</Key></Contents><Contents><Key>c</Key></Contents></ListBucketResult>
                """.utf8))
        #expect(page["Name"] == "b" && page["Empty"] == "" && page["Missing"] == nil)
        #expect(page.all("Contents").map { $0["Key"] } == ["a&bAB", "c"])
    }

    @Test(arguments: [
        "", " ", "<", "<a", "<a>", "<a></b>", "<a><b></a></b>", "<a/><b/>", "<a>&unknown;</a>", "<a>& </a>",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a><!-- --></a>", "<a>&#xD800;</a>", "<a>&#99999999;</a>",
        "<?xml",
        "<a b=\"<\">x</a>", String(repeating: "<a>", count: 20), "text",
    ])
    func `what is no answer of S3 is refused`(_ text: String) {
        #expect(throws: S3Error.self) { try XMLNode.parse(Array(text.utf8)) }
    }

    @Test func `a credentials file has sections`() {
        let text = """
            # mine
            [default]
            aws_access_key_id = ONE
            aws_secret_access_key=two=2

            [ other ]
            aws_access_key_id = THREE
            """
        #expect(
            S3Credentials.parse(text, "default") == ["aws_access_key_id": "ONE", "aws_secret_access_key": "two=2"])
        #expect(S3Credentials.parse(text, "other") == ["aws_access_key_id": "THREE"])
        #expect(S3Credentials.parse(text, "none") == [:])
    }

    @Test func `a configuration that cannot work is refused`() throws {
        func refuses(_ change: (inout S3Configuration) -> Void) -> Bool {
            var configuration = S3Configuration(bucket: "blobs")
            (configuration.accessKey, configuration.secretKey) = ("a", "b")
            change(&configuration)
            do { _ = try Endpoint(configuration) } catch { return true }
            do { try configuration.check() } catch { return true }
            return false
        }
        #expect(!refuses { _ in })
        #expect(refuses { $0.bucket = "no/bucket" })
        #expect(refuses { $0.endpoint = "s3.example" })
        #expect(refuses { $0.endpoint = "https://s3.example/path" })
        #expect(refuses { $0.partBytes = 1 << 20 })
        #expect(refuses { $0.partsAtOnce = 1 })
        #expect(refuses { $0.prefix = "a b" })
    }

    @Test func `a bucket is a part of the host's name or of the path`() throws {
        var configuration = S3Configuration(bucket: "blobs")
        configuration.region = "eu-west-1"
        #expect(try Endpoint(configuration).host == "blobs.s3.eu-west-1.amazonaws.com")
        configuration.endpoint = "https://S3.example:443/"
        #expect(try Endpoint(configuration).host == "s3.example")
        #expect(try Endpoint(configuration).path("a b/c") == "/blobs/a%20b/c")
        configuration.pathStyle = false
        #expect(try Endpoint(configuration).host == "blobs.s3.example")
        #expect(try Endpoint(configuration).path("a") == "/a")
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
    func `objects come, are read, listed and go`() async throws {
        let lab = try BucketLab()
        try await lab.withClient { client in
            let part = [UInt8](repeating: 7, count: 5 << 20)
            try await client.put("a/one", ByteBuffer(bytes: [1, 2, 3, 4]))
            #expect(try await client.size("a/one") == 4)
            #expect(try await client.size("a/none") == nil)
            #expect(try await Self.all(client.read("a/one", 0..<4, size: 4)) == [1, 2, 3, 4])
            #expect(try await Self.all(client.read("a/one", 1..<3, size: 4)) == [2, 3])
            await #expect(throws: S3Error.self) { try await client.read("a/none", 0..<4, size: 4) }
            let upload = try await client.beginParts("a/parts")
            #expect(try await client.unfinished("a/").uploads.map(\.key) == ["a/parts"])
            let parts = [
                try await client.putPart("a/parts", upload: upload, number: 1, ByteBuffer(bytes: part)),
                try await client.copyPart("a/parts", upload: upload, number: 2, from: "a/one", size: 4),
            ]
            try await client.completeParts("a/parts", upload: upload, parts)
            // As when the first answer was lost.
            try await client.completeParts("a/parts", upload: upload, parts)
            #expect(
                try await Self.all(client.read("a/parts", 0..<Int64(part.count + 4), size: Int64(part.count + 4)))
                    == part + [1, 2, 3, 4])
            let other = try await client.beginParts("a/other")
            try await client.abandonParts("a/other", upload: other)
            try await client.abandonParts("a/other", upload: other)
            #expect(try await client.unfinished("a/").uploads == [])
            // Several pages.
            for index in 0..<(2 * BucketLab.pageKeys + 1) { try await client.put("many/\(index)", ByteBuffer()) }
            var (found, token) = (0, String?.none)
            repeat {
                let page = try await client.list("many/", token: token)
                (found, token) = (found + page.objects.count, page.next)
                try await client.remove(page.objects.map(\.key))
            } while token != nil
            #expect(found == 2 * BucketLab.pageKeys + 1)
            #expect(try await client.list("", token: nil).objects.map(\.key) == ["a/one", "a/parts"])
        }
    }

    @Test(.enabled(if: BucketLab.isThere, "moto is installed by make deps"))
    func `a request without an answer is sent again`() async throws {
        let lab = try BucketLab()
        let isFirst = Mutex(true)
        let way = try FaultyWay(to: lab.port) { _, _ in
            isFirst.withLock { isFirst in
                defer { isFirst = false }
                return isFirst ? .silence : nil
            }
        }
        var configuration = lab.configuration(port: way.port)
        configuration.timeoutSeconds = 2
        let client = try S3Client(configuration)
        try await client.put("a", ByteBuffer(bytes: [1, 2]))
        #expect(try await client.size("a") == 2 && way.spoilt == 1)
        await client.close()
    }

    private static func all(_ bytes: ObjectBytes) async throws -> [UInt8] {
        var result: [UInt8] = []
        for try await part in bytes { result.append(contentsOf: part.readableBytesView) }
        return result
    }
}
