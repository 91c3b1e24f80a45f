import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
package import OCI
package import RegistryStore

/// The images of an engine on this machine, asked of it through its socket: as they came from their registries, byte by byte.
///
/// Repositories have the names that the engine knows them by: `docker.io/library/x`, `ghcr.io/owner/x`.
package final class EngineImages: Sendable {
    /// Where an engine listens if nothing says otherwise.
    package static let defaultAddress = "unix:///var/run/docker.sock"

    /// Bytes of a manifest or an index: what registries take.
    private static let documentBytesMax = 4 << 20
    /// Bytes of an answer about a blob: a configuration as base64.
    private static let blobBytesMax = 16 << 20
    /// Bytes of the list: ten thousand repositories with a hundred tags each.
    private static let listBytesMax = 64 << 20
    private static let connectTimeout = TimeAmount.seconds(5)
    private static let answerTimeout = TimeAmount.seconds(30)

    /// Of every request, without a slash at its end.
    private let base: String
    private let client: HTTPClient

    /// An address that is none, or an engine that does not answer.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// - Parameter address: `unix:///path/of/docker.sock`. ``close()`` ends the connections to it.
    /// - Throws: ``Failure``.
    package init(_ address: String) throws(Failure) {
        let path = address.hasPrefix("unix://") ? String(address.dropFirst("unix://".count)) : ""
        guard path.hasPrefix("/"), let url = URL(httpURLWithSocketPath: path, uri: "/") else {
            throw Failure(
                description: "an engine whose images are served has to be on this machine, \(address) is not: "
                    + "set DOCKER_HOST to unix:///path/of/docker.sock")
        }
        base = String(url.absoluteString.dropLast())
        var options = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: Self.connectTimeout, read: Self.answerTimeout), decompression: .disabled)
        options.httpVersion = .http1Only
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: options)
    }

    package func close() async {
        // It only fails when it was closed before.
        try? await client.shutdown()
    }

    // MARK: Names

    /// The repository that a client means.
    ///
    /// - Parameters:
    ///   - name: as it was typed; one without a registry is of Docker Hub, as engines ask the mirrors of that.
    ///   - namespace: the registry that containerd means (`ns` of its requests).
    package static func localName(_ name: String, namespace: String?) -> String {
        guard !name.isEmpty, let reference = try? Reference(namespace.map { "\($0)/\(name)" } ?? name),
            reference.tag == nil, reference.digest == nil
        else { return name }
        return reference.name
    }

    /// Reads a ``localName(_:namespace:)``.
    ///
    /// - Throws: ``Refusal`` NAME_INVALID.
    private static func repository(_ name: String) throws(Refusal) -> Reference {
        guard let reference = try? Reference(name), reference.name == name else {
            throw Refusal(.nameInvalid, 400, "invalid repository name \(OCIError.quoted(name))")
        }
        return reference
    }

    // MARK: What is there

    /// Tags by repository.
    ///
    /// - Throws: ``Refusal``, ``Failure``; so do the others.
    package func repositories() async throws -> [String: [String]] { try await list("/content") }

    /// Tags of a repository; nil for one that is not known.
    package func tags(of repository: String) async throws -> [String]? {
        let name = try Self.repository(repository).name
        return try await list("/content?name=\(name)")[name]
    }

    private func list(_ path: String) async throws -> [String: [String]] {
        let answer = try await ask(path, bytesMax: Self.listBytesMax)
        guard answer.status == 200 else { throw Self.unexpected(answer) }
        return try Self.decoded(answer)
    }

    /// - Throws: ``Refusal`` MANIFEST_UNKNOWN.
    package func manifest(_ name: ManifestName, of repository: String) async throws -> StoredManifest {
        let reference = try Self.repository(repository)
        let answer = try await ask(
            "/content/\(reference.name)/manifests/\(name)", bytesMax: Self.documentBytesMax)
        if answer.status == 404 {
            throw Refusal(.manifestUnknown, 404, "manifest unknown to the engine: \(name)")
        }
        guard answer.status == 200, let type = answer.type,
            let digest = answer.digest.flatMap({ try? Digest($0) })
        else { throw Self.unexpected(answer) }
        return StoredManifest(digest: digest, mediaType: type, body: Array(answer.body.readableBytesView))
    }

    /// A blob's bytes.
    package enum Blob: Sendable {
        /// A file of the engine's, which never changes.
        case file(StoredBlob)
        case bytes([UInt8])

        package var byteCount: Int64 {
            switch self {
            case .file(let blob): blob.size
            case .bytes(let bytes): Int64(bytes.count)
            }
        }
    }

    private struct BlobAnswer: Decodable {
        let size: Int64
        let path: String?
        let data: Data?

        enum CodingKeys: String, CodingKey {
            case size = "Size"
            case path = "Path"
            case data = "Data"
        }
    }

    /// - Throws: ``Refusal`` BLOB_UNKNOWN.
    package func blob(_ digest: Digest, of repository: String) async throws -> Blob {
        let reference = try Self.repository(repository)
        let answer = try await ask("/content/\(reference.name)/blobs/\(digest)", bytesMax: Self.blobBytesMax)
        guard answer.status != 404 else { throw Refusal(.blobUnknown, 404, "blob unknown to the engine: \(digest)") }
        guard answer.status == 200 else { throw Self.unexpected(answer) }
        let blob: BlobAnswer = try Self.decoded(answer)
        if let data = blob.data { return .bytes(Array(data)) }
        guard let path = blob.path, path.hasPrefix("/"), blob.size >= 0 else { throw Self.unexpected(answer) }
        return .file(StoredBlob(digest: digest, size: blob.size, file: path))
    }

    // MARK: One request

    private struct Answer {
        let status: Int
        let type: String?
        let digest: String?
        let body: ByteBuffer
    }

    private func ask(_ path: String, bytesMax: Int) async throws -> Answer {
        do {
            var request = HTTPClientRequest(url: base + path)
            // A socket's path is no name of a host's.
            request.headers.add(name: "host", value: "docker")
            let response = try await client.execute(request, deadline: .now() + Self.answerTimeout)
            return Answer(
                status: Int(response.status.code), type: response.headers.first(name: "content-type"),
                digest: response.headers.first(name: "docker-content-digest"),
                body: try await response.body.collect(upTo: bytesMax))
        } catch {
            try Task.checkCancellation()
            throw Failure(description: "the engine whose images are served does not answer: \(error)")
        }
    }

    private static func decoded<Value: Decodable>(_ answer: Answer) throws -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(answer.body.readableBytesView))
        } catch { throw unexpected(answer) }
    }

    private static func unexpected(_ answer: Answer) -> Refusal {
        Refusal(
            .unknown, 502,
            "the engine answers \(answer.status), not as one does that serves its images: is it of this version?")
    }
}
