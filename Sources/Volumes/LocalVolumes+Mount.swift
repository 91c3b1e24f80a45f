import Glibc
import Kernel

/// Volumes whose directory is mounted over while they are used: file systems of others, and those with a size.
extension LocalVolumes {
    private static let mkfs = ["/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4"]
    private static let blockBytes: UInt32 = 512
    /// What the least file system takes on disk.
    private static let imageBytesMin: UInt64 = 1 << 20
    /// How long a server of files may take to answer. TCP alone repeats for two minutes, NFS for ever: longer than who waits
    /// for a container; and whatever else is to be done with the volume waits too.
    private static let serverMilliseconds: Int32 = 60_000

    /// The file that holds the file system of a volume with a size.
    func imagePath(of name: VolumeName) -> String { "\(directory)/\(name)/size.img" }

    /// Whether something is mounted at the volume's directory.
    package func isMounted(_ name: VolumeName) throws(VolumeError) -> Bool {
        do throws(SystemError) {
            let volume = try OwnedFD.open("\(directory)/\(name)", O_RDONLY | O_DIRECTORY)
            _ = try volume.resolve("_data", NodeAccess.path, OwnedFD.Resolve(rawValue: Self.noOtherMount))
            return false
        } catch {
            switch error.code {
            case EXDEV: return true
            case ENOENT: return false
            default: throw VolumeError(error, "looking at volume \(name)")
            }
        }
    }

    private static let noOtherMount: UInt64 = 1  // RESOLVE_NO_XDEV

    /// Mounts what the options say at the volume's directory; one that is mounted is left as it is.
    ///
    /// - Throws: `VolumeError` in Docker's words. Blocks, a minute at most, while the file system's server does not answer.
    package func mount(_ name: VolumeName, _ options: LocalOptions) throws(VolumeError) {
        guard options.isMounted, !(try isMounted(name)) else { return }
        let target = dataPath(of: name)
        do throws(VolumeError) {
            if let mount = options.mount {
                try Self.mount(mount, at: target)
            } else if let size = options.size, !Files.exists(imagePath(of: name)) {
                try VolumeError.wrapping("holding it to \(size) bytes") { () throws(SystemError) in
                    try checkLimit(of: name, size)
                }
            } else {
                let image = imagePath(of: name)
                try VolumeError.wrapping("mount \(image):\(target)") { () throws(SystemError) in
                    try Self.mountImage(image, at: target)
                    _ = Glibc.mount(nil, target, nil, UInt(MS_PRIVATE), nil)
                }
            }
        } catch {
            throw VolumeError(
                error.code, "error while mounting volume '\(target)': failed to mount local volume: \(error.message)",
                cause: error.cause)
        }
    }

    private static func mount(_ mount: LocalOptions.Mount, at target: String) throws(VolumeError) {
        let data = try mount.resolvedData()
        let text =
            "mount \(mount.device):\(target), flags: 0x\(String(mount.flags, radix: 16))"
            + (data.isEmpty ? "" : ", data: \(data)")
        func call(_ flags: UInt) throws(VolumeError) {
            do throws(SystemError) {
                if mount.isRemote {
                    try Mounts.mount(
                        mount.device, at: target, type: mount.type, flags: flags, data: data, within: serverMilliseconds
                    )
                } else {
                    try checked("mount") { Glibc.mount(mount.device, target, mount.type, flags, data) }
                }
            } catch { throw VolumeError(.system, "\(text): \(error.reason)", cause: error) }
        }
        try call(mount.flags)
        let rest = mount.flags & ~(UInt(MS_BIND) | UInt(MS_REC))
        // A bind takes its flags in a second call.
        if mount.flags & UInt(MS_BIND) != 0, rest != 0 { try call(rest | UInt(MS_BIND) | UInt(MS_REMOUNT)) }
        // What is mounted below it later is this machine's alone.
        _ = Glibc.mount(nil, target, nil, UInt(MS_PRIVATE), nil)
    }

