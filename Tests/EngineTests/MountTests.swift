import Foundation
import Testing

/// What containers mount: volumes, binds, file systems in memory and images, as asked for and as told.
@Suite(.serialized)
final class MountTests {
    let lab: Lab
    let image = "mounts"

    init() throws {
        lab = try Lab()
        let script = """
            mkdir -p seed/sub
            echo seeded > seed/sub/file
            ln -s ../../../../../../../../../\(lab.directory) outside
            ln -s \(lab.directory) absolute
            ln -s loop loop
            mkdir -p \(lab.directory)/host/below
            echo mine > \(lab.directory)/host/file
            """
        try lab.makeImage(image, script, "-c 'CMD [\"true\"]'")
    }

    var host: String { lab.directory + "/host" }

    @discardableResult
    private func run(_ options: [String], _ command: String...) throws -> Lab.Output {
        try lab.docker("run", "--rm", ["--network", "none"] + options + [image] + command)
    }

    private func sh(_ options: [String], _ script: String) throws -> Lab.Output {
        try run(options, "sh", "-c", script)
    }

    /// What `docker inspect` tells of a mount, one line each, sorted by destination.
    private func inspected(_ options: [String]) throws -> [String] {
        let created = try lab.docker("create", "--network", ["none"] + options + [image, "true"])
        #expect(created.code == 0, "\(created.err)")
        let format =
            "{{range .Mounts}}{{.Type}} {{.Destination}} mode={{.Mode}} rw={{.RW}} p={{.Propagation}};\n{{end}}"
        let text = try lab.docker("inspect", "-f", [format, created.text]).text
        try lab.docker("rm", "-v", [created.text])
        return text.split(separator: "\n").map(String.init)
    }

    // MARK: Inspect

    @Test func `mounts are told as Docker tells them`() throws {
        let rows: [([String], String)] = [
            (["-v", "/x"], "volume /x mode= rw=true p=;"),
            (["-v", "data:/x"], "volume /x mode=z rw=true p=;"),
            (["-v", "data:/x:ro"], "volume /x mode=ro rw=false p=;"),
            (["-v", "data:/x:nocopy,Z"], "volume /x mode=nocopy,Z rw=true p=;"),
            (["-v", "\(host):/x"], "bind /x mode= rw=true p=rprivate;"),
            (["-v", "\(host):/x:ro,z"], "bind /x mode=ro,z rw=false p=rprivate;"),
            (["-v", "\(host):/x:cached"], "bind /x mode=cached rw=true p=rprivate;"),
            (["-v", "\(host):/x:slave"], "bind /x mode=slave rw=true p=slave;"),
            (["-v", "/:/x:ro"], "bind /x mode=ro rw=false p=rslave;"),
            (["--mount", "type=volume,src=data,dst=/x"], "volume /x mode=z rw=true p=;"),
            (["--mount", "type=volume,dst=/x"], "volume /x mode=z rw=true p=;"),
            (["--mount", "type=bind,src=\(host),dst=/x,ro"], "bind /x mode= rw=false p=rprivate;"),
            (["--mount", "type=tmpfs,dst=/x"], "tmpfs /x mode= rw=true p=;"),
            (["--mount", "type=image,src=mounts,dst=/x"], "image /x mode= rw=false p=;"),
        ]
        for (options, line) in rows {
            let told = try inspected(options)
            #expect(told == [line], "\(options): \(told)")
        }
    }

    // MARK: Refusals

