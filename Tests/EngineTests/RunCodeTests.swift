import Foundation
import Testing

/// What `docker run` says and ends with when a container cannot be or ends badly: our client and Docker's own alike.
@Suite(.serialized)
final class RunCodeTests {
    private let lab: Lab

    init() throws {
        lab = try Lab()
        try lab.makeImage(
            "codes",
            """
            printf '#!/nonexistent\\n' > nointerpreter
            printf 'echo hi\\n' > noshebang
            chmod 755 nointerpreter noshebang
            """)
    }

    /// Docker's own client, where there is one.
    private static let stock: String? = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        guard FileManager.default.isExecutableFile(atPath: path) else { return false }
        let version = (try? Lab.run(path, ["--version"]).out) ?? ""
        return version.hasPrefix("Docker version 28.2") && !version.contains("swift")
    }

    private static func runtime(_ words: String) -> String {
        "OCI runtime create failed: unable to start container process: \(words): unknown"
    }

    private static let missing = runtime(#"exec: "nothere": executable file not found in $PATH"#)

    /// The arguments, the exit code and what the daemon says of it.
    static let rows: [(line: [String], code: Int32, words: String)] = [
        (["--pull", "never", "nosuch", "true"], 125, "No such image: nosuch:latest"),
        (["--memory", "1m", "codes", "true"], 125, "Minimum memory limit allowed is 6MB"),
        (["--cap-add", "BOGUS", "codes", "true"], 125, "invalid CapAdd: unknown capability: \"CAP_BOGUS\""),
        (
            ["-u", "nobodyhere", "codes", "true"], 125,
            "unable to find user nobodyhere: no matching entries in passwd file"
        ),
        (["--ipc", "container:nope", "codes", "true"], 125, "No such container: nope"),
        (["--network", "nonet", "codes", "true"], 125, "network nonet not found"),
        (
            ["--mount", "type=bind,src=/no/such,dst=/x", "codes", "true"], 125,
            "invalid mount config for type \"bind\": bind source path does not exist: /no/such"
        ),
        (["codes", "/noshebang"], 125, runtime("exec /noshebang: exec format error")),
        (
            ["-w", "/etc/passwd", "codes", "true"], 125,
            runtime("chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory")
        ),
        (["codes", "/etc"], 126, runtime("exec: \"/etc\": is a directory")),
        (["codes", "/etc/passwd"], 126, runtime("exec: \"/etc/passwd\": permission denied")),
        (["codes", "nothere"], 127, missing), (["--rm", "codes", "nothere"], 127, missing),
        (["-d", "codes", "nothere"], 127, missing), (["--init", "codes", "nothere"], 127, missing),
        (["--entrypoint", "nothere", "codes"], 127, missing),
        (["codes", "/nothere"], 127, runtime("exec: \"/nothere\": stat /nothere: no such file or directory")),
        (["codes", "/nointerpreter"], 127, runtime("exec /nointerpreter: no such file or directory")),
        (["codes", "sh", "-c", "exit 3"], 3, ""), (["codes", "sh", "-c", "exit 300"], 44, ""),
        (["codes", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),
        (["--init", "codes", "sh", "-c", "kill -TERM $$"], 143, ""),
        (["--init", "codes", "sh", "-c", "kill -KILL $$"], 137, ""),
        (["--init", "codes", "sh", "-c", "kill -SEGV $$"], 139, ""),
    ]

    @Test func `a run ends with the code and the words that people's scripts look for`() throws {
        for client in [Lab.binaries + "/docker", Self.stock].compactMap({ $0 }) {
            for row in Self.rows {
                let network = row.line.contains("--network") ? [] : ["--network", "none"]
                let ran = try Lab.run(client, ["run"] + network + row.line, environment: lab.environment)
                #expect(ran.code == row.code, "\(client) \(row.line): \(ran.err)")
                // A container that was made is told, whether it starts or not.
                let isTold = ran.text.count == 64
                #expect(row.line.contains("-d") ? isTold : ran.out.isEmpty, "\(client) \(row.line): \(ran.out)")
                guard !row.words.isEmpty else { continue }
                #expect(
                    ran.err
                        == "docker: Error response from daemon: \(row.words)\n\nRun 'docker run --help' for more information\n",
                    "\(client) \(row.line)")
            }
        }
    }
}
