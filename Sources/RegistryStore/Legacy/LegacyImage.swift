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
    fileprivate let config: [UInt8]?

    /// From the lowest layer to the image.
    ///
    /// - Returns: none for what is no image, or one without layers.
    static func chain(_ document: ManifestDocument, config: [UInt8]) -> [LegacyImage] {
        guard let image = try? JSONDecoder().decode(ImageConfig.self, from: Data(config)) else { return [] }
        let (layers, contents) = (document.blobs.dropFirst(), image.rootfs.diffIDs)
        guard layers.count == contents.count, let top = document.blobs.first else { return [] }
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

/// Any value of JSON, to be handed on.
private indirect enum JSONValue: Codable, Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? value.decode(Int64.self) {
            self = .integer(integer)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let array = try? value.decode([JSONValue].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSONValue].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let bool): try value.encode(bool)
        case .integer(let integer): try value.encode(integer)
        case .number(let number): try value.encode(number)
        case .string(let string): try value.encode(string)
        case .array(let array): try value.encode(array)
        case .object(let object): try value.encode(object)
        }
    }
}
