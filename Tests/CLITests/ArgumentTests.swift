import Testing

@testable import docker

@Suite struct ArgumentTests {
    /// Some flags of every kind, and words.
    private struct Sample: Command {
        static let usage = "sample [OPTIONS] IMAGE [ARG...]"
        static let stopsAtPositional = true
        @Option("-e --env", "Variables") var env: [String] = []
        @Option("-c --cpu-shares", "Shares") var cpuShares: Int64 = 0
        @Option("--name", "Name") var name: String?
        @Option("--volumes-from -volumes-from", nil) var volumesFrom: [String] = []
        @Flag("--rm", "Remove") var rm = false
        @Flag("-i --interactive", "Input") var interactive = false
        @Flag("-t --tty", "Terminal") var tty = false
        @Flag("--sig-proxy", "Signals") var sigProxy = true
        @Argument var words: [String]
        func run(_ settings: Settings) throws(CLIError) {}

        var text: String {
            "\(env) \(cpuShares) \(name ?? "nil") \(rm) \(interactive) \(tty) \(sigProxy) \(words + volumesFrom)"
        }
    }

    @Test(arguments: [
        (["img"], #"[] 0 nil false false false true ["img"]"#),
        (["-it", "img", "-x", "--rm"], #"[] 0 nil false true true true ["img", "-x", "--rm"]"#),
        (["-eA=b", "-e", "-dash", "--env=c", "img"], #"["A=b", "-dash", "c"] 0 nil false false false true ["img"]"#),
        (["--rm=false", "--name=", "img"], #"[] 0  false false false true ["img"]"#),
        (["-ie=x", "-c5", "img"], #"["x"] 5 nil false true false true ["img"]"#),
        (["--sig-proxy=false", "--rm", "--", "-img"], #"[] 0 nil true false false false ["-img"]"#),
        (["-name", "n", "-rm", "img"], #"[] 0 n true false false true ["img"]"#),
        (["-volumes-from", "a", "-volumes-from=b", "img"], #"[] 0 nil false false false true ["img", "a", "b"]"#),
        (["-t=0", "-i=true", "-c", "-1", "img", "--"], #"[] -1 nil false true false true ["img", "--"]"#),
    ])
    func `flags are read as Docker's client reads them`(words: [String], text: String) throws {
        let (sample, flags) = FlagSet.collect { Sample() }
        #expect(try flags.parse(words, stopsAtPositional: true) == .run)
        #expect(sample.text == text)
    }

    @Test(arguments: [
        (["--bogus", "img"], "unknown flag: --bogus"), (["-ix", "img"], "unknown shorthand flag: 'x' in -x"),
        (["--name"], "flag needs an argument: --name"), (["-e"], "flag needs an argument: 'e' in -e"),
        (
            ["-c", "many", "img"],
            #"invalid argument "many" for "-c, --cpu-shares" flag: strconv.ParseInt: parsing "many": invalid syntax"#
        ),
        (
            ["-c", "9223372036854775808", "img"],
            #"invalid argument "9223372036854775808" for "-c, --cpu-shares" flag: strconv.ParseInt: parsing "9223372036854775808": value out of range"#
        ),
        (
            ["--rm=maybe", "img"],
            #"invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax"#
        ),
        (["--rm"], "docker: 'docker sample' requires at least 1 argument"),
    ])
    func `a command line that cannot be meant is refused in Docker's words`(words: [String], message: String) {
        let (_, flags) = FlagSet.collect { Sample() }
        do throws(FlagError) {
            _ = try flags.parse(words, stopsAtPositional: true)
            Issue.record("\(words) was taken")
        } catch {
            let told = CommandHelp(usage: Sample.usage).failure(error).message
            #expect(told.split(separator: "\n").first.map(String.init) == message)
        }
    }

    @Test func `help lists the flags in order with their kinds`() throws {
        let (_, flags) = FlagSet.collect { Sample() }
        #expect(try flags.parse(["--name", "x", "--help"], stopsAtPositional: true) == .help)
        let lines = CommandHelp(usage: Sample.usage).text(flags).split(separator: "\n").map(String.init)
        #expect(lines[0] == "Usage:  docker sample [OPTIONS] IMAGE [ARG...]")
        #expect(lines[2] == "  -c, --cpu-shares int   Shares")
        #expect(lines[3] == "  -e, --env list         Variables")
        #expect(lines[5] == "      --name string      Name")
    }

    @Test func `frames split anywhere give their payload back in order`() throws {
        let bytes: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 2, 65, 66, 2, 0, 0, 0, 0, 0, 0, 1, 67]
        for cut in 0...bytes.count {
            var reader = FrameReader()
            var output: [UInt8] = []
            var errors: [UInt8] = []
            for part in [Array(bytes[..<cut]), Array(bytes[cut...])] {
                try reader.feed(part) { (stream, payload) throws(CLIError) in
                    if stream == .error { errors += payload } else { output += payload }
                }
            }
            #expect(output == [65, 66] && errors == [67])
        }
    }

    @Test func `detach keys are held back and found across reads`() throws {
        var keys = try DetachKeys("")
        #expect(keys.filter([97, 16]).send == [97])
        #expect(keys.filter([98]).send == [16, 98])
        _ = keys.filter([16])
        #expect(keys.filter([17]).detached)
    }

    @Test(arguments: [
        ("alpine", "docker.io/library/alpine", ":latest"), ("a/b:1", "docker.io/a/b", ":1"),
        ("localhost:5000/x@sha256:ab", "localhost:5000/x", "@sha256:ab"),
    ])
    func `image names get Docker's defaults`(text: String, full: String, suffix: String) throws {
        let name = try ImageName(parsing: text)
        #expect(name.full == full && name.suffix == suffix)
    }

    @Test func `capabilities are whole names in order, all stands alone, and adding wins`() {
        let some = CapabilitySpec(add: ["sys_admin", "CAP_NET_RAW"], drop: ["ALL"])
        #expect(some.add == ["CAP_NET_RAW", "CAP_SYS_ADMIN"] && some.drop == ["ALL"])
        let both = CapabilitySpec(add: ["all", "chown"], drop: ["CHOWN", "cap_kill"])
        #expect(both.add == ["ALL"] && both.drop == ["CAP_CHOWN", "CAP_KILL"])
        #expect(CapabilitySpec(add: ["chown"], drop: ["CHOWN"]).drop.isEmpty)
    }
}
