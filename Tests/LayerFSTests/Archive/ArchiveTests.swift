import Foundation
import Glibc
import Kernel
import Testing

@testable import LayerFS

@Suite(.serialized) struct ArchiveTests {
    private let tree = """
        mkdir -p tree/sub tree/var tree/run; cd tree; echo one > a; ln a b; ln -s /nowhere link; ln -s /run var/run; mkfifo pipe
        head -c 300001 /dev/urandom > sub/blob; : > empty; long=$(printf 'n%.0s' $(seq 200)); echo l > "sub/$long"; ln -s "$long" sub/l
        printf 'u' > 'sub/ünï'; truncate -s 1M sub/sparse; mknod null c 1 3; chown 3000000:77 a; chmod 4750 a; chmod 1777 sub
        touch -h -d '1999-12-31 23:59:59.123456789' link; touch -d '1969-01-01 00:00:00.25' sub/blob; touch -d '1969-12-31 23:59:59.5 UTC' empty
        """

    @Test(arguments: ["cat", "gzip -c", "zstd -qc", "bzip2 -c", "xz -c"])
    func `an exported tree comes back the same through GNU tar and through us`(compressor: String) throws {
        let scratch = try ArchiveScratch()
        try archiveShell("cd '\(scratch.path)'; mkdir gnu ours; \(tree)")
        let capability = "security.capability"
        try scratch.mark("tree/sub/blob", "user.demo", "value")
        try scratch.mark("tree/sub/blob", capability, "\u{1}\0\0\u{2}" + String(repeating: "\0", count: 16))
        let wanted = try scratch.attribute("tree/sub/blob", capability)
        try writeArchive(scratch.path + "/x.tar") { (sink) throws(LayerError) in
            let root: OwnedFD
            do throws(SystemError) { root = try scratch.directory("tree") } catch { throw LayerError(error, "test") }
            try FileTreeArchive(root: root).export(sink: sink)
        }
        try archiveShell(
            "cd '\(scratch.path)'; tar --xattrs --xattrs-include='*' --same-owner -xpf x.tar -C gnu; \(compressor) x.tar > y.tar"
        )
        try extractArchive(scratch.path + "/y.tar", root: try scratch.directory("ours"))
        #expect(try scratch.fingerprint("gnu") == scratch.fingerprint("tree"))
        #expect(try scratch.fingerprint("ours") == scratch.fingerprint("tree"))
        for copy in ["gnu", "ours"] {
            #expect(try scratch.attribute(copy + "/sub/blob", "user.demo") == Array("value".utf8))
            #expect(try wanted != nil && scratch.attribute(copy + "/sub/blob", capability) == wanted)
        }
    }

    @Test(arguments: [
        ("/tree/sub", "sub/"), ("/tree/sub/.", "./"), ("/tree/a", "a"), ("/tree/link", "link"),
        ("/tree/var/run", "run"),
        ("tree/../tree/sub/", "sub/"), ("/../tree/var/run/.", "./"),
    ])
    func `the first member is named as Docker names it`(path: String, first: String) throws {
        let scratch = try ArchiveScratch()
        try archiveShell("cd '\(scratch.path)'; \(tree); cd ..; mkdir run; : > run/inside")
        let root = FileTreeArchive(root: try OwnedFD.open(scratch.path, O_RDONLY | O_DIRECTORY))
        try writeArchive(scratch.path + "/x.tar") { (sink) throws(LayerError) in try root.create(path, sink: sink) }
        #expect(try archiveShell("tar -tf '\(scratch.path)/x.tar' | head -1") == first + "\n")
    }

    @Test func `the status of a link tells where it ends inside the container`() throws {
        let scratch = try ArchiveScratch()
        try archiveShell(
            "cd '\(scratch.path)'; mkdir -p var run; ln -s ../../../run var/run; ln -s var/run/x dangling; echo 12345 > run/f"
        )
        let root = FileTreeArchive(root: try OwnedFD.open(scratch.path, O_RDONLY | O_DIRECTORY))
        let link = try root.status(of: "/var/run")
        #expect(link.linkTarget == "/run" && link.name == "run" && link.mode & (1 << 27) != 0)
        #expect(try root.status(of: "/dangling").linkTarget == "/run/x")
        #expect(try root.status(of: "/var/run/f").size == 6)
        #expect(try root.status(of: "/var/run/").mode & (1 << 31) != 0)
        #expect(throws: LayerError.self) { try root.status(of: "/absent") }
        #expect(throws: LayerError.self) { try root.status(of: "/run/f/") }
    }

