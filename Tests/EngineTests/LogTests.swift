import Foundation
import Synchronization
import Testing

/// Logs that are written while a disk does not take them, and while the daemon is not there.
@Suite(.serialized, .enabled(if: geteuid() == 0, "mounting needs root"))
struct LogTests {
    /// A container that prints numbered lines when it is told to, and one more when it is told again.
    private final class Speaker {
        static let lines = 40_000
        private static let script =
            "read x; /bin/busybox awk 'BEGIN { for (i = 0; i < \(lines); i++) "
            + #"printf("%08d: %0100d\n", i, 0) }'; read x; echo after"#
        private let process = Process()
        private let (input, output) = (Pipe(), Pipe())
        private(set) var received = Data()

        init(_ lab: Lab, _ image: String, _ name: String, _ options: [String]) throws {
            process.executableURL = URL(filePath: Lab.binaries + "/docker")
            process.arguments =
                ["run", "-i", "--network", "none", "--name", name] + options.flatMap { ["--log-opt", $0] }
                + [image, "sh", "-c", "echo ready; " + Self.script]
            process.environment = lab.environment
            (process.standardInput, process.standardOutput) = (input, output)
            try process.run()
            #expect(wait(for: "ready\n".utf8.count))
        }

        deinit {
            if process.isRunning { process.terminate() }
            process.waitUntilExit()
        }

        func go() { input.fileHandleForWriting.write(Data("go\n".utf8)) }

        /// Bytes of all numbered lines.
        static var lineBytes: Int { lines * 111 }

        /// Whether so many bytes come within `seconds`.
        func wait(for count: Int, seconds: Double = 60) -> Bool {
            let end = Date().addingTimeInterval(seconds)
            let descriptor = output.fileHandleForReading.fileDescriptor
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while received.count < count, Date() < end {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&waiting, 1, 100) > 0 else { continue }
                let got = read(descriptor, &buffer, buffer.count)
                guard got > 0 else { break }
                received += buffer[..<got]
            }
            return received.count >= count
        }

        func end() { process.waitUntilExit() }
    }

    private func freeze(_ disk: SmallDisk, _ isFrozen: Bool) throws {
        let ran = try Lab.run("/usr/bin/env", ["fsfreeze", isFrozen ? "-f" : "-u", disk.mount])
        if isFrozen, ran.code != 0 { throw LabFailure("fsfreeze: \(ran.err)") }
    }

    /// What the log has between its first line and its last.
    private func numbers(_ lab: Lab, _ name: String) throws -> [Int] {
        let lines = try lab.docker("logs", name).out.split(separator: "\n").map(String.init)
        #expect(lines.first == "ready" && lines.last == "after", "\(lines.prefix(2)) \(lines.suffix(2))")
        let middle = lines.dropFirst().dropLast()
        #expect(middle.allSatisfy { $0.utf8.count == 110 && $0.hasSuffix(String(repeating: "0", count: 100)) })
        return middle.compactMap { Int($0.prefix(8)) }
    }

    @Test(arguments: ["json-file", "local"])
    func `a disk that takes nothing holds up a container unless its log is non-blocking`(_ driver: String) throws {
        let disk = try SmallDisk(mebibytes: 96)
        let lab = try Lab(configuration: #"{"log-driver": "\#(driver)"}"#, dataRoot: disk.mount)
        let image = try lab.loadedImage()
        let patient = try Speaker(lab, image, "patient", ["mode=blocking"])
        let hasty = try Speaker(lab, image, "hasty", ["mode=non-blocking", "max-buffer-size=64k"])
        do {
            try freeze(disk, true)
            // Thawed whatever happens: nothing on it could be removed.
            defer { try? freeze(disk, false) }
            hasty.go()
            #expect(hasty.wait(for: 6 + Speaker.lineBytes))
            patient.go()
            #expect(!patient.wait(for: 6 + Speaker.lineBytes, seconds: 2))
        }
        #expect(patient.wait(for: 6 + Speaker.lineBytes))
        for speaker in [patient, hasty] {
            speaker.go()
            #expect(speaker.wait(for: 6 + Speaker.lineBytes + 6))
            speaker.end()
        }
        #expect(try numbers(lab, "patient") == Array(0..<Speaker.lines))
        let kept = try numbers(lab, "hasty")
        #expect(kept == kept.sorted() && Set(kept).count == kept.count && kept.first == 0)
        // The buffer, and what was on its way to the disk: a write of 256 KiB.
        #expect((64 << 10) / 111 <= kept.count + 1 && kept.count < Speaker.lines / 4, "\(kept.count)")
    }

    @Test(arguments: ["json-file", "local"])
    func `a log that is rotated at full speed while the daemon is killed has no gap`(_ driver: String) throws {
        let lab = try Lab()
        let image = try lab.pulledImage()
        let count = 500_000
        let script =
            "while ! test -e /go; do sleep 0.02; done; /bin/busybox awk 'BEGIN { for (i = 0; i < \(count); i++) "
            + #"{ n = sprintf("%08d", i); print n n n n } }'"#
        let options = ["max-size=3m", "max-file=3", "compress=true"].flatMap { ["--log-opt", $0] }
        let made = try lab.docker(
            "run", "-d",
            ["--name", "fast", "--network", "none", "--log-driver", driver] + options + [image, "sh", "-c", script])
        #expect(made.code == 0, "\(made.err)")
        let follower = Process()
        follower.executableURL = URL(filePath: Lab.binaries + "/docker")
        follower.arguments = ["logs", "-f", "fast"]
        follower.environment = lab.environment
        let seen = Pipe()
        let received = Mutex(Data())
        (follower.standardOutput, follower.standardError) = (seen, FileHandle.nullDevice)
        try follower.run()
        let reader = Thread {
            while case let bytes = seen.fileHandleForReading.availableData, !bytes.isEmpty {
                received.withLock { $0 += bytes }
            }
        }
        reader.start()
        #expect(try lab.docker("exec", "fast", ["sh", "-c", "> /go"]).code == 0)
        // In the middle of it, or, on a slow machine, near its beginning.
        for _ in 0..<600 where received.withLock({ $0.count < 1 << 20 }) { usleep(50_000) }
        lab.killDaemon()
        follower.waitUntilExit()
        try lab.startDaemon()
        #expect(try lab.docker("wait", "fast", []).text == "0")
        let lines = try lab.docker("logs", "fast").out.split(separator: "\n").map(String.init)
        #expect(lines.allSatisfy { $0.utf8.count == 32 && $0 == String(repeating: String($0.prefix(8)), count: 4) })
        let first = lines.first.flatMap { Int($0.prefix(8)) } ?? count
        #expect(lines.compactMap { Int($0.prefix(8)) } == Array(first..<count))
        #expect(lines.count > 10_000, "\(lines.count)")
        while !reader.isFinished { usleep(1000) }
        let followed = received.withLock { String(decoding: $0, as: UTF8.self) }.split(separator: "\n").dropLast()
        let numbers = followed.compactMap { Int($0.prefix(8)) }
        #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count && !numbers.isEmpty)
    }
}
