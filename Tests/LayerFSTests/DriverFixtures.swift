import Testing

@testable import LayerFS

/// Layer sequences that the drivers must show alike.
struct TreeFixture: CustomTestStringConvertible, Sendable {
    let name: String
    let layers: @Sendable () -> [LayerBuilder]
    var testDescription: String { name }

    init(_ name: String, _ fill: (@Sendable (inout LayerBuilder) -> Void)...) {
        self.name = name
        layers = {
            fill.map { fill in
                var builder = LayerBuilder()
                fill(&builder)
                return builder
            }
        }
    }

    static let all: [TreeFixture] =
        [busybox, kinds, metadata, links, names, attributes, sparse, whiteouts, replacements, throughLinks, large]
        + [empty, manyLayers]

    static let empty = TreeFixture("an image without files", { _ in })

    static let busybox = TreeFixture(
        "280 hard links to one file",
        { layer in
            layer.directory("bin")
            layer.file("bin/busybox", String(repeating: "busy", count: 5000), mode: 0o755)
            for index in 0..<280 { layer.hardlink("bin/applet\(index)", "bin/busybox") }
        })

    static let kinds = TreeFixture(
        "every kind of file",
        { layer in
            layer.directory("", mode: 0o711, mtime: 1_234_567)
            layer.directory("t")
            layer.file("t/zero")
            layer.file("t/one-block", String(repeating: "z", count: 512))
            layer.file("t/513", String(repeating: "z", count: 513))
            layer.file("t/pages", String(repeating: "0123456789abcdef", count: 2000))
            layer.file("t/noparent/a/b/file", "parents are not in the tar")
            layer.device("t/fifo", .fifo, 0, 0)
            layer.device("t/null", .character, 1, 3)
            layer.device("t/loop", .block, 7, 9, mode: 0o660)
            layer.device("t/large-numbers", .character, 4095, 1_048_575)
            layer.symlink("t/abs", "/etc/passwd")
            layer.symlink("t/up", "../../../../../../etc/passwd")
            layer.symlink("t/dangling", "nowhere")
        })

    static let metadata = TreeFixture(
        "modes, owners and times",
        { layer in
            layer.file("t/suid", "s", mode: 0o4755)
            layer.file("t/sgid", "s", mode: 0o2755, uid: 1000, gid: 50)
            layer.directory("t/sticky", mode: 0o1777)
            layer.directory("t/sgiddir", mode: 0o2775, gid: 50)
            layer.directory("t/closed", mode: 0)
            layer.file("t/closed/in", "no rights above")
            layer.file("t/ro", "no rights", mode: 0)
            layer.file("t/all", "all rights", mode: 0o7777)
            layer.file("t/biguid", "u", uid: 3_000_000_000, gid: 2_999_999_999)
            layer.file("t/miduid", "u", uid: 65536, gid: 65535)
            layer.file("t/subsec", "m", nanoseconds: 123_456_789)
            layer.file("t/before1970", "m", mtime: -86400)
            layer.file("t/before1970subsec", "m", mtime: -86400, nanoseconds: 999_999_999)
            layer.file("t/late", "m", mtime: 4_000_000_000)
        })

    static let links = TreeFixture(
        "hard links across layers",
        { layer in
            layer.file("t/target", "hard", mode: 0o640, uid: 7)
            layer.symlink("t/abs", "/etc/passwd")
            layer.hardlink("t/hl1", "t/target")
            layer.hardlink("t/hl-to-sym", "t/abs")
            layer.hardlink("t/hl-to-hl", "t/hl1")
            layer.device("t/fifo", .fifo, 0, 0)
            layer.hardlink("t/fifo2", "t/fifo")
        },
        { layer in
            layer.hardlink("t/across", "t/target")
            layer.file("t/.wh.target")
            layer.file("t/hl1", "replaced")
            layer.hardlink("t/itself", "t/across")
            layer.hardlink("t/itself", "t/itself")
        })

    static let names = TreeFixture(
        "long and strange names",
        { layer in
            layer.directory("t")
            let long = (0..<8).map { "long-component-\($0)-" + String(repeating: "n", count: 80) }.joined(
                separator: "/")
            layer.file("t/" + long, "long name")
            layer.hardlink("t/hl-long", "t/" + long)
            layer.file("t/" + String(repeating: "m", count: 255), "255")
            for index in 0..<40 {
                layer.file("t/wide/" + String(repeating: "\(index % 10)", count: 230) + "\(index)", "w")
            }
            for length in [1, 400, 447, 448, 449, 480, 511, 512, 513, 1000, 2000, 4000] {
                layer.symlink("t/link\(length)", String(repeating: "x", count: length))
            }
            layer.file("t/ünïcodé-名前", "utf8")
            layer.file("t/ sp ace\tand\nnewline", "ws")
            for first in ["-", "!", "+", " ", ".a", "..a", "...", ".-", "..-", "~", "#"] {
                layer.file("t/sort/\(first)", first)
            }
            let deep = (0..<1000).map { _ in "d" }.joined(separator: "/")
            layer.file("deep/" + deep, "deep")
            layer.add(
                LayerEntry(path: Array("t/not-utf8-".utf8) + [0xFF, 0xFE, 0x80], kind: .file, mode: 0o600),
                content: [1, 2, 3])
        })