    private static func mountImage(_ image: String, at target: String) throws(SystemError) {
        func call(_ device: borrowing LoopDevice) throws(SystemError) {
            let path = device.path
            try checked("mount", path) { Glibc.mount(path, target, "ext4", UInt(MS_NOATIME), nil) }
        }
        // Still mounted for a container that ends: the same device gives the same file system once more.
        if let device = try LoopDevice.existing(over: image) {
            try call(device)
        } else {
            try call(try LoopDevice(image, blockBytes: blockBytes, isReadOnly: false))
        }
    }

    /// Takes off what ``mount(_:_:)`` mounted; who still uses it keeps it until they end.
    package func unmount(_ name: VolumeName) throws(VolumeError) {
        guard try isMounted(name) else { return }
        try VolumeError.wrapping("unmounting volume \(name)") { () throws(SystemError) in
            try Mounts.detach(dataPath(of: name))
        }
    }

    /// Holds a volume with a size to it: by the file system it is in or, where that cannot, by one of its own.
    func limitSize(in staging: String, _ options: LocalOptions) throws(VolumeError) {
        guard let size = options.size else { return }
        let isLimited = try VolumeError.wrapping("creating a volume in \(directory)") { () throws(SystemError) in
            let data = try OwnedFD.open(staging + "/_data", O_RDONLY | O_DIRECTORY)
            guard Self.limitByProject(data, to: size) else { return false }
            try data.sync()
            return true
        }
        if !isLimited { try makeImage(in: staging, options, size) }
    }

    /// Makes the file system of a volume with a size in the volume's directory, and its root as the options say.
    private func makeImage(in staging: String, _ options: LocalOptions, _ size: Int64) throws(VolumeError) {
        let image = staging + "/size.img"
        guard let program = Self.mkfs.first(where: Files.exists) else {
            throw VolumeError(.system, "option size needs mkfs.ext4: install e2fsprogs")
        }
        try VolumeError.wrapping("making a file system of \(size) bytes") { () throws(SystemError) in
            let file = try OwnedFD.open(image, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            try checked("ftruncate") { ftruncate(file.raw, off_t(size)) }
            let null = try OwnedFD.open("/dev/null", O_RDWR)
            let arguments = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard", image]
            let pid = try Spawn.run(program, arguments, descriptors: [null.raw, null.raw, null.raw])
            var status: CInt = 0
            try checked("waitpid") { waitpid(pid, &status, 0) }
            guard status == 0 else {
                // It tells why in words only; hardly ever is it anything but room.
                var room = statvfs()
                let isFull =
                    fstatvfs(file.raw, &room) == 0 && UInt64(room.f_bavail) * UInt64(room.f_frsize) < Self.imageBytesMin
                throw SystemError("mkfs.ext4", isFull ? ENOSPC : EINVAL, image)
            }
            try file.sync()
            try Self.mountImage(image, at: staging + "/_data")
            defer { try? Mounts.detach(staging + "/_data") }
            let root = try OwnedFD.open(staging + "/_data", O_RDONLY | O_DIRECTORY)
            // A volume begins empty.
            try root.removeTree(Array("lost+found".utf8))
            try Self.setOwner(root, options)
            try root.sync()
        }
    }

    static func setOwner(_ root: borrowing OwnedFD, _ options: LocalOptions) throws(SystemError) {
        if options.uid != nil || options.gid != nil {
            try root.setOwner(uid: options.uid ?? 0, gid: options.gid ?? 0)
        }
        // Whatever the umask is.
        try root.setMode(options.mode ?? 0o755)
    }

    /// Bytes on disk of a volume with a size: blocks of its file; nil for any other volume.
    func imageUsage(of name: VolumeName) -> Int64? {
        var status = stat()
        guard lstat(imagePath(of: name), &status) == 0 else { return nil }
        return Int64(status.st_blocks) * 512
    }
}
