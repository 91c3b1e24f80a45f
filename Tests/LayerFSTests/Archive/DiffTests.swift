import Glibc
import Kernel
import Testing

@testable import LayerFS

@Suite(.serialized) struct DiffTests {
    /// A scratch directory with an overlay mounted on `merged`, changed by `script` from inside it.
    private func overlay(_ scratch: borrowing ArchiveScratch, _ script: String) throws {
        try archiveShell(
            """
            cd '\(scratch.path)'; mkdir -p lower/etc lower/old/in lower/gone lower/swap up merged work
            echo p > lower/etc/passwd; echo h > lower/etc/other; echo 1 > lower/old/in/x; echo 2 > lower/old/y; echo 3 > lower/gone/f
            echo s > lower/swap/s; echo f > lower/file
            mount -t overlay overlay -o lowerdir=lower,upperdir=up,workdir=work,redirect_dir=off,metacopy=off,index=off merged
            cd merged; \(script); cd ..; umount merged
            """)
    }

    private func diff(_ scratch: borrowing ArchiveScratch, _ exclusions: DiffExclusions = DiffExclusions()) throws
        -> OverlayDiff
    {
        OverlayDiff(upper: try scratch.directory("up"), lower: try scratch.directory("lower"), exclusions: exclusions)
    }

    @Test(arguments: [
        ("echo x >> etc/passwd", ["C /etc", "C /etc/passwd"]),
        ("mkdir -p n/m; : > n/m/f", ["A /n", "A /n/m", "A /n/m/f"]),
        ("rm -r gone", ["D /gone"]),
        ("rm old/in/x", ["C /old", "C /old/in", "D /old/in/x"]),
        ("rm -r old; mkdir old; : > old/new", ["C /old", "A /old/new", "D /old/in", "D /old/y"]),
        ("rm -r swap; echo f > swap", ["C /swap"]),
        ("rm file; mkdir file; : > file/a", ["C /file", "A /file/a"]),
        ("chmod 600 file", ["C /file"]),
        ("chmod 700 etc", ["C /etc"]),
        ("mv file moved", ["D /file", "A /moved"]),
        (": > etc/hosts; : > etc/resolv.conf", []),
        (": > etc/hosts; rm etc/other", ["C /etc", "D /etc/other"]),
        ("mkdir vol; : > vol/secret", ["A /vol"]),
        (":", []),
    ])
    func `docker diff lists what was done to the image`(script: String, expected: [String]) throws {
        let scratch = try ArchiveScratch()
        try overlay(scratch, script)
        let exclusions = DiffExclusions(omitted: ["/etc/hosts", "/etc/resolv.conf"], hollow: ["/vol"])
        let lines = try diff(scratch, exclusions).changes().map { "\($0.kind.letter) \($0.text)" }
        #expect(
            lines.sorted { $0.dropFirst(2) < $1.dropFirst(2) } == expected.sorted { $0.dropFirst(2) < $1.dropFirst(2) })
    }

    @Test func `the layer of a commit has whiteouts and opaque marks and no engine files`() throws {
        let scratch = try ArchiveScratch()
        try overlay(
            scratch,
            "rm -r gone; rm -r old; mkdir old; : > old/new; : > etc/hosts; echo n > etc/new; ln etc/new etc/alias; mkdir vol; : > vol/secret"
        )
        let changes = try diff(scratch, DiffExclusions(omitted: ["/etc/hosts"], hollow: ["/vol"]))
        try writeArchive(scratch.path + "/x.tar") { (sink) throws(LayerError) in try changes.layerTar(sink: sink) }
        let names = try archiveShell("tar -tf '\(scratch.path)/x.tar'").split(separator: "\n").map(String.init)
        #expect(names == ["etc/", "etc/alias", "etc/new", ".wh.gone", "old/", "old/.wh..wh..opq", "old/new", "vol/"])
        #expect(try archiveShell("tar --xattrs -tvvf '\(scratch.path)/x.tar' | grep -c overlay || true") == "0\n")
        try writeArchive(scratch.path + "/y.tar") { (sink) throws(LayerError) in try changes.layerTar(sink: sink) }
        try archiveShell("cmp '\(scratch.path)/x.tar' '\(scratch.path)/y.tar'")
    }

    @Test func `whiteouts in the form of attributes are deletions`() throws {
        let scratch = try ArchiveScratch()
        try overlay(scratch, ":")
        try archiveShell(": > '\(scratch.path)/up/file'")
        try scratch.mark("up/file", "trusted.overlay.whiteout", "y")
        #expect(try diff(scratch).changes() == [Change(.deleted, Array("/file".utf8))])
    }

    @Test(arguments: ["redirect", "metacopy"])
    func `a layer whose content is elsewhere is refused`(feature: String) throws {
        let scratch = try ArchiveScratch()
        try overlay(scratch, ":")
        try archiveShell("mkdir '\(scratch.path)/up/d'")
        try scratch.mark("up/d", "trusted.overlay.\(feature)", "/x")
        let changes = try diff(scratch)
        #expect(throws: LayerError.self) { try changes.changes() }
    }

    @Test func `a file whose name would mean a deletion is refused`() throws {
        let scratch = try ArchiveScratch()
        try overlay(scratch, ": > .wh.passwd")
        let changes = try diff(scratch)
        #expect(throws: LayerError.self) { try changes.layerTar { (_) throws(LayerError) in } }
    }
}
