/// One member of a layer's tar, as the parser found it, in tar order.
///
/// The bytes of names, link targets and attributes are kept as they are: a tar promises no encoding.
package struct LayerEntry: Sendable, Hashable {
    package enum Kind: UInt8, Sendable, Hashable, CaseIterable {
        case file, directory, symlink, hardlink, character, block, fifo
    }

    /// Relative, cleaned: no leading `/` or `./`, no `.` or empty component; `..` was refused by the parser. Empty for the root.
    package var path: [UInt8]
    package var kind: Kind
    /// Permission bits with set-id and sticky (07777).
    package var mode: UInt16
    package var uid: UInt32
    package var gid: UInt32
    /// Seconds since 1970, negative before.
    package var mtimeSeconds: Int64
    package var mtimeNanoseconds: UInt32
    /// Bytes of a file's content (with holes).
    package var size: UInt64
    /// Device numbers of `.character` and `.block`.
    package var deviceMajor: UInt32
    package var deviceMinor: UInt32
    /// Target of a symlink (verbatim), or path of a hard link's original (cleaned like `path`).
    package var linkTarget: [UInt8]
    /// Extended attributes, without those that overlayfs would obey (`trusted.overlay.*`, `user.overlay.*`).
    package var attributes: [Attribute]
    /// Where a file's content is; nil for an empty file and for other kinds.
    package var content: Extent?

    package struct Attribute: Sendable, Hashable {
        package var name: [UInt8]
        package var value: [UInt8]
        package init(name: [UInt8], value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// A contiguous run of a file's content.
    package struct Extent: Sendable, Hashable {
        package enum Source: UInt8, Sendable, Hashable {
            /// The layer's `tar`.
            case tar
            /// The layer's `sparse` file, which holds expanded sparse members.
            case sparse
        }
        package var source: Source
        /// Bytes from the start of the source; a multiple of 512.
        package var offset: UInt64
        package init(source: Source, offset: UInt64) {
            self.source = source
            self.offset = offset
        }
    }

    package init(
        path: [UInt8], kind: Kind, mode: UInt16 = 0o755, uid: UInt32 = 0, gid: UInt32 = 0, mtimeSeconds: Int64 = 0,
        mtimeNanoseconds: UInt32 = 0, size: UInt64 = 0, deviceMajor: UInt32 = 0, deviceMinor: UInt32 = 0,
        linkTarget: [UInt8] = [], attributes: [Attribute] = [], content: Extent? = nil
    ) {
        self.path = path
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtimeSeconds = mtimeSeconds
        self.mtimeNanoseconds = mtimeNanoseconds
        self.size = size
        self.deviceMajor = deviceMajor
        self.deviceMinor = deviceMinor
        self.linkTarget = linkTarget
        self.attributes = attributes
        self.content = content
    }
}
