import LayerFS
import Testing

struct TarReaderTests {
    @Test(arguments: [1, 7, 511, 512, 513, 4096, Int.max])
    func `members come out the same however the archive is cut`(step: Int) throws {
        let archive =
            tarMember("./a/", type: "5") + tarMember("/a//b", body: Array("hello".utf8))
            + tarMember("l", type: "2", link: "../x")
            + tarMember("h", type: "1", link: "./a/b", size: 5) + tarEnd
        let entries = try members(archive, step: step)
        #expect(entries.map { String(decoding: $0.path, as: UTF8.self) } == ["a", "a/b", "l", "h"])
        #expect(entries.map(\.kind) == [.directory, .file, .symlink, .hardlink])
        #expect(entries[1].content == LayerEntry.Extent(source: .tar, offset: 1024))
        #expect(entries[3].linkTarget == Array("a/b".utf8))
    }

    @Test func `a PAX header overrides the next member only`() throws {
        let archive =
            paxHeader([
                ("path", "long/name"), ("mtime", "-1.5"), ("uid", "3000000000"), ("SCHILY.xattr.user.k", "v"),
                ("SCHILY.xattr.trusted.overlay.opaque", "y"),
            ])
            + tarMember("x") + tarMember("y") + tarEnd
        let entries = try members(archive)
        #expect(entries[0].path == Array("long/name".utf8))
        #expect(entries[0].mtimeSeconds == -2)
        #expect(entries[0].mtimeNanoseconds == 500_000_000)
        #expect(entries[0].uid == 3_000_000_000)
        #expect(entries[0].attributes == [LayerEntry.Attribute(name: Array("user.k".utf8), value: Array("v".utf8))])
        #expect(entries[1].path == Array("y".utf8))
        #expect(entries[1].attributes.isEmpty)
    }

    @Test(arguments: ["..a", "a..", "a/...", "/a"])
    func `a harmless name with dots is taken`(name: String) throws {
        #expect(try members(tarMember(name) + tarEnd).count == 1)
    }
}
