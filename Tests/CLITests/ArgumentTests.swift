import Testing

@testable import docker

@Suite struct ArgumentTests {
    @Test(arguments: [
        (["-it", "img", "-x", "--rm"], ["-i", "-t", "--", "img", "-x", "--rm"]),
        (["-p8080:80", "-eA=b", "img"], ["-p=8080:80", "-e=A=b", "--", "img"]),
        (["--rm=false", "--name=x", "img"], ["--name=x", "--", "img"]),
        (["--entrypoint", "", "-e=", "img"], ["--entrypoint", "", "-e", "", "--", "img"]),
        (["--sig-proxy=false", "-e", "-dash", "img"], ["--no-sig-proxy", "-e=-dash", "--", "img"]),
    ])
    func `Docker's flag grammar becomes the parser's`(words: [String], normal: [String]) throws {
        let normalizer = ArgumentNormalizer(switches: ContainerOptions.switches, stopsAtPositional: true)
        #expect(try normalizer.normalize(words) == normal)
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
