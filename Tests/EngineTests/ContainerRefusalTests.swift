import Foundation
import Testing

/// What is refused before anything is made, what is told, and networks that are shared.
extension ContainerConfigTests {
    @Test(arguments: [
        ContainerRefusals.memory, ContainerRefusals.processors, ContainerRefusals.modes, ContainerRefusals.logs,
        ContainerRefusals.confinement, ContainerRefusals.network,
    ])
    func `what the engine cannot do is refused at the creation and its twin runs`(_ rows: [ContainerRefusals.Row])
        throws
    {
        for row in rows { try expectRefusal(row, #""HostConfig": {\#(row.bad)}"#, #""HostConfig": {\#(row.good)}"#) }
        #expect(try lab.docker("ps", "-aq").text.isEmpty)
    }

    @Test func `a program that could not run as asked is refused at the creation and its twin runs`() throws {
        for row in ContainerRefusals.program { try expectRefusal(row, row.bad, row.good) }
        #expect(try lab.docker("ps", "-aq").text.isEmpty)
    }

    private func expectRefusal(_ row: ContainerRefusals.Row, _ bad: String, _ good: String) throws {
        let refused = try lab.api("POST", "/containers/create", body(of: bad))
        #expect(refused.status == 400, "\(row.bad): \(refused.body)")
        #expect(refused.message.contains(row.words), "\(row.bad): \(refused.message)")
        let allowed = try outcome(good)
        #expect(allowed.status == 200, "\(row.good): \(allowed.message)")
    }

    @Test func `a change that cannot be is refused in the same words and changes nothing`() throws {
        let created = try lab.api("POST", "/containers/create", body(of: #""HostConfig": {"CpuPeriod": 5000}"#))
        let rows = [
            (#"{"CpuPeriod": 999}"#, "CPU cfs period can not be"), (#"{"CpuShares": -1}"#, "invalid CPU shares (-1)"),
            (#"{"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}}"#, "maximum retry count cannot be used"),
            (#"{"CpusetCpus": "4095"}"#, "Requested CPUs are not available"),
        ]
        for (change, words) in rows {
            let refused = try lab.api("POST", "/containers/\(created.id)/update", change)
            #expect(refused.status == 400 && refused.message.contains(words), "\(change): \(refused.body)")
        }
        #expect(
            try lab.docker("inspect", "-f", ["{{.HostConfig.CpuPeriod}} {{.HostConfig.CpuShares}}", created.id]).text
                == "5000 0")
        #expect(try lab.api("POST", "/containers/\(created.id)/update", #"{"CpuPeriod": 6000}"#).status == 200)
        #expect(try lab.docker("inspect", "-f", ["{{.HostConfig.CpuPeriod}}", created.id]).text == "6000")
    }

    @Test(arguments: ["stop", "restart"]) func `the longest time to wait does not end the daemon`(_ action: String)
        throws
    {
        let options = ["--name", "long", "--stop-signal", "KILL", "--network", "none", image, "sleep", "600"]
        try lab.docker("run", "-d", options)
        let answer = try lab.api("POST", "/containers/long/\(action)?t=9223372036854775807")
        #expect(answer.status == 204, "\(answer.body)")
        #expect(try lab.docker("ps", "-aq").code == 0)
    }

    @Test func `a platform that is none is called so`() throws {
        let refused = try lab.api("POST", "/containers/create?platform=a/b/c/d", body(of: #""Labels": {}"#))
        #expect(refused.status == 400)
        #expect(refused.message.hasPrefix("\"a/b/c/d\" is an invalid platform"), "\(refused.message)")
    }

    // MARK: Shared networks

    @Test(arguments: [
        (["--hostname", "x"], "hostname and the network mode"), (["--dns", "1.1.1.1"], "dns and the network mode"),
        (["--dns-search", "x"], "dns and the network mode"),
        (["--add-host", "a:1.1.1.1"], "custom host-to-IP mapping and the network mode"),
        (["-p", "80"], "port publishing and the container type network mode"),
        (["-P"], "port publishing and the container type network mode"),
        (["--expose", "80"], "port exposing and the container type network mode"),
        (["--link", "a:b"], "container type network can't be used with links"),
    ])
    func `who shares a network cannot have names and ports of its own`(_ options: [String], _ words: String) throws {
        // Refused by the client or by the daemon.
        let refused = try lab.docker("run", "--rm", ["--network", "container:first"] + options + [image, "true"])
        #expect(refused.code == 125)
        #expect(refused.err.contains("conflicting options: \(words)"), "\(refused.err)")
    }

    @Test func `who shares a network has its names, its files and what is changed in them`() throws {
        let options = [
            "--hostname", "one", "--domainname", "here", "--add-host", "friend:10.1.2.3", "--dns", "10.9.8.7",
        ]
        try lab.docker("run", "-d", ["--name", "first", "--network", "none"] + options + [image, "sleep", "600"])
        try lab.docker("run", "-d", ["--name", "second", "--network", "container:first", image, "sleep", "600"])
        let files = ["cat", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
        let own = try lab.docker("exec", "first", files).out
        #expect(own.contains("10.1.2.3\tfriend") && own.contains("one\n") && own.contains("nameserver 10.9.8.7"))
        for name in ["second", "first"] {
            let sharing = ["--network", "container:\(name)", image]
            #expect(try lab.docker("run", "--rm", sharing + files).out == own)
            #expect(try lab.docker("run", "--rm", sharing + ["hostname"]).out == "one\n")
        }
        try lab.docker("exec", "second", ["sh", "-c", "echo 10.7.7.7 late >> /etc/hosts"])
        #expect(try lab.docker("exec", "first", ["grep", "late", "/etc/hosts"]).out == "10.7.7.7 late\n")
        let mine = lab.directory + "/hosts"
        try "mine\n".write(toFile: mine, atomically: true, encoding: .utf8)
        let mounted = ["--network", "container:first", "-v", "\(mine):/etc/hosts", image, "cat", "/etc/hosts"]
        #expect(try lab.docker("run", "--rm", mounted).out == "mine\n")
    }

    @Test func `what has no effect is told`() throws {
        func warnings(_ members: String) throws -> String {
            try lab.api("POST", "/containers/create", body(of: members)).body
        }
        #expect(
            try warnings(#""HostConfig": {"KernelMemory": 67108864}"#).contains(
                "Your kernel does not support kernel memory limit capabilities"))
        #expect(
            try warnings(#""HostConfig": {"PortBindings": {"80/tcp": [{}]}}"#).contains(
                "Published ports are discarded when using none network mode"))
        #expect(try warnings(#""Healthcheck": {"Test": ["CMD", "true"]}"#).contains(#""Warnings":[]"#))
        #expect(try warnings(#""HostConfig": {"OomKillDisable": false}"#).contains(#""Warnings":[]"#))
    }

    @Test func `a network that is disabled is none, and the host's network has the host's name`() throws {
        let created = try lab.api(
            "POST", "/containers/create", #"{"Image": "odd", "Cmd": ["true"], "NetworkDisabled": true}"#)
        #expect(try lab.docker("inspect", "-f", ["{{.HostConfig.NetworkMode}}", created.id]).text == "none")
        #expect(try lab.docker("start", created.id).code == 0)
        let own = try Lab.run("/bin/hostname", []).out
        #expect(try lab.docker("run", "--rm", ["--network", "host", image, "hostname"]).out == own)
        #expect(try lab.docker("run", "--rm", ["--network", "host", "-h", "own", image, "hostname"]).out == "own\n")
    }
}