    @Test func `mounts that cannot be are refused in Docker's words and make nothing`() throws {
        let long = String(repeating: "n", count: 256)
        let rows: [(String, String)] = [
            (#""Binds": ["data:relative"]"#, "mount path must be absolute"),
            (#""Binds": ["/:/"]"#, "destination can't be '/'"),
            (#""Binds": ["data:/x/../.."]"#, "destination can't be '/'"),
            (#""Binds": ["a/b:/x"]"#, "includes invalid characters for a local volume name"),
            (#""Binds": ["../x:/x"]"#, "includes invalid characters for a local volume name"),
            (#""Binds": ["a\u0001b:/x"]"#, "control character"),
            (#""Binds": ["data:/x\u000ay"]"#, "control character"),
            (#""Binds": ["\#(long):/x"]"#, "too long"),
            (#""Binds": ["data:/\#(long)"]"#, "too long"),
            (#""Binds": ["data:/x:ro,rw"]"#, "invalid mode: ro,rw"),
            (#""Binds": ["data:/x:rshared"]"#, "field BindOptions must not be specified"),
            (#""Binds": ["data:/x", "/tmp:/x/"]"#, "Duplicate mount point: /x"),
            (
                #""Binds": ["fresh:/x"], "Mounts": [{"Type": "tmpfs", "Target": "/x/."}]"#, "Duplicate mount point: /x"
            ),
            (#""Binds": ["data:/x"], "Tmpfs": {"/x/": ""}"#, "Duplicate mount point: /x"),
            (
                #""Mounts": [{"Type": "bind", "Source": "/nonexistent/a", "Target": "/x"}]"#,
                #"invalid mount config for type "bind": bind source path does not exist: /nonexistent/a"#
            ),
            (
                #""Binds": ["fresh:/y"], "Mounts": [{"Type": "bind", "Source": "/nonexistent/a", "Target": "/x"}]"#,
                "bind source path does not exist"
            ),
            (#""Mounts": [{"Type": "bind", "Source": "tmp", "Target": "/x"}]"#, "mount path must be absolute"),
            (
                #""Mounts": [{"Type": "volume", "Target": "/x", "ReadOnly": true}]"#,
                "must not set ReadOnly mode when using anonymous volumes"
            ),
            (
                #""Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "a"}}]"#,
                "must not set Subpath when using anonymous volumes"
            ),
            (
                #""Mounts": [{"Type": "volume", "Source": "v1", "Target": "/x", "VolumeOptions": {"Subpath": "../a"}}]"#,
                "subpath must be a relative path within the volume"
            ),
            (
                #""Mounts": [{"Type": "volume", "Source": "v1", "Target": "/x", "BindOptions": {"NonRecursive": true}}]"#,
                "field BindOptions must not be specified"
            ),
            (#""Mounts": [{"Type": "image", "Source": "nosuch", "Target": "/x"}]"#, "No such image: nosuch"),
            (#""Mounts": [{"Type": "image", "Target": "/x"}]"#, "field Source must not be empty"),
            (#""Mounts": [{"Type": "npipe", "Target": "/x"}]"#, "mount type unknown"),
            (
                #""Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/x", "BindOptions": {"ReadOnlyForceRecursive": true}}]"#,
                "must be read-only"
            ),
            (#""Binds": ["/:/x:rprivate"]"#, #"must use either propagation mode "rslave" or "rshared""#),
            (#""VolumesFrom": ["nobody"]"#, "No such container: nobody"),
            (#""VolumesFrom": ["nobody:rshared"]"#, "invalid mode: rshared"),
            (#""VolumesFrom": ["nobody:nocopy"]"#, "invalid mode: nocopy"),
            (#""VolumesFrom": [""]"#, "volumes-from specification cannot be an empty string"),
        ]
        for (members, words) in rows {
            let body = #"{"Image": "mounts", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", \#(members)}}"#
            let refused = try lab.api("POST", "/containers/create", body)
            #expect(refused.status == 400 && refused.message.contains(words), "\(members): \(refused.body)")
        }
        #expect(try lab.docker("volume", "ls", "-q").text.isEmpty)
        #expect(try lab.docker("ps", "-aq").text.isEmpty)
    }

    // MARK: Volumes

    @Test func `a colon in a path that an image declares is a letter of its name`() throws {
        let script = """
            tar -C \(lab.directory)/\(image) -c . | \(Lab.binaries)/docker import -c 'VOLUME ["\(host):/stolen"]' - hostile
            """
        #expect(try Lab.run("/bin/sh", ["-c", script], environment: lab.environment).code == 0)
        let seen = try lab.docker(
            "run", "--rm", ["--network", "none", "hostile", "sh", "-c", "ls -d /stolen; ls '\(host):/stolen'"])
        #expect(!seen.out.contains("file"), "\(seen.out)")
        #expect(seen.err.contains("/stolen: No such file"), "\(seen.err)")
    }

    @Test func `many spellings of one declared path are one volume`() throws {
        let body =
            #"{"Image": "mounts", "Cmd": ["true"], "Volumes": {"/a": {}, "/a/": {}, "/b/../a": {}}, "HostConfig": {"NetworkMode": "none"}}"#
        let created = try lab.api("POST", "/containers/create", body)
        #expect(try lab.docker("volume", "ls", "-q").text.split(separator: "\n").count == 1)
        try lab.docker("rm", "-v", [created.id])
        #expect(try lab.docker("volume", "ls", "-q").text.isEmpty)
    }

    @Test func `mounts of other containers come in order and give way to what is asked for`() throws {
        for name in ["one", "two"] {
            try lab.docker(
                "run", "--name",
                [
                    name, "--network", "none", "-v", "v\(name):/both", "-v", "/own\(name)", image, "sh", "-c",
                    "echo \(name) > /both/who",
                ])
        }
        #expect(try sh(["--volumes-from", "one", "--volumes-from", "two"], "cat /both/who").text == "two")
        #expect(try sh(["--volumes-from", "two", "--volumes-from", "one:ro"], "cat /both/who").text == "one")
        #expect(try sh(["--volumes-from", "one:ro"], "echo x > /both/y").code != 0)
        #expect(
            try sh(["--volumes-from", "one", "--volumes-from", "two"], "test -d /ownone && test -d /owntwo").code == 0)
        #expect(try sh(["--volumes-from", "one", "-v", "vtwo:/both"], "cat /both/who").text == "two")
        #expect(try sh(["--volumes-from", "one", "--tmpfs", "/both"], "ls /both").text.isEmpty)
        #expect(try sh(["-v", "vone:/a", "-v", "vtwo:/b"], "cat /a/who /b/who").text == "one\ntwo")
        #expect(try lab.docker("volume", "ls", "-q").text.split(separator: "\n").count == 4)
        // Nobody's any more once both who have them are gone.
        try lab.docker("create", "--name", ["heir", "--network", "none", "--volumes-from", "one", image])
        try lab.docker("rm", "-v", ["one"])
        #expect(try lab.docker("volume", "ls", "-q").text.split(separator: "\n").count == 4)
        try lab.docker("rm", "-v", ["heir"])
        #expect(try lab.docker("volume", "ls", "-q").text.split(separator: "\n").count == 3)
    }

    @Test func `an anonymous volume that another container names stays when that one goes`() throws {
        try lab.docker("create", "--name", ["first", "--network", "none", "-v", "/x", image])
        let name = try lab.docker("volume", "ls", "-q").text
        try lab.docker("rm", "first")
        #expect(try sh(["-v", "\(name):/y"], "echo kept > /y/file").code == 0)
        #expect(try lab.docker("volume", "ls", "-q").text == name)
        try lab.docker("volume", "prune", ["-f"])
        #expect(try lab.docker("volume", "ls", "-q").text.isEmpty)
    }

    @Test func `a volume is seeded unless that is declined, and a part of one can be mounted`() throws {
        #expect(try sh(["-v", "one:/seed:nocopy"], "ls /seed").text.isEmpty)
        #expect(try sh(["--mount", "type=volume,src=two,dst=/seed,volume-nocopy"], "ls /seed").text.isEmpty)
        #expect(
            try sh(["--mount", "type=volume,src=three,dst=/seed,volume-label=a=b"], "cat /seed/sub/file").text
                == "seeded")
        #expect(try lab.docker("volume", "inspect", ["-f", "{{.Labels.a}}", "three"]).text == "b")
        #expect(
            try sh(["--mount", "type=volume,src=three,dst=/x,volume-subpath=sub"], "cat /x/file").text == "seeded")
        #expect(
            try sh(["--mount", "type=volume,src=three,dst=/x,volume-subpath=sub/file"], "cat /x").text == "seeded")
        let missing = try sh(["--mount", "type=volume,src=three,dst=/x,volume-subpath=nosuch"], "true")
        #expect(missing.code != 0 && missing.err.contains("nosuch"), "\(missing.err)")
    }

    @Test func `a part of a volume never leads out of it`() throws {
        try run(
            ["-v", "trap:/t"], "sh", "-c",
            "ln -s / /t/root; ln -s ../../.. /t/up; ln -s \(host) /t/host; mkdir /t/in; ln -s in /t/ok")
        for part in ["root", "root/etc", "up", "host", "in/../../.."] {
            let refused = try sh(["--mount", "type=volume,src=trap,dst=/x,volume-subpath=\(part)"], "ls /x")
            #expect(refused.code != 0, "\(part): \(refused.out)")
        }
        #expect(try sh(["--mount", "type=volume,src=trap,dst=/x,volume-subpath=ok"], "ls -d /x").code == 0)
        try lab.docker(
            "create", "--name",
            ["part", "--network", "none", "--mount", "type=volume,src=trap,dst=/x,volume-subpath=host", image])
        let copied = try lab.docker("cp", "part:/x/file", ["-"])
        #expect(copied.code != 0, "\(copied.out)")
    }

    @Test func `a volume that is a file on the host is told`() throws {
        try lab.docker("volume", "create", ["data"])
        let path = lab.dataRoot + "/volumes/data/_data"
        try FileManager.default.removeItem(atPath: path)
        try Data().write(to: URL(filePath: path))
        let refused = try run(["-v", "data:/x"], "true")
        #expect(refused.code == 125 && refused.err.contains("not a directory"), "\(refused.err)")
        try FileManager.default.removeItem(atPath: path)
        let gone = try run(["-v", "data:/x"], "true")
        #expect(gone.code != 0 && gone.err.contains("no such file or directory"), "\(gone.err)")
    }

    // MARK: Binds

    @Test func `a missing source is made for -v at each start and not for --mount`() throws {
        let missing = lab.directory + "/made/here"
        try lab.docker(
            "create", "--name", ["binder", "--network", "none", "-v", "\(missing):/x", image, "test", "-d", "/x"])
        #expect(FileManager.default.fileExists(atPath: missing))
        try FileManager.default.removeItem(atPath: lab.directory + "/made")
        #expect(try lab.docker("start", "-a", ["binder"]).code == 0)
        #expect(FileManager.default.fileExists(atPath: missing))
        try FileManager.default.removeItem(atPath: lab.directory + "/made")
        try lab.docker(
            "create", "--name", ["strict", "--network", "none", "--mount", "type=bind,src=\(host)/below,dst=/x", image])
        try FileManager.default.removeItem(atPath: host + "/below")
        let refused = try lab.docker("start", "strict")
        #expect(
            refused.code != 0 && refused.err.contains("bind source path does not exist: \(host)/below"),
            "\(refused.err)")
        let created = try lab.api(
            "POST", "/containers/create",
            #"{"Image": "mounts", "HostConfig": {"NetworkMode": "none", "Mounts": [{"Type": "bind", "Source": "\#(missing)", "Target": "/x", "BindOptions": {"CreateMountpoint": true}}]}}"#
        )
        #expect(created.status == 201 && FileManager.default.fileExists(atPath: missing), "\(created.body)")
    }

    /// A file system in memory on `host/below`, in a mount that is shared; both go with `body`.
    private func withMountBelow(_ body: () throws -> Void) throws {
        let script = """
            set -e; mount --bind \(host) \(host); mount --make-rshared \(host); mount -t tmpfs none \(host)/below
            echo deep > \(host)/below/file
            """
        #expect(try Lab.run("/bin/sh", ["-c", script]).code == 0)
        defer { _ = try? Lab.run("/bin/umount", ["-lR", host]) }
        try body()
    }

    @Test func `what is mounted below a source comes along, read-only as far as asked`() throws {
        try withMountBelow {
            let bind = "type=bind,src=\(host),dst=/x"
            let rows: [(String, String, Int32)] = [
                ("", "cat /x/below/file; echo x > /x/below/a && echo x > /x/a", 0),
                (",ro", "echo x > /x/a", 1), (",ro", "echo x > /x/below/a", 1),
                (",ro,bind-recursive=writable", "echo x > /x/a", 1),
                (",ro,bind-recursive=writable", "echo x > /x/below/a", 0),
                (",ro,bind-recursive=readonly,bind-propagation=rprivate", "echo x > /x/below/a", 1),
                (",bind-recursive=disabled", "test -e /x/below/file", 1),
            ]
            for (options, script, code) in rows {
                let ended = try sh(["--mount", bind + options], script)
                #expect(ended.code == code, "\(options): \(ended.err)")
            }
        }
    }

    @Test func `mounts reach a running container as its propagation says`() throws {
        try withMountBelow {
            for mode in ["rprivate", "rslave", "rshared"] {
                try lab.docker(
                    "run", "-d",
                    [
                        "--name", mode, "--privileged", "--network", "none", "-v", "\(host):/x:\(mode)", image, "sleep",
                        "600",
                    ])
            }
            let late = "mkdir \(host)/late; mount -t tmpfs none \(host)/late; echo late > \(host)/late/file"
            #expect(try Lab.run("/bin/sh", ["-c", late]).code == 0)
            #expect(try lab.docker("exec", "rprivate", ["cat", "/x/late/file"]).code != 0)
            #expect(try lab.docker("exec", "rslave", ["cat", "/x/late/file"]).text == "late")
            #expect(try lab.docker("exec", "rshared", ["cat", "/x/late/file"]).text == "late")
            for mode in ["rslave", "rshared"] {
                let script = "mkdir /x/\(mode); mount -t tmpfs none /x/\(mode); echo > /x/\(mode)/file"
                #expect(try lab.docker("exec", mode, ["sh", "-c", script]).code == 0)
                #expect(FileManager.default.fileExists(atPath: "\(host)/\(mode)/file") == (mode == "rshared"))
            }
            try lab.docker("rm", "-f", ["rprivate", "rslave", "rshared"])
        }
    }

    @Test func `propagation that the source cannot give is refused`() throws {
        let script = "mount --bind \(host) \(host); mount --make-private \(host)"
        #expect(try Lab.run("/bin/sh", ["-c", script]).code == 0)
        defer { _ = try? Lab.run("/bin/umount", ["-l", host]) }
        let shared = try run(["-v", "\(host):/x:rshared"], "true")
        #expect(shared.err.contains("path \(host) is mounted on \(host) but it is not a shared mount"), "\(shared.err)")
        let slave = try run(["-v", "\(host)/below:/x:slave"], "true")
        #expect(slave.err.contains("is mounted on \(host) but it is not a shared or slave mount"), "\(slave.err)")
    }

    // MARK: Memory and images

    @Test func `a file system in memory has the size and mode that were asked for`() throws {
        let options = ["--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=0750"]
        #expect(try sh(options, "stat -c %a /x; df -k /x | tail -1 | awk '{print $2}'").text == "750\n1024")
        #expect(try sh(options, "dd if=/dev/zero of=/x/f bs=1M count=2").code != 0)
        #expect(try sh(["--mount", "type=tmpfs,dst=/x,ro"], "echo > /x/f").code != 0)
    }

    @Test func `an image can be mounted, whole or in part, and is kept meanwhile`() throws {
        let script =
            "mkdir -p \(lab.directory)/other/part; cd \(lab.directory)/other; echo whole > a; echo some > part/b; ln -s \(host) part/out; tar -c . | \(Lab.binaries)/docker import - other"
        #expect(try Lab.run("/bin/sh", ["-c", script], environment: lab.environment).code == 0)
        #expect(
            try sh(["--mount", "type=image,src=other,dst=/x"], "cat /x/a /x/part/b; echo > /x/new").out
                == "whole\nsome\n")
        #expect(try sh(["--mount", "type=image,src=other,dst=/x,image-subpath=part"], "cat /x/b").text == "some")
        #expect(try sh(["--mount", "type=image,src=other,dst=/x,image-subpath=part/out"], "ls /x").code != 0)
        #expect(
            try sh(
                ["--mount", "type=image,src=mounts,dst=/x", "--mount", "type=image,src=other,dst=/y"],
                "cat /x/seed/sub/file /y/a"
            ).text == "seeded\nwhole")
        try lab.docker(
            "run", "-d",
            ["--name", "holder", "--network", "none", "--mount", "type=image,src=other,dst=/x", image, "sleep", "600"])
        #expect(try lab.docker("rmi", "other").code != 0)
        #expect(try lab.docker("rmi", "-f", ["other"]).code == 0)
        lab.killDaemon()
        try lab.startDaemon()
        #expect(try lab.docker("exec", "holder", ["cat", "/x/a"]).text == "whole")
        try lab.docker("restart", "-t", ["0", "holder"])
        #expect(try lab.docker("exec", "holder", ["cat", "/x/a"]).text == "whole")
        #expect(try lab.docker("cp", "holder:/x/a", [lab.directory + "/copied"]).code == 0)
        try lab.docker("rm", "-f", ["holder"])
    }

    // MARK: Hostile images

    @Test func `a target that is a link stays in the container`() throws {
        for target in ["/outside/new", "/absolute/new"] {
            let ended = try sh(["-v", "data:\(target)"], "echo x > \(target)/file")
            #expect(ended.code == 0, "\(target): \(ended.err)")
        }
        #expect(!FileManager.default.fileExists(atPath: lab.directory + "/new"))
        #expect(try run(["-v", "\(host):/loop/x"], "true").code != 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: host).sorted() == ["below", "file"])
    }
}
