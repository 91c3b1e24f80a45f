/// An image configuration (OCI config.md and Docker's additions). Unknown members are kept only in the raw blob.
package struct ImageConfig: Sendable, Hashable, Codable {
    package var created: String?
    package var author: String?
    package var architecture: String
    package var os: String
    package var variant: String?
    package var config: ContainerConfig?
    package var rootfs: RootFS
    package var history: [History]?

    package init(
        created: String?, architecture: String, os: String, config: ContainerConfig?, rootfs: RootFS,
        history: [History]?
    ) {
        self.created = created
        self.architecture = architecture
        self.os = os
        self.config = config
        self.rootfs = rootfs
        self.history = history
    }

    package struct RootFS: Sendable, Hashable, Codable {
        package var type: String
        package var diffIDs: [Digest]
        enum CodingKeys: String, CodingKey {
            case type
            case diffIDs = "diff_ids"
        }
        package init(diffIDs: [Digest]) {
            type = "layers"
            self.diffIDs = diffIDs
        }
    }

    package struct History: Sendable, Hashable, Codable {
        package var created: String?
        package var createdBy: String?
        package var author: String?
        package var comment: String?
        package var emptyLayer: Bool?
        enum CodingKeys: String, CodingKey {
            case created, author, comment
            case createdBy = "created_by"
            case emptyLayer = "empty_layer"
        }
        package init(created: String?, createdBy: String?, comment: String? = nil, emptyLayer: Bool? = nil) {
            self.created = created
            self.createdBy = createdBy
            self.comment = comment
            self.emptyLayer = emptyLayer
        }
    }
}

/// The `config` member of an image, which is also the body of Docker's container configuration.
package struct ContainerConfig: Sendable, Hashable, Codable {
    package var user: String?
    package var exposedPorts: [String: Empty]?
    package var env: [String]?
    package var entrypoint: [String]?
    package var cmd: [String]?
    package var volumes: [String: Empty]?
    package var workingDir: String?
    package var labels: [String: String]?
    package var stopSignal: String?
    package var shell: [String]?
    package var onBuild: [String]?
    package var healthcheck: Healthcheck?

    enum CodingKeys: String, CodingKey {
        case user = "User"
        case exposedPorts = "ExposedPorts"
        case env = "Env"
        case entrypoint = "Entrypoint"
        case cmd = "Cmd"
        case volumes = "Volumes"
        case workingDir = "WorkingDir"
        case labels = "Labels"
        case stopSignal = "StopSignal"
        case shell = "Shell"
        case onBuild = "OnBuild"
        case healthcheck = "Healthcheck"
    }

    package init() {}

    /// `{}`: the value of Docker's and OCI's sets.
    package struct Empty: Sendable, Hashable, Codable {
        package init() {}
    }

    package struct Healthcheck: Sendable, Hashable, Codable {
        package var test: [String]?
        /// Nanoseconds.
        package var interval: Int64?
        package var timeout: Int64?
        package var startPeriod: Int64?
        package var startInterval: Int64?
        package var retries: Int?

        package init() {}

        enum CodingKeys: String, CodingKey, CaseIterable {
            case test = "Test"
            case interval = "Interval"
            case timeout = "Timeout"
            case startPeriod = "StartPeriod"
            case startInterval = "StartInterval"
            case retries = "Retries"
        }
    }
}
