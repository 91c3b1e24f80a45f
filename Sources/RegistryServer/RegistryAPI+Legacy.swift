import HTTP
import NIOCore
import OCI
import RegistryStore

/// The first version of the protocol, read only, for images that were pushed by the second. Ids are those that Docker's
/// engine gave them; layers have the bytes that were pushed.
extension RegistryAPI {
    private struct Item: Encodable { let id: String }

    func legacyImages(_ call: Call) async throws -> Response {
        let name = try call.repository()
        var ids: Set<String> = []
        let images = try await store.legacyTags(in: name).flatMap(\.images).filter { ids.insert($0.id).inserted }
        var response = try Self.json(200, images.map { Item(id: $0.id) })
        response.headers.add("X-Docker-Endpoints", call.request.headers["host"] ?? "")
        // Where there are accounts, clients go on with the password they have.
        if call.caller.kind == .anybody, call.request.headers["x-docker-token"] != nil {
            let signature = Digest.hex((0..<16).map { _ in UInt8.random(in: 0...255) })
            response.headers.add("X-Docker-Token", "signature=\(signature),repository=\"\(name)\",access=read")
        }
        return response
    }

    func legacyTags(_ call: Call) async throws -> Response {
        let tags = try await store.legacyTags(in: try call.repository())
        return try Self.json(
            200, Dictionary(tags.map { ($0.tag, $0.images.last?.id) }, uniquingKeysWith: { first, _ in first }))
    }

    func legacyTag(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let manifest = try await store.manifest(try ManifestName(call.route.reference), in: name)
        guard let image = try await store.legacyImages(of: manifest.digest, in: name).last else {
            throw Self.noImage
        }
        return try Self.json(200, image.id)
    }

    /// `ancestry`, `json` or `layer` of an id: `call.route.reference` is `ID/WHAT`.
    func legacyImage(_ call: Call) async throws -> Response {
        let parts = call.route.reference.split(separator: "/").map(String.init)
        guard parts.count == 2 else { throw Self.noImage }
        for place in store.legacyPlaces(parts[0])
        where access.verdict(.pull, repository: place.repository.description, call.caller) == .allowed {
            let images = try await store.legacyImages(of: place.manifest, in: place.repository)
            guard let end = images.firstIndex(where: { $0.id == parts[0] }) else { continue }
            switch parts[1] {
            case "ancestry": return try Self.json(200, images[...end].reversed().map(\.id))
            case "json": return try legacyJSON(images[end])
            default: return try await legacyLayer(images[end], in: place.repository, call)
            }
        }
        throw Self.noImage
    }

    private func legacyJSON(_ image: LegacyImage) throws -> Response {
        Response(
            200,
            headers: [
                "Content-Type": "application/json", "X-Docker-Size": "\(image.layer.size)",
                "X-Docker-Checksum": image.layer.digest.description,
            ], body: .bytes(ByteBuffer(bytes: try image.json())))
    }

    private func legacyLayer(_ image: LegacyImage, in name: RepositoryName, _ call: Call) async throws -> Response {
        guard let route = DistributionRoute("/v2/\(name)/blobs/\(image.layer.digest)") else { throw Self.noImage }
        var response = try await getBlob(Call(request: call.request, route: route, caller: call.caller))
        response.headers.add("X-Docker-Checksum", image.layer.digest.description)
        return response
    }

    private static let noImage = Refusal(
        .unknown, 404, "Image not found: ask for the images of its repository first, /v1/repositories/NAME/images")
}
