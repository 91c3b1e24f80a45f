import Foundation
import Testing

@testable import Actors
@testable import OCI

/// Every member of a creation's body is honoured or refused, and none is silently ignored.
@Suite(.serialized)
final class FieldTests {
    private let network: NetworkLab
    private var lab: Lab { network.lab }
    /// A block device of the test's own, whose scheduler knows weights.
    private let device: String
    private let words: [String: String]

    init() throws {
        network = try NetworkLab()
        let lab = network.lab
        try lab.makeImage(
            "fields", "printf 'user:x:1000:1000::/:/bin/sh\\n' >> etc/passwd; printf 'user:x:1000:\\n' > etc/group")
        let setup = """
            set -e
            mkdir -p \(lab.directory)/bound; echo bound > \(lab.directory)/bound/file
            truncate -s 1M \(lab.directory)/disk
            loop=$(losetup -f --show \(lab.directory)/disk)
            echo bfq > /sys/block/${loop#/dev/}/queue/scheduler
            echo $loop $(cat /sys/block/${loop#/dev/}/dev) $(hostname) $(readlink /proc/self/ns/user)
            """
        let made = try Lab.run("/bin/sh", ["-c", setup])
        let parts = made.text.split(separator: " ").map(String.init)
        guard parts.count == 4 else { throw LabFailure("a block device: \(made.err)") }
        device = parts[0]
        try network.must("network", "create", "--subnet", "10.77.0.0/24", "--ipv6", "--subnet", "fd77::/64", "n1")
        try network.must("network", "create", "--subnet", "10.78.0.0/24", "n2")
        try network.must(
            "run", "-d", "--name", "donor", "--ipc", "shareable", "-v", "/given", "-e", "GIVEN=value", "--expose",
            "6379",
            "fields", "sleep", "600")
        try network.must("exec", "donor", "sh", "-c", "echo given > /given/file; echo shm > /dev/shm/file")
        words = [
            "$DIR": lab.directory, "$LOOP": parts[0], "$NUMBER": parts[1], "$HOST": parts[2], "$USERNS": parts[3],
            "$DONOR": try network.address("donor", on: "bridge"),
        ]
    }

    deinit { _ = try? Lab.run("/sbin/losetup", ["-d", device]) }

    private func filled(_ text: String) -> String { words.reduce(text) { $0.replacing($1.key, with: $1.value) } }

    private func body(_ host: [String], _ config: [String]) -> String {
        let members =
            config.filter { !$0.isEmpty } + ["\"HostConfig\": {\(host.filter { !$0.isEmpty }.joined(separator: ", "))}"]
        return filled("{\"Image\": \"fields\", \(members.joined(separator: ", "))}")
    }

    // MARK: Observation

    @Test func `what is asked for is seen in the container`() throws {
        for (number, fields) in FieldTable.groups.enumerated() {
            try observe(
                fields, name: fields.contains { $0.members == ["HostConfig.Links"] } ? "linked" : "fields\(number)")
        }
    }

    /// Gives everything of `fields` to one container, and looks.
    private func observe(_ fields: [Field], name: String) throws {
        var (host, config, script, templates) = ([String](), [String](), "", [(Field, String, String)]())
        for (number, field) in fields.enumerated() {
            switch field.proof {
            case .inside(let members, let configuration, let command, _):
                host.append(members)
                config.append(configuration)
                script += "echo '== \(number)'; \(command)\n"
            case .shown(let members, let configuration, let template, let prints):
                host.append(members)
                config.append(configuration)
                templates.append((field, template, prints))
            default: Issue.record("\(field.testDescription) is in no group")
            }
        }
        script += "echo '== end'; exec sleep 600"
        let line = String(decoding: try JSONEncoder().encode(["sh", "-c", filled(script)]), as: UTF8.self)
        let created = try lab.api("POST", "/containers/create?name=\(name)", body(host, config + ["\"Cmd\": \(line)"]))
        #expect(created.status == 201, "\(created.body)")
        defer { _ = try? lab.api("DELETE", "/containers/\(name)?force=1&v=1") }
        let started = try lab.api("POST", "/containers/\(name)/start", "")
        #expect(started.status == 204, "\(started.body)")
        let output = try log(name)
        for (number, field) in fields.enumerated() {
            guard case .inside(_, _, let command, let prints) = field.proof else { continue }
            let part = output.components(separatedBy: "== \(number)\n").dropFirst().first ?? ""
            let own = part.components(separatedBy: "== ")[0].trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(own == filled(prints), "\(field.testDescription)")
            guard field.members == ["HostConfig.Links"] else { continue }
            let joined = try lab.docker("exec", name, "sh", "-c", command)
            #expect(joined.text == filled(prints), "to a process that joins later: \(joined)")
        }
        for (field, template, prints) in templates {
            #expect(try network.inspect(name, template) == prints, "\(field.testDescription)")
        }
    }

