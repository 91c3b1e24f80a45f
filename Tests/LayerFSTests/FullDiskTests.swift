import Glibc
import Kernel
import Testing

@testable import LayerFS

/// A small file system of a kind of its own, unmounted and removed with the value.
final class SmallDisk {
    enum Kind: CaseIterable {
        /// Takes direct I/O, reserves space, runs full.
        case ext4
        /// Runs full.
        case tmpfs
        /// Refuses direct I/O.
        case ramfs
    }

    let path: String
    private let scratch: ScratchDirectory

    init(_ kind: Kind, mebibytes: Int) throws {
        scratch = try ScratchDirectory()
        path = scratch.path + "/disk"
        try Files.makeDirectories(path)
        switch kind {
        case .tmpfs:
            let context = try FilesystemContext("tmpfs")
            try context.set("size", "\(mebibytes)m")
            try context.mount(at: path, readOnly: false)
        case .ramfs:
            try FilesystemContext("ramfs").mount(at: path, readOnly: false)
        case .ext4:
            let image = scratch.path + "/image"
            try Files.replace(image, with: [])
            try checked("truncate") { truncate(image, off_t(mebibytes << 20)) }
            try ran("/usr/sbin/mkfs.ext4", ["-q", "-m", "0", "-O", "^has_journal", image])
            try ran("/bin/mount", ["-o", "loop", image, path])
        }
        try Files.makeDirectories(path + "/layer")
    }

    deinit { try? Mounts.detach(path) }

    var files: LayerFiles { LayerFiles(directory: path + "/layer") }

    /// Free bytes, after everything under way is written.
    func free() throws -> UInt64 {
        try FileCopy.syncFileSystem(of: try OwnedFD.open(path, O_RDONLY | O_DIRECTORY))
        var status = statvfs()
        try checked("statvfs") { statvfs(path, &status) }
        return UInt64(status.f_bfree) * UInt64(status.f_frsize)
    }
}

@Suite(.serialized, .enabled(if: getuid() == 0, "mounting needs root")) struct FullDiskTests {
    private static func noise(_ count: Int) -> [UInt8] {
        var random = SplitMix(state: 1)
        return (0..<count / 8).flatMap { _ in withUnsafeBytes(of: random.next(), Array.init) }
    }

    /// What of a layer does not fit.
    enum Culprit: CaseIterable {
        case tar, blob, sparse

        func layer(_ bytes: Int) throws -> [UInt8] {
            let noise = FullDiskTests.noise(bytes)
            switch self {
            case .tar: return tarMember("f", body: noise) + tarEnd
            case .blob: return try compressed(tarMember("f", body: noise) + tarEnd, .gzip)
            case .sparse:
                return SparseFormat.pax10.member("s", [(4096, noise.count)], realSize: noise.count + 8192, body: noise)
                    + tarEnd
            }
        }
    }

    @Test(arguments: [SmallDisk.Kind.ext4, .tmpfs], Culprit.allCases)
    func `a disk that runs full in the middle of a layer is as before, and the error says what to do`(
        kind: SmallDisk.Kind, culprit: Culprit
    ) async throws {
        let disk = try SmallDisk(kind, mebibytes: 12)
        let before = try disk.free()
        let partial = disk.path + "/partial"
        let request = IngestRequest(files: disk.files, partialBlob: culprit == .blob ? partial : nil, keepBlob: true)
        let bytes = try culprit.layer(culprit == .tar ? 24 << 20 : 9 << 20)
        let error = await #expect(throws: LayerError.self) { try await ingested(bytes, request) }
        #expect(error?.code == .system)
        #expect(error?.cause?.code == ENOSPC)
        #expect(error?.message.contains("no space left on device; free some space there (docker system prune)") == true)
        #expect(try Files.list(disk.files.directory) == [])
        #expect(!Files.exists(partial))
        #expect(try disk.free() == before)
        // The twin: what fits is stored, on the same disk.
        let small = try await ingested(try culprit.layer(1 << 20), request)
        #expect(try EntryReader.readAll(disk.files.entries).count == small.entryCount)
        #expect(Files.exists(partial) == (culprit == .blob))
    }

    @Test(arguments: SmallDisk.Kind.allCases)
    func `a layer is stored verbatim whatever the file system takes`(kind: SmallDisk.Kind) async throws {
        let disk = try SmallDisk(kind, mebibytes: 32)
        if kind == .ramfs {
            let error = #expect(throws: SystemError.self) {
                _ = try OwnedFD.open(disk.path + "/direct", O_WRONLY | O_CREAT | 0o40000, mode: 0o600)
            }
            #expect(error?.code == EINVAL, "this file system was chosen because it refuses O_DIRECT")
        }
        let sparse = SparseFormat.gnu.member("s", [(5000, 104)], realSize: 9000, body: Self.noise(104))
        let tar = tarMember("f", body: Self.noise(3_000_000)) + sparse + tarEnd
        let partial = disk.path + "/partial"
        let layer = try await ingested(
            try compressed(tar, .gzip), IngestRequest(files: disk.files, partialBlob: partial, keepBlob: true))
        #expect(try Files.read(disk.files.tar) == tar)
        #expect(layer.entryCount == 2)
        #expect(try Files.read(disk.files.sparse)[5000..<5104].elementsEqual(Self.noise(104)))
        #expect(try Files.read(partial) == compressed(tar, .gzip))
    }
}