    static let attributes = TreeFixture(
        "extended attributes",
        { layer in
            let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0] + [UInt8](repeating: 0, count: 12)
            layer.file("t/cap", "c", mode: 0o755, attributes: [("security.capability", capability)])
            layer.file("t/cap-owned", "c", mode: 0o4755, uid: 9, attributes: [("security.capability", capability)])
            layer.file(
                "t/user", "u",
                attributes: [("user.hello", Array("wörld".utf8)), ("user.empty", []), ("user.bin", [0, 10, 61])])
            layer.directory("t/dir", attributes: [("user.onadir", [49]), ("trusted.mine", [50])])
            layer.file("t/large", "u", attributes: [("user.large", [UInt8](repeating: 7, count: 3000))])
            layer.file("t/blank", attributes: [("user.a", [1]), ("user.b", [2])])
            let list: [UInt8] = [
                2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 5, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16,
                0, 4, 0,
                255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
            ]
            layer.file("t/acl", "a", mode: 0o644, attributes: [("system.posix_acl_access", list)])
        },
        { layer in layer.directory("t/dir", attributes: [("user.new", [51])]) })

    static let sparse = TreeFixture(
        "sparse files",
        { layer in
            layer.file("before", "b")
            layer.sparseFile("s/a", size: 5 << 20, data: [(1 << 20, [UInt8](repeating: 67, count: 4096))])
            layer.sparseFile("s/hole", size: 3_000_001, data: [])
            layer.sparseFile("s/ends", size: 70001, data: [(0, [1]), (70000, [2])])
        })

    static let whiteouts = TreeFixture(
        "whiteouts",
        { layer in
            for name in ["gone", "opaque", "keep", "merge", "both", "again", "bare"] {
                for index in 0..<5 { layer.file("t/\(name)/f\(index)", "\(name)\(index)", uid: 3) }
                layer.file("t/\(name)/sub/deep/f", "deep")
            }
            layer.file("t/twice", "once")
        },
        { layer in
            layer.directory("t")
            layer.file("t/.wh.gone")
            layer.file("t/.wh.twice")
            layer.file("t/keep/.wh.f0")
            layer.file("t/.wh.never-existed")
            layer.file("nowhere/.wh.x")
            layer.directory("t/opaque")
            layer.file("t/opaque/new-before", "n")
            layer.file("t/opaque/sub/new-before", "n")
            layer.file("t/opaque/.wh..wh..opq")
            layer.file("t/opaque/new-after", "n")
            layer.directory("t/merge", mode: 0o700, uid: 5)
            layer.file("t/merge/f9", "9")
            layer.file("t/.wh.both")
            layer.directory("t/both", mode: 0o750)
            layer.file("t/both/new", "n")
            layer.directory("t/again", mode: 0o710)
            layer.file("t/again/new", "n")
            layer.file("t/.wh.again")
            layer.file("t/bare/sub/new", "n")
            layer.file("t/.wh.bare")
            layer.file("t/.wh..wh.aufs")
            layer.file("t/.wh..wh.plnk/x", "x")
        },
        { _ in },
        { layer in
            layer.directory("t/gone")
            layer.file("t/gone/back", "back again")
        })

    static let replacements = TreeFixture(
        "one kind of file in place of another",
        { layer in
            for name in ["todir", "tofile", "keep"] { layer.file("t/\(name)/f", name) }
            layer.file("t/file2dir", "f")
            layer.symlink("t/link2dir", "keep")
            layer.file("t/dir2link/x", "x")
            layer.file("t/file-parent", "f")
            layer.file("t/twice", "first")
            layer.file("t/twice", "second wins")
            layer.file("t/tofifo", "f")
        },
        { layer in
            layer.directory("t/file2dir")
            layer.file("t/file2dir/in", "d")
            layer.directory("t/link2dir")
            layer.file("t/link2dir/in", "d")
            layer.symlink("t/dir2link", "keep")
            layer.file("t/tofile", "was a directory")
            layer.file("t/file-parent/in", "the file went")
            layer.device("t/tofifo", .fifo, 0, 0)
        })

    static let throughLinks = TreeFixture(
        "entries and whiteouts through symbolic links",
        { layer in
            layer.file("usr/lib/a", "a")
            layer.file("usr/lib/b", "b")
            layer.symlink("lib", "usr/lib")
            layer.symlink("abs", "/usr/lib")
            layer.symlink("climb", "../../../usr/./lib/../lib")
            layer.symlink("chain", "climb")
            layer.symlink("dangling", "made/here")
        },
        { layer in
            layer.file("lib/new", "new")
            layer.file("abs/.wh.a")
            layer.file("chain/deep/er", "x")
            layer.file("dangling/file", "f")
            layer.hardlink("hl", "abs/b")
            layer.symlink("same", "usr")
            layer.file("same/layer", "l")
        },
        { layer in
            layer.file("lib/.wh..wh..opq")
            layer.file("lib/only", "o")
        })

    static let large = TreeFixture(
        "directories of ten thousand",
        { layer in
            for index in 0..<10_000 {
                layer.file("many/file-\((index &* 7919) % 10_000)", index % 50 == 0 ? "content" : "")
            }
            for index in 0..<300 { layer.directory("dirs/\(index)") }
        })

    static let manyLayers: TreeFixture = {
        let fill: @Sendable (Int) -> LayerBuilder = { index in
            var layer = LayerBuilder()
            layer.directory("app")
            for file in 0..<5 { layer.file("app/l\(index)-\(file)", "layer \(index) file \(file)") }
            layer.file("app/version", "\(index)")
            if index % 5 == 4 { layer.file("app/.wh.l\(index - 1)-0") }
            return layer
        }
        return TreeFixture("65 layers", made: { (0..<65).map(fill) })
    }()

    private init(_ name: String, made: @escaping @Sendable () -> [LayerBuilder]) {
        self.name = name
        layers = made
    }
}
