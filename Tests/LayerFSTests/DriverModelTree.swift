import Kernel
@testable import LayerFS

/// The merge rules in their plainest form: a dictionary from path to member, searched whole for everything.
struct ModelTree {
    final class Inode {
        var member: MemberSnapshot
        init(_ member: MemberSnapshot) { self.member = member }
    }

    struct Name {
        var inode: Inode
        var layer: Int
    }

    struct Refusal: Error {}

    private(set) var names: [[UInt8]: Name]
    private var layer = -1

    static func bare() -> Inode {
        Inode(
            MemberSnapshot(
                kind: .directory, mode: 0o755, uid: 0, gid: 0, mtime: NodeStatus.Moment(seconds: 0, nanoseconds: 0)))
    }

    init() { names = [[]: Name(inode: Self.bare(), layer: -1)] }

    mutating func apply(_ builder: LayerBuilder) throws {
        layer += 1
        for entry in builder.entries { try apply(entry, builder) }
    }

    mutating func apply(_ entry: LayerEntry, _ builder: LayerBuilder) throws {
        let (parentPath, name) = NodeName.split(entry.path)
        if entry.path.isEmpty {
            guard entry.kind == .directory else { throw Refusal() }
            names[[]] = Name(inode: member(entry, builder), layer: layer)
            return
        }
        if parentPath.split(separator: 47).contains(where: { $0.starts(with: Array(".wh.".utf8)) }) { return }
        if name == Array(".wh..wh..opq".utf8) {
            if let parent = try resolve(parentPath, create: false) { hide(parent, includingTop: false) }
            return
        }
        if name.starts(with: Array(".wh..wh.".utf8)) { return }
        if name.starts(with: Array(".wh.".utf8)) {
            let hidden = Array(name.dropFirst(4))
            if hidden.isEmpty || hidden == [46] || hidden == [46, 46] { throw Refusal() }
            if let parent = try resolve(parentPath, create: false) {
                hide(NodeName.join(parent, hidden), includingTop: true)
            }
            return
        }
        guard let parent = try resolve(parentPath, create: true) else { throw Refusal() }
        let path = NodeName.join(parent, name)
        if entry.kind == .directory, let old = names[path], old.inode.member.kind == .directory {
            old.inode.member = member(entry, builder).member
            names[path]?.layer = layer
            return
        }
        let inode: Inode
        if entry.kind == .hardlink {
            let (targetParent, targetName) = NodeName.split(entry.linkTarget)
            guard let directory = try resolve(targetParent, create: false), !entry.linkTarget.isEmpty,
                let target = names[NodeName.join(directory, targetName)], target.inode.member.kind != .directory
            else { throw Refusal() }
            inode = target.inode
        } else {
            inode = member(entry, builder)
        }
        if names[path] != nil { removeAll(path) }
        names[path] = Name(inode: inode, layer: layer)
    }

    private func member(_ entry: LayerEntry, _ builder: LayerBuilder) -> Inode {
        let kinds: [LayerEntry.Kind: NodeStatus.Kind] = [
            .file: .file, .directory: .directory, .symlink: .symlink, .character: .character, .block: .block,
            .fifo: .fifo,
        ]
        var member = MemberSnapshot(
            kind: kinds[entry.kind] ?? .file, mode: entry.kind == .symlink ? 0o777 : entry.mode, uid: entry.uid,
            gid: entry.gid,
            mtime: NodeStatus.Moment(seconds: entry.mtimeSeconds, nanoseconds: entry.mtimeNanoseconds))
        for attribute in entry.attributes { member.attributes[attribute.name] = attribute.value }
        if entry.kind == .file {
            member.size = Int64(entry.size)
            member.content = contentHash(builder.content(entry))
        } else if entry.kind == .symlink {
            member.size = Int64(entry.linkTarget.count)
            member.target = entry.linkTarget
        }
        member.deviceMajor = entry.deviceMajor
        member.deviceMinor = entry.deviceMinor
        return Inode(member)
    }

    private func isBelow(_ path: [UInt8], _ top: [UInt8]) -> Bool {
        path.count > top.count && (top.isEmpty || (path.starts(with: top) && path[top.count] == 47))
    }

    private mutating func removeAll(_ top: [UInt8]) {
        for path in names.keys where path == top || isBelow(path, top) { names[path] = nil }
    }

    private mutating func hide(_ top: [UInt8], includingTop: Bool) {
        for (path, name) in names where (isBelow(path, top) || (includingTop && path == top)) && name.layer < layer {
            if names.contains(where: { isBelow($0.key, path) && $0.value.layer == layer }) {
                names[path] = Name(inode: Self.bare(), layer: layer)
            } else {
                names[path] = nil
            }
        }
    }

    private mutating func resolve(_ path: [UInt8], create: Bool) throws -> [UInt8]? {
        var ahead = path.split(separator: 47).map { Array($0) }
        var current: [UInt8] = []
        var hops = 0
        while !ahead.isEmpty {
            let component = ahead.removeFirst()
            if component == [46] { continue }
            if component == [46, 46] {
                current = NodeName.split(current).directory
                continue
            }
            let next = NodeName.join(current, component)
            if let name = names[next] {
                if name.inode.member.kind == .directory {
                    current = next
                    continue
                }
                if name.inode.member.kind == .symlink {
                    hops += 1
                    guard hops <= 40 else { throw Refusal() }
                    let target = name.inode.member.target
                    if target.first == 47 { current = [] }
                    ahead = target.split(separator: 47).map { Array($0) } + ahead
                    continue
                }
                guard create else { return nil }
                guard name.layer < layer else { throw Refusal() }
                removeAll(next)
            }
            guard create else { return nil }
            names[next] = Name(inode: Self.bare(), layer: layer)
            current = next
        }
        return current
    }

    /// The tree as a walk would find it.
    var snapshot: TreeSnapshot {
        var groups: [ObjectIdentifier: [[UInt8]]] = [:]
        for (path, name) in names { groups[ObjectIdentifier(name.inode), default: []].append(path) }
        var subdirectories: [[UInt8]: UInt64] = [:]
        for (path, name) in names where !path.isEmpty && name.inode.member.kind == .directory {
            subdirectories[NodeName.split(path).directory, default: 0] += 1
        }
        var result: TreeSnapshot = [:]
        for (path, name) in names {
            var member = name.inode.member
            let paths = groups[ObjectIdentifier(name.inode)] ?? []
            member.identity = paths.min { $0.lexicographicallyPrecedes($1) } ?? []
            member.links = UInt64(paths.count)
            if member.kind == .directory {
                member.links = 2 + (subdirectories[path] ?? 0)
            }
            result[path] = member
        }
        return result
    }
}
