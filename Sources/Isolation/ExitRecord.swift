import CLinux
import Glibc
import Kernel

/// How a container or exec ended.
package struct ExitRecord: Sendable, Hashable {
    /// As a shell reports it: the exit status, or 128 + the signal.
    package var exitCode: Int32
    /// The signal that ended it, or 0.
    package var signal: Int32
    /// True when the kernel killed a process of it for want of memory.
    package var oomKilled: Bool
    /// Nanoseconds since 1970.
    package var finishedAt: Int64
    /// False when nothing could tell any more and 137 is assumed.
    package var isKnown = true

    /// Of a wait status as in wait(2).
    package init(waitStatus status: Int32, oomKilled: Bool, finishedAt: Int64) {
        signal = status & 0x7f
        exitCode = signal == 0 ? (status >> 8) & 0xff : 128 + signal
        self.oomKilled = oomKilled
        self.finishedAt = finishedAt
    }

    /// The record of a process nobody saw end.
    package static func unknown() -> ExitRecord {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var record = ExitRecord(
            waitStatus: 9, oomKilled: false, finishedAt: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
        record.isKnown = false
        return record
    }

    static let fileName = "exit"

    /// Of the monitor's file: `status <wait status> oom <0|1> finished <ns> end`. Nil when it is torn or not there.
    init?(text: [UInt8]) {
        let words = String(decoding: text, as: UTF8.self).split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard words.count == 7, words[0] == "status", words[2] == "oom", words[4] == "finished", words[6] == "end",
            let status = Int32(words[1]), let oom = Int(words[3]), let finished = Int64(words[5])
        else { return nil }
        self.init(waitStatus: status, oomKilled: oom != 0, finishedAt: finished)
    }
}

/// A process that runs in a container.
package struct StartedProcess: Sendable, Hashable {
    /// As the host numbers it.
    package var pid: Int32
    /// Clock ticks since boot (field 22 of proc_pid_stat(5)): with the pid it names the process for good.
    package var startTime: UInt64
}
