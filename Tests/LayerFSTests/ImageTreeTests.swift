import Kernel
import Testing

@testable import LayerFS

@Suite struct ImageTreeTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func code(_ layers: [LayerEntry]...) -> LayerError.Code? {
        var tree = ImageTree()
        do throws(LayerError) {
            for (index, entries) in layers.enumerated() { try tree.apply(layer: index, entries: entries) }
            return nil
        } catch {
            return error.code
        }
    }

    private func file(_ path: String) -> LayerEntry { LayerEntry(path: bytes(path), kind: .file) }
    private func link(_ path: String, _ target: String) -> LayerEntry {
        LayerEntry(path: bytes(path), kind: .hardlink, linkTarget: bytes(target))
    }
    private func symlink(_ path: String, _ target: String) -> LayerEntry {
        LayerEntry(path: bytes(path), kind: .symlink, linkTarget: bytes(target))
    }

    @Test func `entries that have no place in a tree are refused`() {
        #expect(code([link("a", "missing")]) == .malformed)
        #expect(code([file("d/f"), link("a", "d")]) == .malformed)
        #expect(code([link("a", "")]) == .malformed)
        #expect(code([file("a"), file("a/b")]) == .malformed)
        #expect(code([symlink("a", "b"), symlink("b", "a"), file("a/x")]) == .malformed)
        #expect(code([symlink("a", "")]) == .malformed)
        #expect(code([LayerEntry(path: [97, 0, 98], kind: .file)]) == .malformed)
        #expect(code([LayerEntry(path: [], kind: .file)]) == .malformed)
        #expect(code([file("..")]) == .malformed)
        #expect(code([file("a/.")]) == .malformed)
        #expect(code([file("a/")]) == .malformed)
        #expect(code([file(".wh.")]) == .malformed)
        #expect(code([file(".wh...")]) == .malformed)
        #expect(code([LayerEntry(path: bytes("f"), kind: .file, size: 5)]) == .malformed)
        let crooked = LayerEntry.Extent(source: .tar, offset: 100)
        #expect(code([LayerEntry(path: bytes("f"), kind: .file, size: 5, content: crooked)]) == .malformed)
        let endless = LayerEntry.Extent(source: .tar, offset: UInt64.max - 511)
        #expect(code([LayerEntry(path: bytes("f"), kind: .file, size: .max, content: endless)]) == .malformed)
        #expect(code([LayerEntry(path: bytes("f"), kind: .file, mtimeNanoseconds: .max)]) == .malformed)
    }

    @Test func `limits are named`() {
        #expect(code([file(String(repeating: "n", count: 256))]) == .limit)
        #expect(code([file(String(repeating: "n/", count: 3000) + "n")]) == .limit)
        #expect(code([LayerEntry(path: bytes("d"), kind: .block, deviceMajor: 4096)]) == .limit)
        #expect(code([LayerEntry(path: bytes("d"), kind: .block, deviceMinor: 1 << 20)]) == .limit)
        let large = LayerEntry.Attribute(name: bytes("user.x"), value: [UInt8](repeating: 0, count: 65536))
        #expect(code([LayerEntry(path: bytes("f"), kind: .file, attributes: [large])]) == .limit)
    }

    @Test func `a file that a lower layer has may become a directory on the way`() {
        #expect(code([file("a")], [file("a/b")]) == nil)
    }

    @Test func `layers come in order`() throws {
        var tree = ImageTree()
        #expect(throws: LayerError.self) { try tree.apply(layer: 1, entries: []) }
        try tree.apply(layer: 0, entries: [])
        #expect(throws: LayerError.self) { try tree.apply(layer: 0, entries: []) }
        #expect(tree.layerCount == 1)
    }

    @Test func `a character device 0:0 is what overlay makes of it, nothing`() throws {
        var tree = ImageTree()
        try tree.apply(layer: 0, entries: [file("a/b"), file("c")])
        try tree.apply(layer: 1, entries: [LayerEntry(path: bytes("a"), kind: .character)])
        #expect(Set(members(tree, [LayerBuilder(), LayerBuilder()]).keys) == [[], bytes("c")])
    }

    @Test func `attributes that overlay obeys or Linux has not are dropped`() throws {
        var tree = ImageTree()
        let names = [
            "trusted.overlay.opaque", "user.overlay.whiteout", "system.other", "user.", "nothing", "user.kept",
        ]
        let attributes = names.map { LayerEntry.Attribute(name: bytes($0), value: [1]) }
        try tree.apply(
            layer: 0,
            entries: [
                LayerEntry(path: bytes("f"), kind: .file, attributes: attributes),
                LayerEntry(path: bytes("l"), kind: .symlink, linkTarget: [97], attributes: attributes),
            ])
        let found = members(tree, [LayerBuilder()])
        #expect(found[bytes("f")]?.attributes == [bytes("user.kept"): [1]])
        #expect(found[bytes("l")]?.attributes == [:])
    }

    /// Ways to have a small member look at many names, and as many members that do not.
    enum Labour: CaseIterable {
        case linksUnderLinks, comingAndGoing, deepPaths

        var layers: (bad: [LayerEntry], good: [LayerEntry]) {
            func file(_ path: String) -> LayerEntry { LayerEntry(path: Array(path.utf8), kind: .file) }
            switch self {
            case .linksUnderLinks:
                let target = String(repeating: "./", count: 1000)
                let links = (0..<40).map {
                    LayerEntry(
                        path: Array("l\($0)".utf8), kind: .symlink,
                        linkTarget: Array((target + ($0 == 39 ? "d" : "l\($0 + 1)")).utf8))
                }
                return (
                    links + (0..<200).flatMap { [file("l0/\($0)"), file("x\($0)/f")] },
                    links + (0..<200).flatMap { [file("l39/\($0)"), file("x\($0)/f")] }
                )
            case .comingAndGoing:
                let names = (0..<5000).map { file("d/\($0)") }
                return (
                    names + (0..<300).flatMap { _ in [file("d"), LayerEntry(path: [100], kind: .directory)] },
                    names + (0..<600).map { file("e\($0)") }
                )
            case .deepPaths:
                let deep = (0..<4).map { "\($0)/" + String(repeating: "d/", count: 1900) }
                return (
                    (0..<400).map { file(deep[$0 % 4] + "\($0)") }, (0..<400).map { file(deep[$0 / 100] + "\($0)") }
                )
            }
        }
    }

    @Test(arguments: Labour.allCases)
    func `small members that make much work are stopped, and as many honest ones are not`(labour: Labour) throws {
        let (bad, good) = labour.layers
        var tree = ImageTree(stepsMax: 500_000)
        let error = #expect(throws: LayerError.self) { try tree.apply(layer: 0, entries: bad) }
        #expect(error?.code == .limit)
        #expect(error?.message.contains("reach for names more than 500000 times") == true)
        var honest = ImageTree(stepsMax: 500_000)
        try honest.apply(layer: 0, entries: good)
    }

    @Test func `repeated opaque marks in a large directory cost no more than one`() throws {
        var tree = ImageTree()
        let layer = (0..<20_000).map { file("d/\($0)") }
        try tree.apply(layer: 0, entries: layer)
        try tree.apply(layer: 1, entries: layer + [LayerEntry](repeating: file("d/.wh..wh..opq"), count: 20_000))
        #expect(members(tree, [LayerBuilder(), LayerBuilder()]).count == 20_002)
    }

    @Test(arguments: 0..<40)
    func `random layers merge as in the plain model`(group: Int) {
        for seed in group * 50..<group * 50 + 50 {
            var random = SplitMix(state: UInt64(seed))
            var model = ModelTree()
            var tree = ImageTree()
            var builders: [LayerBuilder] = []
            var refused = false
            for index in 0..<Int.random(in: 1...4, using: &random) {
                let builder = randomLayer(&random)
                builders.append(builder)
                do { try model.apply(builder) } catch { refused = true }
                var refusedHere = false
                do throws(LayerError) { try tree.apply(layer: index, entries: builder.entries) } catch {
                    refusedHere = true
                }
                #expect(refused == refusedHere, "seed \(seed)")
                if refused || refusedHere { break }
            }
            if !refused { #expect(differences(members(tree, builders), model.snapshot) == [], "seed \(seed)") }
        }
    }
}

