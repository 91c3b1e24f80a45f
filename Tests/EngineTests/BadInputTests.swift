@testable import EngineAPI
import Foundation
import HTTP
import Testing

/// Every operation of the API with what no client should send: it is refused with a status and words of its own, the
/// daemon lives, and nothing has changed.
@Suite(.serialized)
final class BadInputTests {
    let lab: Lab

    init() throws {
        lab = try Lab()
        let image = try lab.loadedImage()
        let none = ["--network", "none"]
        for arguments in [
            ["run", "-d", "--name", "live"] + none + [image, "sleep", "100000"],
            ["create", "--name", "still"] + none + [image, "true"], ["volume", "create", "kept"],
        ] {
            let made = try lab.docker(arguments[0], arguments[1], Array(arguments.dropFirst(2)))
            guard made.code == 0 else { throw LabFailure(made.err) }
        }
    }

    /// What there is, without what passes with time.
    private func state() throws -> String {
        let containers = try lab.docker(
            "ps", "-a", ["--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}}"])
        let details = "{{.State.Pid}} {{.RestartCount}} {{json .Config}} {{json .HostConfig}} {{json .Mounts}}"
        let all = [
            containers, try lab.docker("inspect", "-f", [details, "live", "still"]),
            try lab.docker("image", "ls", ["-a", "--no-trunc", "--format", "{{.ID}} {{.Repository}} {{.Tag}}"]),
            try lab.docker("volume", "ls"), try lab.docker("network", "ls", ["--no-trunc"]),
            try lab.docker("exec", "live", ["ls", "-R", "/etc", "/seed"]),
        ]
        return all.map { "\($0.code) \($0.out)\($0.err)" }.joined(separator: "\n")
    }

    /// Runs `body`, after which the same daemon must have the same state.
    private func unchanged(_ body: () throws -> Void) throws {
        let (pid, before) = (lab.daemonPID, try state())
        #expect(before.contains("still") && before.contains("kept") && before.contains("seed"))
        try body()
        #expect(kill(pid, 0) == 0)
        #expect(try state() == before)
    }

    // MARK: Names

