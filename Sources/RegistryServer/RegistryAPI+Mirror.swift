import HTTP
import NIOCore
import OCI
import Registry
import RegistryEngine
import RegistryMirror
import RegistryStore

/// What repositories of other registries answer: those that ``Mirrors`` knows. They are read only; the rights are those of any
/// repository of that name.
extension RegistryAPI {
    /// A route with the name that its repository has here.
    func named(_ route: DistributionRoute, _ request: Request) -> DistributionRoute {
        var route = route
        route.name = localName(route.name, request)
        return route
    }

    /// What a repository is called here that a request calls `name`.
    func localName(_ name: String, _ request: Request) -> String {
        let namespace = request.query["ns"]
        if engine != nil { return EngineImages.localName(name, namespace: namespace) }
        return mirrors?.localName(name, host: request.headers["host"], namespace: namespace) ?? name
    }

    /// The registry that a request says that its repository is of (`ns`), where that was heeded.
    func scope(_ request: Request, _ route: DistributionRoute?) -> String? {
        guard mirrors != nil || engine != nil, let namespace = request.query["ns"], let route,
            route.name.hasPrefix(namespace + "/")
        else { return nil }
        return namespace
    }

    /// nil for what is this registry's own.
    func mirrored(_ call: Call) async throws -> Response? {
        let kinds: [DistributionRoute.Kind] = [.tags, .referrers, .manifest, .blob, .uploads, .upload]
        guard let mirrors, kinds.contains(call.route.kind) else { return nil }
        // What another registry calls so is not what this one does.
        if let namespace = call.request.query["ns"], !mirrors.has(namespace: namespace) {
            throw Refusal(.nameUnknown, 404, "\(OCIError.quoted(namespace)) is not mirrored here")
        }
        guard let repository = try mirrors.repository(call.route.name)
        else { return nil }
        let isReading = [.get, .head].contains(call.request.method)
        switch call.route.kind {
        case .manifest where isReading: return try await mirroredManifest(call, mirrors, repository)
        case .blob where isReading: return try await mirroredBlob(call, mirrors, repository)
        case .tags where isReading: return try await mirroredList(.tags, call, mirrors, repository)
        case .referrers where isReading:
            return try await mirroredList(.referrers(try call.digest()), call, mirrors, repository)
        default:
            var response = refused(
                Refusal(.unsupported, 405, "\(call.route.name) is a mirror: push to the registry that it is a copy of"))
            response.headers.add("Allow", "GET, HEAD")
            return response
        }
    }

    private func mirroredManifest(
        _ call: Call, _ mirrors: Mirrors, _ repository: MirroredRepository
    ) async throws -> Response {
        let served = try await mirrors.manifest(try ManifestName(call.route.reference), of: repository)
        var response = manifestAnswer(
            call, served.manifest, try ManifestName(call.route.reference), of: try call.repository())
        if let warning = served.warning { response.headers.add("Warning", Self.warning(warning)) }
        return response
    }

    /// As the distribution specification has it ("Warnings").
    private static func warning(_ text: String) -> String { "299 - \"\(text)\"" }

    // MARK: Blobs

    /// Bytes of a blob that is arriving that are read at once.
    private static let followedBytes: Int64 = 256 << 10

    /// How often a blob is had that has gone again before it was read: where a mirror has little room.
    private static let fetchesMax = 3

    private func mirroredBlob(
        _ call: Call, _ mirrors: Mirrors, _ repository: MirroredRepository
    ) async throws -> Response {
        let digest = try call.digest()
        for _ in 0...Self.fetchesMax {
            do { return try await getBlob(call) } catch let error as Refusal where error.code == .blobUnknown {}
            guard call.request.method != .head else {
                let size = try await mirrors.blobSize(digest, of: repository)
                return blobHead(call.request, digest, size: size).0
            }
            if case .following(let blob) = try await mirrors.blob(digest, of: repository) {
                return following(blob, call.request, digest)
            }
        }
        throw Refusal(.unknown, 503, "the mirror has no room for \(digest): try again later")
    }

    private func following(_ blob: FollowedBlob, _ request: Request, _ digest: Digest) -> Response {
        var (response, range) = blobHead(request, digest, size: blob.size)
        guard let range else { return response }
        response.headers.add("Content-Length", "\(range.upperBound - range.lowerBound)")
        response.body = .stream { writer in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let countMax = Int(min(Self.followedBytes, range.upperBound - offset))
                let bytes = try await blob.read(at: offset, countMax: countMax)
                try await writer.write(bytes)
                offset += Int64(bytes.readableBytes)
            }
        }
        return response
    }

    // MARK: Lists

    private func mirroredList(
        _ list: RegistryClient.List, _ call: Call, _ mirrors: Mirrors, _ repository: MirroredRepository
    ) async throws -> Response {
        let query = call.request.query
        // What lists of registries are asked for; `last` may be any text, and `next_page` is what some have instead.
        let items = ["n", "last", "next_page", "artifactType"].compactMap { name in
            query[name].map { (name: name, value: $0) }
        }
        guard let page = try await mirrors.page(list, query: items, of: repository) else {
            var response = if case .tags = list { try await tags(call) } else { try await referrers(call) }
            let text = "\(call.route.name): its registry does not answer, this is what the mirror has"
            response.headers.add("Warning", Self.warning(text))
            return response
        }
        // What another registry says is no page of ours.
        let type = if case .tags = list { "application/json" } else { MediaType.ociIndex }
        var response = Response(
            200, headers: ["Content-Type": type], body: .bytes(ByteBuffer(bytes: page.bytes)))
        if let filters = page.filters { response.headers.add("OCI-Filters-Applied", filters) }
        if let next = page.next {
            let namespace = query["ns"].map { "&ns=\(Paging.escaped($0))" } ?? ""
            response.headers.add("Link", "<\(call.request.path)?\(next)\(namespace)>; rel=\"next\"")
        }
        return response
    }
}
