import Foundation
import Testing

/// Credentials from `login` to a registry that asks for them, and back out of where they are kept.
@Suite(.serialized)
final class LoginTests {
    private let lab: Lab
    private let registry: String
    private let process = Process()

    init() throws {
        lab = try Lab()
        try lab.makeImage()
        registry = "127.0.0.1:\(Int.random(in: 40_000...49_999))"
        let passwords = try Lab.run("/usr/bin/htpasswd", ["-nbB", "ann", "open sesame"])
        try passwords.out.write(toFile: lab.directory + "/htpasswd", atomically: true, encoding: .utf8)
        try """
        version: 0.1
        log: {level: error, accesslog: {disabled: true}}
        storage: {filesystem: {rootdirectory: \(lab.directory)/private}}
        http: {addr: "\(registry)"}
        auth: {htpasswd: {realm: lab, path: \(lab.directory)/htpasswd}}

        """.write(toFile: lab.directory + "/private.yml", atomically: true, encoding: .utf8)
        process.executableURL = URL(filePath: "/usr/bin/docker-registry")
        process.arguments = ["serve", lab.directory + "/private.yml"]
        process.environment = ["OTEL_TRACES_EXPORTER": "none"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try lab.docker("pull", lab.registry + "/box")
        try lab.docker("tag", lab.registry + "/box", [registry + "/box:1"])
        // The registry listens a moment after it has started; it answers 401 then.
        #expect(try soon { try login("nobody").err.contains("401") })
    }

    deinit {
        process.terminate()
        process.waitUntilExit()
    }

    private func login(_ password: String) throws -> Lab.Output {
        try lab.docker("login", "-u", "ann", "--password-stdin", registry, input: password + "\n")
    }

    private func configuration() throws -> [String: Any] {
        let data = try Data(contentsOf: URL(filePath: lab.directory + "/config/config.json"))
        return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    }

    @Test func `a login opens the registry for push and pull, and a logout closes it`() throws {
        #expect(try lab.docker("push", registry + "/box:1").code != 0)
        let refused = try login("wrong")
        #expect(refused.code == 1)
        #expect(refused.err.contains("401 Unauthorized"))
        #expect(!FileManager.default.fileExists(atPath: lab.directory + "/config/config.json"))
        let accepted = try login("open sesame")
        #expect(accepted.code == 0 && accepted.text == "Login Succeeded")
        let auths = try configuration()["auths"] as? [String: [String: String]]
        #expect(auths?[registry]?["auth"] == Data("ann:open sesame".utf8).base64EncodedString())
        let mode =
            try FileManager.default.attributesOfItem(atPath: lab.directory + "/config/config.json")[.posixPermissions]
            as? Int
        #expect(mode == 0o600)
        #expect(try lab.docker("login", registry).text.contains("Authenticating with existing credentials"))
        #expect(try lab.docker("push", registry + "/box:1").code == 0)
        try lab.docker("rmi", registry + "/box:1")
        #expect(try lab.docker("pull", registry + "/box:1").code == 0)
        #expect(try lab.docker("logout", registry).text == "Removing login credentials for \(registry)")
        let closed = try lab.docker("pull", registry + "/box:1")
        #expect(closed.code == 1)
        #expect(
            closed.err.contains("no basic auth credentials") || closed.err.contains("unauthorized")
                || closed.err.contains("401"))
    }

    @Test func `a volume travels to a registry that asks for credentials with those of a login`() throws {
        #expect(try lab.docker("volume", "create", ["data"]).code == 0)
        try "kept".write(
            toFile: lab.dataRoot + "/volumes/data/_data/file", atomically: true, encoding: .utf8)
        let reference = registry + "/volumes/data:1"
        let refused = try lab.docker("volume", "backup", ["data", reference])
        #expect(refused.code == 1 && refused.err.contains("no basic auth credentials"), "\(refused.err)")
        #expect(try login("open sesame").code == 0)
        #expect(try lab.docker("volume", "backup", ["data", reference]).code == 0)
        #expect(try lab.docker("volume", "restore", [reference, "back"]).code == 0)
        #expect(try String(contentsOfFile: lab.dataRoot + "/volumes/back/_data/file", encoding: .utf8) == "kept")
        #expect(try lab.docker("logout", registry).code == 0)
        let closed = try lab.docker("volume", "restore", [reference, "none"])
        #expect(closed.code == 1 && closed.err.contains("no basic auth credentials"), "\(closed.err)")
    }

    /// A helper that keeps secrets in a file and notes what it is asked, and a command line that finds it.
    private func makeHelper(configuration: String) throws -> (
        tools: String, docker: (_ words: [String], _ input: String?) throws -> Lab.Output
    ) {
        let tools = lab.directory + "/tools"
        try FileManager.default.createDirectory(atPath: tools, withIntermediateDirectories: true)
        try """
        #!/bin/sh
        input=$(cat)
        echo "$1 $input" >> \(tools)/log
        case $1 in
        store) printf '%s' "$input" > \(tools)/secret ;;
        get) cat \(tools)/secret 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
        erase) rm -f \(tools)/secret ;;
        esac

        """.write(toFile: tools + "/docker-credential-lab", atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: tools + "/docker-credential-lab")
        try FileManager.default.createDirectory(atPath: lab.directory + "/config", withIntermediateDirectories: true)
        try configuration.write(
            toFile: lab.directory + "/config/config.json", atomically: true, encoding: .utf8)
        var environment = lab.environment
        environment["PATH"] = tools + ":" + (environment["PATH"] ?? "")
        return (tools, { try Lab.run(Lab.binaries + "/docker", $0, environment: environment, input: $1) })
    }

    @Test func `a helper is asked for its own registry alone, and a missing one keeps no logout from its end`() throws {
        let configuration = #"{"credsStore":"missing","credHelpers":{"\#(registry)":"lab"},"other":{"kept":1.50}}"#
        let (tools, docker) = try makeHelper(configuration: configuration)
        #expect(try docker(["login", "-u", "ann", "--password-stdin", registry], "open sesame\n").code == 0)
        #expect(try docker(["login", registry], nil).code == 0)
        #expect(try docker(["logout", registry], nil).code == 0)
        let words = try String(contentsOfFile: tools + "/log", encoding: .utf8).split(separator: "\n")
            .map { $0.split(separator: " ")[0] }
        #expect(words == ["store", "get", "store", "erase"])
        let text = try String(contentsOfFile: lab.directory + "/config/config.json", encoding: .utf8)
        #expect(text.contains("\"kept\": 1.50") && text.contains("\"credsStore\": \"missing\""))
    }

    @Test func `a credential helper keeps the secret, and the file only says whom to ask`() throws {
        let (tools, run) = try makeHelper(configuration: #"{"credsStore":"lab","psFormat":"{{.ID}}"}"#)
        func docker(_ words: String..., input: String? = nil) throws -> Lab.Output { try run(words, input) }
        #expect(try docker("login", "-u", "ann", "--password-stdin", registry, input: "open sesame\n").code == 0)
        let text = try String(contentsOfFile: lab.directory + "/config/config.json", encoding: .utf8)
        #expect(!text.contains(Data("ann:open sesame".utf8).base64EncodedString()) && text.contains("psFormat"))
        let stored =
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: tools + "/secret")))
            as? [String: String]
        #expect(stored == ["ServerURL": registry, "Username": "ann", "Secret": "open sesame"])
        #expect(try docker("push", registry + "/box:1").code == 0)
        #expect(try docker("logout", registry).code == 0)
        #expect(!FileManager.default.fileExists(atPath: tools + "/secret"))
        #expect(try docker("push", registry + "/box:1").code != 0)
    }
}
