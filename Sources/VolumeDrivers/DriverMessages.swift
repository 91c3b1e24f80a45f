package import FoundationEssentials
package import OCI

/// The bodies of the protocol's requests and answers.
enum DriverMessages {
    struct Name: Encodable {
        let name: String
        enum CodingKeys: String, CodingKey { case name = "Name" }
    }

    struct Create: Encodable {
        let name: String
        let options: [String: String]
        enum CodingKeys: String, CodingKey {
            case name = "Name"
            case options = "Opts"
        }
    }

    struct Use: Encodable {
        let name: String
        let id: String
        enum CodingKeys: String, CodingKey {
            case name = "Name"
            case id = "ID"
        }
    }

    struct Nothing: Encodable {}

    /// What every answer may have instead of anything else.
    struct Failure: Decodable {
        let error: String?
        enum CodingKeys: String, CodingKey { case error = "Err" }
    }

    struct Activation: Decodable {
        let implements: [String]?
        enum CodingKeys: String, CodingKey { case implements = "Implements" }
    }

    struct Path: Decodable {
        let mountpoint: String?
        enum CodingKeys: String, CodingKey { case mountpoint = "Mountpoint" }
    }

    struct Get: Decodable {
        let volume: DriverVolume?
        enum CodingKeys: String, CodingKey { case volume = "Volume" }
    }

    struct List: Decodable {
        let volumes: [DriverVolume]?
        enum CodingKeys: String, CodingKey { case volumes = "Volumes" }
    }

    struct Capabilities: Decodable {
        struct Scope: Decodable {
            let scope: String?
            enum CodingKeys: String, CodingKey { case scope = "Scope" }
        }
        let capabilities: Scope?
        enum CodingKeys: String, CodingKey { case capabilities = "Capabilities" }
    }
}

/// A volume as its driver tells of it.
package struct DriverVolume: Sendable, Decodable {
    package let name: String
    /// Where it is mounted on this host; empty while it is not.
    package let mountpoint: String
    /// When it was made, in the driver's words.
    package let created: String
    /// What the driver says beside that; nil for nothing.
    package let status: [String: JSONValue]?

    enum CodingKeys: String, CodingKey {
        case name = "Name"
        case mountpoint = "Mountpoint"
        case created = "CreatedAt"
        case status = "Status"
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        name = try values.decodeIfPresent(String.self, forKey: .name) ?? ""
        mountpoint = try values.decodeIfPresent(String.self, forKey: .mountpoint) ?? ""
        created = try values.decodeIfPresent(String.self, forKey: .created) ?? ""
        status = try values.decodeIfPresent([String: JSONValue].self, forKey: .status)
    }
}

/// A file `NAME.json` about a driver.
enum DriverManifest {
    private struct Content: Decodable {
        struct TLS: Decodable {}
        let address: String?
        let tls: TLS?
        enum CodingKeys: String, CodingKey {
            case address = "Addr"
            case tls = "TLSConfig"
        }
    }

    static func address(in text: String, driver: String) throws(DriverError) -> DriverAddress {
        let content: Content
        do { content = try JSONDecoder().decode(Content.self, from: Data(text.utf8)) } catch {
            throw DriverError(
                .invalid, "plugin \(driver): its file is not the JSON of a plugin: want {\"Addr\": \"…\"}")
        }
        guard content.tls == nil else {
            throw DriverError(
                .invalid, "plugin \(driver): TLS to plugins is not supported: let it listen on unix:///path")
        }
        return try DriverAddress(content.address ?? "", driver: driver)
    }
}
