import Glibc
import Kernel
import Testing

@testable import LayerFS

/// A container's changes as a layer: an image of the two must show what the container saw.
@Suite(.serialized, .enabled(if: getuid() == 0, "mounting needs root")) struct CommitRoundTripTests {
    private static let base = TreeFixture(
        "a small image",
        { layer in
            for name in ["a", "b", "c"] {
                layer.directory(name, mode: 0o755)
                layer.file("\(name)/f", "\(name) file", uid: 5)
                layer.file("\(name)/b/deep", "deep", mode: 0o4755)
                layer.symlink("\(name)/c", "b/deep")
            }
            layer.device("fifo", .fifo, 0, 0)
            layer.device("null", .character, 1, 3)
        })

    /// One thing a container may do; failures (a missing name, a directory in the way) are part of life.
    private func act(_ root: String, _ random: inout SplitMix) {
        func path() -> String {
            root + "/"
                + (0..<Int.random(in: 1...3, using: &random)).map { _ in
                    ["a", "b", "c", "f"].randomElement(using: &random) ?? "a"
                }
                .joined(separator: "/")
        }
        let (one, other) = (path(), path())
        let number = UInt32.random(in: 0...0o7777, using: &random)
        switch Int.random(in: 0..<16, using: &random) {
        case 0...2:
            let file = open(one, O_WRONLY | O_CREAT | O_NOFOLLOW | (number % 2 == 0 ? O_TRUNC : O_APPEND), 0o640)
            guard file >= 0 else { return }
            _ = withUnsafeBytes(of: number) { write(file, $0.baseAddress, $0.count) }
            close(file)
        case 3: mkdir(one, mode_t(number))
        case 4: unlink(one)
        case 5...6: try? Files.removeTree(one)
        case 7:
            try? Files.removeTree(one)
            mkdir(one, 0o750)
        case 8...9: rename(one, other)
        case 10: symlink("../" + String(number), one)
        case 11: link(one, other)
        case 12: lchown(one, number, number / 2)
        case 13: fchmodat(AT_FDCWD, one, mode_t(number), 0)
        case 14: mkfifo(one, mode_t(number))
        default:
            guard let node = try? OwnedFD.open(one, O_RDONLY | O_NONBLOCK | O_NOFOLLOW) else { return }
            try? node.setAttribute(NodeAttribute(name: Array("user.n\(number % 3)".utf8), value: [UInt8(number % 256)]))
        }
    }

    /// What a container sees, without what an overlay cannot tell: link counts, its own root, and, where the image is on
    /// another file system than the upper directory, which names are one file.
    private func seen(_ root: String, _ driver: any LayerDriver) throws -> TreeSnapshot {
        try snapshot(root).filter { !$0.key.isEmpty }.mapValues { member in
            var member = member
            member.links = 0
            if !(driver is DirectoryDriver) { member.identity = [] }
            return member
        }
    }

    /// The layer of what is in the upper directory, stored like one that was pulled.
    private func commit(_ stage: Stage, lower: String) async throws -> LayerFiles {
        let diff = OverlayDiff(
            upper: try OwnedFD.open(stage.upper, O_RDONLY | O_DIRECTORY),
            lower: try OwnedFD.open(lower, O_RDONLY | O_DIRECTORY))
        let tar = try stage.fresh("commit") + "/tar"
        try writeArchive(tar) { (sink) throws(LayerError) in try diff.layerTar(sink: sink) }
        let layer = LayerFiles(directory: try stage.fresh("layer"))
        try await ingested(try Files.read(tar), IngestRequest(files: layer))
        return layer
    }

    @Test(arguments: conformingDrivers.indices, [0, 1000])
    func `random changes of a container come back from their commit`(driver: Int, firstSeed: Int) async throws {
        let driver = conformingDrivers[driver]
        var changed = 0
        for seed in firstSeed..<firstSeed + 12 {
            var random = SplitMix(state: UInt64(seed))
            let stage = try Stage()
            let base = LayerFiles(directory: try stage.fresh("layer"))
            try await ingested(Self.base.layers()[0].finishedTar, IngestRequest(files: base))
            var layers = [base]
            // Three containers, each of what the one before left.
            for _ in 0..<3 {
                let (chain, target) = (try stage.fresh("chain"), try stage.fresh("mount"))
                try ChainBuilder.prepare(layers, with: driver, at: chain)
                let lower = try driver.mount(chain, layers: layers, at: target)
                defer { try? driver.unmount(target) }
                let merged = try stage.overlay(lower)
                defer { try? Mounts.detach(merged) }
                for _ in 0..<Int.random(in: 1...12, using: &random) { act(merged, &random) }
                let before = try seen(merged, driver)
                layers.append(try await commit(stage, lower: lower))
                let (again, above) = (try stage.fresh("chain"), try stage.fresh("mount"))
                try ChainBuilder.prepare(layers, with: driver, at: again)
                let after = try driver.mount(again, layers: layers, at: above)
                defer { try? driver.unmount(above) }
                let lost = differences(try seen(after, driver), before)
                #expect(lost == [], "seed \(seed), layer \(layers.count - 1): \(lost.joined(separator: "; "))")
                changed += try seen(lower, driver) == before ? 0 : 1
            }
        }
        #expect(changed > 20)
    }
}
