import AsyncHTTPClient
import Crypto
import Glibc
package import NIOCore
import NIOHTTP1

/// Single objects.
extension S3Client {
    /// Stores an object as a whole.
    package func put(_ key: String, _ bytes: ByteBuffer) async throws(S3Error) {
        _ = try await ask(Ask(method: .PUT, key: key, headers: Self.octets, body: bytes))
    }

    static let octets = [(name: "content-type", value: "application/octet-stream")]

    /// Bytes of an object; nil when there is none.
    package func size(_ key: String) async throws(S3Error) -> Int64? {
        do throws(S3Error) {
            let answer = try await ask(Ask(method: .HEAD, key: key))
            guard let length = answer.headers.first(name: "content-length").flatMap({ Int64($0) }), length >= 0 else {
                throw S3Error(.malformed, "HEAD \(key): no length")
            }
            return length
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// Bytes `range` of an object of `size` bytes; the first of them are on their way when this returns.
    ///
    /// - Throws: ``S3Error``, not found included.
    package func read(_ key: String, _ range: Range<Int64>, size: Int64) async throws(S3Error) -> ObjectBytes {
        guard !range.isEmpty else { return ObjectBytes(client: self, key: key, range: range, size: size, first: nil) }
        var mistakes = 0
        while true {
            do throws(S3Error) {
                let first = try await openRange(key, range, size: size)
                return ObjectBytes(client: self, key: key, range: range, size: size, first: first)
            } catch {
                // What else may pass has been tried again already.
                guard error.kind == .malformed, mistakes < Self.mistakesMax else { throw error }
                mistakes += 1
                try await Self.pause(after: mistakes)
            }
        }
    }

    /// Answers of the wrong length to one request: an object that always has one is damaged.
    private static let mistakesMax = 2

    func openRange(_ key: String, _ range: Range<Int64>, size: Int64) async throws(S3Error) -> HTTPClientResponse {
        var request = Ask(method: .GET, key: key)
        if range != 0..<size {
            request.headers = [(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")]
        }
        let response = try await open(request)
        let length = response.headers.first(name: "content-length").flatMap { Int64($0) }
        // A server that does not know ranges gives all of it.
        guard response.status.code == (range == 0..<size ? 200 : 206), length == nil || length == Int64(range.count)
        else {
            throw S3Error(
                .malformed,
                "GET \(key): status \(response.status.code) with \(length ?? -1) bytes, asked for \(range.count) of \(size)"
            )
        }
        return response
    }

    /// Removes an object; one that is not there is removed.
    package func remove(_ key: String) async throws(S3Error) {
        do throws(S3Error) { _ = try await ask(Ask(method: .DELETE, key: key)) } catch {
            guard error.isNotFound else { throw error }
        }
    }

    /// Objects that one request removes, S3's bound.
    package static let removedAtOnceMax = 1000

    /// Removes objects by one request.
    ///
    /// - Parameter keys: up to ``removedAtOnceMax``.
    /// - Throws: ``S3Error``, also when some of them could not be removed.
    package func remove(_ keys: [String]) async throws(S3Error) {
        guard let only = keys.first else { return }
        if keys.count == 1 { return try await remove(only) }
        // Keys are of our own making: nothing in them is special to XML.
        let objects = keys.map { "<Object><Key>\(prefix)\($0)</Key></Object>" }.joined()
        let body = Array("<Delete><Quiet>true</Quiet>\(objects)</Delete>".utf8)
        let answer = try await ask(
            Ask(
                method: .POST, query: [(name: "delete", value: "")],
                headers: [
                    (name: "content-md5", value: Base64.encode(Insecure.MD5.hash(data: body))),
                    (name: "content-type", value: "application/xml"),
                ], body: ByteBuffer(bytes: body)))
        let failed = try answer.xml().all("Error").first { $0["Code"] != "NoSuchKey" }
        if let failed {
            throw S3Error(
                .answered(answer.status),
                "DELETE \(failed["Key"] ?? "?"): \(failed["Code"] ?? "") \(failed["Message"] ?? "")")
        }
    }

    /// A URL by which anybody can read an object for some time.
    ///
    /// - Parameter type: what the answer's Content-Type is to be.
    package func presigned(_ key: String, validFor validity: Duration, type: String) -> String {
        let path = endpoint.path(prefix + key)
        let query = signature.presigned(
            .init(
                method: "GET", host: endpoint.host, path: path, query: [(name: "response-content-type", value: type)]),
            at: Int64(time(nil)), validFor: validity.components.seconds)
        return endpoint.url(path, query: query)
    }

    /// An object as a list has it.
    package struct Listed: Sendable, Hashable {
        /// Without the prefix.
        package let key: String
        package let size: Int64
        /// Seconds since 1970.
        package let modified: Int64
    }

    /// A page of the objects below `folder`, in the order of their keys.
    ///
    /// - Parameter token: what the page before gave; nil for the first.
    /// - Returns: `next` is nil at the end.
    package func list(_ folder: String, token: String?) async throws(S3Error) -> (objects: [Listed], next: String?) {
        var query = [(name: "list-type", value: "2"), (name: "prefix", value: prefix + folder)]
        if let token { query.append((name: "continuation-token", value: token)) }
        let page = try await ask(Ask(method: .GET, query: query)).xml()
        guard page.name == "ListBucketResult" else { throw S3Error(.malformed, "a list is a \(page.name)") }
        var objects: [Listed] = []
        for item in page.all("Contents") {
            guard let key = item["Key"], key.hasPrefix(prefix), let size = item["Size"].flatMap({ Int64($0) }),
                let modified = item["LastModified"].flatMap(Timestamp.parse)
            else { throw S3Error(.malformed, "a list has an object without key, size or time") }
            objects.append(Listed(key: String(key.dropFirst(prefix.count)), size: size, modified: modified))
        }
        guard page["IsTruncated"] == "true" else { return (objects, nil) }
        guard let next = page["NextContinuationToken"], next != token else {
            throw S3Error(.malformed, "a list does not say how it goes on")
        }
        return (objects, next)
    }
}

/// Base64 (RFC 4648 §4).
enum Base64 {
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let input = Array(bytes)
        var output: [UInt8] = []
        for start in stride(from: 0, to: input.count, by: 3) {
            let group = input[start..<min(start + 3, input.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                output.append(place <= group.count ? letters[bits >> (18 - 6 * place) & 63] : 0x3d)
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
