import Foundation
import HTTP
import OCI
import RegistryStore
import TestServers
import Testing

@testable import RegistryServer

/// Who may do what: every row of the routes' table, for everybody, in every mode.
@Suite struct RightsTests {
    /// Those who ask. Of each the rights in a repository are written down here a second time, in other words than the server's.
    enum Client: CaseIterable {
        case stranger, podman, liar, wrongRobot, unknown
        case filed, filedReader, idle, reader, writer, remover, robot, root
        case expired, disabled

        /// nil for those whose name and password are not right, or not any more.
        func rights(in name: String) -> Rights? {
            let isTeam = name == "team" || name == "team/app"
            switch self {
            case .liar, .wrongRobot, .unknown, .expired, .disabled: return nil
            case .stranger, .podman, .idle: return []
            case .filed, .root: return .all
            case .filedReader: return isTeam ? .pull : []
            case .reader: return isTeam ? .pull : []
            case .writer: return isTeam ? [.pull, .push] : []
            case .remover: return name == "team/app" ? .all : []
            case .robot: return isTeam ? .push : []
            }
        }

        var isKnown: Bool { self != .stranger && self != .podman }
    }

    static let names = ["public", "public/below", "publicity", "team", "team/app", "teams", "private"]

    /// A registry with all of them, and what each sends.
    struct World {
        let folder: String
        let lab: RegistryLab
        private let secrets: [String: String]

        init(_ options: [String] = []) throws {
            folder = try AccessTests.folder()
            let path = try AccessTests.passwordFile(folder)
            try (try String(contentsOfFile: path, encoding: .utf8)).appending(
                try String(contentsOfFile: path, encoding: .utf8).replacingOccurrences(of: "user:", with: "filed:")
            ).write(toFile: path, atomically: true, encoding: .utf8)
            lab = try RegistryLab(["--htpasswd", path, "--anonymous-pull", "public"] + options)
            for name in ["idle", "reader", "writer", "remover", "root", "disabled"] {
                try lab.addUser(name, "pass-\(name)")
            }
            secrets = [
                "robot": try lab.addRobot("robot"), "expired": try lab.addRobot("expired", ["--expires", "0s"]),
            ]
            for (account, pattern, rights) in [
                ("filed", "team", "pull"), ("reader", "team/", "pull"), ("writer", "team/*", "pull,push"),
                ("remover", "team/app", "all"), ("robot", "team", "push"), ("root", "*", "all"),
                ("expired", "*", "all"),
                ("disabled", "*", "all"),
            ] { try lab.grant(account, pattern, rights) }
            try #require(try lab.operate(["user", "disable", "disabled"]).status == 0)
        }

        func credentials(_ client: Client) -> String? {
            switch client {
            case .stranger: nil
            // Without an account, it sends an empty name and an empty password.
            case .podman: ":"
            case .liar: "user:wrong"
            case .wrongRobot: "robot:drs_wrong"
            case .unknown: "whoever:secret"
            case .filed: "user:secret"
            case .filedReader: "filed:secret"
            case .robot, .expired: "\(client):\(secrets["\(client)"] ?? "")"
            default: "\(client):pass-\(client)"
            }
        }

        func headers(_ client: Client) -> [String] { credentials(client).map { [AccessTests.basic($0)] } ?? [] }

        func end() { try? FileManager.default.removeItem(atPath: folder) }
    }

    enum Outcome { case answer, challenge, denied, readOnly }

    static func outcome(_ reply: RegistryLab.Reply) -> Outcome {
        switch reply.status {
        case 401: .challenge
        case 403: .denied
        case 405 where reply.text.contains("the registry is read-only"): .readOnly
        default: .answer
        }
    }

    /// What a client may expect of a row.
    static func expected(_ right: AccessPolicy.Right, _ client: Client, _ name: String, isReadOnly: Bool) -> Outcome {
        guard var rights = client.rights(in: name) else { return .challenge }
        if name == "public" || name == "public/below" { rights.insert(.pull) }
        let refusal: Outcome = client.isKnown ? .denied : .challenge
        switch right {
        // Everybody may pull from somewhere.
        case .health, .browse, .token: return .answer
        case .base, .overview: return client.isKnown ? .answer : .challenge
        case .pull: return rights.contains(.pull) ? .answer : refusal
        case .push: return !rights.contains(.push) ? refusal : isReadOnly ? .readOnly : .answer
        case .delete: return !rights.contains(.delete) ? refusal : isReadOnly ? .readOnly : .answer
        }
    }

