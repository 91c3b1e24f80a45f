import Actors
import Foundation
import HTTP
import OCI

/// Images as the API shows them.
enum ImageWire {
    /// - Parameter shared: bytes of layers that other images have, too; -1 where it was not asked for.
    static func summary(_ image: ImageSnapshot, shared: Int64 = -1) -> JSON {
        let record = image.record
        return [
            "Containers": JSON(image.containers), "Created": .int(created(record)), "Id": .string("\(record.id)"),
            "Labels": record.config.config?.labels.map { JSON($0) } ?? nil, "ParentId": "",
            "RepoDigests": JSON(image.repoDigests), "RepoTags": JSON(image.repoTags), "SharedSize": .int(shared),
            "Size": .int(record.size),
        ]
    }

    /// Seconds since 1970 at which the image was made, by its own account.
    private static func created(_ record: ImageRecord) -> Int64 {
        record.config.created.flatMap { Timestamp($0) }?.seconds ?? 0
    }

    /// - Parameters:
    ///   - version: that the client speaks.
    ///   - hasContainerConfig: with members that Docker has sent to versions before 1.45.
    static func details(
        _ image: ImageSnapshot, driver: String, version: APIVersion, hasContainerConfig: Bool
    ) -> JSON {
        let record = image.record
        let config = record.config
        var value: JSON = [
            "Id": .string("\(record.id)"), "RepoTags": JSON(image.repoTags), "RepoDigests": JSON(image.repoDigests),
            "Parent": "", "Comment": .string(config.history?.last?.comment ?? ""),
            "Created": .string(config.created ?? ContainerRecord.State.never),
        ]
        if hasContainerConfig {
            value.append("Container", "")
            value.append("ContainerConfig", self.config(ContainerConfig()))
        }
        value.append("DockerVersion", "")
        value.append("Author", .string(config.author ?? ""))
        value.append("Config", config.config.map(self.config) ?? nil)
        value.append("Architecture", .string(config.architecture))
        if let variant = config.variant { value.append("Variant", .string(variant)) }
        value.append("Os", .string(config.os))
        value.append("Size", .int(record.size))
        if version < APIVersion(1, 44) { value.append("VirtualSize", .int(record.size)) }
        value.append("GraphDriver", ["Data": nil, "Name": .string(driver)])
        value.append(
            "RootFS", ["Type": "layers", "Layers": .array(config.rootfs.diffIDs.map { .string("\($0)") })])
        let tagged = Timestamp(nanosecondsSince1970: record.storedAt &* 1_000_000_000).text
        value.append("Metadata", ["LastTagTime": .string(tagged)])
        if let digest = record.manifestDigest {
            value.append(
                "Descriptor",
                [
                    "mediaType": .string(record.manifestMediaType ?? MediaType.ociManifest),
                    "digest": .string("\(digest)"),
                    "size": JSON(record.manifestBytes?.count ?? 0),
                ])
        }
        return value
    }

    private static func config(_ config: ContainerConfig) -> JSON {
        var value: JSON = [
            "Hostname": "", "Domainname": "", "User": .string(config.user ?? ""), "AttachStdin": false,
            "AttachStdout": false, "AttachStderr": false,
        ]
        value.appendUnlessNull("ExposedPorts", ConfigWire.set(config.exposedPorts))
        value.append("Tty", false)
        value.append("OpenStdin", false)
        value.append("StdinOnce", false)
        value.append("Env", JSON(config.env))
        value.append("Cmd", JSON(config.cmd))
        value.appendUnlessNull("Healthcheck", ConfigWire.healthcheck(config.healthcheck))
        value.append("Image", "")
        value.append("Volumes", ConfigWire.set(config.volumes))
        value.append("WorkingDir", .string(config.workingDir ?? ""))
        value.append("Entrypoint", JSON(config.entrypoint))
        value.append("OnBuild", JSON(config.onBuild))
        value.append("Labels", JSON(config.labels))
        value.appendUnlessNull("StopSignal", JSON(config.stopSignal))
        value.appendUnlessNull("Shell", JSON(config.shell))
        return value
    }

    static func removed(_ removed: RemovedImage) -> JSON {
        switch removed {
        case .untagged(let name): ["Untagged": .string(name)]
        case .deleted(let digest): ["Deleted": .string("\(digest)")]
        }
    }

    static func platform(_ platform: Platform) -> JSON {
        var value: JSON = ["architecture": .string(platform.architecture), "os": .string(platform.os)]
        if let variant = platform.variant { value.append("variant", .string(variant)) }
        return value
    }
}
