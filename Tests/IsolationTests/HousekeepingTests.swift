import Glibc
import Isolation
import Kernel
import Testing

extension ContainerTests {
    @Suite(.serialized)
    struct HousekeepingTests {
        let fixture: ContainerFixture
        init() throws { fixture = try ContainerFixture() }

        @Test func `thirty containers leave no mount, group or descriptor`() async throws {
            _ = try await fixture.run(fixture.spec("true"))
            let descriptors = try Files.list("/proc/self/fd").count
            for _ in 0..<30 { _ = try await fixture.run(fixture.spec("true")) }
            // Others on the machine may mount meanwhile: only what names our directory is ours.
            #expect(!String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self).contains(fixture.base))
            // The last connections go with their last reference, on the poll thread, a moment later.
            for _ in 0..<200 where try Files.list("/proc/self/fd").count > descriptors + 1 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(try Files.list("/proc/self/fd").count <= descriptors + 1)
            let group = fixture.launcher.cgroup(CgroupSpec(), id: "none").hierarchies
            for root in group.controllers.values {
                let left = try Files.list(root + "/isolation-tests").filter { $0.hasPrefix("test-\(getpid())") }
                #expect(left.isEmpty, "\(left)")
            }
        }

        @Test func `orphans are reaped by the small init`() async throws {
            var spec = fixture.spec(
                "sh", "-c",
                "for i in 1 2 3; do (sleep 0.05 &) ; done; sleep 0.4; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l; exit 5"
            )
            spec.useInit = true
            let outcome = try await fixture.run(spec)
            #expect(outcome.out == "0\n")
            #expect(outcome.record.exitCode == 5)
        }

        @Test func `a paused container does not run and goes on after`() async throws {
            let spec = fixture.spec("sleep", "30")
            let connection = try await fixture.launcher.prepare(spec, directory: fixture.directory(spec))
            _ = try await connection.start()
            try connection.cgroup?.setFrozen(true)
            try connection.cgroup?.setFrozen(false)
            #expect((connection.cgroup?.usage().processes ?? 0) == 1)
            try connection.signal(SIGKILL)
            #expect(await connection.exited().signal == SIGKILL)
            await connection.monitorEnded()
            try connection.cgroup?.remove()
        }

        @Test func `the engine finds its containers again`() async throws {
            let spec = fixture.spec("sh", "-c", "sleep 0.5; exit 9")
            let first = try await fixture.launcher.prepare(spec, directory: fixture.directory(spec))
            let process = try await first.start()
            let second = await fixture.launcher.reconnect(directory: fixture.directory(spec), cgroup: first.cgroup)
            #expect(await second?.exited().exitCode == 9)
            await first.monitorEnded()
            #expect(Launcher.exitRecord(directory: fixture.directory(spec))?.exitCode == 9)
            #expect(process.pid > 1)
            try first.cgroup?.remove()
        }

        @Test func `system calls outside the profile are refused`() async throws {
            let spec = fixture.spec("sh", "-c", "mount -t tmpfs x /tmp 2>&1 || true; grep Seccomp: /proc/self/status")
            let outcome = try await fixture.run(spec)
            #expect(outcome.out.contains("Seccomp:\t2"))
            #expect(outcome.out.contains("ermission denied") || outcome.out.contains("not permitted"))
        }

        @Test(arguments: [
            "kernel.hostname", "net.ipv4.ip_forward\n", "vm.swappiness", "net..x", "net.ipv4/../../kernel.x",
        ])
        func `a sysctl of the host is refused`(_ key: String) async throws {
            var spec = fixture.spec("true")
            spec.sysctls = [key: "1"]
            await #expect(throws: LaunchError.self) { try await fixture.run(spec) }
        }
    }
}
