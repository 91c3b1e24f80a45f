import Glibc
package import Kernel

/// Reads an archive, compressed or not, and puts its members below a directory of a container's root.
///
/// Decompression happens in this process: nothing of the container is ever run for it.
package struct ArchiveExtraction: ~Copyable {
    /// Gives the next bytes of the archive into the buffer; 0 at the end.
    package typealias Source = (UnsafeMutableRawBufferPointer) throws(LayerError) -> Int

    private static let bufferBytes = 256 << 10

    private var extractor: TreeExtractor
    private var reader: TarReader
    private let scratchPath: String
    private let isWhole: Bool
    /// The file being filled, and where in the archive its content is.
    private var open: (entry: LayerEntry, file: TreeExtractor.SharedDirectory)?
    private var filled: UInt64 = 0
    /// Bytes of the plain archive taken.
    private var position: UInt64 = 0

    /// - Parameters:
    ///   - root: the container's root directory.
    ///   - path: an existing directory in the container.
    ///   - scratchPath: a file path of the engine's own for expanded sparse members; made only when there are some.
    /// - Throws: `LayerError` whose cause is ENOENT where the directory is missing.
    package init(
        root: consuming OwnedFD, path: String, options: ExtractOptions = ExtractOptions(), scratchPath: String
    ) throws(LayerError) {
        let location = ContainerPath(path)
        do throws(SystemError) {
            extractor = try TreeExtractor(root: root, destination: location.text, options: options)
        } catch {
            if error.code == ENOTDIR {
                throw LayerError(.unsupported, "extraction point is not a directory", cause: error)
            }
            throw LayerError(.system, "could not find the file \(path): \(error.reason)", cause: error)
        }
        reader = TarReader(sparsePath: scratchPath)
        self.scratchPath = scratchPath
        isWhole = options.isWhole
    }

    /// Extracts everything that `source` gives.
    package consuming func run(_ source: Source) throws(LayerError) {
        let input = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 4096)
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 4096)
        defer {
            input.deallocate()
            output.deallocate()
            unlink(scratchPath)
        }
        var available = 0
        while available < Compression.magicBytes {
            let count = try source(UnsafeMutableRawBufferPointer(rebasing: input[available...]))
            if count == 0 { break }
            available += count
        }
        let head = [UInt8](input.prefix(min(available, Compression.magicBytes)))
        var decoder = try Decoder(Compression.detect(head.span))
        while available > 0 {
            try decode(UnsafeRawBufferPointer(rebasing: input[..<available]), with: &decoder, through: output)
            available = try source(input)
        }
        try decoder.finish()
        try closeFile()
        try reader.finish()
        guard reader.isEnded || !isWhole else {
            throw LayerError(.malformed, "the tar archive is truncated at byte \(position): its end is missing")
        }
        try extractor.finish()
    }

    private mutating func decode(
        _ input: UnsafeRawBufferPointer, with decoder: inout Decoder, through output: UnsafeMutableRawBufferPointer
    ) throws(LayerError) {
        var rest = input
        while true {
            let step = try decoder.decode(rest, into: output)
            rest = UnsafeRawBufferPointer(rebasing: rest[step.consumed...])
            try take(UnsafeRawBufferPointer(rebasing: output[..<step.produced]))
            if rest.isEmpty && step.produced < output.count { return }
            if step.consumed == 0 && step.produced == 0 { return }
        }
    }

    /// Takes plain bytes of the archive: first the members in them, then the content between those.
    private mutating func take(_ bytes: UnsafeRawBufferPointer) throws(LayerError) {
        let start = position
        position += UInt64(bytes.count)
        var members: [LayerEntry] = []
        try reader.consume(bytes.bindMemory(to: UInt8.self).span) { (entry) throws(LayerError) in members.append(entry)
        }
        try fill(from: bytes, at: start)
        for member in members {
            try closeFile()
            if let file = try extractor.make(member) {
                open = (member, TreeExtractor.SharedDirectory(file))
                filled = 0
            }
            try fill(from: bytes, at: start)
        }
    }

    /// Writes what of the open file's content is in `bytes`, which stand at `start` in the archive.
    private mutating func fill(from bytes: UnsafeRawBufferPointer, at start: UInt64) throws(LayerError) {
        guard let open, let content = open.entry.content, content.source == .tar else { return }
        let begin = max(content.offset + filled, start)
        let end = min(content.offset + open.entry.size, start + UInt64(bytes.count))
        guard begin < end else { return }
        let part = UnsafeRawBufferPointer(rebasing: bytes[Int(begin - start)..<Int(end - start)])
        do throws(SystemError) { try open.file.descriptor.writeAll(part) } catch {
            throw LayerError(error, "writing \(NodeName.text(open.entry.path))")
        }
        filled += UInt64(part.count)
    }

    private mutating func closeFile() throws(LayerError) {
        guard let open else { return }
        self.open = nil
        if let content = open.entry.content, content.source == .sparse {
            do throws(SystemError) {
                let scratch = try OwnedFD.open(scratchPath, O_RDONLY)
                try FileCopy.content(
                    from: scratch, at: Int64(content.offset), to: open.file.descriptor, size: Int64(open.entry.size))
            } catch { throw LayerError(error, "writing \(NodeName.text(open.entry.path))") }
        } else if filled < open.entry.size {
            throw LayerError(.malformed, "\(NodeName.text(open.entry.path)): the archive ends inside the file")
        }
        try extractor.complete(open.entry, open.file.descriptor)
    }
}