    @Test(arguments: [
        "ln -s ../outside d; tar -cf x.tar d; rm d; mkdir d; echo evil > d/f; tar -rf x.tar d/f",
        "ln -s '$OUT' d; tar -cf x.tar d; rm d; mkdir d; echo evil > d/f; tar -rf x.tar d/f",
        "echo evil > f; tar -cPf x.tar --transform 's,^,../outside/,' f",
        "echo evil > f; tar -cPf x.tar --transform \"s,^,$OUT/,\" f",
        "ln -s '$OUT/secret' s; tar -cf x.tar s; rm s; echo evil > s; tar -rf x.tar s",
        "ln -s '$OUT' p; echo evil > q; tar -cf x.tar p; tar -rf x.tar --transform 's,q,p/../../outside/q,' q",
    ])
    func `a hostile archive changes nothing outside`(recipe: String) throws {
        let scratch = try ArchiveScratch()
        let out = scratch.path + "/outside"
        try archiveShell(
            "cd '\(scratch.path)'; mkdir outside root make; echo s > outside/secret; cd make; OUT='\(out)'; \(recipe.replacingOccurrences(of: "'$OUT", with: "'" + out))"
        )
        let before = try scratch.fingerprint("outside")
        try? extractArchive(scratch.path + "/make/x.tar", root: try scratch.directory("root"))
        #expect(try scratch.fingerprint("outside") == before)
    }

    @Test func `a link of the container to one of its own directories keeps working`() throws {
        let scratch = try ArchiveScratch()
        try archiveShell(
            "cd '\(scratch.path)'; mkdir -p root/var root/run make/var/run; ln -s /run root/var/run; echo hi > make/var/run/f; tar -C make -cf x.tar var/run/f; tar -C make/var/run -cf y.tar f"
        )
        try extractArchive(scratch.path + "/x.tar", root: try scratch.directory("root"))
        #expect(try archiveShell("cat '\(scratch.path)/root/run/f'") == "hi\n")
        try archiveShell("rm '\(scratch.path)/root/run/f'")
        try extractArchive(scratch.path + "/y.tar", root: try scratch.directory("root"), path: "/var/run")
        #expect(
            try archiveShell("cat '\(scratch.path)/root/run/f'; readlink '\(scratch.path)/root/var/run'")
                == "hi\n/run\n")
    }

    @Test func `a directory and something else do not replace each other when that is forbidden`() throws {
        let scratch = try ArchiveScratch()
        try archiveShell(
            "cd '\(scratch.path)'; mkdir -p root/x make; echo 1 > root/x/keep; echo 2 > make/x; tar -C make -cf x.tar x"
        )
        #expect(throws: LayerError.self) {
            try extractArchive(
                scratch.path + "/x.tar", root: try scratch.directory("root"),
                options: ExtractOptions(noOverwriteDirNonDir: true))
        }
        #expect(try archiveShell("cat '\(scratch.path)/root/x/keep'") == "1\n")
        try extractArchive(
            scratch.path + "/x.tar", root: try scratch.directory("root"),
            options: ExtractOptions(owner: .init(uid: 7, gid: 8)))
        #expect(try archiveShell("stat -c '%F %u %g' '\(scratch.path)/root/x'") == "regular file 7 8\n")
    }

    @Test func `a container that flips a directory and a link gets nothing outside written`() throws {
        let scratch = try ArchiveScratch()
        try archiveShell(
            "cd '\(scratch.path)'; mkdir -p root/d outside make/d; echo s > outside/secret; echo evil > make/d/secret; echo e > make/d/new; tar -C make -cf x.tar d/secret d/new"
        )
        let before = try scratch.fingerprint("outside")
        let directory = scratch.path + "/root/d"
        let outside = scratch.path + "/outside"
        let stop = Guarded(false)
        let ended = Guarded(false)
        try Threads.start("flipper") {
            while !stop.withLock({ $0 }) {
                rename(directory, directory + ".real")
                symlink(outside, directory)
                unlink(directory)
                rename(directory + ".real", directory)
            }
            ended.withLock { $0 = true }
        }
        for _ in 0..<500 { try? extractArchive(scratch.path + "/x.tar", root: try scratch.directory("root")) }
        stop.withLock { $0 = true }
        ended.wait(until: { $0 }) { _ in }
        #expect(try scratch.fingerprint("outside") == before)
    }
}