/// A few entries over so few names that they meet often.
func randomLayer(_ random: inout SplitMix) -> LayerBuilder {
    func path() -> String {
        (0..<Int.random(in: 1...3, using: &random)).map { _ in ["a", "b", "c"].randomElement(using: &random) ?? "a" }
            .joined(separator: "/")
    }
    func parent() -> String { Bool.random(using: &random) ? path() + "/" : "" }
    var layer = LayerBuilder()
    for _ in 0..<Int.random(in: 0...10, using: &random) {
        switch Int.random(in: 0..<16, using: &random) {
        case 0...4:
            layer.file(
                path(), String(UInt8.random(in: 0...99, using: &random)), uid: .random(in: 0...3, using: &random))
        case 5...7: layer.directory(path(), mode: .random(in: 0o700...0o777, using: &random))
        case 8...9:
            let targets = ["a", "b", "/c", "../b", "a/../c", "/a/b", ".", "x/y"]
            layer.symlink(path(), targets.randomElement(using: &random) ?? "a")
        case 10: if !layer.entries.isEmpty { layer.hardlink(path(), path()) }
        case 11...13: layer.file(parent() + ".wh." + (["a", "b", "c"].randomElement(using: &random) ?? "a"))
        case 14: layer.file(parent() + ".wh..wh..opq")
        default: layer.device(path(), .fifo, 0, 0)
        }
    }
    return layer
}

