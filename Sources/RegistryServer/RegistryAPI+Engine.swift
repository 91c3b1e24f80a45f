import HTTP
import NIOCore
import OCI
import RegistryEngine
import RegistryStore

/// What a registry answers that serves the images of an engine: they are read only, and called as the engine calls them.
extension RegistryAPI {
    /// nil for what has nothing to do with images.
    func served(_ call: Call, by engine: EngineImages) async throws -> Response? {
        let isReading = [.get, .head].contains(call.request.method)
        switch call.route.kind {
        case .catalog: return try await catalog(call, of: engine)
        case .tags where isReading: return try await tags(call, of: engine)
        case .manifest where isReading:
            let name = try ManifestName(call.route.reference)
            return manifestAnswer(call, try await engine.manifest(name, of: call.route.name))
        case .blob where isReading: return try await blob(call, of: engine)
        case .referrers where isReading: return try Self.noReferrers()
        case .base, .health, .metrics, .token, .tokenKeys, .login, .indexPing: return nil
        case .tags, .manifest, .blob, .referrers, .uploads, .upload:
            var response = refused(
                Refusal(
                    .unsupported, 405,
                    "this registry serves the images of an engine: push to the registry that they are to be pulled from"
                ))
            response.headers.add("Allow", "GET, HEAD")
            return response
        // Searches and pages.
        default:
            throw Refusal(
                .unsupported, 404, "this registry serves an engine's images, without an index: /v2/_catalog lists them")
        }
    }

    private func blob(_ call: Call, of engine: EngineImages) async throws -> Response {
        let digest = try call.digest()
        let blob = try await engine.blob(digest, of: call.route.name)
        var (response, range) = blobHead(call.request, digest, size: blob.byteCount)
        guard let range else { return response }
        switch blob {
        case .file(let stored): try await fill(&response, with: stored, range)
        case .bytes(let bytes):
            response.body = .bytes(ByteBuffer(bytes: bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
        }
        return response
    }

    private func catalog(_ call: Call, of engine: EngineImages) async throws -> Response {
        let visible = visibility(call)
        let names = try await engine.repositories().keys.filter(visible.contains).sorted()
        let paging = try Paging(call.request.query)
        return try catalogAnswer(paging, paging.page(of: names))
    }

    private func tags(_ call: Call, of engine: EngineImages) async throws -> Response {
        let name = call.route.name
        guard let tags = try await engine.tags(of: name) else {
            throw Refusal(.nameUnknown, 404, "repository name not known to the engine: \(name)")
        }
        let paging = try Paging(call.request.query)
        return try tagsAnswer(name, paging, paging.page(of: tags))
    }
}
