/// Media types of manifests, configurations and layers: OCI image specification and Docker's schema 2.
package enum MediaType {
    package static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
    package static let ociIndex = "application/vnd.oci.image.index.v1+json"
    package static let ociConfig = "application/vnd.oci.image.config.v1+json"
    package static let ociLayer = "application/vnd.oci.image.layer.v1.tar"
    package static let ociLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
    package static let ociLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    package static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    package static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
    package static let dockerConfig = "application/vnd.docker.container.image.v1+json"
    package static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

    package static let manifests = [ociManifest, dockerManifest]
    package static let indexes = [ociIndex, dockerList]
    /// True for a type whose blob is a file-system layer we can unpack (any compression: it is told by the bytes).
    package static func isLayer(_ type: String) -> Bool {
        type.hasPrefix("application/vnd.oci.image.layer.") || type.hasPrefix("application/vnd.docker.image.rootfs.")
    }
}

/// A reference to content by digest (OCI descriptor.md).
package struct Descriptor: Sendable, Hashable, Codable {
    package var mediaType: String
    package var digest: Digest
    /// Bytes; never negative.
    package var size: Int64
    package var urls: [String]?
    package var annotations: [String: String]?
    package var platform: Platform?

    package init(
        mediaType: String, digest: Digest, size: Int64, annotations: [String: String]? = nil, platform: Platform? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.annotations = annotations
        self.platform = platform
    }
}

/// An operating system and architecture (OCI image-index.md, "platform").
package struct Platform: Sendable, Hashable, Codable, CustomStringConvertible {
    package var architecture: String
    package var os: String
    package var variant: String?
    package var osVersion: String?

    enum CodingKeys: String, CodingKey {
        case architecture, os, variant
        case osVersion = "os.version"
    }

    package init(os: String, architecture: String, variant: String? = nil) {
        self.os = os
        self.architecture = architecture
        self.variant = variant
    }

    /// Parses `linux/arm64/v8`, `linux/amd64`, `arm64` or `linux`.
    ///
    /// - Throws: ``OCIError`` for anything else.
    package init(_ text: String) throws(OCIError) {
        let parts = text.lowercased().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let wellFormed = parts.allSatisfy { part in
            !part.isEmpty
                && part.utf8.allSatisfy {
                    (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || [0x2e, 0x5f, 0x2d].contains($0)
                }
        }
        guard wellFormed, (1...3).contains(parts.count) else {
            throw OCIError(
                "\(OCIError.quoted(text)) is an invalid platform: want os[/arch[/variant]], such as linux/amd64")
        }
        let knownSystems = ["linux", "windows", "darwin", "freebsd"]
        if parts.count == 1 {
            self =
                knownSystems.contains(parts[0])
                ? Platform(os: parts[0], architecture: Self.host.architecture)
                : Platform(os: Self.host.os, architecture: Self.canonical(parts[0]))
        } else {
            self.init(os: parts[0], architecture: Self.canonical(parts[1]), variant: parts.count == 3 ? parts[2] : nil)
        }
    }

    private static func canonical(_ name: String) -> String {
        ["x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"][name] ?? name
    }

    #if arch(x86_64)
        /// The platform this engine runs on.
        package static let host = Platform(os: "linux", architecture: "amd64")
    #else
        /// The platform this engine runs on.
        package static let host = Platform(os: "linux", architecture: "arm64", variant: "v8")
    #endif

    /// True when an image for `self` runs where `wanted` is asked for; a missing variant matches any.
    package func matches(_ wanted: Platform) -> Bool {
        os == wanted.os && architecture == wanted.architecture
            && (variant == nil || wanted.variant == nil || variant == wanted.variant)
    }

    package var description: String { "\(os)/\(architecture)" + (variant.map { "/\($0)" } ?? "") }
}

/// An image manifest (OCI manifest.md; Docker schema 2 has the same members).
package struct Manifest: Sendable, Hashable, Codable {
    package var schemaVersion: Int
    package var mediaType: String?
    /// What it is the manifest of, where that is no image (OCI 1.1).
    package var artifactType: String?
    package var config: Descriptor
    package var layers: [Descriptor]
    package var annotations: [String: String]?

    package init(mediaType: String, config: Descriptor, layers: [Descriptor]) {
        schemaVersion = 2
        self.mediaType = mediaType
        self.config = config
        self.layers = layers
    }
}

/// An image index, or Docker manifest list.
package struct ImageIndex: Sendable, Hashable, Codable {
    package var schemaVersion: Int
    package var mediaType: String?
    package var manifests: [Descriptor]
    package var annotations: [String: String]?

    package init(mediaType: String, manifests: [Descriptor]) {
        schemaVersion = 2
        self.mediaType = mediaType
        self.manifests = manifests
    }
}
