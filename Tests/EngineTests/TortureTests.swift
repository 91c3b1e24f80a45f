import Foundation
import Testing

/// Images of everything that layers hold and engines get wrong, member by member after a pull.
///
/// `Tests/Support/torture-images` makes them, `Tests/Support/check-tree` says with Python's tarfile and a merge of its own what
/// they must show.
@Suite(.serialized) struct TortureTests {
    private static let support = Lab.root.path + "/Tests/Support"
    private static let drivers = ["erofs", "directory"]

    /// What some paths are, said by hand: keys as check-tree has them, nil for what must not be there.
    private static let facts: [String: [String: [String: any Sendable]?]] = [
        "torture": [
            "t/suid": ["mode": 0o4755, "uid": 1000, "gid": 50],
            "t/cap": ["xattrs": ["security.capability": "0100000200200000000000000000000000000000"]],
            "t/overlay": ["xattrs": ["user.kept": "31"], "size": 1],
            "t/xattrdir": ["xattrs": ["user.onadir": "31", "trusted.mine": "32"]],
            "t/subsec": ["mtime": 1_700_000_000_123_456_789],
            "t/before1970": ["mtime": -86_400_000_000_000],
            "t/before1970subsec": ["mtime": -1_250_000_000],
            "t/noparent/a": ["kind": "directory", "mode": 0o755, "uid": 0],
            "t/lexical": ["size": 1],
            "t/x": nil,
            "t/up": ["target": "../../../../../../etc/passwd"],
            "t/hl3": ["links": ["t/hl-target", "t/hl1", "t/hl2", "t/hl3"], "mode": 0o640, "uid": 7],
            "t/hl-to-sym": ["kind": "symlink", "links": ["t/abs", "t/hl-to-sym"]],
            "t/loop": ["kind": "block", "device": [7, 9], "mode": 0o660],
            "t/sparse": ["size": 20 << 20],
            "u/gone": ["kind": "directory"],
            "u/gone/back": ["size": 10],
            "u/gone/f0": nil,
            "u/.wh.gone": nil,
            "u/twice": nil,
            "u/keep/f0": nil,
            "u/keep/f1": ["size": 6],
            "u/opaque/before": ["size": 1],
            "u/opaque/after": ["size": 1],
            "u/opaque/f0": nil,
            "u/opaque/.wh..wh..opq": nil,
            "u/again/new": ["size": 1],
            "u/again/f0": nil,
            "u/again": ["mode": 0o710],
            "u/veiled/f0": ["size": 8],
            "u/veiled": ["xattrs": [String: String]()],
            "u/link2dir": ["kind": "directory"],
            "u/link2dir/in": ["size": 1],
            "u/dir2link": ["kind": "symlink", "target": "keep"],
            "u/tofile": ["kind": "file"],
            "u/merge": ["mode": 0o700, "uid": 5],
            "u/merge/f0": ["size": 7],
            "u/across2": ["links": ["u/across", "u/across2"], "mode": 0o600, "uid": 3],
            "u/across3": ["links": ["u/across3", "usr/lib/c"]],
            "usr/lib/a": nil,
            "usr/lib/b": nil,
            "usr/lib/through-relative": ["size": 1],
            "usr/lib/through-absolute": ["size": 1],
            "usr/lib/through-climbing": ["size": 1],
            "lib": ["kind": "symlink"],
        ],
        "torture-gnu": [
            "g/" + String(repeating: "g", count: 148) + "/" + String(repeating: "h", count: 149): ["size": 13],
            "g/" + String(repeating: "l", count: 200): ["target": String(repeating: "k", count: 500)],
            "g/twice": ["size": 11],
            "g/contiguous": ["kind": "file", "size": 10],
            "g/owner": ["uid": 2_100_000, "gid": 4_000_000_001, "mtime": -86_400_000_000_000],
            "g/sparse-gnu": ["size": 8 << 20],
            "g/sparse-0.0": ["size": 8 << 20],
            "g/pieces-0.1": ["size": 90_001],
            "g/hole-1.0": ["size": 1 << 20],
            "g/GNUSparseFile.0": nil,
        ],
    ]

