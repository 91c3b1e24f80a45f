import Foundation
import Testing

/// Debian's docker-compose, a client that nobody here wrote, with a project of three services on two networks.
@Suite(.serialized)
struct ComposeTests {
    private static let project = """
        version: "3.7"
        services:
          web:
            image: box
            command: ["/bin/busybox", "nc", "-ll", "-p", "80", "-e", "/bin/busybox", "echo", "from web"]
            ports: ["8080:80"]
            networks:
              front: {aliases: [entry]}
              back:
            depends_on: [db]
          db:
            image: box
            command: ["/bin/busybox", "nc", "-ll", "-p", "5432", "-e", "/bin/busybox", "echo", "from db"]
            networks:
              back: {ipv4_address: 10.66.0.10}
            volumes: ["data:/data"]
          probe:
            image: box
            command: ["sh", "-c", "echo probe is up; sleep 600"]
            networks: [front]
            environment: {KEY: value}
        networks:
          front: {}
          back:
            internal: true
            ipam: {config: [{subnet: 10.66.0.0/24}]}
        volumes:
          data: {}

        """

    /// It has Docker's client execute things.
    private static let path = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    @Test func `a project of three services comes up, talks by name, and goes without a trace`() throws {
        let net = try NetworkLab()
        try Self.project.write(toFile: net.lab.directory + "/compose.yml", atomically: true, encoding: .utf8)
        func compose(_ arguments: String...) throws -> Lab.Output {
            var environment = net.lab.environment
            environment["HOME"] = net.lab.directory
            environment["PATH"] = Self.path
            return try Lab.run(
                "/usr/bin/docker-compose",
                ["--no-ansi", "-p", "demo", "-f", net.lab.directory + "/compose.yml"] + arguments,
                environment: environment)
        }
        let up = try compose("up", "-d")
        #expect(up.code == 0, "\(up.err)")
        let listed = try compose("ps").out
        for service in ["web", "db", "probe"] { #expect(listed.contains("demo_\(service)_1"), "\(listed)") }
        #expect(listed.contains("0.0.0.0:8080->80/tcp"), "\(listed)")
        #expect(try compose("logs", "probe").out.contains("probe is up"))
        #expect(try compose("exec", "-T", "probe", "sh", "-c", "echo $KEY").out == "value\n")
        // By service name, alias and address; only where both are on one network.
        #expect(try net.fetch(from: "demo_probe_1", "web", 80) == "from web")
        #expect(try net.fetch(from: "demo_probe_1", "entry", 80) == "from web")
        #expect(try net.fetch(from: "demo_web_1", "db", 5432) == "from db")
        #expect(try net.fetch(from: "demo_web_1", "10.66.0.10", 5432) == "from db")
        #expect(try net.fetch(from: "demo_probe_1", "db", 5432) == "")
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "from web")
        #expect(try compose("stop", "-t", "0", "web").code == 0)
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "")
        #expect(try compose("start", "web").code == 0)
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "from web")
        let scaled = try compose("up", "-d", "-t", "0", "--scale", "probe=2")
        #expect(scaled.code == 0, "\(scaled.err)")
        #expect(
            try net.must("ps", "-q", "--filter", "label=com.docker.compose.service=probe").split(separator: "\n").count
                == 2)
        let down = try compose("down", "-v", "-t", "0")
        #expect(down.code == 0, "\(down.err)")
        #expect(try net.must("ps", "-aq") == "")
        #expect(try net.must("network", "ls", "--filter", "type=custom", "-q") == "")
        #expect(try net.must("volume", "ls", "-q") == "")
    }

    private static let ordered = """
        version: "2.4"
        services:
          db:
            image: box
            command: ["sh", "-c", "sleep 1; echo ready > /state; sleep 600"]
            network_mode: none
            healthcheck: {test: ["CMD", "test", "-e", "/state"], interval: 100ms, timeout: 60s, retries: 600}
          cache:
            image: box
            command: ["sh", "-c", "echo cache is up; cat /etc/passwd > /dev/null; sleep 600"]
            network_mode: none
            depends_on: {db: {condition: service_healthy}}
          web:
            image: box
            command: ["sh", "-c", "echo web is up; sleep 600"]
            network_mode: none
            logging: {driver: local, options: {max-size: 1m}}
            depends_on: {cache: {condition: service_started}, db: {condition: service_healthy}}

        """

    @Test func `services start when those they depend on are healthy, and stop, start, log and execute`() throws {
        let lab = try Lab()
        _ = try lab.loadedImage()
        try Self.ordered.write(toFile: lab.directory + "/compose.yml", atomically: true, encoding: .utf8)
        func compose(_ arguments: String...) throws -> Lab.Output {
            var environment = lab.environment
            environment["HOME"] = lab.directory
            environment["PATH"] = Self.path
            return try Lab.run(
                "/usr/bin/docker-compose",
                ["--no-ansi", "-p", "order", "-f", lab.directory + "/compose.yml"] + arguments,
                environment: environment)
        }
        func started(_ service: String) throws -> String {
            try lab.docker("inspect", "-f", ["{{.State.StartedAt}}", "order_\(service)_1"]).text
        }
        let up = try compose("up", "-d")
        #expect(up.code == 0, "\(up.err)")
        #expect(try lab.docker("inspect", "-f", ["{{.State.Health.Status}}", "order_db_1"]).text == "healthy")
        // A second and more apart.
        #expect(try started("db") < started("cache"))
        let services = ["db", "cache", "web"]
        let listed = try compose("ps").out
        for service in services { #expect(listed.contains("order_\(service)_1"), "\(listed)") }
        let logs = try compose("logs", "--tail=10").out
        #expect(logs.contains("cache is up") && logs.contains("web is up"), "\(logs)")
        #expect(try compose("exec", "-T", "web", "sh", "-c", "echo inside; exit 3").code == 3)
        let stopped = try compose("stop", "-t", "0")
        #expect(stopped.code == 0, "\(stopped.err)")
        #expect(try lab.docker("ps", "-q").text == "")
        let start = try compose("start")
        #expect(start.code == 0, "\(start.err)")
        #expect(try lab.docker("ps", "-q").text.split(separator: "\n").count == services.count)
        #expect(try soon(60) { try lab.docker("logs", "order_web_1").out == "web is up\nweb is up\n" })
        #expect(try compose("logs", "web").out.components(separatedBy: "web is up").count == 3)
        let down = try compose("down", "-t", "0")
        #expect(down.code == 0, "\(down.err)")
        #expect(try lab.docker("ps", "-aq").text == "")
    }
}
