import FoundationEssentials
import NIOHTTP1
package import OCI

/// An image that a registry has: its manifest for one platform, verified, and where it came from.
package struct ResolvedImage: Sendable {
    package let manifest: Manifest
    /// The exact bytes that ``digest`` names.
    package let manifestBytes: [UInt8]
    package let digest: Digest
    package let mediaType: String
    /// The index the manifest was chosen from, where the reference named one.
    package let index: Document?
    /// Serves the blobs: where the manifest came from.
    package let endpoint: RegistryEndpoint
    /// Servers that have the blobs, too, as the endpoint says. They are trusted with nothing.
    package let sources: [RegistryEndpoint]

    /// A document by its digest, as it was served.
    package struct Document: Sendable {
        package let bytes: [UInt8]
        package let digest: Digest
        package let mediaType: String
        /// What the registry announced beside it (``ResolvedImage/sources``).
        var sources: [RegistryEndpoint] = []
    }

    /// What Docker prints and records as the image's digest: of the index, where there is one.
    package var referenceDigest: Digest { index?.digest ?? digest }
}

extension RegistryClient {
    /// Finds the manifest that `reference` names for `platform`, asking the mirrors first.
    ///
    /// - Throws: `RegistryError` of the last endpoint; those of mirrors go to the notice closure.
    package func resolve(
        _ reference: Reference, platform: Platform, credentials: Credentials? = nil
    ) async throws(RegistryError) -> ResolvedImage {
        let reference = reference.tagged
        let endpoints = try configuration.endpoints(for: reference.domain)
            .filter { $0.resolvesTags || reference.digest != nil }
        return try await each(endpoints, of: reference) { endpoint throws(RegistryError) in
            try await self.resolve(reference, platform, at: endpoint, credentials)
        }
    }

    /// Runs `body` at each of `endpoints` until one succeeds.
    ///
    /// - Parameter leaving: tells of one that failed and the next one; false leaves it to the notice closure.
    func each<Value: Sendable>(
        _ endpoints: [RegistryEndpoint], of reference: Reference,
        _ body: (RegistryEndpoint) async throws(RegistryError) -> Value,
        leaving: (RegistryEndpoint, RegistryError, RegistryEndpoint) -> Bool = { _, _, _ in false }
    ) async throws(RegistryError) -> Value {
        for (endpoint, next) in zip(endpoints, endpoints.dropFirst()) {
            do throws(RegistryError) { return try await body(endpoint) } catch {
                guard error.isEndpointFault else { throw error.from(endpoint) }
                if leaving(endpoint, error, next) { continue }
                notice("\(endpoint) is skipped for \(reference.familiar): \(error)")
            }
        }
        let last = endpoints[endpoints.count - 1]
        do throws(RegistryError) { return try await body(last) } catch { throw error.from(last) }
    }

    private func resolve(
        _ reference: Reference, _ platform: Platform, at endpoint: RegistryEndpoint, _ credentials: Credentials?
    ) async throws(RegistryError) -> ResolvedImage {
        let access = Access(endpoint, [Access.pull(endpoint.name(of: reference.path))], credentials)
        var document = try await fetch(
            reference, reference.digest.map(\.description) ?? reference.tag ?? "", reference.digest, access)
        let sources = document.sources
        var top: ResolvedImage.Document?
        var visited: Set<Digest> = [document.digest]
        for _ in 0...configuration.limits.indexDepthMax {
            switch try ManifestDocument(document, reference) {
            case .manifest(let manifest):
                return ResolvedImage(
                    manifest: manifest, manifestBytes: document.bytes, digest: document.digest,
                    mediaType: document.mediaType,
                    index: top, endpoint: endpoint, sources: sources)
            case .index(let index):
                top = top ?? document
                guard index.manifests.count <= configuration.limits.indexChildrenMax else {
                    throw RegistryError(
                        .tooLarge, "the manifest list of \(reference.familiar) has \(index.manifests.count) entries")
                }
                guard let child = index.choice(for: platform) else {
                    throw RegistryError(
                        .noPlatform, "no matching manifest for \(platform) in the manifest list entries",
                        remedy: "ask for another with --platform")
                }
                guard visited.insert(child.digest).inserted else {
                    throw RegistryError(.malformed, "the manifest list of \(reference.familiar) contains itself")
                }
                document = try await fetch(reference, child.digest.description, child.digest, access, expected: child)
            }
        }
        throw RegistryError(
            .unsupported,
            "the manifest lists of \(reference.familiar) are nested deeper than \(configuration.limits.indexDepthMax)")
    }