    @Test(arguments: drivers)
    func `every member of the torture images is right after a pull, seen from a container and in its export`(
        driver: String
    ) throws {
        let lab = try Lab(configuration: #"{"storage-driver": "\#(driver)"}"#)
        let made = try Lab.run(
            "/usr/bin/env", ["python3", Self.support + "/torture-images", lab.directory, lab.registry])
        #expect(made.code == 0, "\(made.err)")
        #expect(try lab.docker("info").out.contains("Storage Driver: \(driver)\n"))
        for image in ["torture", "torture-gnu"] {
            let name = "\(lab.registry)/\(image)"
            let pulled = try lab.docker("pull", name)
            #expect(pulled.code == 0, "\(pulled.err)")
            let started = try lab.docker("run", "-d", ["--name", image, "--network", "none", name, "sleep", "600"])
            #expect(started.code == 0, "\(started.err)")
            let facts = "\(lab.directory)/\(image).json"
            try JSONSerialization.data(withJSONObject: (Self.facts[image] ?? [:]).mapValues { $0 ?? NSNull() as Any })
                .write(to: URL(filePath: facts))
            let pid = try lab.docker("inspect", "-f", ["{{.State.Pid}}", image]).text
            let export = "\(lab.directory)/\(image).tar"
            #expect(try lab.docker("export", "-o", [export, image]).code == 0)
            for root in ["/proc/\(pid)/root", export] {
                let checked = try Lab.run(
                    "/usr/bin/env", ["python3", Self.support + "/check-tree", "\(lab.directory)/\(image)", root, facts])
                #expect(checked.code == 0, "\(root) of \(image): \(checked.out)\(checked.err)")
                #expect(checked.text.hasSuffix("members agree"))
            }
        }
    }

    @Test(arguments: drivers)
    func `what a container does to an image is in its commit, and the same after a push and a pull`(driver: String)
        throws
    {
        let lab = try Lab(configuration: #"{"storage-driver": "\#(driver)"}"#)
        let made = try Lab.run(
            "/usr/bin/env", ["python3", Self.support + "/torture-images", lab.directory, lab.registry])
        #expect(made.code == 0, "\(made.err)")
        let work = """
            set -e; cd /u
            rm -r again && mkdir again && echo new > again/only
            rm twice 2>/dev/null || true; rm keep/f1; rm -r todir; mkdir todir.new; mv todir.new todir
            mv merge moved; ln across linked; chmod 4711 across3; chown 12:34 gone/back; rm -r opaque
            ln -s /u/moved opaque; mkfifo pipe; rm link2dir/in; echo more >> /usr/lib/through-relative
            """
        let changed = try lab.docker(
            "run", "--name", ["changed", "--network", "none", "\(lab.registry)/torture", "busybox", "sh", "-c", work])
        #expect(changed.code == 0, "\(changed.err)")
        let before = "\(lab.directory)/before.tar"
        #expect(try lab.docker("export", "-o", [before, "changed"]).code == 0)
        let copy = "\(lab.registry)/changed"
        #expect(try lab.docker("commit", "changed", copy).code == 0)
        #expect(try lab.docker("push", copy).code == 0)
        try lab.docker("rm", "changed")
        #expect(try lab.docker("rmi", copy).code == 0)
        let ran = try lab.docker("run", "-d", ["--name", "again", "--network", "none", copy, "sleep", "600"])
        #expect(ran.code == 0, "\(ran.err)")
        let pid = try lab.docker("inspect", "-f", ["{{.State.Pid}}", "again"]).text
        let checked = try Lab.run(
            "/usr/bin/env", ["python3", Self.support + "/check-tree", before, "/proc/\(pid)/root"])
        #expect(checked.code == 0, "\(checked.out)\(checked.err)")
    }
}
