import Testing

@testable import Volumes

@Suite struct MountSpecTests {
    @Test(arguments: [
        ("/data", MountSpec.Source.anonymousVolume, "/data"),
        ("/host/x/../y:/in", .bind("/host/y"), "/in"),
        ("/host:/in/.//a/:ro", .bind("/host"), "/in/a"),
        ("/host:/in:z,rshared,ro", .bind("/host"), "/in"),
    ])
    func `a volume flag means what Docker takes it for`(raw: String, source: MountSpec.Source, target: String) throws {
        let spec = try MountSpec(volumeFlag: raw)
        #expect(spec.source == source)
        #expect(spec.target == target)
        #expect(spec.readOnly == raw.hasSuffix("ro"))
    }

    @Test func `a named volume keeps its options`() throws {
        let spec = try MountSpec(volumeFlag: "data:/var/lib/x:ro,nocopy,Z")
        #expect(spec.source == .volume(try VolumeName("data")))
        #expect(spec.readOnly && !spec.copiesImageContent && spec.label == .own)
        #expect(try MountSpec(volumeFlag: "data:/x").copiesImageContent)
    }

    @Test(arguments: [
        ("", "invalid volume specification: ''"),
        (":/x", "invalid volume specification: ':/x'"),
        ("/foo:rw", "invalid volume specification: '/foo:rw'"),
        ("/a:/b:ro:rw", "invalid volume specification: '/a:/b:ro:rw'"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:no", "invalid mode: no"),
        (
            "foo:bar",
            "invalid volume specification: 'foo:bar': invalid mount config for type \"volume\": "
                + "invalid mount path: 'bar' mount path must be absolute"
        ),
        (
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
                + "invalid specification: destination can't be '/'"
        ),
        (
            "foo:/..",
            "invalid volume specification: 'foo:/..': invalid mount config for type \"volume\": "
                + "invalid specification: destination can't be '/'"
        ),
    ])
    func `a wrong volume flag is refused in Docker's words`(raw: String, message: String) {
        #expect(throws: VolumeError.self) { try MountSpec(volumeFlag: raw) }
        do throws(VolumeError) { _ = try MountSpec(volumeFlag: raw) } catch { #expect(error.message == message) }
    }

    @Test(arguments: [
        "../etc", "a/b", "..", ".hidden", "", "a", "-x", "na me", "n\u{0}l", "é1", String(repeating: "a", count: 256),
    ])
    func `a name that is not one path component of safe characters is refused`(name: String) {
        #expect(throws: VolumeError.self) { try VolumeName(name) }
    }

    @Test(arguments: ["ab", "0_.-", "Data-1", String(repeating: "a", count: 255)])
    func `a good name is taken`(name: String) throws { #expect(try VolumeName(name).text == name) }

    @Test func `fields of another mount type are refused`() {
        var tmpfs = MountRequest(type: .tmpfs, target: "/t")
        tmpfs.source = "x"
        #expect(throws: VolumeError.self) { try MountSpec(tmpfs) }
        var bind = MountRequest(type: .bind, target: "/t")
        #expect(throws: VolumeError.self) { try MountSpec(bind) }
        bind.source = "/x"
        bind.hasVolumeOptions = true
        #expect(throws: VolumeError.self) { try MountSpec(bind) }
        var volume = MountRequest(type: .volume, target: "/t")
        volume.source = "data"
        volume.subpath = "a/../../b"
        #expect(throws: VolumeError.self) { try MountSpec(volume) }
        #expect(throws: VolumeError.self) { try MountRequest(type: "cluster", target: "/t") }
    }

    @Test func `tmpfs options become kernel data`() throws {
        let options = try TmpfsOptions("size=64m,mode=1777,uid=5,exec,ro")
        #expect(options.kernelData == "size=67108864,mode=1777,uid=5")
        #expect(options.readOnly && !options.noExec && options.noDev)
        #expect(try TmpfsOptions("size=50%").size == .percent(50))
        for bad in [
            "size=", "size=-1", "size=99999999999999999999", "size=20000000000000000k", "mode=9", "size=101%", "bogus",
        ] {
            #expect(throws: VolumeError.self) { try TmpfsOptions(bad) }
        }
    }
}