    static let accepted = (MediaType.manifests + MediaType.indexes + MediaType.schema1).joined(separator: ", ")

    /// Gets one manifest or index and verifies it against every digest and size that is known of it.
    func fetch(
        _ reference: Reference, _ name: String, _ digest: Digest?, _ access: Access, expected: Descriptor? = nil
    ) async throws(RegistryError) -> ResolvedImage.Document {
        var request = Request()
        request.headers.add(name: "accept", value: Self.accepted)
        let (reply, bytes) = try await exchange(
            request, to: .path(Routes.manifest(access.endpoint.name(of: reference.path), name)), access,
            bytesMax: configuration.limits.manifestBytesMax,
            reference: reference)
        if let expected, expected.size != Int64(bytes.count) {
            throw RegistryError.digestMismatch("manifest", expected.digest.description)
        }
        if let said = reply.header("docker-content-digest") {
            guard let announced = try? Digest(said), Digest.of(bytes, announced.algorithm) == announced else {
                throw RegistryError.digestMismatch("manifest", OCIError.quoted(said))
            }
        }
        if let digest, Digest.of(bytes, digest.algorithm) != digest {
            throw RegistryError.digestMismatch("manifest", digest.description)
        }
        let header = reply.header("content-type")?.prefix { $0 != ";" }.lowercased() ?? ""
        let type = header.filter { $0 != " " }
        if let expected, !MediaType.generic.contains(type), !type.isEmpty, expected.mediaType != type {
            throw RegistryError(
                .malformed,
                "manifest \(expected.digest) is served as \(OCIError.quoted(type)) but listed as \(expected.mediaType)")
        }
        return ResolvedImage.Document(
            bytes: bytes, digest: digest ?? Digest.of(bytes, .sha256), mediaType: type,
            sources: announced(reply.headers[SourceHeaders.endpoints], from: reply.location, access.endpoint)
        ).withTypeOfItsOwn()
    }

    /// The servers that a registry announces: at most ``RegistryConfiguration/Limits/sourcesMax``, of those only where it could
    /// redirect to.
    func announced(
        _ headers: [String], from sender: Location, _ endpoint: RegistryEndpoint
    ) -> [RegistryEndpoint] {
        guard endpoint.resolvesTags, endpoint.isAt(sender) else { return [] }
        var found: [RegistryEndpoint] = []
        let entries = headers.joined(separator: ",").split(separator: ",")
        for entry in entries.prefix(configuration.limits.sourcesMax) {
            let text = entry.filter { $0 != " " && $0 != "\t" }
            let url = text.contains("://") ? text : "https://" + text
            // What is no address is nobody's.
            guard let source = try? configuration.endpoint(source: url), let location = Location(source.origin),
                !endpoint.isAt(location), !found.contains(source),
                (try? checkRedirect(from: sender, to: location, endpoint)) != nil
            else { continue }
            found.append(source)
        }
        return found
    }
}

extension ResolvedImage.Document {
    /// Where the header says nothing, the type that the document says of itself.
    fileprivate func withTypeOfItsOwn() -> Self {
        guard mediaType.isEmpty || MediaType.generic.contains(mediaType), let shape = ManifestDocument.Shape(bytes)
        else { return self }
        let own = shape.mediaType ?? (shape.manifests != nil ? MediaType.ociIndex : MediaType.ociManifest)
        return Self(bytes: bytes, digest: digest, mediaType: own, sources: sources)
    }
}

