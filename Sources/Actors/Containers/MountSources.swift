import Glibc
import Kernel

/// What a container mounts from the host, looked at before a start.
enum MountSources {
    /// Makes a missing source that may be made, and refuses what cannot be mounted as asked.
    ///
    /// - Parameter root: the engine's own directory; binds that show it fall back to what is possible, as Docker's do.
    /// - Throws: ``EngineError`` in Docker's words.
    static func check(_ point: ContainerRecord.MountPoint, root: String) throws {
        switch point.type {
        case "bind":
            try makeSource(point)
            try checkPropagation(point, root: root)
        case "volume":
            var status = stat()
            guard lstat(point.source, &status) == 0 else {
                let reason = SystemError("lstat", point.source)
                throw EngineError(
                    .system, "error evaluating symlinks from mount source \"\(point.source)\": \(reason)")
            }
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw EngineError(
                    .system,
                    "error while mounting volume '\(point.name ?? "")': \(point.source) is not a directory: "
                        + "remove the file, or the volume")
            }
        default: break
        }
    }

    private static func makeSource(_ point: ContainerRecord.MountPoint) throws {
        guard !Files.exists(point.source) else { return }
        guard point.createsSource == true else { throw MountRequests.noSource(point.source) }
        do throws(SystemError) { try Files.makeDirectories(point.source, mode: 0o755) } catch {
            throw EngineError(.system, "error while creating mount source path '\(point.source)': \(error)")
        }
    }

    /// Mounts go from the host into a container, or back, only through a source whose own mount is shared.
    private static func checkPropagation(_ point: ContainerRecord.MountPoint, root: String) throws {
        let needsShared = ["shared", "rshared"].contains(point.propagation)
        guard needsShared || ["slave", "rslave"].contains(point.propagation) else { return }
        if !needsShared, point.source == root || (root + "/").hasPrefix(point.source + "/") || point.source == "/" {
            return
        }
        let mount: Mounts.Holder
        do throws(SystemError) { mount = try Mounts.holder(of: point.source) } catch {
            throw EngineError(.system, "error while mounting \(point.source): \(error)")
        }
        guard mount.isShared || (mount.isSlave && !needsShared) else {
            throw EngineError(
                .invalidParameter,
                "path \(point.source) is mounted on \(mount.path) but it is not a shared"
                    + (needsShared ? " mount" : " or slave mount"))
        }
    }
}
