/// Index of a name in an ``ImageTree``; the root is 0.
package typealias NodeID = UInt32

/// Index of an inode in an ``ImageTree``.
package typealias InodeID = UInt32

/// "No node" and "no inode" in the compact arrays of ``ImageTree``.
let absent = UInt32.max

/// One name in a directory: 32 bytes, because an image has a hundred thousand of them.
///
/// The pair (parent, name) belongs to one node for ever: a removed name keeps its node with no inode, and comes back in
/// it.
struct TreeNode {
    var parent: NodeID
    /// The inode the name stands for; `absent` when the name is not there (any more).
    var inode: InodeID
    /// Where the name starts in the arena of names.
    var nameOffset: UInt32
    var firstChild: NodeID = absent
    var nextSibling: NodeID
    /// Low half of the hash under which the table holds the node.
    var hash: UInt32
    var nameLength: UInt8
    /// Stamp of the layer whose entry put the name here. Stamps are layer indexes plus one; 0 is "before every layer".
    var layer: UInt16
    /// Stamp of the last layer that put something here or below.
    var touched: UInt16 = 0
    /// Stamp of the last layer that hid all lower content below.
    var swept: UInt16 = 0
}

/// What a name stands for: 56 bytes.
package struct TreeInode: Sendable {
    package enum Kind: UInt8, Sendable {
        case file, directory, symlink, character, block, fifo
    }

    package var kind: Kind
    /// Where a file's content is: nothing (empty), the layer's tar, or its sparse file.
    package enum Content: UInt8, Sendable {
        case none, tar, sparse
    }
    package var content = Content.none
    /// Permission bits with set-id and sticky (07777).
    package var mode: UInt16
    /// Index of the layer that holds the content.
    package var layer: UInt16 = 0
    package var uid: UInt32
    package var gid: UInt32
    package var mtimeNanoseconds: UInt32
    /// Seconds since 1970.
    package var mtimeSeconds: Int64
    /// Bytes of content; of a symlink, of its target.
    package var size: UInt64 = 0
    /// Offset of the content in its source; of a symlink, of the target in the arena of names; of a device, major << 32
    /// | minor.
    package var location: UInt64 = 0
    /// Where the attributes start in the arena of attributes; `absent` without any.
    package var attributes: UInt32 = absent
    /// Names that stand for the inode. For a directory 1; its link count is made of its subdirectories.
    package var links: UInt32 = 0

    /// A directory nobody described: 0755, root's, at the epoch.
    static let implicitDirectory = TreeInode(
        kind: .directory, mode: 0o755, uid: 0, gid: 0, mtimeNanoseconds: 0, mtimeSeconds: 0)
}
