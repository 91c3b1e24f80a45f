import Actors
import HTTP
import OCI

/// What a creation means from clients of older API versions: what they did not know yet is as it was before.
enum OlderClients {
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words for what must not be left out silently.
    static func adjust(_ request: inout CreateRequest, _ version: APIVersion) throws {
        if version < APIVersion(1, 25) { request.hostConfig.autoRemove = false }
        if version < APIVersion(1, 40) {
            request.hostConfig.kernelMemoryTCP = nil
            if (request.hostConfig.ipcMode ?? "").isEmpty { request.hostConfig.ipcMode = "shareable" }
        }
        if version < APIVersion(1, 42) { request.hostConfig.consoleSize = nil }
        if version < APIVersion(1, 43) { request.hostConfig.annotations = nil }
        if version < APIVersion(1, 44) { try beforeSeveralNetworks(&request) }
        request.hostConfig.mounts = try request.hostConfig.mounts.map { mounts in
            try mounts.map { try adjusted($0, version) }
        }
    }

    private static func beforeSeveralNetworks(_ request: inout CreateRequest) throws {
        request.config.healthcheck?.startInterval = nil
        request.hasShallowReadOnly = true
        guard request.endpoints.count <= 1 else {
            let names = request.endpoints.keys.sorted().joined(separator: ", ")
            throw EngineError(
                .invalidParameter, "Container cannot be created with multiple network endpoints: \(names)")
        }
        for name in request.endpoints.keys { request.endpoints[name]?.macAddress = nil }
    }

    private static func adjusted(_ mount: Mount, _ version: APIVersion) throws -> Mount {
        var mount = mount
        if version < APIVersion(1, 40) { mount.bindOptions?.nonRecursive = nil }
        if version < APIVersion(1, 42) {
            mount.bindOptions?.createMountpoint = nil
            if mount.type != "volume" { mount.volumeOptions = nil }
            if mount.type != "tmpfs" { mount.tmpfsOptions = nil }
        }
        // Whoever asks for it relies on it.
        if version < APIVersion(1, 44), mount.bindOptions?.readOnlyForceRecursive == true {
            throw EngineError(.invalidParameter, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
        }
        if version < APIVersion(1, 45), !(mount.volumeOptions?.subpath ?? "").isEmpty {
            throw EngineError(.invalidParameter, "VolumeOptions.Subpath needs API v1.45 or newer")
        }
        return mount
    }
}
