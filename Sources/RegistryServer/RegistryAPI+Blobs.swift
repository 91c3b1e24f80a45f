import HTTP
import Kernel
import NIOCore
import OCI
import Registry
import RegistryStore

extension RegistryAPI {
    func getBlob(_ call: Call) async throws -> Response {
        let (name, digest) = (try call.repository(), try call.digest())
        let blob = try await store.blob(digest, in: name)
        var (response, range) = blobHead(call.request, digest, size: blob.size)
        guard let range else { return response }
        if let elsewhere = redirected(call.request, digest, blob, in: name) { return elsewhere }
        try await fill(&response, with: blob, range)
        return response
    }

    /// Gives an answer bytes of a blob, wherever they are.
    func fill(_ response: inout Response, with blob: StoredBlob, _ range: Range<Int64>) async throws {
        switch try await store.content(of: blob, range) {
        case .file(let file):
            response.body = .file(
                FileBody(
                    adopting: file.release(), offset: Int(range.lowerBound),
                    count: Int(range.upperBound - range.lowerBound)))
        case .stream(let stream):
            response.headers.add("Content-Length", "\(range.count)")
            response.body = .stream { writer in for try await part in stream { try await writer.write(part) } }
        }
    }

    /// What comes before the bytes of a blob.
    ///
    /// - Returns: the head, and the bytes that go with it; nil for an answer that has none of them.
    func blobHead(_ request: Request, _ digest: Digest, size: Int64) -> (Response, Range<Int64>?) {
        let tag = "\"\(digest)\""
        var response = Response(
            200,
            headers: [
                "Content-Type": "application/octet-stream", "Docker-Content-Digest": digest.description, "ETag": tag,
                "Accept-Ranges": "bytes", "Cache-Control": "max-age=31536000",
            ])
        if Self.matches(request.headers, tag) {
            response.status = 304
            return (response, nil)
        }
        guard request.method != .head else {
            response.headers.add("Content-Length", "\(size)")
            return (response, nil)
        }
        if Self.wantsDirect(request) { response.headers.add("Preference-Applied", SourceHeaders.respondDirectly) }
        var range = 0..<size
        // A range of other content than this is not asked for.
        if request.headers["if-range"].map({ $0 == tag }) ?? true {
            do throws(Refusal) {
                if let part = try ByteRange.requested(request.headers["range"], size: size) {
                    range = part
                    response.status = 206
                    response.headers.add("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)")
                }
            } catch {
                var refused = self.refused(error)
                refused.headers.add("Content-Range", "bytes */\(size)")
                return (refused, nil)
            }
        }
        return (response, range)
    }

    /// Whether the client says that it has what `tag` names.
    static func matches(_ headers: Headers, _ tag: String) -> Bool {
        headers.contains("if-none-match", token: tag) || headers["if-none-match"] == "*"
    }

    func deleteBlob(_ call: Call) async throws -> Response {
        try await store.deleteBlob(try call.digest(), in: try call.repository())
        return Response(202)
    }

    // MARK: Uploads

    func beginUpload(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let query = call.request.query
        // One that cannot be mounted is uploaded, says the specification; what is no digest is no blob of anybody's.
        if let mount = query["mount"].flatMap({ try? Digest($0) }),
            let source = try await source(of: mount, query["from"], call.caller),
            try await store.mount(mount, from: source, to: name, by: call.origin)
        {
            return Self.created(mount, in: name)
        }
        guard let text = query["digest"] else {
            let id = try await store.beginUpload(to: name, algorithm: try Self.algorithm(query))
            return Self.uploading(202, id, name, count: 0)
        }
        let digest = try ManifestName.digest(text)
        let id = try await store.beginUpload(to: name, algorithm: digest.algorithm)
        do { return try await finish(id, name, digest, call.request) } catch {
            // Nobody has been told of this upload: nobody can go on with it. One that has ended already is no loss.
            try? await store.cancelUpload(id, in: name)
            throw error
        }
    }

    /// The repository that a blob is mounted from; nil for one that the caller may not pull from, and where there is none.
    ///
    /// - Parameter typed: what the client calls it; without it any that has the blob does.
    private func source(of digest: Digest, _ typed: String?, _ caller: Caller) async throws -> RepositoryName? {
        guard let typed else { return try await store.repository(having: digest, access.visibility(caller)) }
        guard let source = try? RepositoryName(typed),
            access.verdict(.pull, repository: source.description, caller) == .allowed
        else { return nil }
        return source
    }

