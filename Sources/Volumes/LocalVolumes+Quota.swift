import Glibc
import Kernel

/// Volumes whose size the file system itself holds: plain directories in a project of their own. The project's number is in
/// the directory, its limit in the file system, so that nothing else has to be stored, or can be lost.
extension LocalVolumes {
    /// What holds a volume to its size.
    package enum SizeLimit: Sendable, Hashable {
        case projectQuota(project: UInt32)
        /// A file system of its own, in a file.
        case fileSystem
    }

    /// Above what people choose by hand; below what tools would print as negative.
    static let projects: ClosedRange<UInt32> = 1 << 24...UInt32(Int32.max)
    /// One is nearly always enough; never endless.
    private static let attemptsMax = 64

    /// Where names and directories of projects are kept, for people (projid(5), projects(5)).
    private static let registers = ["/etc/projid", "/etc/projects"]

    /// The projects that a register names: `name:number` or `number:directory`.
    static func registered(_ text: String) -> Set<UInt32> {
        var numbers: Set<UInt32> = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            for field in line.split(separator: ":") { if let number = UInt32(field) { numbers.insert(number) } }
        }
        return numbers
    }

    /// Has the file system hold the empty directory `data` to `bytes`, in a project that nobody else has.
    ///
    /// - Returns: false, and nothing is changed, where it cannot.
    static func limitByProject(_ data: borrowing OwnedFD, to bytes: Int64) -> Bool {
        guard ProjectQuota.isEnforced(data) else { return false }
        // A register that is not there names nothing.
        let taken = registers.reduce(into: Set<UInt32>()) { numbers, path in
            numbers.formUnion(registered(String(decoding: (try? Files.read(path)) ?? [], as: UTF8.self)))
        }
        for _ in 0..<attemptsMax {
            let project = UInt32.random(in: projects)
            if taken.contains(project) { continue }
            do throws(SystemError) {
                guard try ProjectQuota.account(of: project, at: data).isUnknown else { continue }
                // The limit first: whoever makes the directory durable then makes it durable too.
                try ProjectQuota.limit(project, to: UInt64(bytes), at: data)
                try ProjectQuota.set(project, of: data)
                let account = try ProjectQuota.account(of: project, at: data)
                // Somebody may have chosen the same number at the same moment.
                if account.nodes == 1, account.bytesMax >= UInt64(bytes) { return true }
                try ProjectQuota.set(0, of: data)
            } catch {
                // What was done of it; a file system of the volume's own does it then.
                try? ProjectQuota.set(0, of: data)
                try? ProjectQuota.limit(project, to: 0, at: data)
                return false
            }
        }
        return false
    }

    /// Sees to it that a volume in a project has its limit.
    ///
    /// - Throws: `SystemError` where the file system does not hold it any more.
    func checkLimit(of name: VolumeName, _ bytes: Int64) throws(SystemError) {
        let data = try OwnedFD.open(dataPath(of: name), O_RDONLY | O_DIRECTORY)
        let project = ProjectQuota.project(of: data)
        guard project != 0, ProjectQuota.isEnforced(data) else {
            throw SystemError(
                "project quota", ENOTSUP, "the file system no longer holds the size: mount it with prjquota")
        }
        guard try ProjectQuota.account(of: project, at: data).bytesMax < UInt64(bytes) else { return }
        try ProjectQuota.limit(project, to: UInt64(bytes), at: data)
    }

    /// A copy by somebody whom the file system does not hold to the limit: ext4 lets whoever has CAP_SYS_RESOURCE exceed it.
    ///
    /// - Throws: `SystemError` EDQUOT when more is in the directory's project than it may have.
    static func checkRoom(in directory: borrowing OwnedFD) throws(SystemError) {
        let project = ProjectQuota.project(of: directory)
        guard project != 0 else { return }
        let account = try ProjectQuota.account(of: project, at: directory)
        if account.bytesMax > 0, account.bytes > account.bytesMax {
            throw SystemError("project quota", EDQUOT, "\(account.bytes) of \(account.bytesMax) bytes")
        }
    }

    /// What holds a volume to its size; nil for a volume without one.
    package func sizeLimit(of name: VolumeName) -> SizeLimit? {
        if Files.exists(imagePath(of: name)) { return .fileSystem }
        // What cannot be opened has no project that could be told.
        guard let data = try? OwnedFD.open(dataPath(of: name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW) else { return nil }
        let project = ProjectQuota.project(of: data)
        return project == 0 ? nil : .projectQuota(project: project)
    }

    /// Bytes on disk of a volume in a project, which the file system has counted; nil for any other.
    func projectUsage(of data: borrowing OwnedFD) -> Int64? {
        let project = ProjectQuota.project(of: data)
        // A file system that counts nothing is walked, as any other.
        guard project != 0, let account = try? ProjectQuota.account(of: project, at: data) else { return nil }
        return Int64(clamping: account.bytes)
    }

    /// Removes a volume's directory below `parent`, and ends its project.
    static func removeVolume(_ name: [UInt8], in parent: borrowing OwnedFD) throws(SystemError) {
        var project: UInt32 = 0
        do throws(SystemError) {
            let volume = try parent.open(node: name, NodeAccess.directory)
            project = ProjectQuota.project(of: try volume.open(node: dataName, NodeAccess.directory))
        } catch { if error.code != ENOENT && error.code != ENOTDIR { throw error } }
        try parent.removeTree(name)
        // A limit that stays is of a number that nobody will choose; what matters is gone.
        if projects.contains(project) { try? ProjectQuota.limit(project, to: 0, at: parent) }
    }
}
