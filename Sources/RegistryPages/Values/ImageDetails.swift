import FoundationEssentials
import OCI

/// What a page shows of an image's configuration. Whatever of it cannot be read is left out; the rest is shown.
package struct ImageDetails: Sendable, Hashable {
    /// A step of the build.
    package struct Step: Sendable, Hashable {
        package var created: String?
        package var createdBy: String?
        package var comment: String?
        package var isEmpty = false
    }

    package var created: String?
    package var author: String?
    package var os: String?
    package var architecture: String?
    package var variant: String?
    package var osVersion: String?
    package var config = Config()
    package var history: [Step] = []

    package struct Config: Sendable, Hashable {
        package var user: String?
        package var workingDirectory: String?
        package var entrypoint: [String] = []
        package var command: [String] = []
        package var environment: [String] = []
        package var ports: [String] = []
        package var volumes: [String] = []
        package var labels: [String: String] = [:]
        package var stopSignal: String?
        package var shell: [String] = []
        package var healthcheck: [String] = []
    }

    package init() {}

    /// - Returns: nil for bytes that are no JSON object, or one that can be read in two ways.
    package init?(parsing bytes: [UInt8]) {
        // An image that engines would refuse is not described here as if it were none of it.
        guard (try? StrictJSON.check(bytes)) != nil,
            let wire = try? JSONDecoder().decode(Wire.self, from: Data(bytes))
        else { return nil }
        self = wire.details
    }

    /// `linux/arm64/v8`; nil for what is no image of a platform.
    package var platform: String? {
        guard let os, let architecture, !os.isEmpty, !architecture.isEmpty else { return nil }
        return ([os, architecture] + [variant].compactMap { $0 }.filter { !$0.isEmpty }).joined(separator: "/")
    }

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// One object of the document; a member of another type than is wanted is as one that is not there.
    private struct Object {
        let container: KeyedDecodingContainer<Key>

        func value<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) -> Value? {
            try? container.decode(type, forKey: Key(stringValue: name))
        }

        func text(_ name: String) -> String? { value(name, as: String.self).flatMap { $0.isEmpty ? nil : $0 } }
        func list(_ name: String) -> [String] { value(name, as: [String].self) ?? [] }
        func names(_ name: String) -> [String] { value(name, as: [String: Anything].self)?.keys.sorted() ?? [] }
    }

    /// A value that is not looked at.
    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    private struct Wire: Decodable {
        var details = ImageDetails()

        init(from decoder: any Decoder) throws {
            let object = Object(container: try decoder.container(keyedBy: Key.self))
            details.created = object.text("created")
            details.author = object.text("author")
            details.os = object.text("os")
            details.architecture = object.text("architecture")
            details.variant = object.text("variant")
            details.osVersion = object.text("os.version")
            details.config = object.value("config", as: WireConfig.self)?.config ?? Config()
            details.history = object.value("history", as: [WireStep].self)?.map(\.step) ?? []
        }
    }

    private struct WireConfig: Decodable {
        var config = Config()

        init(from decoder: any Decoder) throws {
            let object = Object(container: try decoder.container(keyedBy: Key.self))
            config.user = object.text("User")
            config.workingDirectory = object.text("WorkingDir")
            config.entrypoint = object.list("Entrypoint")
            config.command = object.list("Cmd")
            config.environment = object.list("Env")
            config.ports = object.names("ExposedPorts")
            config.volumes = object.names("Volumes")
            config.labels = object.value("Labels") ?? [:]
            config.stopSignal = object.text("StopSignal")
            config.shell = object.list("Shell")
            config.healthcheck = object.value("Healthcheck", as: WireCheck.self)?.test ?? []
        }
    }

    private struct WireCheck: Decodable {
        var test: [String] = []
        init(from decoder: any Decoder) throws {
            test = Object(container: try decoder.container(keyedBy: Key.self)).list("Test")
        }
    }

    private struct WireStep: Decodable {
        var step = Step()

        init(from decoder: any Decoder) throws {
            guard let container = try? decoder.container(keyedBy: Key.self) else { return }
            let object = Object(container: container)
            step.created = object.text("created")
            step.createdBy = object.text("created_by")
            step.comment = object.text("comment")
            step.isEmpty = object.value("empty_layer") ?? false
        }
    }
}
