import FoundationEssentials
import OCI

/// What a manifest, its configuration and a text that was pushed with it tell people. All of it was written by whoever
/// pushed it: it is bounded, and has no control characters.
struct ManifestFacts: Sendable {
    /// Bytes of the configuration and the layers.
    private(set) var size: Int64 = 0
    /// As `linux/arm64/v8`.
    private(set) var platforms: [String] = []
    /// When it was made, as it says.
    private(set) var created: String?
    /// Empty where nothing is told, as the next two.
    private(set) var title = ""
    private(set) var description = ""
    private(set) var owner = ""
    /// Labels of the configuration, and the annotations, which are heeded first.
    private(set) var labels: [String: String] = [:]
    private(set) var readme: String?
    /// What it is found by, parted by spaces.
    private(set) var words = ""

    private static let labelsMax = 200
    private static let labelBytesMax = 1024
    private static let descriptionBytesMax = 4096
    /// Of a text about a repository.
    static let readmeBytesMax = 256 << 10
    /// Of a configuration: one has some kilobytes.
    static let configBytesMax = 1 << 20
    /// Words that a repository is found by, beside its name: a text of some pages has as many.
    static let wordsMax = 2000

    static let readmeKeys = ["org.opencontainers.image.readme", "com.docker.extension.detailed-description"]
    /// Labels that differ from push to push, and that nobody searches for.
    private static let silentKeys: Set<String> = [
        "org.opencontainers.image.created", "org.opencontainers.image.revision", "org.opencontainers.image.base.digest",
        "org.opencontainers.image.ref.name",
    ]

    /// - Parameter config: the bytes of the configuration; nil where it is not read.
    init(_ document: ManifestDocument, config: [UInt8]?) {
        size = (document.blobs + document.foreignBlobs).reduce(0) { sum, blob in
            let (value, isTooLarge) = sum.addingReportingOverflow(blob.size)
            return isTooLarge ? .max : value
        }
        var all: [String: String] = [:]
        if let config = config.flatMap({ try? JSONDecoder().decode(WireConfig.self, from: Data($0)) }) {
            all = config.config?.Labels ?? [:]
            platforms = config.platform.map { [$0] } ?? []
            created = config.created.map { Self.cleaned($0, bytesMax: 64) }
        }
        all.merge(document.annotations) { _, annotation in annotation }
        for member in document.manifests {
            guard let platform = member.platform, platform.os != "unknown" else { continue }
            let text = Self.cleaned(platform.description, bytesMax: 64)
            if !platforms.contains(text), platforms.count < Self.platformsMax { platforms.append(text) }
        }
        take(all)
    }

    private static let platformsMax = 64

    private struct WireConfig: Decodable {
        struct Container: Decodable { var Labels: [String: String]? }
        var architecture: String?
        var os: String?
        var variant: String?
        var created: String?
        var config: Container?

        var platform: String? {
            guard let architecture, !architecture.isEmpty, let os, !os.isEmpty else { return nil }
            let parts = [os, architecture] + (variant.map { $0.isEmpty ? [] : [$0] } ?? [])
            return ManifestFacts.cleaned(parts.joined(separator: "/"), bytesMax: 64)
        }
    }

    private mutating func take(_ all: [String: String]) {
        func told(_ key: String, _ bytesMax: Int) -> String {
            Self.cleaned(all["org.opencontainers.image." + key] ?? "", bytesMax: bytesMax)
        }
        created = all["org.opencontainers.image.created"].map { Self.cleaned($0, bytesMax: 64) } ?? created
        title = told("title", Self.labelBytesMax)
        description = told("description", Self.descriptionBytesMax)
        owner = told("vendor", Self.labelBytesMax)
        if owner.isEmpty { owner = told("authors", Self.labelBytesMax) }
        readme = Self.readmeKeys.lazy.compactMap { all[$0] }.first.map {
            Self.cleaned($0, bytesMax: Self.readmeBytesMax)
        }
        var text = [title, description]
        for (key, value) in all.sorted(by: { $0.key < $1.key }).prefix(Self.labelsMax) {
            guard !Self.readmeKeys.contains(key) else { continue }
            let value = Self.cleaned(value, bytesMax: Self.labelBytesMax)
            labels[Self.cleaned(key, bytesMax: Self.labelBytesMax)] = value
            if !Self.silentKeys.contains(key) { text.append(value) }
        }
        words = Self.words(text + platforms + [readme ?? ""])
    }

    /// Each word once.
    static func words(_ texts: [String]) -> String {
        var seen: Set<String> = []
        var words: [String] = []
        for text in texts {
            for word in SearchWords.split(text, countMax: wordsMax * 4) where words.count < wordsMax {
                if seen.insert(word).inserted { words.append(word) }
            }
        }
        return words.joined(separator: " ")
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII
            ? scalar.value < 0x20 || scalar.value == 0x7f : scalar.properties.generalCategory == .control
    }

    /// The first bytes of `text`, whole characters, without control characters other than the end of a line and a tab.
    static func cleaned(_ text: String, bytesMax: Int) -> String {
        var result = String.UnicodeScalarView()
        var count = 0
        for scalar in text.unicodeScalars {
            guard !isControl(scalar) || scalar == "\n" || scalar == "\t" else { continue }
            count += UTF8.width(scalar)
            guard count <= bytesMax else { break }
            result.append(scalar)
        }
        return String(result)
    }
}

/// A text about a repository that was pushed as an artifact: a manifest with a subject, of Markdown.
enum ReadmeArtifact {
    private static let types: Set<String> = ["text/markdown", "text/x-markdown"]

    /// The blob that has the text; nil when the manifest is something else.
    static func blob(of document: ManifestDocument) -> Descriptor? {
        guard document.subject != nil, document.blobs.count > 1 else { return nil }
        let layers = document.blobs.dropFirst()
        let isNamed = document.artifactType.map { types.contains($0) || $0.lowercased().contains("readme") } ?? false
        let text = layers.first { types.contains($0.mediaType) } ?? (isNamed ? layers.first : nil)
        return text.flatMap { $0.size <= ManifestFacts.readmeBytesMax ? $0 : nil }
    }
}

extension ManifestDocument {
    /// The member of an index that stands for it: what most people pull.
    var mainMember: Descriptor? {
        let platforms = manifests.filter { $0.platform?.os != "unknown" }
        return platforms.first { $0.platform?.os == "linux" && $0.platform?.architecture == "amd64" } ?? platforms.first
    }
}