    @Test(arguments: [false, true])
    func `every route for everybody`(isReadOnly: Bool) throws {
        let world = try World(isReadOnly ? ["--read-only"] : [])
        defer { world.end() }
        try Self.check(
            world, names: isReadOnly ? ["team"] : ["public/below", "publicity", "team", "team/app", "teams"],
            isReadOnly: isReadOnly)
        #expect(world.lab.blobFiles == [])
    }

    @Test func `every route of mirrored repositories for everybody`() throws {
        let origin = try FaultyServer { _, answer in answer.reply(404) }
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let mirror = "{\"url\":\"http://\(origin.authority)\"}"
        try "{\"mirrors\":{\"team\":\(mirror),\"public\":\(mirror)}}".write(
            toFile: folder + "/config", atomically: true, encoding: .utf8)
        let world = try World(["--config", folder + "/config"])
        defer { world.end() }
        try Self.check(world, names: ["public/below", "team/app"], isReadOnly: false)
        #expect(world.lab.blobFiles == [] && !origin.asked.isEmpty)
        #expect(origin.asked.allSatisfy { ["GET", "HEAD"].contains($0.method) && $0.headers["authorization"] == nil })
        // Who may not pull causes no request to the registry.
        let count = origin.asked.count
        for client in Client.allCases where client.rights(in: "team/app")?.contains(.pull) != true {
            for path in ["manifests/x", "blobs/\(AccessTests.digest)", "tags/list", "referrers/\(AccessTests.digest)"] {
                let reply = try world.lab.ask("GET", "/v2/team/app/\(path)", world.headers(client))
                #expect(Self.outcome(reply) != .answer)
            }
        }
        #expect(origin.asked.count == count)
    }

