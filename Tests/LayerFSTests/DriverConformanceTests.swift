import Glibc
import Kernel
import Testing

@testable import LayerFS

@Suite(.serialized, .enabled(if: getuid() == 0, "mounting needs root"))
struct DriverConformanceTests {
    @Test(arguments: conformingDrivers.indices, TreeFixture.all)
    func `a mounted image is the merge of its layers`(driver: Int, fixture: TreeFixture) throws {
        let layers = fixture.layers()
        let stage = try Stage()
        let lower = try stage.mount(conformingDrivers[driver], layers)
        #expect(differences(try snapshot(lower), try expected(layers)) == [])
    }

    @Test(arguments: conformingDrivers.indices)
    func `an overlay above an image takes writes, deletions and renames`(driver: Int) throws {
        let layers = TreeFixture.metadata.layers() + TreeFixture.links.layers()
        let stage = try Stage()
        let lower = try stage.mount(conformingDrivers[driver], layers)
        let before = try snapshot(lower)
        let merged = try stage.overlay(lower)
        // The root of an overlay is the upper directory's.
        let shown = try snapshot(merged).filter { !$0.key.isEmpty }.mapValues(withoutLinks)
        #expect(differences(shown, before.filter { !$0.key.isEmpty }.mapValues(withoutLinks)) == [])
        // Copy-up by writing and by metadata, deletion, a new name, a directory renamed and removed.
        try Files.replace(merged + "/t/suid", with: [1, 2, 3])
        try checked("chmod") { chmod(merged + "/t/biguid", 0o600) }
        try checked("unlink") { unlink(merged + "/t/late") }
        try checked("rmdir") { rmdir(merged + "/t/sticky") }
        try Files.makeDirectories(merged + "/t/closed/made")
        try checked("rename") { rename(merged + "/t/hl1", merged + "/t/renamed") }
        #expect(try Files.read(merged + "/t/suid") == [1, 2, 3])
        #expect(try Files.read(merged + "/t/biguid") == [UInt8(ascii: "u")])
        #expect(!Files.exists(merged + "/t/late") && !Files.exists(merged + "/t/sticky"))
        #expect(try Files.read(merged + "/t/renamed") == Array("replaced".utf8))
        #expect(differences(try snapshot(lower), before) == [])
    }

    /// Overlay shows other link counts for directories and splits hard links; what it is made of is compared elsewhere.
    private func withoutLinks(_ member: MemberSnapshot) -> MemberSnapshot {
        var member = member
        member.links = 0
        member.identity = []
        return member
    }

    @Test(arguments: conformingDrivers.indices)
    func `mounting twice serves the first mount, unmounting twice is no error`(driver: Int) throws {
        let driver = conformingDrivers[driver]
        let stage = try Stage()
        var layer = LayerBuilder()
        layer.file("f", "content")
        let files = try stage.store(layer)
        var tree = ImageTree()
        try tree.apply(layer: 0, entries: layer.entries)
        let (chain, target) = (try stage.fresh("chain"), try stage.fresh("target"))
        #expect(!driver.isPrepared(chain))
        try driver.prepare(tree, layers: [files], at: chain)
        try driver.prepare(tree, layers: [files], at: chain)
        #expect(driver.isPrepared(chain))
        let first = try driver.mount(chain, layers: [files], at: target)
        #expect(try driver.mount(chain, layers: [files], at: target) == first)
        #expect(try Files.read(first + "/f") == Array("content".utf8))
        try driver.unmount(target)
        try driver.unmount(target)
        #expect(!Mounts.isMountPoint(target))
    }

    @Test(arguments: conformingDrivers.indices)
    func `a layer shorter than its entries is refused`(driver: Int) throws {
        let stage = try Stage()
        var layer = LayerBuilder()
        layer.file("f", String(repeating: "x", count: 5000))
        let files = try stage.store(layer)
        try checked("truncate") { truncate(files.tar, 1024) }
        var tree = ImageTree()
        try tree.apply(layer: 0, entries: layer.entries)
        let chain = try stage.fresh("chain")
        let error = #expect(throws: LayerError.self) {
            try conformingDrivers[driver].prepare(tree, layers: [files], at: chain)
        }
        #expect(error?.code == .malformed)
        #expect(try Files.list(chain) == [])
    }

    @Test(arguments: conformingDrivers.indices)
    func `the probe finds that a driver works here and leaves nothing`(driver: Int) throws {
        let stage = try Stage()
        try probe(conformingDrivers[driver], scratch: stage.directory)
        #expect(try Files.list(stage.directory) == [])
    }

    @Test func `a mount whose chain was never prepared is refused`() throws {
        let stage = try Stage()
        for driver in conformingDrivers {
            let (chain, target) = (try stage.fresh("chain"), try stage.fresh("target"))
            #expect(throws: LayerError.self) { try driver.mount(chain, layers: [], at: target) }
        }
    }

    @Test func `where their rules agree, GNU tar extracts the same tree`() throws {
        for fixture in [TreeFixture.busybox, .kinds, .metadata, .attributes] {
            let layers = Array(fixture.layers().prefix(1))
            let stage = try Stage()
            let files = try stage.store(layers[0])
            let extracted = try stage.fresh("tar")
            let status = try run(
                "/usr/bin/tar",
                [
                    "-C", extracted, "--numeric-owner", "--xattrs", "--xattrs-include=*", "--same-owner", "-xpf",
                    files.tar,
                ])
            #expect(status == 0)
            // Directories without an entry: tar gives them the time of day.
            let implicit = Set(try expected(layers).filter { $0.value.mtime.seconds == 0 }.keys)
            let ours = try snapshot(try stage.mount(ErofsDriver(), layers)).filter { !implicit.contains($0.key) }
            let theirs = try snapshot(extracted).filter { !implicit.contains($0.key) }
            #expect(differences(ours, theirs) == [], "\(fixture.name)")
        }
    }

    private func run(_ program: String, _ arguments: [String]) throws -> CInt {
        var pid = pid_t()
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        defer { argv.forEach { free($0) } }
        guard posix_spawn(&pid, program, nil, nil, &argv, nil) == 0 else { throw SystemError("posix_spawn", program) }
        var status: CInt = 0
        try checked("waitpid") { waitpid(pid, &status, 0) }
        return status
    }
}
