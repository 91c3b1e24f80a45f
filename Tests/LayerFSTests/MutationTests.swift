import Glibc
import Kernel
import Testing

@testable import LayerFS

/// Damage of a few bytes at a time, from seeds: an error or a result, and a result that keeps its promises.
struct MutationTests {
    /// One archive in every dialect the reader takes.
    static let archives: [[UInt8]] =
        [
            tarMember("d/", type: "5") + tarMember("d/f", body: [1, 2, 3]) + tarMember("h", type: "1", link: "d/f")
                + tarMember("l", type: "2", link: "../x") + tarMember("c", type: "3") + tarMember("p", type: "6"),
            tarMember("old/", type: "\u{0}", patches: [(257, [0, 0, 0, 0, 0, 0, 0, 0])])
                + tarMember("name", body: [1], patches: [(345, Array("prefix".utf8))]),
            tarMember("name", body: [1], patches: [(345, Array("star".utf8)), (508, Array("tar".utf8))]),
            paxHeader([("comment", "global"), ("uid", "7"), ("mtime", "5.25")], type: "g")
                + paxHeader([
                    ("path", "long/name"), ("mtime", "-1.5"), ("size", "3"), ("SCHILY.xattr.user.k", "v"),
                    ("LIBARCHIVE.xattr.user.l", "dg=="),
                ])
                + tarMember("x", body: [1, 2, 3]) + paxHeader([("linkpath", "target"), ("gid", "3000000000")])
                + tarMember("l", type: "2"),
            tarMember("L", type: "L", body: Array("gnu/long".utf8))
                + tarMember("K", type: "K", body: Array("target".utf8))
                + tarMember("x", type: "2", patches: [gnuMagic, (136, base256(-5, 12)), (108, base256(2_100_000, 8))]),
        ]
        + SparseFormat.allCases.map {
            $0.member("s", (0..<6).map { ($0 * 5000, 3) }, realSize: 40_000, body: [UInt8](repeating: 9, count: 18))
                + tarMember("after")
        }

    /// Damages a few bytes, mostly in a header's numbers and letters, and mostly so that its checksum is right again.
    private func damaged(_ archive: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var bytes = archive
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            let likely: [UInt8] = [
                0, 0x20, 0x2E, 0x2F, 0x30, 0x37, 0x39, 0x80, 0xFF, 0x0A, 0x3D,
                UInt8.random(in: 0...255, using: &random),
            ]
            bytes[index] = likely.randomElement(using: &random) ?? 0
            let block = index / 512 * 512
            guard Int.random(in: 0..<8, using: &random) > 0, block + 512 <= bytes.count else { continue }
            for position in 148..<156 { bytes[block + position] = 0x20 }
            let sum = octal(bytes[block..<(block + 512)].reduce(0) { $0 + Int($1) }, 6)
            for (offset, digit) in (sum + [0]).enumerated() { bytes[block + 148 + offset] = digit }
        }
        if Int.random(in: 0..<16, using: &random) == 0 {
            bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
        }
        return bytes
    }

    @Test(arguments: MutationTests.archives.indices)
    func `a damaged archive gives an error or members inside of the layer`(index: Int) throws {
        var random = SplitMix(state: UInt64(index))
        var taken = 0
        for round in 0..<1500 {
            let bytes = damaged(Self.archives[index], &random)
            let step = Int.random(in: 1...2000, using: &random)
            guard let entries = try? members(bytes, step: step) else { continue }
            taken += 1
            for entry in entries { #expect(Self.isSound(entry, in: bytes.count), "round \(round): \(entry)") }
            try merge(entries)
        }
        #expect(taken > 50)
    }

    private static func isSound(_ entry: LayerEntry, in archiveBytes: Int) -> Bool {
        for path in entry.kind == .hardlink ? [entry.path, entry.linkTarget] : [entry.path] {
            let components = path.split(separator: 0x2F, omittingEmptySubsequences: false)
            guard path.isEmpty || components.allSatisfy({ !$0.isEmpty && $0.count < 256 && !$0.contains(0) }),
                !components.contains([0x2E]), !components.contains([0x2E, 0x2E])
            else { return false }
        }
        guard let content = entry.content, content.source == .tar else {
            return entry.size == 0 || entry.content != nil
        }
        return content.offset % 512 == 0 && content.offset + entry.size <= UInt64(archiveBytes)
    }

    /// Whatever the reader lets through, the tree refuses it with an error of its own or the index can hold it.
    private func merge(_ entries: [LayerEntry]) throws(LayerError) {
        var tree = ImageTree()
        do throws(LayerError) { try tree.apply(layer: 0, entries: entries) } catch { return }
        _ = try ErofsPlan(tree)
    }

    @Test func `a damaged file of members gives an error, or members the tree takes or refuses`() throws {
        let scratch = try ScratchDirectory()
        var writer = try EntryWriter(scratch.files.entries)
        for archive in Self.archives { for entry in try members(archive) { try writer.write(entry) } }
        try writer.finish()
        let whole = try Files.read(scratch.files.entries)
        var random = SplitMix(state: 99)
        var taken = 0
        for _ in 0..<4000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 16..<bytes.count, using: &random)
                bytes[index] =
                    [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random)
                    ?? 0
            }
            if Int.random(in: 0..<8, using: &random) == 0 {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            }
            if bytes.count >= 32 {
                let sum = bytes[32...].withUnsafeBytes { EntryFormat.checksum(0, $0) }
                for index in 0..<4 { bytes[12 + index] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * index)) }
            }
            let file = try OwnedFD.open(scratch.path + "/damaged", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            try bytes.withUnsafeBytes { try file.writeAll($0) }
            do throws(LayerError) {
                let entries = try EntryReader.readAll(scratch.path + "/damaged")
                taken += 1
                try merge(entries)
            } catch {
                #expect([.malformed, .limit].contains(error.code), "\(error)")
            }
        }
        #expect(taken > 100)
    }

    @Test(arguments: HostileStream.codecs)
    func `a damaged stream gives an error or bytes`(codec: Compression) throws {
        let whole = try compressed(HostileStream.tar + HostileStream.tar, codec)
        var random = SplitMix(state: 7)
        var output = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<1500 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            var decoder = try Decoder(codec)
            do throws(LayerError) { try drain(bytes, &decoder, &output) } catch {
                #expect([.malformed, .limit].contains(error.code))
            }
        }
    }

    private func drain(_ bytes: [UInt8], _ decoder: inout Decoder, _ output: inout [UInt8]) throws(LayerError) {
        var index = 0
        for _ in 0..<10_000 {
            let step = try decoder.decode(bytes, from: index, into: &output)
            index += step.consumed
            if step.produced < output.count, index == bytes.count || step.consumed == 0 { break }
        }
        try decoder.finish()
    }
}

extension Decoder {
    /// Decodes what is in `bytes` behind `index`.
    fileprivate mutating func decode(_ bytes: [UInt8], from index: Int, into output: inout [UInt8]) throws(LayerError)
        -> DecodeStep
    {
        var step: Result<DecodeStep, LayerError> = .success(DecodeStep(consumed: 0, produced: 0))
        bytes.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { target in
                do throws(LayerError) {
                    step = .success(try decode(UnsafeRawBufferPointer(rebasing: input[index...]), into: target))
                } catch { step = .failure(error) }
            }
        }
        return try step.get()
    }
}
