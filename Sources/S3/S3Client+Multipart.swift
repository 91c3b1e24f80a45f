package import NIOCore
import NIOHTTP1

/// Objects that come in parts: nobody sees them before they are complete.
extension S3Client {
    /// A part that has arrived.
    package struct Part: Sendable, Hashable, Codable {
        /// What the server calls these bytes; quoted.
        package let tag: String
        /// Bytes.
        package let size: Int64
    }

    /// - Returns: the upload's id.
    package func beginParts(_ key: String) async throws(S3Error) -> String {
        let answer = try await ask(
            Ask(method: .POST, key: key, query: [(name: "uploads", value: "")], headers: Self.octets))
        guard let id = try answer.xml()["UploadId"], !id.isEmpty else {
            throw S3Error(.malformed, "POST \(key): an upload without an id")
        }
        return id
    }

    /// - Parameter number: from 1 on. A second one of the same number takes the place of the first.
    package func putPart(
        _ key: String, upload: String, number: Int, _ bytes: ByteBuffer
    ) async throws(S3Error) -> Part {
        let answer = try await ask(Ask(method: .PUT, key: key, query: Self.part(upload, number), body: bytes))
        guard let tag = answer.headers.first(name: "etag"), !tag.isEmpty else {
            throw S3Error(.malformed, "PUT \(key): a part without a tag")
        }
        return Part(tag: tag, size: Int64(bytes.readableBytes))
    }

    /// Makes another object's bytes a part; they do not come here.
    package func copyPart(
        _ key: String, upload: String, number: Int, from source: String, size: Int64
    ) async throws(S3Error) -> Part {
        let path = "/" + configuration.bucket + "/" + URICoding.encode(prefix + source, keepsSlash: true)
        let answer = try await ask(
            Ask(
                method: .PUT, key: key, query: Self.part(upload, number),
                headers: [(name: "x-amz-copy-source", value: path)]))
        // A copy that fails late answers 200 all the same.
        let result = try answer.xml()
        guard result.name == "CopyPartResult", let tag = result["ETag"], !tag.isEmpty else {
            throw Self.refusal(500, answer.body, Ask(method: .PUT, key: key))
        }
        return Part(tag: tag, size: size)
    }

    private static func part(_ upload: String, _ number: Int) -> [(name: String, value: String)] {
        [(name: "partNumber", value: "\(number)"), (name: "uploadId", value: upload)]
    }

    /// Makes the parts an object; durable when this returns.
    package func completeParts(_ key: String, upload: String, _ parts: [Part]) async throws(S3Error) {
        let items = parts.enumerated().map { index, part in
            "<Part><PartNumber>\(index + 1)</PartNumber><ETag>\(Self.escaped(part.tag))</ETag></Part>"
        }.joined()
        let request = Ask(
            method: .POST, key: key, query: [(name: "uploadId", value: upload)],
            headers: [(name: "content-type", value: "application/xml")],
            body: ByteBuffer(string: "<CompleteMultipartUpload>\(items)</CompleteMultipartUpload>"))
        do throws(S3Error) {
            let answer = try await ask(request)
            // What fails while it is being completed answers 200 all the same.
            guard try answer.xml().name == "CompleteMultipartUploadResult" else {
                throw Self.refusal(500, answer.body, request)
            }
        } catch {
            // An answer that was lost: the upload is gone since it has become the object.
            guard error.code == "NoSuchUpload" || error.isTransient,
                try await size(key) == parts.reduce(0, { $0 + $1.size })
            else { throw error }
        }
    }

    /// Forgets an upload and its parts; one that is not there is forgotten.
    package func abandonParts(_ key: String, upload: String) async throws(S3Error) {
        do throws(S3Error) {
            _ = try await ask(Ask(method: .DELETE, key: key, query: [(name: "uploadId", value: upload)]))
        } catch {
            guard error.isNotFound else { throw error }
        }
    }

    /// An upload that has not ended.
    package struct Unfinished: Sendable, Hashable {
        /// Without the prefix.
        package let key: String
        package let upload: String
        /// Seconds since 1970.
        package let begun: Int64
    }

    /// Where a list of uploads goes on.
    package struct UnfinishedMarker: Sendable, Hashable {
        /// With the prefix.
        fileprivate let key: String
        fileprivate let upload: String
    }

    /// A page of the uploads below `folder` that have not ended.
    ///
    /// - Parameter marker: what the page before gave; nil for the first.
    /// - Returns: `next` is nil at the end.
    package func unfinished(
        _ folder: String, after marker: UnfinishedMarker? = nil
    ) async throws(S3Error) -> (uploads: [Unfinished], next: UnfinishedMarker?) {
        var query = [(name: "uploads", value: ""), (name: "prefix", value: prefix + folder)]
        if let marker {
            query += [(name: "key-marker", value: marker.key), (name: "upload-id-marker", value: marker.upload)]
        }
        let page = try await ask(Ask(method: .GET, query: query)).xml()
        let uploads = page.all("Upload").compactMap { item -> Unfinished? in
            guard let key = item["Key"], key.hasPrefix(prefix + folder), let upload = item["UploadId"],
                let begun = item["Initiated"].flatMap(Timestamp.parse)
            else { return nil }
            return Unfinished(key: String(key.dropFirst(prefix.count)), upload: upload, begun: begun)
        }
        guard page["IsTruncated"] == "true" else { return (uploads, nil) }
        guard let key = page["NextKeyMarker"], let upload = page["NextUploadIdMarker"],
            case let next = UnfinishedMarker(key: key, upload: upload), next != marker
        else { throw S3Error(.malformed, "a list of uploads does not say how it goes on") }
        return (uploads, next)
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing("\"", with: "&quot;")
    }
}
