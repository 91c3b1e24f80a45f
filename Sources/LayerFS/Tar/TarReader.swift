/// Budgets of one archive, enforced while it streams.
package struct TarLimits: Sendable, Hashable {
    /// Members at most.
    package var entriesMax: Int
    /// Bytes of expanded sparse files at most, holes included, all members together.
    package var sparseBytesMax: UInt64
    /// Data segments of one sparse member at most.
    package var sparseSegmentsMax: Int

    package init(
        entriesMax: Int = 5_000_000, sparseBytesMax: UInt64 = 1 << 40, sparseSegmentsMax: Int = 1 << 18
    ) {
        self.entriesMax = entriesMax
        self.sparseBytesMax = sparseBytesMax
        self.sparseSegmentsMax = sparseSegmentsMax
    }

    /// Bytes of one extended header at most: what Go's archive/tar takes.
    static let metadataBytesMax = 1 << 20
    /// Bytes of a path or link target at most (PATH_MAX).
    static let pathBytesMax = 4096
    /// Bytes of one component at most (NAME_MAX).
    static let nameBytesMax = 255
    /// Bytes of an extended attribute's name and value at most (xattr(7)).
    static let attributeNameBytesMax = 255
    static let attributeValueBytesMax = 64 << 10
    /// Bytes of the names of all attributes of one member at most (XATTR_LIST_MAX): overlayfs could not copy up more.
    static let attributeListBytesMax = 64 << 10
}

