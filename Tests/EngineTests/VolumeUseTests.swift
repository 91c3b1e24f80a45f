import Foundation
import Testing

/// What our client tells and changes of volumes beyond Docker's own: sizes, users, labels.
@Suite(.serialized)
final class VolumeUseTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.loadedImage()
        try lab.docker("volume", "create", ["--label", "a=1", "data"])
        try lab.docker(
            "run", "-d",
            [
                "--name", "writer", "--network", "none", "-v", "data:/data:ro", "-v", "/own", image, "sh", "-c",
                "dd if=/dev/zero of=/own/zeros bs=1000000 count=3; sleep 600",
            ])
    }

    deinit { _ = try? lab.docker("rm", "-f", ["-v", "writer"]) }

    @Test func `sizes are those of the files, and stand where they were asked for`() throws {
        #expect(
            try soon(60) {
                let sizes = try lab.docker("volume", "ls", ["--size", "--format", "{{.Size}} {{.Links}}"]).text
                return Set(sizes.split(separator: "\n")) == ["0B 1", "3MB 1"]
            })
        let own = try lab.docker("volume", "ls", ["-q", "--filter", "name=data"]).text
        #expect(own == "data")
        #expect(try lab.docker("volume", "inspect", ["--size", "-f", "{{.UsageData.RefCount}}", "data"]).text == "1")
        #expect(!(try lab.docker("volume", "inspect", ["data"]).out.contains("UsageData")))
        #expect(try lab.docker("volume", "ls", ["--size"]).out.hasPrefix("DRIVER    VOLUME NAME"))
    }

    @Test func `the users of a volume are listed with where they have it, running or not`() throws {
        try lab.docker("create", "--name", ["ready", "--network", "none", "-v", "data:/elsewhere", image, "true"])
        let users = try lab.docker(
            "volume", "top", ["data", "--format", "{{.Name}} {{.Destination}} {{.Access}} {{.State}}"])
        #expect(Set(users.text.split(separator: "\n")) == ["ready /elsewhere rw created", "writer /data ro running"])
        #expect(try lab.docker("volume", "top", ["data"]).out.hasPrefix("CONTAINER ID   NAME"))
        #expect(try lab.docker("volume", "top", ["none"]).err.contains("get none: no such volume"))
    }

    @Test func `labels are added and taken away one by one`() throws {
        let changed = try lab.docker("volume", "update", ["--label", "b=2", "--label", "c", "--label-rm", "a", "data"])
        #expect(changed.text == "data")
        #expect(try lab.docker("volume", "inspect", ["-f", "{{json .Labels}}", "data"]).text == #"{"b":"2","c":""}"#)
        try lab.docker("volume", "update", ["--label", "docker-swift.protected=true", "data"])
        try lab.docker("rm", "-f", ["writer"])
        let refused = try lab.docker("volume", "rm", ["data"])
        #expect(refused.code == 1 && refused.err.contains("volume is protected"))
        try lab.docker("volume", "update", ["--label-rm", "docker-swift.protected", "data"])
        #expect(try lab.docker("volume", "rm", ["data"]).code == 0)
        #expect(try lab.docker("volume", "update", ["data"]).code == 1)
    }
}
