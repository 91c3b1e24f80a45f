import FoundationEssentials
import OCI

/// What the registry has to know of a manifest or an index.
struct ManifestDocument {
    let mediaType: String
    /// What a list of referrers calls it: its own artifactType, else the type of its configuration.
    let artifactType: String?
    let annotations: [String: String]
    let subject: Digest?
    /// Blobs that must be there before it.
    let blobs: [Descriptor]
    /// Layers that may be kept by whoever has the right to: they need not be there.
    let foreignBlobs: [Descriptor]
    /// Manifests of an index, which must be there before it.
    let manifests: [Descriptor]

    private struct Wire: Decodable {
        var schemaVersion: Int
        var mediaType: String?
        var artifactType: String?
        var config: Descriptor?
        var layers: [Descriptor]?
        var manifests: [Descriptor]?
        var subject: Descriptor?
        var annotations: [String: String]?
    }

    /// - Parameter contentType: of the request; nil leaves it to the document.
    /// - Throws: ``Refusal`` MANIFEST_INVALID.
    init(parsing bytes: [UInt8], contentType: String?) throws(Refusal) {
        let wire = try Self.decode(bytes)
        guard let type = contentType ?? wire.mediaType else {
            throw Self.invalid("neither the Content-Type header nor its mediaType says what it is")
        }
        guard wire.mediaType == nil || wire.mediaType == type else {
            throw Self.invalid(
                "its mediaType is \(OCIError.quoted(wire.mediaType ?? "")), Content-Type says \(OCIError.quoted(type))")
        }
        guard wire.schemaVersion == 2 else { throw Self.invalid("schemaVersion is \(wire.schemaVersion), want 2") }
        let all = (wire.layers ?? []) + (wire.manifests ?? []) + [wire.config, wire.subject].compactMap { $0 }
        guard all.allSatisfy({ $0.size >= 0 }) else { throw Self.invalid("a size is negative") }
        // One document that is both would be read in two ways.
        if MediaType.manifests.contains(type) {
            guard let config = wire.config, let layers = wire.layers, wire.manifests == nil else {
                throw Self.invalid("a manifest has config and layers, and no manifests")
            }
            blobs = [config] + layers.filter { !Self.isForeign($0) }
            foreignBlobs = layers.filter(Self.isForeign)
            manifests = []
        } else if MediaType.indexes.contains(type) {
            guard let members = wire.manifests, wire.config == nil, wire.layers == nil else {
                throw Self.invalid("an index has manifests, and neither config nor layers")
            }
            (blobs, foreignBlobs, manifests) = ([], [], members)
        } else {
            throw Self.invalid("media type \(OCIError.quoted(type)) is none of OCI's and Docker's schema 2")
        }
        mediaType = type
        artifactType = wire.artifactType ?? wire.config?.mediaType
        annotations = wire.annotations ?? [:]
        subject = wire.subject?.digest
    }

    private static func decode(_ bytes: [UInt8]) throws(Refusal) -> Wire {
        do {
            try StrictJSON.check(bytes)
            return try JSONDecoder().decode(Wire.self, from: Data(bytes))
        } catch let error as OCIError {
            throw invalid(error.message)
        } catch {
            throw invalid("it does not decode: \(String("\(error)".prefix(200)))")
        }
    }

    private static func isForeign(_ layer: Descriptor) -> Bool {
        layer.mediaType.contains("nondistributable") || layer.mediaType.contains(".foreign.")
    }

    private static func invalid(_ reason: String) -> Refusal {
        Refusal(.manifestInvalid, 400, "manifest invalid: \(reason)")
    }
}
