import Foundation
import Testing

/// A disk of scripts/vm/run with project quotas; nil elsewhere.
private let quotaDisk = ProcessInfo.processInfo.environment["VM_XFS"]

/// What only servers have: a server of NFS, and disks with project quotas. scripts/vm/run has both.
@Suite(.serialized, .enabled(if: quotaDisk != nil, "needs scripts/vm/run"))
final class ServerTests {
    let lab: Lab
    let image: String

    init() throws {
        try Lab.run("/bin/sh", ["-ec", Self.server]).expectSuccess()
        lab = try Lab(dataRoot: (quotaDisk ?? "/var/tmp") + "/root-\(UUID().uuidString.prefix(8))")
        image = try lab.loadedImage()
    }

    /// NFS 4 alone, without rpcbind, on loopback; it is the machine's, and goes with it.
    private static let server = """
        [ ! -e /proc/fs/nfsd/threads ] || [ "$(cat /proc/fs/nfsd/threads)" = 0 ] || exit 0
        mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/sm /export "$VM_EXT4/export"
        touch /etc/exports /var/lib/nfs/etab /var/lib/nfs/rmtab
        mount --bind "$VM_EXT4/export" /export
        modprobe nfsd
        mount -t nfsd nfsd /proc/fs/nfsd
        exportfs -o rw,no_root_squash,fsid=0,insecure,no_subtree_check 127.0.0.1:/export
        rpc.mountd -N 2 -N 3
        rpc.nfsd -N 3 -U -T -t -G 10 -L 10 -H 127.0.0.1 2
        ip link add silent type dummy && ip link set silent up && ip route add 192.0.2.0/24 dev silent
        ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev silent
        """

    private func create(_ name: String, _ options: String, _ device: String) throws {
        let made = try lab.docker(
            "volume", "create", ["-o", "type=nfs", "-o", "o=\(options),rw,nfsvers=4", "-o", "device=\(device)", name])
        #expect(made.code == 0, "\(made.err)")
    }

    private var mounts: Int {
        get throws {
            try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).split(separator: "\n").filter {
                $0.contains(lab.dataRoot) && $0.contains(" - nfs")
            }.count
        }
    }

    @Test func `a volume of an NFS server is mounted once for all who use it, and not after the last`() throws {
        try create("shared", "addr=127.0.0.1", ":/")
        let line = ["--network", "none", "-v", "shared:/data", image]
        try lab.docker("run", "-d", ["--name", "first"] + line + ["sh", "-c", "echo one > /data/file; sleep 600"])
        #expect(try soon { try lab.docker("run", "--rm", line + ["cat", "/data/file"]).out == "one\n" })
        #expect(try mounts == 1)
        #expect(try lab.docker("volume", "rm", ["shared"]).code != 0)
        try lab.docker("rm", "-f", ["first"])
        #expect(try soon { try mounts == 0 })
        let server = ProcessInfo.processInfo.environment["VM_EXT4"] ?? ""
        #expect(try String(contentsOfFile: server + "/export/file", encoding: .utf8) == "one\n")
        #expect(try lab.docker("volume", "rm", ["shared"]).code == 0)
        #expect(FileManager.default.fileExists(atPath: server + "/export/file"))
    }

    @Test(
        arguments: [
            ("addr=127.0.0.1,port=9", ":/", "connection refused"), ("addr=127.0.0.1", ":/none", "no such file"),
            ("addr=name.invalid", ":/", "lookup name.invalid: no such host"),
            ("addr=192.0.2.1", ":/", "connection timed out"),
        ])
    func `an NFS server that is not there is told in time, and nothing stays mounted or held`(
        _ options: String, _ device: String, _ words: String
    ) throws {
        try create("away", options, device)
        let start = ContinuousClock.now
        let refused = try lab.docker("run", "--rm", ["--network", "none", "-v", "away:/data", image, "true"])
        #expect(refused.code == 125 && refused.err.contains(words), "\(refused)")
        #expect(ContinuousClock.now - start < .seconds(120))
        #expect(try mounts == 0)
        #expect(try lab.docker("ps", "-aq").text.isEmpty)
        #expect(try lab.docker("volume", "rm", ["away"]).code == 0)
    }

    @Test func `a size is a project quota that the container sees, and inspect tells so`() throws {
        #expect(try lab.docker("volume", "create", ["-o", "size=20m", "limited"]).code == 0)
        let way = try lab.docker("volume", "inspect", ["-f", "{{.Status.SizeLimit}}", "limited"])
        #expect(way.text == "project quota")
        let script = "busybox df -k /seed; dd if=/dev/zero of=/seed/x bs=1M count=30; cat /seed/sub/file"
        let line = ["--network", "none", "-v", "limited:/seed", image, "sh", "-c", script]
        let ran = try lab.docker("run", "--rm", line)
        #expect(ran.out.contains(" 20480 ") && ran.out.hasSuffix("seeded\n"), "\(ran)")
        #expect(ran.err.contains("No space left") || ran.err.contains("quota exceeded"), "\(ran)")
        #expect(try lab.docker("volume", "rm", ["limited"]).code == 0)
    }
}

extension Lab.Output {
    fileprivate func expectSuccess() throws {
        guard code == 0 else { throw LabFailure(err) }
    }
}