    /// Asks every row of the table for each of some repositories, for everybody.
    private static func check(_ world: World, names: [String], isReadOnly: Bool) throws {
        // Wrong passwords are slow to check, and wrong everywhere.
        let slow = names.first { $0.hasPrefix("team") }
        for endpoint in RegistryAPI.endpoints {
            for name in names {
                for client in Client.allCases where name == slow || client.rights(in: name) != nil {
                    let method = endpoint.method.description
                    let reply = try world.lab.ask(
                        method, AccessTests.path(endpoint.kind, in: name), world.headers(client))
                    let right = AccessPolicy.right(endpoint.kind, endpoint.method)
                    let wanted = Self.expected(right, client, name, isReadOnly: isReadOnly)
                    #expect(
                        Self.outcome(reply) == wanted,
                        "\(method) \(endpoint.kind) of \(name) by \(client): \(reply.text)")
                    guard wanted == .challenge else { continue }
                    #expect(reply.headers["www-authenticate"] == "Basic realm=\"docker-registry\"")
                    #expect(
                        endpoint.kind.isPage
                            ? reply.text.contains("<h1>Log in to see this</h1>") : reply.code == "UNAUTHORIZED")
                }
            }
        }
    }

    // MARK: The table without a server

    private static let all = [Grant(pattern: "*", rights: .all)]

    /// Callers, and what they may do in `team/app`, and whether they see what is about all repositories.
    private static let callers: [(caller: Caller, rights: Rights, overview: Bool)] = [
        (.anybody, .all, true), (.anonymous, [], false), (.account("a", []), [], true),
        (.account("a", [Grant(pattern: "team", rights: .pull)]), .pull, true),
        (.account("a", [Grant(pattern: "team/ap", rights: .all)]), [], true),
        (.account("a", [Grant(pattern: "team/app/x", rights: .all)]), [], true),
        (
            .account("a", [Grant(pattern: "team", rights: .pull), Grant(pattern: "*", rights: .delete)]),
            [.pull, .delete], true
        ),
        (.token("a", all, [.repository("team/app", [.pull, .push])]), [.pull, .push], false),
        (.token("a", all, [.repository("team", .all), .catalog]), [], true),
        (.token("a", [Grant(pattern: "*", rights: .pull)], [.repository("team/app", .all)]), .pull, false),
        (.token("a", all, [Scope(type: "repository", name: "team/app", actions: ["*"])]), .all, false),
        (.token("a", all, [Scope(type: "other", name: "team/app", actions: ["pull"])]), [], false),
        (.token(nil, [], []), [], false),
    ]

    @Test(arguments: callers.indices, [false, true])
    func `every right for every kind of caller`(index: Int, isReadOnly: Bool) {
        let (caller, rights, overview) = Self.callers[index]
        var policy = AccessPolicy()
        policy.isReadOnly = isReadOnly
        for right in AccessPolicy.Right.allCases {
            let refusal: AccessPolicy.Verdict =
                switch caller.kind {
                case .anonymous: .mustLogIn
                case .token: .wantsScope
                case .anybody, .account: .denied
                }
            let wanted: AccessPolicy.Verdict =
                switch right {
                case .health, .token: .allowed
                case .base: caller.kind == .anonymous ? .mustLogIn : .allowed
                case .overview, .browse: overview ? .allowed : refusal
                case .pull: rights.contains(.pull) ? .allowed : refusal
                case .push: !rights.contains(.push) ? refusal : isReadOnly ? .isReadOnly : .allowed
                case .delete: !rights.contains(.delete) ? refusal : isReadOnly ? .isReadOnly : .allowed
                }
            #expect(policy.verdict(right, repository: "team/app", caller) == wanted, "\(right) by \(caller)")
        }
    }

    // MARK: What rights come to

    @Test func `lists tell each of what it may pull, and no more`() throws {
        let world = try World()
        defer { world.end() }
        let lab = world.lab
        let user = [AccessTests.basic("user:secret")]
        let manifest = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[]}".utf8)
        for name in Self.names {
            let reply = try lab.ask(
                "PUT", "/v2/\(name)/manifests/x", user + ["Content-Type: \(MediaType.ociIndex)"], manifest)
            try #require(reply.status == 201, "\(reply.text)")
        }
        for client in Client.allCases {
            let reply = try lab.ask("GET", "/v2/_catalog", world.headers(client))
            guard client.isKnown, client.rights(in: "") != nil else {
                #expect(reply.status == 401)
                continue
            }
            let wanted = Self.names.filter { name in
                name == "public" || name == "public/below" || client.rights(in: name)?.contains(.pull) == true
            }
            #expect((reply.json["repositories"] as? [String] ?? []) == wanted.sorted(), "\(client)")
        }
    }

    @Test func `a blob comes from another repository only for those who may pull it there`() throws {
        let world = try World()
        defer { world.end() }
        let lab = world.lab
        let blob = Array("of another".utf8)
        let digest = StreamHash.digest(of: blob, .sha256)
        let user = [AccessTests.basic("user:secret")]
        for name in ["private", "public"] {
            #expect(try lab.ask("POST", "/v2/\(name)/blobs/uploads/?digest=\(digest)", user, blob).status == 201)
        }
        func mount(_ client: Client, _ source: String?, to target: String) throws -> Int {
            let from = source.map { "&from=\($0)" } ?? ""
            return try lab.ask(
                "POST", "/v2/\(target)/blobs/uploads/?mount=\(digest)\(from)", world.headers(client)
            ).status
        }
        // An upload in its place is no error, and tells nothing.
        #expect(try mount(.writer, "private", to: "team/app") == 202)
        #expect(try mount(.writer, "nowhere", to: "team/app") == 202)
        #expect(
            try lab.ask("HEAD", "/v2/team/app/blobs/\(digest)", world.headers(.writer)).status == 404)
        #expect(try mount(.writer, "public", to: "team/app") == 201)
        #expect(try mount(.filed, "private", to: "team") == 201)
        #expect(try mount(.reader, "public", to: "team/app") == 403)
        // Nor does a client that names no repository find it in one of which it is not told.
        #expect(try lab.ask("DELETE", "/v2/team/app/blobs/\(digest)", user).status == 202)
        #expect(try lab.ask("DELETE", "/v2/team/blobs/\(digest)", user).status == 202)
        #expect(try mount(.writer, nil, to: "team/app") == 201)
        for name in ["public", "team/app"] {
            #expect(try lab.ask("DELETE", "/v2/\(name)/blobs/\(digest)", user).status == 202)
        }
        #expect(try mount(.writer, nil, to: "team/app") == 202)
        #expect(try mount(.root, nil, to: "team/app") == 201)
    }

    @Test func `an operator's changes count at once`() throws {
        let lab = try RegistryLab(["--accounts"])
        func status(_ credentials: String, _ path: String = "/v2/team/tags/list") throws -> Int {
            try lab.ask("GET", path, [AccessTests.basic(credentials)]).status
        }
        #expect(try lab.ask("GET", "/v2/").status == 401)
        try lab.addUser("ann", "first word")
        #expect(try status("ann:first word", "/v2/") == 200)
        #expect(try status("ann:first word") == 403)
        try lab.grant("ann", "team", "pull")
        // Nothing is in it yet.
        #expect(try status("ann:first word") == 404)
        #expect(try lab.operate(["user", "passwd", "ann", "--password-stdin"], input: "second\n").status == 0)
        #expect(try status("ann:first word") == 401)
        #expect(try status("ann:second") == 404)
        #expect(try lab.operate(["rights"]).out.contains("ann       team           pull"))
        #expect(try lab.operate(["user", "disable", "ann"]).status == 0)
        #expect(try status("ann:second") == 401)
        #expect(try lab.operate(["user", "ls"]).out.contains("disabled"))
        #expect(try lab.operate(["user", "enable", "ann"]).status == 0)
        #expect(try lab.operate(["revoke", "ann", "team"]).status == 0)
        #expect(try status("ann:second") == 403)
        let secret = try lab.addRobot("bot", ["--expires", "1h"])
        #expect(try status("bot:\(secret)", "/v2/") == 200)
        let renewed = try lab.operate(["robot", "renew", "bot"]).out.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try status("bot:\(secret)", "/v2/") == 401)
        #expect(try status("bot:\(renewed)", "/v2/") == 200)
        // They outlive the registry, and no secret of theirs is in its files.
        lab.crash()
        try lab.start()
        #expect(try status("bot:\(renewed)", "/v2/") == 200)
        for file in ["index.db", "index.db-wal"] {
            let bytes = (try? Data(contentsOf: URL(filePath: "\(lab.directory)/data/\(file)"))) ?? Data()
            #expect(bytes.range(of: Data(renewed.utf8)) == nil && bytes.range(of: Data("second".utf8)) == nil)
        }
        #expect(try lab.operate(["robot", "rm", "bot"]).status == 0)
        #expect(try status("bot:\(renewed)", "/v2/") == 401)
    }

    @Test func `what an operator mistypes is refused with a reason`() throws {
        let lab = try RegistryLab(["--accounts"])
        let long = String(repeating: "x", count: 73)
        for (arguments, input, reason) in [
            (["user", "add", "a b", "--password-stdin"], "secret", "invalid account name"),
            (["user", "add", "ann", "--password-stdin"], long, "1 to 72 bytes"),
            (["user", "add", "ann", "--password-stdin"], "", "no password on standard input"),
            (["user", "rm", "ann"], "", "no such user: ann"), (["robot", "rm", "ann"], "", "no such robot: ann"),
            (["grant", "ann", "Team", "pull"], "", "invalid repository name"),
            (["grant", "ann", "team", "pul"], "", "unknown right"),
            (["robot", "add", "bot", "--expires", "soon"], "", "invalid --expires"),
        ] {
            let done = try lab.operate(arguments, input: input)
            #expect(done.status == 1 && done.err.contains(reason), "\(arguments): \(done)")
        }
        try lab.addUser("ann", "secret")
        #expect(try lab.operate(["robot", "add", "ann"]).err.contains("exists already"))
        // A robot's commands are not for people.
        #expect(try lab.operate(["robot", "renew", "ann"]).err.contains("no such robot"))
        let open = try RegistryLab()
        #expect(try open.operate(["robot", "add", "bot"]).err.contains("lets everybody do everything"))
    }

    @Test func `lists are told to an account with thousands of grants`() async throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try RegistryStore(RegistryStore.Settings(root: folder + "/data"))
        let visibility = Visibility.only((0..<3000).map { "team/r\($0)" })
        #expect(try await store.repositories(after: nil, countMax: 10, visibility).items.isEmpty)
        for text in ["", "x"] {
            #expect(try await store.search(SearchQuery(text, count: 10), visibility).items.isEmpty)
        }
    }
}