/// What a manifest document turned out to be.
enum ManifestDocument: Sendable {
    case manifest(Manifest)
    case index(ImageIndex)

    /// Which members a document has: it must be readable in one way only, whatever it is called (CVE-2021-41190).
    struct Shape: Decodable {
        struct Present: Decodable { init(from decoder: any Decoder) {} }
        var schemaVersion: Int?
        var mediaType: String?
        var manifests: Present?
        var layers: Present?
        var config: Present?
        var fsLayers: Present?

        init?(_ bytes: [UInt8]) {
            // Not JSON in one reading, or not an object with these types: the caller says so in its own words.
            guard (try? StrictJSON.check(bytes)) != nil,
                let shape = try? JSONDecoder().decode(Shape.self, from: Data(bytes))
            else { return nil }
            self = shape
        }
    }

    /// What keeps `bytes` from being looked at.
    private static func fault(_ bytes: [UInt8]) -> String {
        do throws(OCIError) { try StrictJSON.check(bytes) } catch { return "well formed: \(error.message)" }
        return "a JSON object of the expected form"
    }

    /// - Throws: `RegistryError`: `malformed` for a document of two kinds or of another kind than announced,
    ///   `unsupported` for schema 1 and unknown types.
    init(_ document: ResolvedImage.Document, _ reference: Reference) throws(RegistryError) {
        guard let shape = Shape(document.bytes) else {
            throw RegistryError(
                .malformed, "the manifest of \(reference.familiar) is not \(Self.fault(document.bytes))")
        }
        if MediaType.schema1.contains(document.mediaType) || shape.schemaVersion == 1 || shape.fsLayers != nil {
            throw RegistryError(
                .unsupported,
                "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. "
                    + "Suggest the author of \(reference) to upgrade the image to the OCI Format or Docker Image manifest v2, "
                    + "schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/")
        }
        guard shape.manifests == nil || (shape.layers == nil && shape.config == nil) else {
            throw RegistryError(
                .malformed, "the manifest of \(reference.familiar) is a manifest and an index at once: refused")
        }
        if let own = shape.mediaType, own != document.mediaType {
            throw RegistryError(
                .malformed,
                "the manifest of \(reference.familiar) says it is \(OCIError.quoted(own)) but is served as "
                    + OCIError.quoted(document.mediaType))
        }
        do {
            if MediaType.indexes.contains(document.mediaType), shape.manifests != nil {
                self = .index(try JSONDecoder().decode(ImageIndex.self, from: Data(document.bytes)))
            } else if MediaType.manifests.contains(document.mediaType), shape.manifests == nil {
                let manifest = try JSONDecoder().decode(Manifest.self, from: Data(document.bytes))
                guard manifest.config.size >= 0, manifest.layers.allSatisfy({ $0.size >= 0 }) else {
                    throw RegistryError(.malformed, "the manifest of \(reference.familiar) has a negative size")
                }
                self = .manifest(manifest)
            } else {
                throw RegistryError(
                    .unsupported,
                    "unsupported manifest media type and no default available: \(OCIError.quoted(document.mediaType))")
            }
        } catch let error as RegistryError {
            throw error
        } catch {
            throw RegistryError(.malformed, "the manifest of \(reference.familiar) is malformed", cause: error)
        }
    }
}

extension ImageIndex {
    /// The entry for `platform`: one of exactly its variant before others; else a nested index that names no platform.
    func choice(for platform: Platform) -> Descriptor? {
        let usable = manifests.filter {
            MediaType.manifests.contains($0.mediaType) || MediaType.indexes.contains($0.mediaType)
        }
        let fitting = usable.filter { $0.platform?.matches(platform) == true }
        return fitting.first { $0.platform?.variant == platform.variant } ?? fitting.first
            ?? usable.first { $0.platform == nil && MediaType.indexes.contains($0.mediaType) }
            ?? (usable.count == 1 && usable[0].platform == nil ? usable[0] : nil)
    }
}
