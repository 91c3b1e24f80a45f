import Foundation
import Testing

/// Limits that change while a container runs, what older clients mean, and how containers end.
@Suite(.serialized)
final class LimitTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.loadedImage()
    }

    private func sleeper(_ name: String, _ options: String...) throws {
        let ran = try lab.docker(
            "run", "-d", ["--name", name, "--network", "none"] + options + [image, "sleep", "600"])
        guard ran.code == 0 else { throw LabFailure(ran.err) }
    }

    private func inspect(_ name: String, _ template: String) throws -> String {
        try lab.docker("inspect", "-f", [template, name]).text
    }

    /// A file of one of the container's control groups, and what is in it.
    private typealias Setting = (file: String, text: String)

    /// Looks into the container's control groups of whichever version the machine has.
    private func expect(_ name: String, _ one: Setting, _ two: Setting, _ comment: Comment? = nil) throws {
        let setting = Lab.hasUnifiedControllers ? two : one
        #expect(
            try lab.docker("exec", name, ["cat", "/sys/fs/cgroup/\(setting.file)"]).text == setting.text, comment)
    }

    // MARK: Updates

    /// What Docker's client sends with `docker update`: every member, zero for what was not given.
    private static let zeros = #"""
        "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": null,
        "BlkioDeviceReadBps": null, "BlkioDeviceWriteBps": null, "BlkioDeviceReadIOps": null, "BlkioDeviceWriteIOps": null,
        "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "", "CpusetMems": "",
        "Devices": null, "DeviceCgroupRules": null, "DeviceRequests": null, "MemoryReservation": 0, "MemorySwap": 0,
        "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null, "Ulimits": null, "CpuCount": 0,
        "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}
        """#

    @Test func `every limit that can be changed is changed in the running container, and nothing else`() throws {
        try sleeper("live", "-m", "64m", "--restart", "unless-stopped")
        let rows: [(flags: [String], one: Setting, two: Setting)] = [
            (["--memory", "48m"], ("memory/memory.limit_in_bytes", "50331648"), ("memory.max", "50331648")),
            (
                ["--memory", "96m", "--memory-swap", "192m"], ("memory/memory.memsw.limit_in_bytes", "201326592"),
                ("memory.swap.max", "100663296")
            ),
            (
                ["--memory-reservation", "32m"], ("memory/memory.soft_limit_in_bytes", "33554432"),
                ("memory.low", "33554432")
            ),
            (
                ["--memory-swap", "-1"], ("memory/memory.memsw.limit_in_bytes", "9223372036854771712"),
                ("memory.swap.max", "max")
            ),
            (["--cpu-shares", "512"], ("cpu/cpu.shares", "512"), ("cpu.weight", "20")),
            (["--cpu-period", "50000"], ("cpu/cpu.cfs_period_us", "50000"), ("cpu.max", "max 50000")),
            (["--cpu-quota", "20000"], ("cpu/cpu.cfs_quota_us", "20000"), ("cpu.max", "20000 50000")),
            (["--cpuset-cpus", "0"], ("cpuset/cpuset.cpus", "0"), ("cpuset.cpus", "0")),
            (["--cpuset-mems", "0"], ("cpuset/cpuset.mems", "0"), ("cpuset.mems", "0")),
            (["--pids-limit", "55"], ("pids/pids.max", "55"), ("pids.max", "55")),
            (["--pids-limit", "-1"], ("pids/pids.max", "max"), ("pids.max", "max")),
            (["--blkio-weight", "321"], ("blkio/blkio.bfq.weight", "321"), ("io.weight", "default 3142")),
        ]
        for row in rows {
            let changed = try lab.docker("update", row.flags[0], Array(row.flags.dropFirst()) + ["live"])
            #expect(changed.code == 0, "\(row.flags): \(changed.err)")
            try expect("live", row.one, row.two, "\(row.flags)")
        }
        try sleeper("processors")
        try lab.docker("update", "--cpus", ["0.5", "processors"])
        try expect("processors", ("cpu/cpu.cfs_quota_us", "50000"), ("cpu.max", "50000 100000"))
        // As it was given, after all that.
        #expect(
            try inspect("live", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}}")
                == "unless-stopped 100663296")
        let same = try lab.api("POST", "/containers/live/update", "{\(Self.zeros)}")
        #expect(same.status == 200, "\(same.body)")
        try expect("live", ("memory/memory.limit_in_bytes", "100663296"), ("memory.max", "100663296"))
        #expect(
            try inspect(
                "live",
                "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}} {{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}}"
            )
                == "unless-stopped 100663296 512 0")
        #expect(try lab.docker("update", "--restart", ["no", "live"]).code == 0)
        #expect(try inspect("live", "{{.HostConfig.RestartPolicy.Name}}") == "no")
    }

    @Test func `a change against what is set, or of what is set once, is refused and changes nothing`() throws {
        try sleeper("held", "-m", "64m", "--cpus", "0.5")
        try sleeper("quota", "--cpu-quota", "20000", "--cpu-period", "50000")
        try sleeper("leaving", "--rm")
        let rows: [(name: String, change: String, status: Int, words: String)] = [
            (
                "held", #"{"Memory": 268435456}"#, 409,
                "Memory limit should be smaller than already set memoryswap limit"
            ),
            ("held", #"{"CpuQuota": 5000}"#, 409, "CPU Quota cannot be updated as NanoCPUs has already been set"),
            ("held", #"{"CpuPeriod": 5000}"#, 409, "CPU Period cannot be updated as NanoCPUs has already been set"),
            (
                "quota", #"{"NanoCpus": 500000000}"#, 409,
                "Nano CPUs cannot be updated as CPU Period has already been set"
            ),
            (
                "leaving", #"{"RestartPolicy": {"Name": "always"}}"#, 409,
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            ),
            (
                "held", #"{"BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": 1}]}"#, 400,
                "BlkioDeviceReadBps cannot be changed"
            ),
            ("held", #"{"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}]}"#, 400, "Ulimits cannot be changed"),
            ("held", #"{"OomKillDisable": true}"#, 400, "OomKillDisable cannot be changed"),
            ("held", #"{"CpuRealtimeRuntime": 95000}"#, 400, "does not support CPU real-time scheduler"),
        ]
        for row in rows {
            let refused = try lab.api("POST", "/containers/\(row.name)/update", row.change)
            #expect(
                refused.status == row.status && refused.message.contains(row.words), "\(row.change): \(refused.body)")
        }
        #expect(try inspect("held", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}") == "67108864 500000000")
        try expect("held", ("memory/memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"))
    }

    // MARK: Statistics

    private typealias Object = [String: Any]

    private func stats(_ query: String) throws -> [Object] {
        // A stream is watched for a while: a sample comes every second.
        let ran = try Lab.run(
            "/usr/bin/curl",
            [
                "-s", "-m", "5", "--unix-socket", lab.directory + "/docker.sock",
                "http://x/v1.51/containers/busy/stats?\(query)",
            ])
        return ran.out.split(separator: "\n").compactMap {
            (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? Object
        }
    }

    private func number(_ value: Object, _ path: String...) -> Int? {
        var value: Any? = value
        for name in path { value = (value as? Object)?[name] }
        return value as? Int
    }

    @Test func `statistics have every member that is documented, once, twice and as a stream`() throws {
        let script = "dd if=/dev/zero of=/file bs=64k count=16 conv=fsync; while true; do :; done"
        try lab.docker(
            "run", "-d",
            [
                "--name", "busy", "--network", "none", "-m", "64m", "--cpus", "0.2", "--pids-limit", "50", image, "sh",
                "-c", script,
            ])
        #expect(
            try soon {
                number(try stats("stream=0&one-shot=1").first ?? [:], "cpu_stats", "throttling_data", "periods") ?? 0
                    > 0
            })
        let once = try #require(try stats("stream=0&one-shot=1").first)
        #expect(
            number(once, "precpu_stats", "cpu_usage", "total_usage") == 0
                && number(once, "precpu_stats", "system_cpu_usage") == nil)
        #expect(once["preread"] as? String == "0001-01-01T00:00:00Z")
        let twice = try #require(try stats("stream=0").first)
        let (before, after) = (
            number(twice, "precpu_stats", "cpu_usage", "total_usage") ?? 0,
            number(twice, "cpu_stats", "cpu_usage", "total_usage") ?? 0
        )
        #expect(0 < before && before < after)
        let stream = try stats("stream=1")
        #expect(stream.count >= 2, "\(stream.count)")
        for sample in [once, twice] + stream {
            #expect(sample["name"] as? String == "/busy" && (sample["id"] as? String)?.count == 64)
            #expect(number(sample, "memory_stats", "limit") == 64 << 20)
            #expect((1...64 << 20).contains(number(sample, "memory_stats", "usage") ?? 0))
            // Docker tells these of version 1 alone, and the other name of version 2.
            let isUnified = Lab.hasUnifiedControllers
            #expect((number(sample, "memory_stats", "max_usage") ?? 0 > 0) == !isUnified)
            let inactive = isUnified ? "inactive_file" : "total_inactive_file"
            #expect(number(sample, "memory_stats", "stats", inactive) != nil)
            #expect(number(sample, "pids_stats", "limit") == 50 && number(sample, "pids_stats", "current") ?? 0 > 0)
            #expect(
                number(sample, "cpu_stats", "online_cpus") ?? 0 > 0
                    && number(sample, "cpu_stats", "system_cpu_usage") ?? 0 > 0)
            #expect(number(sample, "cpu_stats", "throttling_data", "throttled_periods") != nil)
            let time = (sample["cpu_stats"] as? Object)?["cpu_usage"] as? Object
            #expect(((time?["percpu_usage"] as? [Int])?.isEmpty == false) == !isUnified)
            #expect(
                number(time ?? [:], "usage_in_usermode") != nil && number(time ?? [:], "usage_in_kernelmode") != nil)
            #expect((sample["blkio_stats"] as? Object)?.count == 8)
            #expect(sample["num_procs"] as? Int == 0 && sample["storage_stats"] is Object)
        }
    }

    // MARK: Older clients

    /// A creation by a client of an older version.
    private func create(_ version: String, _ body: String, name: String = "old") throws -> (code: Int, text: String) {
        let ran = try Lab.run(
            "/usr/bin/curl",
            [
                "-s", "--unix-socket", lab.directory + "/docker.sock", "-H", "Content-Type: application/json", "-w",
                "\n%{http_code}", "-d", body, "http://x/v\(version)/containers/create?name=\(name)",
            ])
        let lines = ran.out.split(separator: "\n")
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    @Test func `clients from before API 1.44 get read-only binds that stop at what is mounted below`() throws {
        let source = lab.directory + "/deep"
        try FileManager.default.createDirectory(atPath: source + "/below", withIntermediateDirectories: true)
        guard try Lab.run("/bin/mount", ["-t", "tmpfs", "x", source + "/below"]).code == 0 else {
            throw LabFailure("no tmpfs")
        }
        defer { _ = try? Lab.run("/bin/umount", [source + "/below"]) }
        let script = "(: > /b/x) 2> /dev/null || echo no; (: > /b/below/x) 2> /dev/null || echo no"
        func outcome(_ version: String, _ members: String) throws -> String {
            let body =
                #"{"Image": "\#(image)", "Cmd": ["sh", "-c", "\#(script)"], "HostConfig": {"NetworkMode": "none", \#(members)}}"#
            let made = try create(version, body)
            guard made.code == 201 else { return made.text }
            defer { _ = try? lab.docker("rm", "-f", ["old"]) }
            return try lab.docker("start", "-a", ["old"]).out
        }
        let forms = [
            #""Binds": ["\#(source):/b:ro"]"#,
            #""Mounts": [{"Type": "bind", "Source": "\#(source)", "Target": "/b", "ReadOnly": true}]"#,
        ]
        for form in forms {
            #expect(try outcome("1.43", form) == "no\n", "\(form)")
            #expect(try outcome("1.44", form) == "no\nno\n", "\(form)")
        }
        let forced =
            #""Mounts": [{"Type": "bind", "Source": "\#(source)", "Target": "/b", "ReadOnly": true, "BindOptions": {"ReadOnlyForceRecursive": true}}]"#
        #expect(try outcome("1.43", forced).contains("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"))
        #expect(try outcome("1.44", forced) == "no\nno\n")
    }

    @Test func `what a client's version did not know is as it was then`() throws {
        func shown(_ version: String, _ members: String, _ template: String) throws -> String {
            let made = try create(version, #"{"Image": "\#(image)", "Cmd": ["true"], \#(members)}"#)
            guard made.code == 201 else { return made.text }
            defer { _ = try? lab.docker("rm", "-f", ["old"]) }
            return try inspect("old", template)
        }
        let ipc = #""HostConfig": {}"#
        #expect(try shown("1.39", ipc, "{{.HostConfig.IpcMode}}") == "shareable")
        #expect(try shown("1.40", ipc, "{{.HostConfig.IpcMode}}") == "private")
        let size = #""HostConfig": {"ConsoleSize": [10, 20]}"#
        #expect(try shown("1.41", size, "{{.HostConfig.ConsoleSize}}") == "[0 0]")
        #expect(try shown("1.42", size, "{{.HostConfig.ConsoleSize}}") == "[10 20]")
        let noted = #""HostConfig": {"Annotations": {"a": "b"}}"#
        #expect(try shown("1.42", noted, "{{len .HostConfig.Annotations}}") == "0")
        #expect(try shown("1.43", noted, "{{len .HostConfig.Annotations}}") == "1")
        let part =
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"Subpath": "a"}}]}"#
        #expect(try shown("1.44", part, "").contains("VolumeOptions.Subpath needs API v1.45 or newer"))
        let several = #""NetworkingConfig": {"EndpointsConfig": {"a": {}, "b": {}}}"#
        #expect(
            try shown("1.43", several, "").contains("Container cannot be created with multiple network endpoints: a, b")
        )
    }

    // MARK: Ends

    @Test func `a container that is to go when it ends goes also under the next daemon`() throws {
        // One ends while no daemon is there, the other under the next one.
        let gate = lab.directory + "/gate"
        try FileManager.default.createDirectory(atPath: gate, withIntermediateDirectories: true)
        let wait = "until [ -e /gate/open ]; do busybox usleep 100000; done"
        let line = ["--network", "none", "-v", gate + ":/gate", image, "sh", "-c"]
        try lab.docker("run", "-d", ["--rm", "--name", "meanwhile", "-v", "/anonymous"] + line + [wait])
        try lab.docker("run", "-d", ["--rm", "--name", "later", "-v", "/anonymous"] + line + ["sleep 600"])
        try lab.docker("run", "-d", ["--name", "stays"] + line + [wait])
        #expect(try lab.docker("volume", "ls", ["-q"]).text.split(separator: "\n").count == 2)
        lab.killDaemon()
        try Data().write(to: URL(filePath: gate + "/open"))
        sleep(2)
        try lab.startDaemon()
        #expect(try soon { try lab.docker("ps", "-a", ["--format", "{{.Names}}"]).out == "stays\nlater\n" })
        #expect(try soon { try lab.docker("volume", "ls", ["-q"]).text.split(separator: "\n").count == 1 })
        try lab.docker("kill", "later")
        #expect(try soon { try lab.docker("ps", "-a", ["--format", "{{.Names}}"]).out == "stays\n" })
        #expect(try soon { try lab.docker("volume", "ls", ["-q"]).text.isEmpty })
    }

    @Test func `a container is ended after the time it was given, unless the request says another`() throws {
        let script = "trap '' TERM; echo ready; while true; do sleep 0.1; done"
        for (own, asked, limit) in [("1", [], 1...20), ("600", ["-t", "0"], 0...20)]
            as [(String, [String], ClosedRange<Int>)]
        {
            let name = "slow\(own)"
            try lab.docker(
                "run", "-d", ["--name", name, "--stop-timeout", own, "--network", "none", image, "sh", "-c", script])
            #expect(try soon { try lab.docker("logs", name).out == "ready\n" })
            let start = ContinuousClock.now
            #expect(try lab.docker("stop", name, asked).code == 0)
            let seconds = Int((ContinuousClock.now - start).components.seconds)
            #expect(limit.contains(seconds), "\(own): \(seconds) s")
            #expect(try inspect(name, "{{.State.ExitCode}} {{.State.OOMKilled}}") == "137 false")
        }
    }

    @Test func `want of memory is told when the kernel ended the container, and not for a kill`() throws {
        let script = "dd if=/dev/zero of=/dev/null bs=64M count=1; echo alive"
        let options = ["--network", "none", "-m", "16m"]
        try lab.docker(
            "run", "--name", ["first"] + options + [image, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"])
        #expect(try inspect("first", "{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}") == "true 137 exited")
        // A child of its: the container goes on, and Docker tells it all the same.
        let child = try lab.docker("run", "--name", ["child"] + options + [image, "sh", "-c", script])
        #expect(child.code == 0 && child.out == "alive\n", "\(child)")
        #expect(try inspect("child", "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 0")
        try lab.docker("run", "-d", ["--name", "killed"] + options + [image, "sleep", "600"])
        try lab.docker("kill", "killed")
        #expect(try soon { try inspect("killed", "{{.State.Status}}") == "exited" })
        #expect(try inspect("killed", "{{.State.OOMKilled}} {{.State.ExitCode}}") == "false 137")
    }
}
