import Foundation
import Glibc
import Kernel
import Testing

@testable import Volumes

/// Volumes whose size the file system holds: on the disks with project quotas that scripts/vm/run has.
@Suite(.serialized) struct ProjectQuotaTests {
    static let disks = ["VM_EXT4", "VM_XFS"].compactMap { ProcessInfo.processInfo.environment[$0] }

    @Test func `numbers that a register of projects names are not taken`() {
        let text = "# comment:7\nlogs:16777216\n16777217:/srv/logs\n\nbad\nname:x\nlast:2147483647"
        #expect(LocalVolumes.registered(text) == [16_777_216, 16_777_217, 2_147_483_647])
        #expect(LocalVolumes.registered("").isEmpty)
    }

    private func bytesOfFileSystem(at path: String) -> UInt64 {
        var status = statvfs()
        return statvfs(path, &status) == 0 ? UInt64(status.f_blocks) * UInt64(status.f_frsize) : 0
    }

    /// Writes zeros until the volume is full, as a container does: whoever has CAP_SYS_RESOURCE is not held by ext4.
    private func fill(_ path: String) throws -> Int {
        try shell(
            """
            /usr/bin/setpriv --bounding-set -sys_resource --inh-caps -all \
                dd if=/dev/zero of=\(path) bs=64k count=1024 conv=fsync 2> /dev/null || true
            """)
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    private func shell(_ script: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-euc", script]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(script)")
    }

    @Test(.enabled(if: !disks.isEmpty, "needs disks with project quotas: scripts/vm/run"), arguments: disks)
    func `a size is held by the file system, shown by it, counted by it, and ends with the volume`(disk: String) throws
    {
        let directory = disk + "/quota-" + UUID().uuidString
        defer { try? Files.removeTree(directory) }
        let volumes = LocalVolumes(directory: directory + "/volumes")
        let name = try VolumeName("limited")
        let options = try LocalOptions(["size": "16m", "uid": "5", "mode": "0700"])
        try volumes.create(name, options)
        guard case .projectQuota(let project) = volumes.sizeLimit(of: name) else {
            Issue.record("not by a quota: \(String(describing: volumes.sizeLimit(of: name)))")
            return
        }
        #expect(LocalVolumes.projects.contains(project) && !Files.exists(directory + "/volumes/limited/size.img"))
        try volumes.mount(name, options)
        #expect(try !volumes.isMounted(name))
        #expect(bytesOfFileSystem(at: volumes.dataPath(of: name)) == 16 << 20)

        // What an image has at the mount point takes the directory's place, and its limit.
        let image = directory + "/image"
        try Files.makeDirectories(image + "/data/sub")
        try Files.replace(image + "/data/sub/file", with: [UInt8](repeating: 1, count: 1 << 20), mode: 0o640)
        let root = try OwnedFD.open(image, O_RDONLY | O_DIRECTORY)
        #expect(try volumes.copyUp(name, from: root, path: "/data") == .copied)
        #expect(volumes.sizeLimit(of: name) == .projectQuota(project: project))
        sync()
        #expect(try volumes.usage(of: name) >= 1 << 20)
        let full = try fill(volumes.dataPath(of: name) + "/sub/more")
        #expect((8 << 20...15 << 20).contains(full), "\(full)")

        // Another volume has a limit of its own, and one without is not limited.
        let other = try VolumeName("other")
        try volumes.create(other, options)
        #expect(volumes.sizeLimit(of: other) != volumes.sizeLimit(of: name))
        let free = try VolumeName("free")
        try volumes.create(free)
        #expect(volumes.sizeLimit(of: free) == nil && bytesOfFileSystem(at: volumes.dataPath(of: free)) > 1 << 30)

        // A limit that somebody took away is there again for the next user.
        let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
        try ProjectQuota.limit(project, to: 0, at: parent)
        try volumes.mount(name, options)
        #expect(try ProjectQuota.account(of: project, at: parent).bytesMax == 16 << 20)

        try volumes.remove(name)
        #expect(try ProjectQuota.account(of: project, at: parent).bytesMax == 0)
    }

    @Test(.enabled(if: !disks.isEmpty, "needs disks with project quotas: scripts/vm/run"), arguments: disks)
    func `a copy that does not fit leaves an empty volume, and a cut removal no limit`(disk: String) throws {
        let directory = disk + "/quota-" + UUID().uuidString
        defer { try? Files.removeTree(directory) }
        let volumes = LocalVolumes(directory: directory + "/volumes")
        let name = try VolumeName("small")
        try volumes.create(name, try LocalOptions(["size": "4m"]))
        let image = directory + "/image"
        try Files.makeDirectories(image + "/data")
        try Files.replace(image + "/data/file", with: [UInt8](repeating: 1, count: 8 << 20), mode: 0o640)
        let root = try OwnedFD.open(image, O_RDONLY | O_DIRECTORY)
        #expect(throws: VolumeError.self) { try volumes.copyUp(name, from: root, path: "/data") }
        #expect(try Files.list(volumes.dataPath(of: name)).isEmpty)
        #expect(try Files.list(directory + "/volumes") == ["small"])

        guard case .projectQuota(let project) = volumes.sizeLimit(of: name) else { return }
        #expect(rename(directory + "/volumes/small", directory + "/volumes/.staging-cut") == 0)
        try volumes.sweep()
        #expect(try Files.list(directory + "/volumes").isEmpty)
        #expect(
            try ProjectQuota.account(of: project, at: try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)).bytesMax == 0
        )
    }

    @Test(.enabled(if: disks.isEmpty, "a disk without project quotas"))
    func `where the file system holds no quotas a size is a file system of its own`() throws {
        let directory = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/quota-" + UUID().uuidString
        defer { try? Files.removeTree(directory) }
        let volumes = LocalVolumes(directory: directory)
        let name = try VolumeName("limited")
        try volumes.create(name, try LocalOptions(["size": "4m"]))
        #expect(volumes.sizeLimit(of: name) == .fileSystem)
        let free = try VolumeName("free")
        try volumes.create(free)
        #expect(volumes.sizeLimit(of: free) == nil)
    }
}