/// A tree in memory as a walk of it would find it.
func members(_ tree: ImageTree, _ builders: [LayerBuilder]) -> TreeSnapshot {
    var result: TreeSnapshot = [:]
    var paths: [NodeID: [UInt8]] = [0: []]
    var groups: [InodeID: [[UInt8]]] = [:]
    let order = TreeOrder(tree)
    for directory in order.directories {
        let path = paths[directory.node] ?? []
        for child in order.children[directory.children] { paths[child] = NodeName.join(path, Array(tree.name(child))) }
    }
    for (node, path) in paths {
        let inode = tree.inode(node)
        let kinds: [TreeInode.Kind: NodeStatus.Kind] = [
            .file: .file, .directory: .directory, .symlink: .symlink, .character: .character, .block: .block,
            .fifo: .fifo,
        ]
        var member = MemberSnapshot(
            kind: kinds[inode.kind] ?? .file, mode: inode.mode, uid: inode.uid, gid: inode.gid,
            mtime: NodeStatus.Moment(seconds: inode.mtimeSeconds, nanoseconds: inode.mtimeNanoseconds),
            links: UInt64(inode.links))
        tree.attributes.forEach(inode.attributes) { member.attributes[Array($0)] = Array($1) }
        switch inode.kind {
        case .file:
            member.size = Int64(inode.size)
            let source = inode.content == .sparse ? builders[Int(inode.layer)].sparse : builders[Int(inode.layer)].tar
            let content = inode.size == 0 ? [] : source[Int(inode.location)..<Int(inode.location) + Int(inode.size)]
            member.content = contentHash(content)
        case .symlink:
            member.target = Array(tree.target(inode))
            member.size = Int64(inode.size)
        case .directory:
            let index = Int(order.directoryOf[Int(tree.nodes[Int(node)].inode)])
            member.links = UInt64(order.directories[index].subdirectories) + 2
        default: break
        }
        result[path] = member
        groups[tree.nodes[Int(node)].inode, default: []].append(path)
    }
    for paths in groups.values {
        let first = paths.min { $0.lexicographicallyPrecedes($1) } ?? []
        for path in paths { result[path]?.identity = first }
    }
    return result
}
