package import FoundationEssentials
import Netlink
package import OCI

/// Everything durable about one container. Stored as one row; the actor of the container is its only writer.
package struct ContainerRecord: Sendable, Codable {
    /// 64 lower-case hex digits.
    package var id: String
    /// Without the leading slash of the API.
    package var name: String
    /// RFC 3339 with nanoseconds, UTC.
    package var created: String
    /// The image's id, and the reference it was asked for by.
    package var imageID: Digest
    package var imageName: String
    /// The image's layers, lowest first.
    package var diffIDs: [Digest]
    package var config: Config
    package var hostConfig: HostConfig
    package var path: String
    package var args: [String]
    package var mounts: [MountPoint]
    package var networks: [String: EndpointSettings]
    /// Addresses of the last run by network name: the next one gets them again when they are free.
    var leases: [String: [IPAddress]]?
    /// Ports as they are published now: `80/tcp` → host side.
    package var ports: [String: [PortBindingRequest]]
    package var restartCount: Int
    package var state: State
    /// True once a user stopped it: `unless-stopped` and `always` then leave it alone until the daemon starts again.
    package var stoppedByUser: Bool

    /// The last known state; what runs is found again from the monitors, never from here.
    package struct State: Sendable, Codable, Hashable {
        package enum Status: String, Sendable, Codable {
            case created, running, paused, restarting, removing, exited, dead

            /// It has a process.
            package var hasProcess: Bool { self == .running || self == .paused }
            /// What Docker calls running, and lists without being asked for all: it has a process, or gets one again.
            package var isActive: Bool { hasProcess || self == .restarting }
        }
        package var status: Status
        package var exitCode: Int
        package var oomKilled: Bool
        package var error: String
        package var startedAt: String
        package var finishedAt: String
        /// The host's process id, 0 when not running.
        package var pid: Int32
        /// Nil for a container that was never probed.
        package var health: Health?

        /// Docker's zero time.
        package static let never = "0001-01-01T00:00:00Z"

        package init(status: Status) {
            self.status = status
            exitCode = 0
            oomKilled = false
            error = ""
            startedAt = Self.never
            finishedAt = Self.never
            pid = 0
        }
    }

    /// The images the container needs: its own, then those it mounts.
    var images: [MountPoint.Image] {
        [MountPoint.Image(id: imageID, diffIDs: diffIDs)] + mounts.compactMap(\.image)
    }

    /// A mount of the container, resolved: what `Mounts` of an inspection shows.
    package struct MountPoint: Sendable, Codable, Hashable {
        package var type: String
        /// The volume's name, for volumes.
        package var name: String?
        package var source: String
        package var destination: String
        package var driver: String?
        package var mode: String
        package var rw: Bool
        package var propagation: String
        /// True when the volume was made for this container by path only: `rm -v` removes it.
        package var anonymous: Bool
        /// Content of the image is copied into the volume when it is empty.
        package var copyUp: Bool
        package var subpath: String?
        /// A missing bind source is made, at each start.
        var createsSource: Bool?
        /// Only the source itself is mounted, not what is mounted below it.
        var nonRecursive: Bool?
        /// What is mounted below a read-only bind can be written.
        var readOnlyNonRecursive: Bool?
        /// The image whose files are mounted.
        var image: Image?

        /// Whether a driver beside the daemon mounts it.
        var isByDriver: Bool { type == "volume" && !["", "local"].contains(driver ?? "") }

        package struct Image: Sendable, Codable, Hashable {
            var id: Digest
            var diffIDs: [Digest]
        }

        package init(
            type: String, name: String? = nil, source: String, destination: String, driver: String? = nil,
            mode: String = "", rw: Bool = true, propagation: String = "", anonymous: Bool = false, copyUp: Bool = false,
            subpath: String? = nil
        ) {
            self.type = type
            self.name = name
            self.source = source
            self.destination = destination
            self.driver = driver
            self.mode = mode
            self.rw = rw
            self.propagation = propagation
            self.anonymous = anonymous
            self.copyUp = copyUp
            self.subpath = subpath
        }
    }
}

/// One image as the store knows it.
package struct ImageRecord: Sendable, Codable, Hashable {
    /// Digest of the configuration: Docker's image id.
    package var id: Digest
    /// Digest of the manifest that was pulled or made, where there is one.
    package var manifestDigest: Digest?
    package var manifestMediaType: String?
    /// The manifest's own bytes: pushed again as they are while the layers' compressed blobs are kept.
    package var manifestBytes: Data?
    package var config: ImageConfig
    /// The configuration's own bytes.
    package var configBytes: Data
    /// Layer descriptors as pushed or pulled, lowest first; empty for images made here that were never pushed.
    package var layers: [Descriptor]
    /// Sum of the layers' uncompressed sizes, in bytes.
    package var size: Int64
    /// Seconds since 1970 at which the store got it.
    package var storedAt: Int64
    /// The indexes that the image was chosen from, as they were served, newest first: what its names at registries mean.
    package var indexes: [StoredDocument]?

    /// Indexes of one image that are kept.
    private static let indexesMax = 8

    /// Keeps what an earlier record of this image has beside its own.
    mutating func adopt(_ earlier: ImageRecord) {
        let own = indexes ?? []
        let others = (earlier.indexes ?? []).filter { other in !own.contains { $0.digest == other.digest } }
        let all = (own + others).prefix(Self.indexesMax)
        indexes = all.isEmpty ? nil : Array(all)
    }
}

/// A document of a registry's, byte by byte.
package struct StoredDocument: Sendable, Codable, Hashable {
    package var digest: Digest
    package var mediaType: String
    package var bytes: Data
}

/// One volume.
package struct VolumeRecord: Sendable, Codable, Hashable {
    package var name: String
    package var driver: String
    package var mountpoint: String
    package var created: String
    package var labels: [String: String]
    package var options: [String: String]
    package var anonymous: Bool
    /// The name whose directory becomes this volume's: a rename that has begun.
    var renamedFrom: String?
    /// Who may have it mounted by its driver; nil for nobody.
    var mountedBy: [String]?
}
