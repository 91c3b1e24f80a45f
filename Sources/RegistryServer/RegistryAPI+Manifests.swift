import HTTP
import NIOCore
import OCI
import RegistryStore

extension RegistryAPI {
    func getManifest(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let reference = try ManifestName(call.route.reference)
        return manifestAnswer(call, try await store.manifest(reference, in: name), reference, of: name)
    }

    /// An answer that counts as a pull.
    func manifestAnswer(
        _ call: Call, _ manifest: StoredManifest, _ reference: ManifestName, of name: RepositoryName
    ) -> Response {
        var response = manifestAnswer(call, manifest)
        if let servers = advertised(in: name) { response.headers.add("X-Docker-Endpoints", servers) }
        if response.status == 200, call.request.method == .get {
            store.notePull(manifest, reference, from: name) { call.origin }
        }
        return response
    }

    func manifestAnswer(_ call: Call, _ manifest: StoredManifest) -> Response {
        let tag = "\"\(manifest.digest)\""
        let headers: Headers = [
            "Content-Type": manifest.mediaType, "Docker-Content-Digest": manifest.digest.description, "ETag": tag,
        ]
        if Self.matches(call.request.headers, tag) { return Response(304, headers: headers) }
        return Response(200, headers: headers, body: .bytes(ByteBuffer(bytes: manifest.body)))
    }

    func putManifest(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let reference = try ManifestName(call.route.reference)
        let body: ByteBuffer
        do { body = try await call.request.body.collect(bytesMax: RegistryStore.manifestBytesMax) } catch let error
            as HTTPError where error.status == 413
        {
            throw Refusal(
                .manifestInvalid, 413, "manifest invalid: it is larger than \(RegistryStore.manifestBytesMax) bytes")
        }
        let type = call.request.headers["content-type"].map { header in
            String(header.prefix { $0 != ";" && $0 != " " })
        }
        let tags = try Self.tags(of: reference, call.request.query)
        let pushed = try await store.putManifest(
            Array(body.readableBytesView), contentType: type, as: reference, tags: tags, in: name, by: call.origin)
        var headers: Headers = [
            "Location": "/v2/\(name)/manifests/\(pushed.digest)", "Docker-Content-Digest": pushed.digest.description,
        ]
        for tag in tags { headers.add("OCI-Tag", tag) }
        if let subject = pushed.subject { headers.add("OCI-Subject", subject.description) }
        return Response(201, headers: headers)
    }

    /// Tags that a manifest gets with its push by digest: `tag`, as often as wanted.
    ///
    /// - Throws: ``Refusal`` TAG_INVALID, or 414 for more than ``RegistryStore/tagsOfPushMax``.
    private static func tags(of reference: ManifestName, _ query: Query) throws(Refusal) -> [String] {
        guard case .digest = reference else { return [] }
        let typed = query.all("tag")
        guard typed.count <= RegistryStore.tagsOfPushMax else {
            throw Refusal(
                .unsupported, 414, "\(typed.count) tags in one push: \(RegistryStore.tagsOfPushMax) are taken at once")
        }
        var tags: [String] = []
        for tag in typed where !tags.contains(tag) { tags.append(try ManifestName.checkedTag(tag)) }
        return tags
    }

    func deleteManifest(_ call: Call) async throws -> Response {
        try await store.deleteManifest(
            try ManifestName(call.route.reference), in: try call.repository(), by: call.origin)
        return Response(202)
    }

    func deleteRepository(_ call: Call) async throws -> Response {
        try await store.deleteRepository(try call.repository(), by: call.origin)
        return Response(202)
    }
}