    /// All that the commands have printed.
    private func log(_ name: String) throws -> String {
        for _ in 0..<600 {
            let output = try lab.docker("logs", name)
            let text = (output.out + output.err).replacing("\r\n", with: "\n")
            if text.contains("== end") { return text }
            usleep(50_000)
        }
        throw LabFailure("\(name) does not come to its end: \(try lab.docker("logs", name))")
    }

    @Test func `what cannot be honoured is refused or told`() throws {
        for field in FieldTable.others {
            switch field.proof {
            case .refused(let config, let expected):
                let refused = try lab.api(
                    "POST", "/containers/create", "{\"Image\": \"fields\", \"Cmd\": [\"true\"], \(config)}")
                #expect(refused.status == 400, "\(field.testDescription): \(refused.body)")
                #expect(refused.message.contains(expected), "\(field.testDescription): \(refused.message)")
            case .told(let host, let expected):
                let told = try lab.api("POST", "/containers/create", body([host], ["\"Cmd\": [\"true\"]"]))
                #expect(told.status == 201 && told.body.contains(expected), "\(field.testDescription): \(told.body)")
                _ = try lab.api("DELETE", "/containers/\(told.id)")
            default: continue
            }
        }
    }

    @Test func `members that nobody documents are ignored, as in Docker`() throws {
        let made = try lab.api(
            "POST", "/containers/create", body(["\"Invented\": 1"], ["\"Cmd\": [\"true\"]", "\"AlsoInvented\": {}"]))
        #expect(made.status == 201, "\(made.body)")
    }

    @Test func `a device that is not there fails the start and says which`() throws {
        let rates = #""BlkioDeviceReadBps": [{"Path": "/dev/nothere", "Rate": 1}]"#
        for (path, expected) in [
            ("/dev/nothere", "stat /dev/nothere: no such file"), ("/dev/null", "is not a block device"),
        ] {
            let made = try lab.api(
                "POST", "/containers/create",
                body([rates.replacing("/dev/nothere", with: path)], ["\"Cmd\": [\"true\"]"]))
            let refused = try lab.api("POST", "/containers/\(made.id)/start", "")
            #expect(refused.status == 500 && refused.message.contains(expected), "\(refused.body)")
        }
    }
}

/// What the table itself must be.
struct FieldTableTests {
    @Test func `the table has every member of every type and no other`() {
        func names<Key: CaseIterable & RawRepresentable>(_ type: String, _ keys: Key.Type) -> [String]
        where Key.RawValue == String {
            keys.allCases.map { "\(type).\($0.rawValue)" }
        }
        let decoded =
            names("HostConfig", HostConfig.CodingKeys.self) + names("LogConfig", LogConfig.CodingKeys.self)
            + names("PortBindingRequest", PortBindingRequest.CodingKeys.self)
            + names("RestartPolicy", RestartPolicy.CodingKeys.self)
            + names("WeightDevice", WeightDevice.CodingKeys.self)
            + names("ThrottleDevice", ThrottleDevice.CodingKeys.self)
            + names("DeviceMapping", DeviceMapping.CodingKeys.self)
            + names("DeviceRequest", DeviceRequest.CodingKeys.self) + names("Ulimit", Ulimit.CodingKeys.self)
            + names("Mount", Mount.CodingKeys.self) + names("BindOptions", BindOptions.CodingKeys.self)
            + names("VolumeOptions", VolumeOptions.CodingKeys.self)
            + names("VolumeDriverConfig", VolumeDriverConfig.CodingKeys.self)
            + names("ImageOptions", ImageOptions.CodingKeys.self) + names("TmpfsRequest", TmpfsRequest.CodingKeys.self)
            + names("Config", Config.CodingKeys.self)
            + names("Healthcheck", ContainerConfig.Healthcheck.CodingKeys.self)
            + names("EndpointSettings", EndpointSettings.CodingKeys.self)
            + names("EndpointIPAMConfig", EndpointIPAMConfig.CodingKeys.self)
        // Not of the API: what of a record says which address was asked for.
        let own: Set = ["EndpointSettings.DesiredMacAddress"]
        let table = Set(FieldTable.all.flatMap(\.members))
        #expect(Set(decoded).subtracting(own).subtracting(table).isEmpty, "without a row")
        #expect(table.subtracting(decoded).isEmpty, "documented and not decoded")
        #expect(decoded.count > 150)
    }

    @Test func `the tests that the table names are there`() throws {
        let folder = Lab.root.appending(path: "Tests")
        let walk = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
        let files = walk.compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
        let text = try files.map { try String(contentsOf: $0, encoding: .utf8) }.joined()
        for field in FieldTable.all {
            guard case .test(let name) = field.proof else { continue }
            let isThere = text.contains("func `\(name)`")
            #expect(isThere, "\(field.testDescription)")
        }
    }
}
