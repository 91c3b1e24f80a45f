package import FoundationEssentials
package import OCI

/// What others are told of a change: an event of Docker's distribution (its documentation, "Work with notifications").
package struct RegistryEvent: Sendable, Hashable, Encodable {
    /// What rules can ask for.
    package enum Kind: String, Sendable, Hashable, CaseIterable, Decodable {
        /// A manifest was pushed, under a tag or not.
        case push
        case pull
        /// A tag, a manifest or a repository was deleted by a client.
        case delete
        /// A blob of another repository was taken into this one.
        case mount
        /// A tag was set; told beside the push.
        case tag
        /// A tag or a manifest was deleted by a rule.
        case retention

        /// What receivers know it by.
        var action: String { self == .retention ? "delete" : rawValue }
    }

    package struct Target: Sendable, Hashable, Encodable {
        var mediaType: String?
        /// Bytes; distribution has the same number twice.
        var size: Int64?
        var length: Int64?
        var digest: String?
        let repository: String
        var fromRepository: String?
        var url: String?
        var tag: String?
    }

    struct RequestPart: Sendable, Hashable, Encodable {
        let id: String
        let addr: String?
        let host: String?
        let method: String
        let useragent: String?
    }

    struct Actor: Sendable, Hashable, Encodable { let name: String? }

    struct Source: Sendable, Hashable, Encodable {
        let addr: String?
        let instanceID: String
    }

    let id: String
    let timestamp: String
    let action: String
    let target: Target
    let request: RequestPart
    let actor: Actor
    let source: Source
}

/// A change that others may want to be told of; it becomes an event only when somebody does.
struct Notice: Sendable {
    let kind: RegistryEvent.Kind
    let repository: RepositoryName
    var digest: Digest?
    var mediaType: String?
    var size: Int64?
    var tag: String?
    var from: RepositoryName?
    let origin: Origin
    var date = Date()

    init(
        _ kind: RegistryEvent.Kind, _ repository: RepositoryName, _ manifest: StoredManifest, tag: String?,
        _ origin: Origin
    ) {
        self.init(kind, repository, digest: manifest.digest, tag: tag, origin)
        mediaType = manifest.mediaType
        size = Int64(manifest.body.count)
    }

    init(
        _ kind: RegistryEvent.Kind, _ repository: RepositoryName, digest: Digest? = nil, tag: String? = nil,
        _ origin: Origin
    ) {
        self.kind = kind
        self.repository = repository
        self.digest = digest
        self.tag = tag
        self.origin = origin
    }

    /// The event as JSON.
    ///
    func text(_ settings: RegistryStore.Settings) throws -> String {
        let path = digest.map { "/v2/\(repository)/\(kind == .mount ? "blobs" : "manifests")/\($0)" }
        let event = RegistryEvent(
            id: UploadID.fresh(),
            timestamp: date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)),
            action: kind.action,
            target: RegistryEvent.Target(
                mediaType: mediaType, size: size, length: size, digest: digest?.description,
                repository: repository.description, fromRepository: from?.description,
                url: path.flatMap { path in origin.host.map { "\(settings.scheme)://\($0)\(path)" } }, tag: tag),
            request: RegistryEvent.RequestPart(
                id: UploadID.fresh(), addr: origin.address, host: origin.host, method: origin.method,
                useragent: origin.agent),
            actor: RegistryEvent.Actor(name: kind == .retention ? "retention" : origin.user),
            source: RegistryEvent.Source(addr: origin.host, instanceID: settings.instance))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return String(decoding: try encoder.encode(event), as: UTF8.self)
    }
}