    /// What each operation needs beside the name so that the name alone decides: a query and a body.
    private static let needs: [String: (query: String, body: String)] = [
        "/containers/{id}/exec": ("", #"{"Cmd": ["true"]}"#), "/containers/{id}/rename": ("?name=other", ""),
        "/containers/{id}/resize": ("?h=1&w=1", ""), "/containers/{id}/update": ("", #"{"CpuShares": 7}"#),
        "/containers/{id}/archive": ("?path=/", ""), "/containers/{id}/logs": ("?stdout=1", ""),
        "/containers/{id}/attach": ("?stream=1&stdout=1", ""), "/exec/{id}/resize": ("?h=1&w=1", ""),
        "/networks/{id}/connect": ("", #"{"Container": "still"}"#),
        "/networks/{id}/disconnect": ("", #"{"Container": "still"}"#), "/images/{name:.*}/tag": ("?repo=other", ""),
        "/containers/{id}/stats": ("?stream=0", ""), "/volumes/{name}": ("", #"{"Labels": {}}"#),
        "/volumes/{name}/clone": ("?name=other", "{}"), "/volumes/{name}/rename": ("?name=other", ""),
        "/volumes/{name}/snapshot": ("?name=other", "{}"), "/volumes/{name}/backup": ("?reference=127.0.0.1:1/x", ""),
        "/volumes/{name}/archive": ("?path=/", ""),
    ]

    /// Operations on one object. Those that ask a registry are left out: what is not here may be there.
    private static var named: [Endpoint] {
        Endpoints.all.filter {
            $0.pattern.contains("{") && !$0.pattern.hasPrefix("/distribution") && !Swarm.contains($0)
        }
    }

    private enum Swarm {
        static func contains(_ row: Endpoint) -> Bool { Endpoints.swarm.contains { $0.pattern == row.pattern } }
    }

    private static func add(_ row: Endpoint, _ name: String, to batch: inout RequestBatch) {
        let need = needs[row.pattern] ?? ("", "")
        var path = row.pattern
        while let open = path.firstIndex(of: "{"), let close = path.firstIndex(of: "}") {
            let parameter = path[open...close]
            let isName = parameter.contains("name") || parameter.contains("id")
            path.replaceSubrange(
                open...close, with: isName ? name : parameter == "{digest}" ? Self.unknownDigest : "enable")
        }
        batch.add(row.method.description, path + need.query, body: need.body)
    }

    private static let unknownDigest = "sha256:" + String(repeating: "0", count: 64)

    /// Docker's words for what is not there, by the first part of the path.
    private static func words(_ row: Endpoint, _ name: String) -> String {
        switch row.pattern.split(separator: "/").first {
        case "containers": "No such container: \(name)"
        case "exec": "No such exec instance: \(name)"
        case "images" where row.pattern.hasSuffix("/push"): "An image does not exist locally with the tag: \(name)"
        case "images": "No such image: \(name):latest"
        case "volumes": "get \(name): no such volume"
        case "networks": "network \(name) not found"
        case "content" where row.pattern.contains("blobs"): "blob unknown: docker.io/library/\(name)@\(unknownDigest)"
        case "content": "manifest unknown: docker.io/library/\(name):enable"
        default: "plugin \"\(name)\" not found"
        }
    }

    @Test func `what is not there is answered 404 in Docker's words by every operation`() throws {
        try unchanged {
            var batch = RequestBatch()
            for row in Self.named { Self.add(row, "nope", to: &batch) }
            #expect(batch.names.count > 35)
            for (row, (name, answer)) in zip(Self.named, try batch.send(to: lab)) {
                #expect(answer.status == 404, "\(name): \(answer.body)")
                guard row.method != .head else { continue }
                #expect(answer.message == Self.words(row, "nope"), "\(name): \(answer.body)")
            }
        }
    }

    private static let hostile = [
        "..", "../..", "..%2f..%2fetc%2fpasswd", "%2e%2e", ".%2e%2fetc", "a%00b", "%00", "a%0ab", "a%2fb", "%ff", "%",
        "%zz",
        "%20", "-", "A:b:c", "@", "sha256:zz", "sha256:\(String(repeating: "0", count: 64))", "%E2%82%AC", "%22%3B%27",
        String(repeating: "x", count: 5000), "live%2f..%2fstill", "live%20", "%2flive%2f",
    ]

    @Test func `a hostile name is refused by every operation`() throws {
        try unchanged {
            var batch = RequestBatch()
            for hostile in Self.hostile {
                for row in Self.named { Self.add(row, hostile, to: &batch) }
            }
            for (name, answer) in try batch.send(to: lab) {
                #expect([400, 404].contains(answer.status), "\(name): \(answer.status) \(answer.body.prefix(300))")
                guard !name.hasPrefix("HEAD") else { continue }
                #expect(!answer.message.isEmpty && answer.message != answer.body, "\(name): \(answer.body.prefix(300))")
            }
        }
    }

    @Test func `no name at all is no page`() throws {
        try unchanged {
            var batch = RequestBatch()
            for row in Self.named where row.pattern.contains("}/") || row.pattern.contains("{id}") {
                Self.add(row, "", to: &batch)
            }
            for (name, answer) in try batch.send(to: lab) {
                #expect(answer.status == 404, "\(name): \(answer.body)")
                #expect(name.hasPrefix("HEAD") || answer.message == "page not found", "\(name): \(answer.body)")
            }
        }
    }

    // MARK: Bodies

    /// Operations that read a JSON body.
    private static let bodies = [
        "/containers/create", "/containers/still/update", "/containers/live/exec", "/exec/nope/start",
        "/volumes/create",
        "/networks/create", "/networks/none/connect", "/networks/none/disconnect", "/auth", "/commit?container=still",
    ]

    private static let malformed = [
        "{", "[]", "5", #""x""#, "true", #"{"a":"#, "{}{}", "{} trailing", "\u{feff}{}x", "{'a': 1}", "{\"a\": 1,,}",
        String(repeating: "[", count: 50_000), String(repeating: #"{"a":"#, count: 10_000), "{\"\\ud800\": }", "NaN",
        "<xml/>",
    ]

    @Test func `a body that is not the JSON it should be is answered 400`() throws {
        try unchanged {
            var batch = RequestBatch()
            for (path, body) in Self.bodies.flatMap({ path in Self.malformed.map { (path, $0) } }) {
                batch.add("POST", path, body: body)
            }
            for (name, answer) in try batch.send(to: lab) {
                #expect(answer.status == 400, "\(name): \(answer.status) \(answer.body)")
                #expect(answer.message.hasPrefix("invalid JSON: "), "\(name): \(answer.body)")
            }
        }
    }

    @Test func `a body of another type, or too large, is refused`() throws {
        try unchanged {
            let large = lab.directory + "/large.json"
            let text = #"{"Labels": {"k": ""# + String(repeating: "v", count: 9 << 20) + #""}}"#
            try text.write(toFile: large, atomically: true, encoding: .utf8)
            var batch = RequestBatch()
            for path in Self.bodies {
                batch.add("POST", path, body: "@\(large)", name: "large \(path)")
                if path != "/auth" { batch.add("POST", path, body: "{}", type: "text/plain", name: "text \(path)") }
            }
            for (name, answer) in try batch.send(to: lab) {
                #expect(answer.status == (name.hasPrefix("large") ? 413 : 400), "\(name): \(answer.body)")
                let words =
                    name.hasPrefix("large")
                    ? "request body is larger than"
                    : "unsupported Content-Type header (text/plain): must be 'application/json'"
                #expect(answer.message.contains(words), "\(name): \(answer.body)")
            }
        }
    }

    @Test func `a member of the wrong type is never more than refused`() throws {
        struct Details: Decodable {
            let hostConfig: [String: Anything]
            let config: [String: Anything]
            struct Anything: Decodable { init(from decoder: any Decoder) {} }
            enum CodingKeys: String, CodingKey { case hostConfig = "HostConfig", config = "Config" }
        }
        let inspected = try lab.api("GET", "/containers/still/json").body
        let details = try JSONDecoder().decode(Details.self, from: Data(inspected.utf8))
        #expect(details.hostConfig.count > 60 && details.config.count > 15)
        let wrong = ["5", "-1", "1e400", "1180591620717411303424", #""x""#, "[]", "[5]", "{}", #"{"x": 5}"#, "true"]
        var made: [String] = []
        try unchanged {
            var batch = RequestBatch()
            for value in wrong {
                for member in details.config.keys.sorted() where member != "Image" {
                    batch.add("POST", "/containers/create", body: #"{"Image": "box", "\#(member)": \#(value)}"#)
                }
                for member in details.hostConfig.keys.sorted() {
                    let body = #"{"Image": "box", "HostConfig": {"\#(member)": \#(value)}}"#
                    batch.add("POST", "/containers/create", body: body)
                }
            }
            let answers = try batch.send(to: lab)
            for (name, answer) in answers {
                #expect([201, 400].contains(answer.status), "\(name): \(answer.status) \(answer.body)")
                if answer.status == 201 { made.append(answer.id) }
            }
            #expect(answers.count { $0.answer.status == 400 } > answers.count / 2)
            for id in made { #expect(try lab.api("DELETE", "/containers/\(id)?v=1").status == 204) }
        }
    }

    // MARK: Queries

    private static let manyLetters = String(repeating: "a/", count: 3000)
    private static let queries: [(request: String, status: Int, words: String)] = [
        ("GET /containers/json?limit=x", 400, "parameter limit: must be a whole number"),
        ("GET /containers/json?limit=99999999999999999999", 400, "parameter limit: must be a whole number"),
        ("GET /containers/json?filters=x", 400, "invalid filters"),
        ("GET /containers/json?filters=[]", 400, "invalid filters"),
        (#"GET /containers/json?filters={%22a%22:5}"#, 400, "invalid filters"),
        (#"GET /containers/json?filters={%22a%22:[%22b%22]}"#, 400, "invalid filter 'a'"),
        (#"GET /containers/json?filters={%22status%22:[%22x%22]}"#, 400, "invalid filter 'status=x'"),
        (#"GET /images/json?filters={%22a%22:[%22b%22]}"#, 400, "invalid filter 'a'"),
        (#"GET /volumes?filters={%22a%22:[%22b%22]}"#, 400, "invalid filter 'a'"),
        (#"GET /networks?filters={%22a%22:[%22b%22]}"#, 400, "invalid filter 'a'"),
        (#"GET /events?filters={%22a%22:[%22b%22]}"#, 400, "invalid filter 'a'"),
        ("GET /events?since=yesterday", 400, "parameter since: must be a time"),
        ("GET /plugins?filters=x", 400, "invalid filters"),
        ("POST /containers/live/stop?t=x", 400, "parameter t: must be a whole number"),
        ("POST /containers/live/restart?t=1.5", 400, "parameter t: must be a whole number"),
        ("POST /containers/live/kill?signal=BOGUS", 400, "Invalid signal: BOGUS"),
        ("POST /containers/live/kill?signal=999", 400, "Invalid signal: 999"),
        ("POST /containers/live/stop?signal=BOGUS", 400, "Invalid signal: BOGUS"),
        ("POST /containers/live/wait?condition=x", 400, #"invalid condition: "x""#),
        ("POST /containers/live/resize?h=-1&w=1", 400, "invalid terminal size"),
        ("POST /containers/live/resize?h=1", 400, "invalid terminal size"),
        ("POST /containers/live/rename?name=..", 400, "Invalid container name (..)"),
        ("POST /containers/live/rename?name=", 400, "Neither old nor new names may be empty"),
        ("POST /containers/live/rename?name=still", 409, "is already in use by container"),
        ("POST /containers/live/attach", 400, "you must choose at least one stream"),
        ("GET /containers/live/logs", 400, "you must choose at least one stream"),
        ("GET /containers/live/logs?stdout=1&since=1e9", 400, "parameter since: must be a time"),
        ("GET /containers/live/logs?stdout=1&until=99999999999999999999", 400, "parameter until: must be a time"),
        ("GET /containers/live/archive", 400, "'path' cannot be empty"),
        ("GET /containers/live/archive?path=%00", 400, "invalid escape in the query"),
        ("GET /containers/live/archive?path=../../nothing", 404, "Could not find the file ../../nothing"),
        ("GET /containers/live/archive?path=\(manyLetters)", 400, "could not find the file"),
        ("PUT /containers/live/archive?path=\(manyLetters)", 400, "could not find the file"),
        ("PUT /containers/live/archive?path=/nothing", 404, "Could not find the file /nothing"),
        ("GET /containers/still/top", 409, "is not running"),
        ("POST /containers/create?platform=a/b/c/d", 400, "is an invalid platform"),
        ("POST /commit", 400, "no container was named"),
        ("POST /commit?container=..", 404, "No such container: .."),
        ("POST /commit?container=still&repo=A&tag=b", 400, "must be lowercase"),
        ("POST /commit?container=still&repo=a&tag=../..", 400, "invalid reference format"),
        ("POST /commit?container=still&changes=BOGUS%20x", 400, "BOGUS is not a valid change command"),
        ("POST /images/create", 400, "fromImage or fromSrc is required"),
        ("POST /images/create?fromImage=../x", 400, "invalid reference format"),
        ("POST /images/create?fromImage=x&platform=/", 400, "is an invalid platform"),
        ("POST /images/box/tag", 400, "invalid reference format"),
        ("POST /images/box/tag?repo=..&tag=x", 400, "invalid reference format"),
        ("POST /images/box/tag?repo=x&tag=a/b", 400, "invalid reference format"),
        ("GET /images/get", 400, "no image was named"), ("GET /images/get?names=..", 400, "invalid reference format"),
        ("DELETE /images/box", 409, "(must force)"), ("DELETE /containers/live", 409, "container is running"),
        ("DELETE /volumes/kept%2f..", 400, "malformed request target"),
        ("GET /_ping?a=%", 400, "invalid escape in the query"), ("GET /info?%ff=1", 400, "invalid escape in the query"),
        ("PATCH /info", 404, "page not found"), ("GET /v1.99/info", 400, "client version 1.99 is too new"),
        ("GET /v1.1/info", 400, "client version 1.1 is too old"), ("GET /v0x1.40/info", 404, "page not found"),
        ("GET //info", 404, "page not found"),
    ]

    @Test func `a query with a wrong value is refused with the reason`() throws {
        try unchanged {
            var batch = RequestBatch()
            for row in Self.queries {
                let parts = row.request.split(separator: " ")
                let isCreation = parts[1].hasPrefix("/containers/create")
                batch.add(String(parts[0]), String(parts[1]), body: isCreation ? #"{"Image": "box"}"# : "")
            }
            for (row, (name, answer)) in zip(Self.queries, try batch.send(to: lab)) {
                #expect(answer.status == row.status, "\(name): \(answer.body.prefix(300))")
                #expect(answer.message.contains(row.words), "\(name): \(answer.body.prefix(300))")
            }
        }
    }

    @Test(arguments: ["containers", "images", "volumes", "networks"])
    func `a prune with a filter that is not known, or cannot be, removes nothing`(_ kind: String) throws {
        try lab.docker("tag", "box", ["box:second"])
        try unchanged {
            var batch = RequestBatch()
            for filters in [
                "x", "{", "[]", #"{"lable":["a"]}"#, #"{"status":["x"]}"#, #"{"until":["soon"]}"#, #"{"until":[""]}"#,
                #"{"dangling":["maybe"],"all":["maybe"]}"#, #"{"dangling":["true","false"],"all":["1","0"]}"#,
            ] {
                let escaped = filters.replacing("\"", with: "%22")
                batch.add("POST", "/\(kind)/prune?filters=\(escaped)")
            }
            for (name, answer) in try batch.send(to: lab) {
                #expect(answer.status == 400, "\(name): \(answer.body)")
                #expect(answer.message.contains("invalid filter"), "\(name): \(answer.body)")
            }
        }
    }

    @Test func `a prune spares what its filters spare`() throws {
        for name in ["spared", "gone"] {
            let label = ["--label", "\(name)=yes"]
            try lab.docker("create", "--network", ["none", "--name", name] + label + ["box", "true"])
            try lab.docker("volume", "create", label + [name])
            try lab.docker("commit", "-c", ["LABEL \(name)=yes", "still", "image-\(name)"])
        }
        for kind in ["container", "image", "volume"] {
            let all = kind == "container" ? [] : ["-a"]
            let pruned = try lab.docker(
                kind, "prune", all + ["-f", "--filter", "label=gone", "--filter", "label!=spared"])
            #expect(pruned.code == 0, "\(pruned.err)")
        }
        for kind in ["container", "image"] {
            let all = kind == "container" ? [] : ["-a"]
            #expect(try lab.docker(kind, "prune", all + ["-f", "--filter", "until=24h"]).code == 0)
        }
        #expect(try lab.docker("ps", "-a", ["--format", "{{.Names}}"]).text.split(separator: "\n").contains("spared"))
        #expect(try !lab.docker("ps", "-a", ["--format", "{{.Names}}"]).text.split(separator: "\n").contains("gone"))
        #expect(try lab.docker("image", "ls", ["--format", "{{.Repository}}"]).text.contains("image-spared"))
        #expect(try !lab.docker("image", "ls", ["--format", "{{.Repository}}"]).text.contains("image-gone"))
        #expect(try lab.docker("volume", "ls", ["-q"]).text.split(separator: "\n").sorted() == ["kept", "spared"])
    }

    // MARK: Heads

    @Test func `a head that is too large is answered 431, and the next client is served`() throws {
        try unchanged {
            var batch = RequestBatch()
            batch.add(
                "GET", "/info", headers: ["X-Long: \(String(repeating: "x", count: 66_000))"], name: "long header")
            batch.add("GET", "/info", headers: (0..<200).map { "X-\($0): x" }, name: "many headers")
            batch.add("GET", "/info?\(String(repeating: "x", count: 66_000))", name: "long query")
            batch.add("GET", "/\(String(repeating: "x", count: 66_000))", name: "long path")
            for (name, answer) in try batch.send(to: lab) {
                #expect(answer.status == 431, "\(name): \(answer.status) \(answer.body)")
                #expect(answer.message.contains("too"), "\(name): \(answer.body)")
            }
            #expect(try lab.api("GET", "/_ping").body == "OK")
        }
    }
}
