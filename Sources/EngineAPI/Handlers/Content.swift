import Actors
import FoundationEssentials
import HTTP
import NIOCore
import OCI

/// Images as they came from their registries, for the registry that serves them to neighbours (`docker registry serve
/// --from-engine`).
enum Content {
    static func list(_ call: Call) async throws -> Response {
        let found = try await call.engine.images.content(of: call.text("name"))
        return Call.json(.object(found.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) }))
    }

    static func manifest(_ call: Call) async throws -> Response {
        let repository = try Reference(call.id)
        let text = call.parameters["reference"] ?? ""
        let isDigest = text.contains(":")
        guard isDigest || Reference.isTag(text) else {
            throw EngineError(.invalidParameter, "invalid reference format")
        }
        let name = Reference(
            domain: repository.domain, path: repository.path, tag: isDigest ? nil : text,
            digest: isDigest ? try Digest(text) : nil)
        let document = try await call.engine.images.document(name)
        return Response(
            headers: ["Content-Type": document.mediaType, "Docker-Content-Digest": document.digest.description],
            body: .bytes(ByteBuffer(bytes: document.bytes)))
    }

    /// Where the bytes are: who reads the socket is on this machine.
    static func blob(_ call: Call) async throws -> Response {
        let digest = try Digest(call.parameters["digest"] ?? "")
        switch try await call.engine.images.blob(digest, of: try Reference(call.id)) {
        case .file(let path, let byteCount): return Call.json(["Path": .string(path), "Size": .int(byteCount)])
        case .bytes(let data):
            return Call.json(["Data": .string(data.base64EncodedString()), "Size": JSON(data.count)])
        }
    }
}
