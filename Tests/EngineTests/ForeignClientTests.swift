@testable import EngineAPI
import Foundation
import HTTP
import Testing

/// Every operation of Docker's API that we have is called, with success, by clients that nobody here wrote; the daemon's own
/// log of requests is the witness.
@Suite struct ForeignClientTests {
    /// A client, by what it calls itself.
    private enum Client: String, CaseIterable {
        case dockerPy = "docker-sdk-python/7"
        case compose = "docker-compose/1.29"
        case stock = "Docker-Client/28.2"
    }

    /// Which clients drive an operation, in the order of the router's table.
    private static let table: [(operation: String, clients: Set<Client>)] = [
        ("GET /_ping", [.dockerPy]), ("HEAD /_ping", [.stock]), ("GET /version", [.dockerPy, .stock]),
        ("GET /info", [.dockerPy, .stock]), ("GET /events", [.dockerPy, .stock]),
        ("GET /system/df", [.dockerPy, .stock]), ("POST /auth", [.dockerPy, .stock]),
        // Containers
        ("GET /containers/json", Set(Client.allCases)), ("POST /containers/create", Set(Client.allCases)),
        ("POST /containers/prune", [.dockerPy, .stock]), ("GET /containers/{id}/json", Set(Client.allCases)),
        ("DELETE /containers/{id}", Set(Client.allCases)), ("POST /containers/{id}/start", Set(Client.allCases)),
        ("POST /containers/{id}/stop", Set(Client.allCases)), ("POST /containers/{id}/restart", Set(Client.allCases)),
        ("POST /containers/{id}/kill", Set(Client.allCases)), ("POST /containers/{id}/pause", Set(Client.allCases)),
        ("POST /containers/{id}/unpause", Set(Client.allCases)), ("POST /containers/{id}/rename", [.dockerPy, .stock]),
        ("POST /containers/{id}/update", [.dockerPy, .stock]), ("POST /containers/{id}/wait", [.dockerPy, .stock]),
        ("POST /containers/{id}/resize", [.dockerPy]), ("POST /containers/{id}/attach", [.dockerPy, .stock]),
        ("GET /containers/{id}/logs", Set(Client.allCases)), ("GET /containers/{id}/top", Set(Client.allCases)),
        ("GET /containers/{id}/stats", [.dockerPy, .stock]), ("GET /containers/{id}/changes", [.dockerPy, .stock]),
        ("GET /containers/{id}/export", [.dockerPy, .stock]), ("HEAD /containers/{id}/archive", [.stock]),
        ("GET /containers/{id}/archive", [.dockerPy, .stock]), ("PUT /containers/{id}/archive", [.dockerPy, .stock]),
        ("POST /commit", [.dockerPy, .stock]),
        // Execs
        ("POST /containers/{id}/exec", Set(Client.allCases)), ("POST /exec/{id}/start", Set(Client.allCases)),
        ("POST /exec/{id}/resize", [.dockerPy]), ("GET /exec/{id}/json", Set(Client.allCases)),
        // Images
        ("GET /images/json", [.dockerPy, .stock]), ("POST /images/create", [.dockerPy, .stock]),
        ("POST /images/load", [.dockerPy, .stock]), ("POST /images/prune", [.dockerPy, .stock]),
        ("GET /images/search", [.dockerPy, .stock]), ("GET /images/get", [.stock]),
        ("GET /images/{name:.*}/get", [.dockerPy]), ("GET /images/{name:.*}/json", Set(Client.allCases)),
        ("GET /images/{name:.*}/history", [.dockerPy, .stock]), ("POST /images/{name:.*}/tag", [.dockerPy, .stock]),
        ("POST /images/{name:.*}/push", [.dockerPy, .stock]), ("DELETE /images/{name:.*}", [.dockerPy, .stock]),
        ("GET /distribution/{name:.*}/json", [.dockerPy]),
        // Volumes
        ("GET /volumes", [.dockerPy, .stock]), ("POST /volumes/create", Set(Client.allCases)),
        ("POST /volumes/prune", [.dockerPy, .stock]), ("GET /volumes/{name}", Set(Client.allCases)),
        ("DELETE /volumes/{name}", Set(Client.allCases)),
        // Networks
        ("GET /networks", [.dockerPy, .stock]), ("POST /networks/create", Set(Client.allCases)),
        ("POST /networks/prune", [.dockerPy, .stock]), ("GET /networks/{id}", Set(Client.allCases)),
        ("DELETE /networks/{id}", Set(Client.allCases)), ("POST /networks/{id}/connect", Set(Client.allCases)),
        ("POST /networks/{id}/disconnect", Set(Client.allCases)),
    ]

