import Glibc
import Kernel
@testable import LayerFS

/// What is visible of one member of a tree: everything a container could see of it.
struct MemberSnapshot: Equatable {
    var kind: NodeStatus.Kind
    var mode: UInt16
    var uid: UInt32
    var gid: UInt32
    var mtime: NodeStatus.Moment
    /// Of a file or link target.
    var size: Int64 = 0
    var content: UInt64 = 0
    var attributes: [[UInt8]: [UInt8]] = [:]
    var deviceMajor: UInt32 = 0
    var deviceMinor: UInt32 = 0
    var links: UInt64 = 1
    var target: [UInt8] = []
    /// The first path (by its bytes) of the same inode.
    var identity: [UInt8] = []
}

typealias TreeSnapshot = [[UInt8]: MemberSnapshot]

/// FNV-1a.
func contentHash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}

/// Walks a mounted or extracted tree, reading every byte of it.
func snapshot(_ directory: String) throws -> TreeSnapshot {
    final class Frame {
        let directory: OwnedFD
        let path: [UInt8]
        init(_ directory: consuming OwnedFD, _ path: [UInt8]) {
            self.directory = directory
            self.path = path
        }
    }
    var result: TreeSnapshot = [:]
    var inodes: [NodeStatus.Identity: [[UInt8]]] = [:]
    func look(_ handle: borrowing OwnedFD, _ path: [UInt8]) throws -> NodeStatus {
        let status = try handle.nodeStatus()
        var member = MemberSnapshot(
            kind: status.kind, mode: status.mode, uid: status.uid, gid: status.gid, mtime: status.mtime,
            links: status.links)
        for name in try handle.attributeNames() { member.attributes[name] = try handle.attribute(name) ?? [] }
        switch status.kind {
        case .file:
            member.size = status.size
            let file = try handle.reopen(O_RDONLY)
            member.content = contentHash(try file.readAll(bytesMax: 1 << 30))
        case .symlink:
            member.size = status.size
            member.target = try handle.linkTarget()
        case .character, .block:
            member.deviceMajor = status.deviceMajor
            member.deviceMinor = status.deviceMinor
        default: break
        }
        result[path] = member
        inodes[status.identity, default: []].append(path)
        return status
    }
    let top = try OwnedFD.open(directory, NodeAccess.directory)
    _ = try look(top, [])
    var frames = [Frame(top, [])]
    while let frame = frames.popLast() {
        for name in try frame.directory.names() {
            let path = NodeName.join(frame.path, name)
            let handle = try frame.directory.open(node: name, NodeAccess.path)
            if try look(handle, path).kind == .directory {
                frames.append(Frame(try frame.directory.open(node: name, NodeAccess.directory), path))
            }
        }
    }
    for paths in inodes.values {
        let first = paths.min { $0.lexicographicallyPrecedes($1) } ?? []
        for path in paths { result[path]?.identity = first }
    }
    return result
}

/// The differences of two trees, in words, at most ten.
func differences(_ actual: TreeSnapshot, _ expected: TreeSnapshot) -> [String] {
    var found: [String] = []
    for path in Set(actual.keys).union(expected.keys).sorted(by: { $0.lexicographicallyPrecedes($1) })
    where found.count < 10 {
        let name = printable(path)
        switch (actual[path], expected[path]) {
        case (nil, _): found.append("\(name) is missing")
        case (_, nil): found.append("\(name) should not be there")
        case (let a?, let e?) where a != e: found.append("\(name) is \(a), expected \(e)")
        default: break
        }
    }
    return found
}