    /// What the digest of an upload will be of.
    ///
    /// - Throws: ``Refusal`` DIGEST_INVALID for what the registry does not know.
    private static func algorithm(_ query: Query) throws(Refusal) -> Digest.Algorithm {
        guard let text = query["digest-algorithm"] else { return .sha256 }
        guard let algorithm = Digest.Algorithm(rawValue: text) else {
            throw Refusal(
                .digestInvalid, 400, "digest algorithm \(OCIError.quoted(text)) is not supported: want sha256 or sha512"
            )
        }
        return algorithm
    }

    func uploadStatus(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let count = try await store.uploadedBytes(call.route.reference, in: name)
        return Self.uploading(204, call.route.reference, name, count: count)
    }

    func cancelUpload(_ call: Call) async throws -> Response {
        try await store.cancelUpload(call.route.reference, in: try call.repository())
        return Response(204)
    }

    func appendToUpload(_ call: Call) async throws -> Response {
        let name = try call.repository()
        return try await store.upload(call.route.reference, in: name) { upload in
            guard let refused = try await receive(call.request, into: upload) else {
                return Self.uploading(202, upload.id, name, count: await upload.count)
            }
            return refused
        }
    }

    func finishUpload(_ call: Call) async throws -> Response {
        let name = try call.repository()
        guard let text = call.request.query["digest"] else {
            throw Refusal(.digestInvalid, 400, "the digest of the blob is missing: end an upload with ?digest=")
        }
        return try await finish(call.route.reference, name, try ManifestName.digest(text), call.request)
    }

    private func finish(
        _ id: String, _ name: RepositoryName, _ digest: Digest, _ request: Request
    ) async throws -> Response {
        try await store.upload(id, in: name) { upload in
            if let refused = try await receive(request, into: upload) { return refused }
            try await store.finish(upload, as: digest)
            return Self.created(digest, in: name)
        }
    }

    /// Appends the body of a request.
    ///
    /// - Returns: the answer for a chunk that is not the next one; nothing of it is kept.
    private func receive(_ request: Request, into upload: any BlobUpload) async throws -> Response? {
        let mark = await upload.mark
        var announced: Int64?
        if let header = request.headers["content-range"] {
            let range = try ByteRange.chunk(header)
            announced = range.upperBound - range.lowerBound
            if let length = request.headers["content-length"], ByteRange.number(length) != announced {
                throw Refusal(
                    .sizeInvalid, 400,
                    "Content-Range has \(range.count) bytes, Content-Length says \(length.prefix(30))")
            }
            guard range.lowerBound == mark.count else {
                var refused = refused(
                    Refusal(
                        .rangeInvalid, 416,
                        "the chunk begins at \(range.lowerBound), but \(mark.count) bytes are here"))
                for field in Self.uploading(416, upload.id, upload.repository, count: mark.count).headers.fields {
                    refused.headers.add(field.name, field.value)
                }
                return refused
            }
        }
        do { try await append(request.body, to: upload, bytesMax: announced) } catch
            where error is SystemError || error is Refusal || error is StorageFailure
        {
            try await upload.goBack(to: mark)
            throw error
        }
        if let announced, await upload.count - mark.count != announced {
            try await upload.goBack(to: mark)
            throw Refusal(.sizeInvalid, 400, "the chunk is shorter than its Content-Range of \(announced) bytes")
        }
        return nil
    }

    /// A part is written while the next one is on its way. What has arrived before a connection is cut stays: the client asks
    /// how much, and goes on.
    private func append(_ body: RequestBody, to upload: any BlobUpload, bytesMax: Int64?) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var count: Int64 = 0
            for try await part in body {
                try await group.next()
                count += Int64(part.readableBytes)
                if let bytesMax, count > bytesMax {
                    throw Refusal(.sizeInvalid, 400, "the chunk is longer than its Content-Range of \(bytesMax) bytes")
                }
                group.addTask { try await upload.append(part) }
            }
            try await group.waitForAll()
        }
    }

    private static func created(_ digest: Digest, in name: RepositoryName) -> Response {
        Response(
            201, headers: ["Location": "/v2/\(name)/blobs/\(digest)", "Docker-Content-Digest": digest.description])
    }

    private static func uploading(_ status: Int, _ id: String, _ name: RepositoryName, count: Int64) -> Response {
        Response(
            status,
            headers: [
                "Location": "/v2/\(name)/blobs/uploads/\(id)", "Range": "0-\(max(0, count - 1))",
                "Docker-Upload-UUID": id,
            ])
    }
}
