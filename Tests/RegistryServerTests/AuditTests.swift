import Foundation
import OCI
import RegistryStore
import Testing

/// Who has done what, written down.
@Suite struct AuditTests {
    private static func lines(_ path: String) -> [[String: Any]] {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap {
            try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
    }

    private static func short(_ line: [String: Any]) -> String {
        ["user", "action", "method", "repository", "reference", "status"].map { "\(line[$0] ?? "-")" }
            .joined(separator: " ")
    }

    @Test func `changes and refusals are on disk before their answers, reads soon after, secrets never`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/audit"
        let lab = try RegistryLab(["--audit", path, "--htpasswd", try AccessTests.passwordFile(folder)])
        let user = [AccessTests.basic("user:secret")]
        let blob = Array("a blob".utf8)
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("POST", "/v2/a/blobs/uploads/?digest=\(digest)", user, blob).status == 201)
        let first = Self.lines(path)
        #expect(first.map(Self.short) == ["user push POST a - 201"])
        #expect(first.first?["digest"] as? String == "\(digest)" && first.first?["bytes"] as? Int == 6)
        #expect(first.first?["peer"] as? String == "127.0.0.1")
        #expect((first.first?["time"] as? String)?.hasSuffix("Z") == true)
        let manifest = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[]}".utf8)
        let type = ["Content-Type: \(MediaType.ociIndex)"]
        #expect(try lab.ask("PUT", "/v2/a/manifests/x", user + type, manifest).status == 201)
        #expect(try lab.ask("DELETE", "/v2/a/manifests/x", user).status == 202)
        #expect(try lab.ask("DELETE", "/v2/a/manifests/x", [AccessTests.basic("user:guess-1")]).status == 401)
        #expect(try lab.ask("GET", "/v2/").status == 401)
        let told = Self.lines(path).dropFirst().map(Self.short)
        #expect(
            told == [
                "user push PUT a x 201", "user delete DELETE a x 202", "user delete DELETE a x 401",
                "- login GET - - 401",
            ])
        let index = StreamHash.digest(of: manifest, .sha256)
        #expect(try lab.ask("PUT", "/v2/a/manifests/\(index)?tag=y&tag=z", user + type, manifest).status == 201)
        #expect(Self.lines(path).last.map(Self.short) == "user push PUT a y, z 201")
        #expect(Self.lines(path).last?["digest"] as? String == "\(index)")
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)", user).status == 200)
        #expect(soon { Self.lines(path).last.map(Self.short) == "user pull GET a - 200" })
        #expect(Self.lines(path).last?["bytes"] as? Int == 6)
        let hostile = try lab.ask("DELETE", "/v2/%22%7D%0a%7B%22user%22:%22root/manifests/x")
        #expect(hostile.status >= 400)
        // What is typed stays inside of its line.
        #expect(Self.lines(path).allSatisfy { $0["user"] as? String != "root" && $0["time"] != nil })
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(!text.contains("secret") && !text.contains("guess-1") && !text.contains("Basic"))
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test func `who fetches a token by a form is named`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (path, file) = (folder + "/audit", folder + "/config.json")
        try "{\"tokens\":{\"issue\":true}}".write(toFile: file, atomically: true, encoding: .utf8)
        let lab = try RegistryLab(["--audit", path, "--config", file])
        try lab.addUser("ann", "secret")
        func post(_ form: String) throws -> RegistryLab.Reply {
            try lab.ask("POST", "/token", [], Array("service=docker-registry&\(form)".utf8))
        }
        let reply = try post("grant_type=password&username=ann&password=secret&access_type=offline")
        let token = try #require(reply.json["refresh_token"] as? String)
        #expect(try post("grant_type=password&username=ann&password=guess-1").status == 401)
        #expect(try post("grant_type=refresh_token&refresh_token=\(token)").status == 200)
        #expect(
            Self.lines(path).map(Self.short) == [
                "- user-add - - - 200", "ann token POST - - 200", "ann token POST - - 401", "ann token POST - - 200",
            ])
        #expect(try !String(contentsOfFile: path, encoding: .utf8).contains("guess-1"))
    }

    @Test func `what an operator and rules change is written down, and who has connected`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (path, file) = (folder + "/audit", folder + "/config.json")
        try #"{"retention": [{"repositories": "a", "tags": "pr-*", "keepLast": 1}]}"#.write(
            toFile: file, atomically: true, encoding: .utf8)
        let lab = try RegistryLab(["--accounts", "--audit", path, "--config", file])
        try lab.addUser("ann", "secret-1")
        let secret = try lab.addRobot("bot")
        try lab.grant("ann", "a", "all")
        for number in 0..<2 {
            let body = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[],"annotations":{"n":"\(number)"}}
                """.utf8)
            let headers = [AccessTests.basic("ann:secret-1"), "Content-Type: \(MediaType.ociIndex)"]
            #expect(try lab.ask("PUT", "/v2/a/manifests/pr-\(number)", headers, body).status == 201)
        }
        for arguments in [
            ["user", "disable", "ann"], ["user", "rm", "bot"], ["revoke", "ann", "a"], ["robot", "rm", "bot"],
            ["user", "ls"], ["robot", "renew", "x"], ["gc"], ["quota", "--recount"], ["retention"], ["rm", "a"],
            ["webhooks", "--redeliver", "x"], ["move", "--storage", "files"],
        ] { try lab.operate(arguments) }
        let all = Self.lines(path)
        let told = all.filter { $0["by"] as? String == "operator" }
        let short = told.map { line in
            ["action", "account", "rights", "repository", "target", "status"].compactMap { line[$0] }
                .map { "\($0)" }.joined(separator: " ")
        }
        #expect(
            short == [
                "user-add ann 200", "robot-add bot 200", "grant ann pull,push,delete a 200", "user-disable ann 200",
                "user-remove bot 404", "revoke ann a 200", "robot-remove bot 200", "robot-renew x 404", "gc 200",
                "quota-recount 200", "retention 200", "delete a 204", "webhook-redeliver x 404",
                "move-storage files 200", "move-storage-end files 500",
            ])
        #expect(told.allSatisfy { $0["uid"] as? Int == Int(getuid()) && ($0["pid"] as? Int ?? 0) > 1 })
        #expect(told.allSatisfy { $0["user"] == nil && $0["peer"] == nil })
        let removed = all.filter { $0["by"] as? String == "retention" }
        #expect(removed.map(Self.short) == ["- delete - a pr-0 200", "- delete - a - 200"])
        #expect(removed.allSatisfy { ($0["digest"] as? String)?.hasPrefix("sha256:") == true })
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(!text.contains("secret-") && !text.contains(secret))
    }

    @Test func `a log that was renamed goes on in a new file, and a hang-up ends nothing`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/audit"
        let lab = try RegistryLab(["--audit", path])
        try lab.push([1], to: "a")
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        kill(lab.pid, SIGHUP)
        try lab.push([2], to: "b")
        #expect(Self.lines(path + ".1").map { $0["repository"] as? String } == ["a"])
        #expect(Self.lines(path).map { $0["repository"] as? String } == ["b"])
        // What was answered is there after a crash.
        for number in 0..<20 { try lab.push([3, UInt8(number)], to: "c") }
        lab.crash()
        #expect(Self.lines(path).count == 21)
    }
}
