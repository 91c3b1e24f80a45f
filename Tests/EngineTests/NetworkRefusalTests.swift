import Foundation
import Testing

/// Requests of networks that cannot be, and settings of the daemon that this engine does not have.
@Suite(.serialized)
struct NetworkRefusalTests {
    @Test func `networks that cannot be made or changed are refused with the reason`() throws {
        let lab = try Lab()
        let pruned = try lab.api("POST", "/networks/prune")
        #expect(pruned.status == 200 && pruned.body == #"{"NetworksDeleted":null}"# + "\n")
        let rows = [
            ("POST", "/networks/create", #"{"Name": "host"}"#, 403, "not permitted on predefined host network"),
            ("POST", "/networks/create", "{}", 400, "name is empty"),
            ("POST", "/networks/create", "", 400, "got EOF while reading request body"),
            ("POST", "/networks/create", "[]", 400, "invalid JSON"),
            ("POST", "/networks/create", #"{"Name": 7}"#, 400, "Name"),
            ("POST", "/networks/create", #"{"Name": "x", "Options": {"a": 1}}"#, 400, "Options"),
            ("POST", "/networks/create", #"{"Name": "x", "Driver": "no"}"#, 404, "plugin \"no\" not found"),
            (
                "POST", "/networks/create", #"{"Name": "x", "ConfigFrom": {"Network": "no"}}"#, 404,
                "network no not found"
            ),
            ("POST", "/networks/create", #"{"Name": "x", "Ingress": true}"#, 503, "not a swarm manager"),
            ("POST", "/networks/create", #"{"Name": "\u0000x"}"#, 400, "invalid network name"),
            ("GET", "/networks?filters=%7B%22type%22%3A%5B%22y%22%5D%7D", "", 400, "invalid filter"),
            ("GET", "/networks/mine", "", 404, "network mine not found"),
            ("POST", "/networks/mine/connect", #"{"Container": "x"}"#, 404, "network mine not found"),
            ("POST", "/networks/none/connect", #"{"Container": "x"}"#, 404, "No such container: x"),
            ("POST", "/networks/none/disconnect", #"{"Container": "x"}"#, 404, "No such container: x"),
            ("DELETE", "/networks/host", "", 403, "host is a pre-defined network and cannot be removed"),
            ("DELETE", "/networks/mine", "", 404, "network mine not found"),
            ("POST", "/networks/prune?filters=%7B%22x%22%3A%5B%22y%22%5D%7D", "", 400, "invalid filter 'x'"),
        ]
        for (method, path, body, status, words) in rows {
            let answer = try lab.api(method, path, body)
            #expect(answer.status == status, "\(method) \(path): \(answer.body)")
            #expect(answer.message.contains(words), "\(method) \(path): \(answer.body)")
        }
    }

    @Test(arguments: [
        (#"{"y": 1, "debug": true, "x": 2}"#, "the following directives don't match any configuration option: x, y"),
        (#"{"userland-proxy": true}"#, "directives are not supported by this engine: userland-proxy: take them out"),
        (#"{"mtu": 7}"#, "invalid mtu 7"), (#"{"ip": "::1"}"#, "invalid ip ::1"), (#"{"dns": ["x"]}"#, "invalid dns x"),
        (#"{"default-address-pools": [{"base": "10.0.0.0/8", "size": 4}]}"#, "base 10.0.0.0/8 size 4"),
        (#"{"debug": "yes"}"#, "debug: "), (#"["debug"]"#, "Expected"), ("{", "it is not well-formed JSON"),
    ])
    func `a daemon does not start with settings it does not have`(_ text: String, _ words: String) throws {
        let directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/daemon-file-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = directory + "/daemon.json"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        let ran = try Lab.run(
            Lab.binaries + "/dockerd",
            [
                "--config-file", file, "--data-root", directory + "/root", "--exec-root", directory + "/run", "-H",
                "unix://\(directory)/docker.sock", "--bridge", "none",
            ])
        #expect(ran.code == 1)
        #expect(ran.err.hasPrefix("dockerd: ") && ran.err.contains(words), "\(ran.err)")
    }

    @Test func `a daemon starts with every setting that it has`() throws {
        let lab = try Lab(
            configuration:
                #"{"debug": true, "labels": ["a=b"], "max-concurrent-downloads": 2, "icc": false, "mtu": 1400}"#)
        #expect(try lab.docker("version").code == 0)
    }
}