    /// What Docker has not, and what is only there to be refused.
    private static var others: Set<String> {
        let refused = (Endpoints.swarm + Endpoints.plugins).map { "\($0.method) \($0.pattern)" }
        let files = ["HEAD", "GET", "PUT"].map { "\($0) /volumes/{name}/archive" }
        return Set(
            refused + files
                + ["PUT /volumes/{name}", "POST /volumes/{name}/clone", "POST /volumes/{name}/rename"]
                + ["POST /volumes/import", "POST /volumes/{name}/snapshot", "GET /volumes/{name}/export"]
                + ["POST /volumes/{name}/backup", "POST /volumes/restore"]
                + Endpoints.all.filter { $0.pattern.hasPrefix("/content") }.map { "\($0.method) \($0.pattern)" })
    }

    private static let stockClient: String? = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        (try? Lab.run(path, ["--version"]).out.hasPrefix("Docker version 28.2")) ?? false
    }

    @Test func `every operation of the router is in the table`() {
        let all = Endpoints.all.map { "\($0.method) \($0.pattern)" }.filter { !Self.others.contains($0) }
        #expect(Self.table.map(\.operation).sorted() == all.sorted())
        #expect(Self.table.allSatisfy { !$0.clients.isEmpty })
    }

    @Test(
        .enabled(if: DockerPyTests.has("docker"), "the Python package docker is not installed: make deps"),
        .enabled(if: stockClient != nil, "needs Docker's client 28.2"))
    func `clients that nobody here wrote call every operation with success`() throws {
        let world = try World()
        let api = try Lab.run(
            DockerPyTests.python,
            [Lab.root.path + "/Tests/Support/docker-py-api", world.net.image, World.registry, World.index],
            environment: world.net.lab.environment)
        #expect(api.code == 0, "\(api.err)")
        try stock(in: world.net.lab)
        try compose(in: world.net.lab)
        let log = try String(contentsOfFile: world.net.lab.directory + "/dockerd.log", encoding: .utf8)
        var seen: [Client: Set<String>] = [:]
        for line in log.matches(of: #/agent=(.*) operation=(.*) status=[123]\d\d /#) {
            guard let client = Client.allCases.first(where: { line.1.hasPrefix($0.rawValue) }) else { continue }
            seen[client, default: []].insert(String(line.2))
        }
        for (operation, clients) in Self.table {
            for client in clients {
                #expect(seen[client]?.contains(operation) == true, "\(client) has not called \(operation)")
            }
        }
    }

    /// A daemon that logs requests, beside a registry that asks for a password and an index that searches.
    private final class World {
        static let registry = "127.0.0.1:5000"
        static let index = "127.0.0.1:5001"

        let net: NetworkLab
        private var servers: [Process] = []

        init() throws {
            net = try NetworkLab(configuration: #"{"debug": true}"#)
            let directory = net.lab.directory
            let passwords = try Lab.run("/usr/bin/htpasswd", ["-nbB", "ann", "open sesame"])
            try passwords.out.write(toFile: directory + "/htpasswd", atomically: true, encoding: .utf8)
            try """
            version: 0.1
            log: {level: error, accesslog: {disabled: true}}
            storage: {filesystem: {rootdirectory: \(directory)/private}}
            http: {addr: "\(Self.registry)"}
            auth: {htpasswd: {realm: lab, path: \(directory)/htpasswd}}

            """.write(toFile: directory + "/private.yml", atomically: true, encoding: .utf8)
            servers = [
                try net.start(outside: false, "/usr/bin/docker-registry", "serve", directory + "/private.yml"),
                try net.start(outside: false, "python3", Lab.root.path + "/Tests/Support/search-index", "5001"),
            ]
            // Both listen a moment after they have started; the registry answers 401 then.
            for _ in 0..<600 {
                let refused = try net.docker("login", "-u", "ann", "-p", "nobody", Self.registry).err.contains("401")
                if try refused && net.docker("search", Self.index + "/web").code == 0 { return }
                usleep(50_000)
            }
            throw LabFailure("the registry or the index does not answer")
        }

        deinit {
            for server in servers {
                kill(server.processIdentifier, SIGKILL)
                server.waitUntilExit()
            }
        }
    }

    // MARK: Docker's own client

    /// Command lines, each of which must succeed. `REG` and `IDX` stand for the registry and the index.
    private static let lines = """
        version
        info
        login -u ann --password-stdin REG < password
        search IDX/web
        volume create data
        network create --subnet 10.77.0.0/24 lab
        run -d --name box --network lab -v data:/data -e A=1 box sleep 600
        run --rm --network none -i box cat < password
        run -d --name other --network none box sleep 600
        network disconnect lab box
        network connect --ip 10.77.0.9 lab box
        ps -a
        exec -e B=2 box sh -c 'echo $A$B'
        logs box
        top box
        stats --no-stream box
        cp password box:/etc/password
        cp password box:/etc
        cp box:/etc/password copied
        diff box
        export -o exported box
        pause box
        unpause box
        update --memory 64m --memory-swap 64m box
        rename other another
        restart -t 0 another
        kill another
        start another
        stop -t 0 another
        wait another
        commit -m words box REG/team/stock:1
        push REG/team/stock:1
        history REG/team/stock:1
        save -o saved REG/team/stock:1 box
        rmi REG/team/stock:1
        pull REG/team/stock:1
        load -i saved
        tag box again:1
        images
        image inspect again:1
        inspect box
        network ls
        network inspect lab
        volume ls
        volume inspect data
        system df -v
        events --since 1h --until 0s
        rm -f box another
        network rm lab
        volume rm data
        rmi again:1 REG/team/stock:1
        import exported imported:1
        rmi imported:1
        container prune -f
        volume prune -f
        network prune -f
        image prune -f
        logout REG
        """

    private func stock(in lab: Lab) throws {
        let folder = lab.directory + "/stock"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try "open sesame".write(toFile: folder + "/password", atomically: true, encoding: .utf8)
        for line in Self.lines.split(separator: "\n") {
            let text = line.replacing("REG", with: World.registry).replacing("IDX", with: World.index)
            let ran = try Lab.run(
                "/bin/sh", ["-c", "cd \(folder) && exec \(Self.stockClient ?? "") \(text)"],
                environment: lab.environment)
            #expect(ran.code == 0, "\(text): \(ran.err)")
        }
    }

    // MARK: docker-compose

    private static let project = """
        version: "2.4"
        services:
          web:
            image: box
            command: ["sh", "-c", "echo web is up; sleep 600"]
            networks: {front: {aliases: [entry]}, back: {}}
            volumes: ["data:/data"]
        networks: {front: {}, back: {internal: true}}
        volumes: {data: {}}

        """

    private func compose(in lab: Lab) throws {
        try Self.project.write(toFile: lab.directory + "/compose.yml", atomically: true, encoding: .utf8)
        for line in [
            "up -d", "ps", "logs web", "exec -T web true", "top", "pause", "unpause", "restart -t 0", "kill", "start",
            "up -d -t 0 --force-recreate", "stop -t 0", "down -v -t 0",
        ] {
            let ran = try Lab.run(
                "/usr/bin/docker-compose",
                ["--no-ansi", "-p", "foreign", "-f", lab.directory + "/compose.yml"]
                    + line.split(separator: " ").map(String.init),
                environment: lab.environment.merging(
                    // Its own code, not the command line that it would call.
                    ["HOME": lab.directory, "COMPOSE_INTERACTIVE_NO_CLI": "1"]
                ) { $1 })
            #expect(ran.code == 0, "compose \(line): \(ran.err)")
        }
    }
}
