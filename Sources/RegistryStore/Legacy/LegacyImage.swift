import FoundationEssentials
package import OCI

/// An image as the first version of the protocol had them: one layer, its parent, and an id of its own. Docker's engine made
/// them of what it has now when it pushed to such a registry (distribution/push_v1.go), and these are the same: the image
/// has the digest of its configuration, each layer below it that of the chain of layers up to it.
package struct LegacyImage: Sendable, Hashable {
    /// 64 hexadecimal digits.
    package let id: String
    package let parent: String?
    /// Its bytes are the layer's, compressed as they were pushed.
    package let layer: Descriptor
    /// Of the image itself; nil for what lies below.
    fileprivate var config: [UInt8]?

    /// Layers of an image that is told to clients of the first version: none of theirs has more.
    private static let layersMax = 512

    /// From the lowest layer to the image.
    ///
    /// - Returns: none for what is no image, or one without layers.
    static func chain(_ document: ManifestDocument, config: [UInt8]) -> [LegacyImage] {
        guard let image = try? JSONDecoder().decode(ImageConfig.self, from: Data(config)) else { return [] }
        let (layers, contents) = (document.blobs.dropFirst(), image.rootfs.diffIDs)
        guard layers.count == contents.count, layers.count <= layersMax, let top = document.blobs.first else {
            return []
        }
        var images: [LegacyImage] = []
        var chain: Digest?
        for (place, (layer, content)) in zip(layers, contents).enumerated() {
            let links = chain.map { Array("\($0) \(content)".utf8) }
            let link = links.map { StreamHash.digest(of: $0, .sha256) } ?? content
            chain = link
            let isTop = place == contents.count - 1
            images.append(
                LegacyImage(
                    id: isTop ? top.digest.hex : link.hex, parent: images.last?.id, layer: layer,
                    config: isTop ? config : nil))
        }
        return images
    }

    /// Without what a list does not tell: it would hold a configuration for each tag.
    func listed() -> LegacyImage {
        var image = self
        image.config = nil
        return image
    }

    /// What the protocol calls the image's JSON.
    package func json() throws -> [UInt8] {
        var members: [String: JSONValue] = [:]
        if let config {
            members = try JSONDecoder().decode([String: JSONValue].self, from: Data(config))
            // Of its parents' layers, which are images of their own.
            members["rootfs"] = nil
            members["history"] = nil
        }
        members["id"] = .string(id)
        members["parent"] = parent.map { .string($0) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(members))
    }
}
