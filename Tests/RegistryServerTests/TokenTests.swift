import Crypto
import CryptoExtras
import Foundation
import OCI
import RegistryStore
import Testing

@testable import RegistryServer

/// Tokens that the registry gives, and takes.
@Suite struct TokenTests {
    /// A registry that is its own token service.
    private static func issuing(_ folder: String, _ settings: String = "", _ options: [String] = []) throws
        -> RegistryLab
    {
        let path = folder + "/config.json"
        try "{\"tokens\":{\"issue\":true\(settings)}}".write(toFile: path, atomically: true, encoding: .utf8)
        return try RegistryLab(["--config", path, "--anonymous-pull", "public"] + options)
    }

    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private static func bearer(_ token: String) -> [String] { ["Authorization: Bearer \(token)"] }

    private static func token(
        _ lab: RegistryLab, _ credentials: String?, _ scopes: [String], _ rest: String = ""
    ) throws -> RegistryLab.Reply {
        let query = (["service=docker-registry"] + scopes.map { "scope=\($0)" }).joined(separator: "&")
        return try lab.ask("GET", "/token?\(query)\(rest)", credentials.map { [AccessTests.basic($0)] } ?? [])
    }

    /// What a token says.
    private static func claims(_ reply: RegistryLab.Reply) throws -> WebToken.Claims {
        try WebToken(parsing: try #require(reply.json["access_token"] as? String)).claims
    }

    @Test func `a token is for what its account may do of what was asked`() throws {
        try Self.withFolder { folder in
            let lab = try Self.issuing(folder)
            try lab.addUser("ann", "secret")
            try lab.grant("ann", "team", "pull,push")
            func scopes(_ credentials: String?, _ asked: [String]) throws -> [String] {
                try Self.claims(try Self.token(lab, credentials, asked)).access?.map(\.text) ?? []
            }
            for (credentials, asked, given) in [
                ("ann:secret", ["repository:team/app:pull,push"], ["repository:team/app:pull,push"]),
                ("ann:secret", ["repository:team/app:pull,push,delete"], ["repository:team/app:pull,push"]),
                ("ann:secret", ["repository:team/app:*"], ["repository:team/app:pull,push"]),
                ("ann:secret", ["repository:teams:pull"], []),
                (
                    "ann:secret", ["repository:team:pull%20repository:public:push,pull"],
                    ["repository:team:pull", "repository:public:pull"]
                ),
                ("ann:secret", ["registry:catalog:*"], ["registry:catalog:*"]),
                ("ann:secret", ["nonsense", "a:b:c"], []),
                (
                    nil, ["repository:public/x:pull,push", "repository:team:pull", "registry:catalog:*"],
                    ["repository:public/x:pull"]
                ),
            ] as [(String?, [String], [String])] {
                #expect(try scopes(credentials, asked) == given, "\(asked)")
            }
            let reply = try Self.token(lab, "ann:secret", [])
            #expect(reply.json["token"] as? String == reply.json["access_token"] as? String)
            #expect(reply.json["expires_in"] as? Int == 300 && reply.json["refresh_token"] == nil)
            let wrong = try Self.token(lab, "ann:wrong", [])
            #expect(wrong.status == 401 && wrong.headers["www-authenticate"]?.hasPrefix("Basic ") == true)
            let many = Array(repeating: "repository:team:pull", count: 101)
            #expect(try Self.token(lab, "ann:secret", many).status == 400)
            #expect(try lab.ask("GET", "/token?service=other").status == 400)
        }
    }

    @Test func `a challenge says where a token is had and what for, and the token opens just that`() throws {
        try Self.withFolder { folder in
            let lab = try Self.issuing(folder)
            try lab.addUser("ann", "secret")
            try lab.grant("ann", "team", "pull,push")
            let plain = "Bearer realm=\"http://\(lab.address)/token\",service=\"docker-registry\""
            for (method, path, scope) in [
                ("GET", "/v2/", ""), ("GET", "/v2/team/tags/list", ",scope=\"repository:team:pull\""),
                ("POST", "/v2/team/blobs/uploads/", ",scope=\"repository:team:pull,push\""),
                (
                    "POST", "/v2/team/blobs/uploads/?mount=\(AccessTests.digest)&from=other",
                    ",scope=\"repository:team:pull,push repository:other:pull\""
                ),
                (
                    "POST", "/v2/team/blobs/uploads/?mount=x&from=%22,x=%22",
                    ",scope=\"repository:team:pull,push\""
                ),
                ("DELETE", "/v2/team/manifests/x", ",scope=\"repository:team:delete\""),
                ("GET", "/v2/_catalog", ",scope=\"registry:catalog:*\""),
                // Nobody writes parameters of their own into a header.
                ("GET", "/v2/a%22,realm=%22x/tags/list", ""),
            ] {
                let reply = try lab.ask(method, path)
                #expect(reply.status == 401 && reply.headers["www-authenticate"] == plain + scope, "\(method) \(path)")
            }
            #expect(
                try lab.ask("GET", "/v2/", ["X-Forwarded-Proto: https"]).headers["www-authenticate"]?
                    .contains("realm=\"https://") == true)
            let reply = try Self.token(lab, "ann:secret", ["repository:team:pull"])
            let headers = Self.bearer(try #require(reply.json["token"] as? String))
            #expect(try lab.ask("GET", "/v2/", headers).status == 200)
            #expect(try lab.ask("GET", "/v2/team/tags/list", headers).status == 404)
            for (method, path) in [
                ("POST", "/v2/team/blobs/uploads/"), ("GET", "/v2/team/app/tags/list"), ("GET", "/v2/_catalog"),
            ] {
                let refused = try lab.ask(method, path, headers)
                #expect(refused.status == 401, "\(method) \(path)")
                #expect(refused.headers["www-authenticate"]?.hasSuffix("error=\"insufficient_scope\"") == true)
            }
            // A password does as well, and says at once what it may not.
            #expect(try lab.ask("GET", "/v2/team/tags/list", [AccessTests.basic("ann:secret")]).status == 404)
            #expect(try lab.ask("GET", "/v2/other/tags/list", [AccessTests.basic("ann:secret")]).status == 403)
            // Rights that are gone are gone for tokens, too.
            #expect(try lab.operate(["revoke", "ann", "team"]).status == 0)
            #expect(try lab.ask("GET", "/v2/team/tags/list", headers).status == 401)
            #expect(try lab.operate(["user", "rm", "ann"]).status == 0)
            #expect(try lab.ask("GET", "/v2/", headers).status == 401)
        }
    }

    @Test func `a refresh token gives others as long as the password is the same`() throws {
        try Self.withFolder { folder in
            let lab = try Self.issuing(folder)
            try lab.addUser("ann", "secret")
            try lab.grant("ann", "team", "all")
            func post(_ form: String) throws -> RegistryLab.Reply {
                try lab.ask(
                    "POST", "/token", ["Content-Type: application/x-www-form-urlencoded"],
                    Array("service=docker-registry&client_id=test&\(form)".utf8))
            }
            let first = try post(
                "grant_type=password&username=ann&password=secret&access_type=offline&scope=repository:team:push")
            #expect(first.json["scope"] as? String == "repository:team:push")
            #expect(first.headers["cache-control"] == "no-store")
            let refresh = try #require(first.json["refresh_token"] as? String)
            let second = try post("grant_type=refresh_token&refresh_token=\(refresh)&scope=repository:team:pull")
            #expect(second.status == 200 && second.json["refresh_token"] as? String == refresh)
            #expect(try Self.claims(second).access?.map(\.text) == ["repository:team:pull"])
            // One kind does not do for the other.
            #expect(try lab.ask("GET", "/v2/", Self.bearer(refresh)).status == 401)
            let access = try #require(second.json["access_token"] as? String)
            #expect(try post("grant_type=refresh_token&refresh_token=\(access)").status == 401)
            for form in ["", "grant_type=other", "grant_type=password&username=ann&password=%zz"] {
                #expect(try post(form).status == 400, "\(form)")
            }
            for form in [
                "grant_type=password&username=ann&password=wrong", "grant_type=password", "grant_type=refresh_token",
            ] {
                #expect(try post(form).status == 401, "\(form)")
            }
            #expect(try lab.operate(["user", "passwd", "ann", "--password-stdin"], input: "other\n").status == 0)
            #expect(try post("grant_type=refresh_token&refresh_token=\(refresh)").status == 401)
        }
    }

    @Test func `keys take turns, and tokens of the one before are good to their end`() throws {
        try Self.withFolder { folder in
            let lab = try Self.issuing(folder, ",\"rotate\":\"2s\"")
            func keys() throws -> [String] {
                (try lab.ask("GET", "/token/keys").json["keys"] as? [[String: Any]] ?? []).compactMap {
                    $0["kid"] as? String
                }
            }
            let first = try #require(try Self.token(lab, nil, []).json["token"] as? String)
            #expect(try keys().count == 1)
            #expect(
                try soon {
                    _ = try Self.token(lab, nil, [])
                    return try keys().count > 1
                })
            let newest = try WebToken(parsing: try #require(try Self.token(lab, nil, []).json["token"] as? String))
            #expect(try WebToken(parsing: first).header.kid != newest.header.kid)
            #expect(try lab.ask("GET", "/v2/", Self.bearer(first)).status == 200)
            // They are in the index.
            lab.crash()
            try lab.start()
            #expect(try lab.ask("GET", "/v2/", Self.bearer(first)).status == 200)
        }
    }

    @Test func `who looks for a key while it is being read waits for it`() async throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try RegistryStore(RegistryStore.Settings(root: folder + "/data"))
        func keys() -> TokenKeys { TokenKeys(period: .seconds(60), lifetimeMax: .seconds(60)) }
        let token = try WebToken(parsing: try await keys().sign(WebToken.Claims(), store))
        // As a registry that has just started does, or another one of the index.
        let fresh = keys()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { _ = try await fresh.key(for: token.header, store) } }
            try await group.waitForAll()
        }
        let other = WebToken.Header(alg: "ES256", kid: "other")
        await #expect(throws: WebToken.Failure.self) { _ = try await fresh.key(for: other, store) }
    }

    @Test func `a token is for the repository that its client means, by the name that the client uses`() throws {
        try Self.withFolder { folder in
            let origin = try Origin()
            origin.image([1, 2, 3], of: "library/x")
            let lab = try Self.issuing(
                folder, "},\"mirrors\":{\"docker.io\":{\"url\":\"\(origin.url)\",\"hosts\":[\"127.0.0.1\"]}")
            try lab.addUser("ann", "secret")
            try lab.grant("ann", "docker.io", "pull")
            // What Docker asks for, and what it is told to ask for.
            let told = try lab.ask("GET", "/v2/library/x/manifests/latest").headers["www-authenticate"] ?? ""
            #expect(told.hasSuffix("scope=\"repository:docker.io/library/x:pull\""))
            for scope in ["repository:library/x:pull", "repository:docker.io/library/x:pull"] {
                let reply = try Self.token(lab, "ann:secret", [scope])
                let headers = Self.bearer(try #require(reply.json["token"] as? String))
                #expect(try lab.ask("GET", "/v2/library/x/manifests/latest", headers).status == 200, "\(scope)")
                #expect(try lab.ask("GET", "/v2/library/y/manifests/latest", headers).status == 401)
            }
            try lab.addUser("bob", "secret")
            try lab.grant("bob", "library", "all")
            let reply = try Self.token(lab, "bob:secret", ["repository:library/x:pull"])
            let headers = Self.bearer(try #require(reply.json["token"] as? String))
            #expect(try lab.ask("GET", "/v2/library/x/manifests/latest", headers).status == 401)
        }
    }

    @Test func `skopeo logs in, pushes and pulls by tokens and by passwords`() throws {
        try Self.withFolder { folder in
            for isToken in [true, false] {
                let lab =
                    isToken ? try Self.issuing(folder) : try RegistryLab(["--accounts", "--anonymous-pull", "public"])
                try lab.addUser("ann", "secret")
                let robot = try lab.addRobot("ci$bot")
                try lab.grant("ann", "team", "pull,push")
                try lab.grant("ci$bot", "public", "pull,push")
                func skopeo(_ arguments: [String]) throws -> RegistryLab.Outcome {
                    try RegistryLab.run("/usr/bin/skopeo", arguments)
                }
                let layout = try Self.layout(folder)
                func push(_ credentials: String, _ name: String) throws -> RegistryLab.Outcome {
                    try skopeo([
                        "copy", "--dest-tls-verify=false", "--dest-creds", credentials, "oci:\(layout)",
                        "docker://\(lab.address)/\(name)",
                    ])
                }
                let pushed = try push("ann:secret", "team/app:1")
                #expect(pushed.status == 0, "\(pushed.err)")
                #expect(try push("ann:secret", "public/app:1").status != 0)
                #expect(try push("ann:wrong", "team/app:2").status != 0)
                let byRobot = try push("ci$bot:\(robot)", "public/app:1")
                #expect(byRobot.status == 0, "\(byRobot.err)")
                func inspect(_ credentials: [String], _ name: String) throws -> Int32 {
                    try skopeo(["inspect", "--tls-verify=false"] + credentials + ["docker://\(lab.address)/\(name)"])
                        .status
                }
                #expect(try inspect(["--creds", "ann:secret"], "team/app:1") == 0)
                #expect(try inspect(["--no-creds"], "team/app:1") != 0)
                #expect(try inspect(["--no-creds"], "public/app:1") == 0)
                let login = ["login", "--tls-verify=false", "--authfile", "\(folder)/auth.json", "-u", "ann", "-p"]
                #expect(try skopeo(login + ["wrong", lab.address]).status != 0)
                #expect(try skopeo(login + ["secret", lab.address]).status == 0)
            }
        }
    }

    /// An image of one layer, as files.
    static func layout(_ folder: String) throws -> String {
        let root = folder + "/layout"
        try FileManager.default.createDirectory(atPath: root + "/blobs/sha256", withIntermediateDirectories: true)
        func put(_ bytes: [UInt8], _ type: String) throws -> String {
            let digest = StreamHash.digest(of: bytes, .sha256)
            try Data(bytes).write(to: URL(filePath: "\(root)/blobs/sha256/\(digest.hex)"))
            return "{\"mediaType\":\"\(type)\",\"digest\":\"\(digest)\",\"size\":\(bytes.count)}"
        }
        let tar = [UInt8](repeating: 0, count: 1024)
        let layer = try put(tar, MediaType.ociLayer)
        let config = try put(
            Array(
                """
                {"architecture":"amd64","os":"linux","rootfs":{"type":"layers",\
                "diff_ids":["\(StreamHash.digest(of: tar, .sha256))"]}}
                """.utf8), MediaType.ociConfig)
        let manifest = try put(
            Array(
                "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociManifest)\",\"config\":\(config),\"layers\":[\(layer)]}"
                    .utf8),
            MediaType.ociManifest)
        try "{\"schemaVersion\":2,\"manifests\":[\(manifest)]}".write(
            toFile: root + "/index.json", atomically: true, encoding: .utf8)
        try "{\"imageLayoutVersion\":\"1.0.0\"}".write(toFile: root + "/oci-layout", atomically: true, encoding: .utf8)
        return root
    }
}