/// A streaming tar parser: bytes are pushed in, members come out. It keeps no content.
///
/// Reads v7, ustar, PAX (POSIX.1-2017 pax, "ustar Interchange Format") and GNU archives with their sparse forms. Names come
/// out clean and relative; what could leave the layer's root is refused. Whiteouts are members like any other.
package struct TarReader: ~Copyable {
    /// Takes one member.
    package typealias Emit = (LayerEntry) throws(LayerError) -> Void

    enum Metadata: Sendable {
        case local, global, longName, longLink
    }

    enum Phase: Sendable {
        /// A 512-byte header comes next.
        case header
        /// More of an old GNU sparse map comes next.
        case sparseExtension
        /// More of a PAX 1.0 sparse map comes next; it lies before the data.
        case sparseMap
        case metadata(Metadata)
        case sparseData
        case skipped
        /// Zeros up to the next block.
        case padding
        case ended
    }

    static let blockBytes = 512

    let limits: TarLimits
    var sparse: SparseFile
    var phase = Phase.header
    /// Bytes of the present member's body that are still to come.
    var bodyLeft: UInt64 = 0
    var paddingLeft = 0
    /// Bytes taken so far.
    package private(set) var offset: UInt64 = 0
    /// Members emitted so far.
    package internal(set) var entryCount = 0
    /// A block that is split between two calls.
    private var carry: [UInt8] = []
    private var sawZeroBlock = false
    /// The body of an extended header.
    var metadata: [UInt8] = []
    var local = PAXRecords()
    var global = PAXRecords()
    var hasPrefixHeader = false
    /// A sparse member whose map is not whole yet, or whose data is being placed.
    var sparseMember: SparseMember?

    /// - Parameter sparsePath: the file that takes expanded sparse members, made when the first comes; nil drops their data.
    package init(limits: TarLimits = TarLimits(), sparsePath: String? = nil) {
        self.limits = limits
        sparse = SparseFile(path: sparsePath, bytesMax: limits.sparseBytesMax)
    }

    /// Bytes of the sparse file, holes included; 0 where the layer has no sparse member.
    package var sparseSize: UInt64 { sparse.size }

    /// Parses the next bytes of the archive, however they are cut.
    ///
    /// - Throws: ``LayerError``; the reader is then of no more use.
    package mutating func consume(_ bytes: Span<UInt8>, _ emit: Emit) throws(LayerError) {
        var index = 0
        while index < bytes.count {
            let available = bytes.count - index
            switch phase {
            case .header, .sparseExtension, .sparseMap:
                index += try takeBlock(bytes.extracting(index..<bytes.count), emit)
            case .metadata, .sparseData, .skipped:
                let count = Int(min(bodyLeft, UInt64(available)))
                try takeBody(bytes.extracting(index..<(index + count)))
                index += count
                offset += UInt64(count)
                bodyLeft -= UInt64(count)
                if bodyLeft == 0 { try endBody() }
            case .padding:
                let count = min(paddingLeft, available)
                index += count
                offset += UInt64(count)
                paddingLeft -= count
                if paddingLeft == 0 { phase = .header }
            case .ended:
                offset += UInt64(available)
                return
            }
        }
    }

    /// Says that the archive is at its end, and makes the sparse file durable.
    ///
    /// - Throws: ``LayerError`` `.malformed` when it stops inside a member.
    package mutating func finish() throws(LayerError) {
        switch phase {
        case .ended: break
        case .header where carry.isEmpty && !hasPrefixHeader: break
        default: throw LayerError(.malformed, "the tar archive is truncated at byte \(offset + UInt64(carry.count))")
        }
        try sparse.finish()
    }

    /// Whether the blocks that end an archive were seen.
    package var isEnded: Bool { if case .ended = phase { true } else { false } }

    /// Takes a whole block from `bytes`, through ``carry`` where it is split.
    ///
    /// - Returns: bytes used.
    private mutating func takeBlock(_ bytes: Span<UInt8>, _ emit: Emit) throws(LayerError) -> Int {
        if carry.isEmpty, bytes.count >= Self.blockBytes {
            try takeWholeBlock(bytes.extracting(0..<Self.blockBytes), emit)
            return Self.blockBytes
        }
        let count = min(Self.blockBytes - carry.count, bytes.count)
        carry.reserveCapacity(Self.blockBytes)
        for index in 0..<count { carry.append(bytes[index]) }
        if carry.count == Self.blockBytes {
            let block = carry
            carry = []
            try takeWholeBlock(block.span, emit)
        }
        return count
    }

    private mutating func takeWholeBlock(_ block: Span<UInt8>, _ emit: Emit) throws(LayerError) {
        let start = offset
        offset += UInt64(Self.blockBytes)
        switch phase {
        case .sparseExtension: try takeSparseExtension(block, emit)
        case .sparseMap: try takeSparseMap(block, emit)
        default:
            if block[0] == 0, TarHeader.isZero(block) {
                phase = sawZeroBlock ? .ended : .header
                sawZeroBlock = true
                guard !hasPrefixHeader else {
                    throw malformed("an extended header is not followed by a member", at: start)
                }
            } else {
                guard !sawZeroBlock else { throw malformed("a lone zero block is followed by more", at: start) }
                try takeHeader(block, at: start, emit)
            }
        }
    }

    private mutating func takeBody(_ bytes: Span<UInt8>) throws(LayerError) {
        switch phase {
        case .metadata:
            for index in 0..<bytes.count { metadata.append(bytes[index]) }
        case .sparseData: try placeSparseData(bytes)
        default: break
        }
    }

    /// Begins a body of `size` bytes and its padding.
    mutating func beginBody(_ size: UInt64, _ kind: Phase) throws(LayerError) {
        let (end, overflow) = offset.addingReportingOverflow(size)
        guard !overflow, end <= UInt64(Int64.max) - UInt64(Self.blockBytes) else {
            throw malformed("a member's size of \(size) bytes cannot be", at: offset)
        }
        bodyLeft = size
        paddingLeft = Int((UInt64(Self.blockBytes) - size % UInt64(Self.blockBytes)) % UInt64(Self.blockBytes))
        phase = kind
        if size == 0 { try endBody() }
    }

    private mutating func endBody() throws(LayerError) {
        if case .metadata(let kind) = phase { try endMetadata(kind) }
        if case .sparseData = phase { sparseMember = nil }
        phase = paddingLeft == 0 ? .header : .padding
    }

    func malformed(_ what: String, at position: UInt64) -> LayerError {
        LayerError(.malformed, "tar archive at byte \(position): \(what)")
    }
}
