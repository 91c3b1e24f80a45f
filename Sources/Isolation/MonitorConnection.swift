import CLinux
import Glibc
package import Kernel
import Synchronization

/// A monitor and the process it looks after: start, signals, attached clients, the exit.
///
/// The exit is exact whatever dies first: the monitor tells it, or its record does, or the kernel by the pidfd held here.
package final class MonitorConnection: Sendable {
    private enum Phase {
        case prepared
        case starting
        case running(StartedProcess)
        case failed(LaunchError)
        case exited(ExitRecord)
    }

    private struct State {
        var phase = Phase.prepared
        var pidfd: CInt?
        var controlToken: UInt64?
        var pidfdToken: UInt64?
        var monitorToken: UInt64?
        var monitorGone = false
        var starters: [CheckedContinuation<Result<StartedProcess, LaunchError>, Never>] = []
        var waiters: [CheckedContinuation<ExitRecord, Never>] = []
        var leavers: [CheckedContinuation<Void, Never>] = []
        var onRotation: (@Sendable () -> Void)?
    }

    private let control: OwnedFD
    /// Of the monitor, when this process started it and must reap it.
    private let monitor: CInt?
    private let directory: OwnedFD
    private let directoryPath: String
    private let poller: Poller
    private let isExec: Bool
    private let state = Mutex(State())
    /// The container's control groups, to be removed after the exit; nil for an exec.
    package let cgroup: Cgroup?

    init(
        control: consuming OwnedFD, monitor: consuming OwnedFD?, directory: consuming OwnedFD, path: String,
        poller: Poller,
        cgroup: Cgroup?, isExec: Bool
    ) throws(SystemError) {
        self.control = control
        self.directory = directory
        self.monitor = monitor?.release()
        self.cgroup = cgroup
        self.poller = poller
        self.isExec = isExec
        directoryPath = path
        let token = try poller.add(self.control.raw, events: .input) { [self] in receive() }
        state.withLock { $0.controlToken = token }
        guard let monitor = self.monitor else { return }
        let monitorToken = try poller.add(monitor, events: .input) { [self] in reapMonitor() }
        state.withLock { $0.monitorToken = monitorToken }
    }

    deinit {
        if let monitor { close(monitor) }
        if let pidfd = state.withLock({ $0.pidfd }) { close(pidfd) }
    }

    // MARK: Requests

    /// Releases the container: returns when its program has been executed.
    ///
    /// - Throws: `LaunchError` with the step that failed; nothing is left running then.
    package func start() async throws(LaunchError) -> StartedProcess {
        let result: Result<StartedProcess, LaunchError> = await withCheckedContinuation { continuation in
            let answer: Result<StartedProcess, LaunchError>? = state.withLock { state in
                switch state.phase {
                case .prepared:
                    state.phase = .starting
                    state.starters.append(continuation)
                    return nil
                case .starting:
                    state.starters.append(continuation)
                    return nil
                case .running(let process): return .success(process)
                case .failed(let error): return .failure(error)
                case .exited: return .failure(LaunchError(.invalid, step: "start", "it has already run"))
                }
            }
            if let answer { continuation.resume(returning: answer) } else { request(LP_REQ_GO) }
        }
        return try result.get()
    }

    /// A socket to the process's streams, before the start too: Docker's multiplexed frames, or raw bytes of a terminal.
    ///
    /// Bytes sent to it are standard input when `stdin`; shutting down the sending side ends that.
    /// - Throws: `SystemError` with ENOENT or ECONNREFUSED when the monitor has gone.
    package func openAttach(stdin: Bool, stdout: Bool, stderr: Bool) throws(SystemError) -> OwnedFD {
        try openAttach(LP_REQ_ATTACH, stdin: stdin, stdout: stdout, stderr: stderr)
    }

    private func openAttach(
        _ kind: lp_request_kind, stdin: Bool, stdout: Bool, stderr: Bool
    ) throws(SystemError) -> OwnedFD {
        let descriptor = directory.raw
        let socket = OwnedFD(
            adopting: try checked("connect", directoryPath) { cl_unix_connect(descriptor, Launcher.socketName) })
        var request = lp_request()
        request.magic = LP_REQUEST_MAGIC
        request.kind = UInt8(kind.rawValue)
        request.streams = UInt8(
            (stdin ? LP_STDIN : 0) | (stdout ? LP_STDOUT : 0) | (stderr ? LP_STDERR : 0))
        try Self.send(request, to: socket.raw)
        return socket
    }

    /// How long a monitor may take to answer; it does between two pieces of output.
    private static let answerMilliseconds: CInt = 10_000

    /// The same for who has the log as well: it has all output up to a time, and the socket all that comes after it.
    ///
    /// - Returns: the socket, and that time in nanoseconds since 1970.
    /// - Throws: also when the monitor has gone, or does not answer in 10 seconds.
    package func openTimedAttach(
        stdin: Bool, stdout: Bool, stderr: Bool
    ) async throws(SystemError) -> (socket: DescriptorBox, logged: Int64) {
        try await BlockingPool.shared.run { () throws(SystemError) in
            let socket = try self.openAttach(LP_REQ_ATTACH_TIMED, stdin: stdin, stdout: stdout, stderr: stderr)
            var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
            var logged: Int64 = 0
            let size = MemoryLayout<Int64>.size
            guard poll(&waiting, 1, Self.answerMilliseconds) == 1 else {
                throw SystemError("attach", ETIMEDOUT, self.directoryPath)
            }
            switch recv(socket.raw, &logged, size, 0) {
            case size: break
            case 0:
                // An earlier daemon's monitor, which does not know the time.
                let plain = try self.openAttach(LP_REQ_ATTACH, stdin: stdin, stdout: stdout, stderr: stderr)
                return (DescriptorBox(plain), .max)
            default: throw SystemError("attach", errno, self.directoryPath)
            }
            return (DescriptorBox(socket), logged)
        }
    }

    /// Sets the terminal's size, now or when it comes to exist.
    package func resize(rows: UInt16, columns: UInt16) { request(LP_REQ_RESIZE, rows: rows, columns: columns) }

    /// Ends standard input for good.
    package func closeStdin() { request(LP_REQ_CLOSE_STDIN) }

    /// Gives up a container that was prepared and not started; its monitor ends.
    package func abandon() { shutdown(control.raw, CInt(SHUT_RDWR)) }

    /// pidfd_send_signal(2) to the first process.
    ///
    /// - Throws: `SystemError` with ESRCH when it has ended or not started.
    package func signal(_ number: Int32) throws(SystemError) {
        let descriptor = state.withLock { $0.pidfd }
        guard let descriptor else { throw SystemError("pidfd_send_signal", ESRCH) }
        try checked("pidfd_send_signal") { cl_pidfd_send_signal(descriptor, number) }
    }

    /// SIGKILL to the first process and to what it has started, as far as that is in its process group; before Linux 6.9 to
    /// the first process alone. Nothing when it has ended or not started.
    package func killGroup() {
        guard let descriptor = state.withLock({ $0.pidfd }) else { return }
        _ = cl_pidfd_kill_group(descriptor)
    }

    /// Takes what the process writes from now on.
    ///
    /// - Throws: `SystemError` with ENOENT or ECONNREFUSED when the monitor has gone.
    package func captureOutput(bytesMax: Int) throws(SystemError) -> CapturedOutput {
        try CapturedOutput(openAttach(stdin: false, stdout: true, stderr: true), bytesMax: bytesMax, poller)
    }

    /// How the process ended; waits for it.
    package func exited() async -> ExitRecord {
        await withCheckedContinuation { continuation in
            let record: ExitRecord? = state.withLock { state in
                switch state.phase {
                case .exited(let record): return record
                case .failed: return .unknown()
                case .prepared, .starting, .running:
                    state.waiters.append(continuation)
                    return nil
                }
            }
            if let record { continuation.resume(returning: record) }
        }
    }

    /// Returns when the monitor itself has gone: its directory may be removed then.
    package func monitorEnded() async {
        await withCheckedContinuation { continuation in
            let gone = state.withLock { state in
                if !state.monitorGone { state.leavers.append(continuation) }
                return state.monitorGone
            }
            if gone { continuation.resume() }
        }
    }

    /// The process, once it runs.
    package var process: StartedProcess? {
        state.withLock { state in
            if case .running(let process) = state.phase { process } else { nil }
        }
    }

    private func request(_ kind: lp_request_kind, rows: UInt16 = 0, columns: UInt16 = 0) {
        var request = lp_request()
        request.magic = LP_REQUEST_MAGIC
        request.kind = UInt8(kind.rawValue)
        request.rows = rows
        request.columns = columns
        // A monitor that has gone is noticed by the poll thread.
        try? Self.send(request, to: control.raw)
    }

    static func send(_ request: lp_request, to descriptor: CInt) throws(SystemError) {
        let copy = request
        try checked("send") { withUnsafeBytes(of: copy) { cl_send(descriptor, $0.baseAddress, $0.count) } }
    }

    // MARK: Events, on the poll thread

    private func receive() {
        var event = lp_event()
        var attached: CInt = -1
        let count = cl_receive_event(control.raw, &event, &attached)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count == MemoryLayout<lp_event>.size else {
            if attached >= 0 { close(attached) }
            controlEnded()
            return
        }
        switch Int(event.kind) {
        case LP_EVENT_STARTED, LP_EVENT_RUNNING: noteStarted(event.pid, attached)
        case LP_EVENT_LOG_ROTATED: noteRotation()
        case LP_EVENT_FAILED: noteFailed(LaunchFailure.error(event, isExec: isExec))
        case LP_EVENT_EXITED:
            noteExited(ExitRecord(waitStatus: event.status, oomKilled: event.oom != 0, finishedAt: event.finished))
        default: break
        }
    }

    /// Calls `handler` on the poll thread whenever the log has begun a new file from now on.
    package func onLogRotation(_ handler: @escaping @Sendable () -> Void) { state.withLock { $0.onRotation = handler } }

    private func noteRotation() { state.withLock { $0.onRotation }?() }

    private func noteStarted(_ pid: Int32, _ pidfd: CInt) {
        let process = StartedProcess(pid: pid, startTime: Launcher.startTime(of: pid) ?? 0)
        let starters = state.withLock { state in
            if pidfd >= 0 { state.pidfd = pidfd }
            state.phase = .running(process)
            defer { state.starters = [] }
            return state.starters
        }
        for starter in starters { starter.resume(returning: .success(process)) }
    }

    private func noteFailed(_ error: LaunchError) {
        let (starters, waiters) = state.withLock { state in
            state.phase = .failed(error)
            defer {
                state.starters = []
                state.waiters = []
            }
            return (state.starters, state.waiters)
        }
        for starter in starters { starter.resume(returning: .failure(error)) }
        for waiter in waiters { waiter.resume(returning: .unknown()) }
    }

    private func noteExited(_ record: ExitRecord) {
        let waiters = state.withLock { state in
            state.phase = .exited(record)
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: record) }
    }

    /// The monitor has closed its end: it has finished, or was killed.
    private func controlEnded() {
        let (token, phase, pidfd, leavers) = state.withLock { state in
            let token = state.controlToken
            state.controlToken = nil
            state.monitorGone = true
            defer { state.leavers = [] }
            return (token, state.phase, state.pidfd, state.leavers)
        }
        guard let token else { return }
        poller.remove(token, descriptor: control.raw)
        for leaver in leavers { leaver.resume() }
        switch phase {
        case .failed, .exited: return
        case .prepared, .starting:
            noteFailed(LaunchError(.monitor, step: "monitor", "the container's monitor has ended"))
        case .running:
            if let record = Launcher.exitRecord(in: directory) { return noteExited(record) }
            guard let pidfd else { return noteExited(.unknown()) }
            watchOrphan(pidfd, reaped: false)
        }
    }

    /// The monitor was killed and its process runs on: from now on the pidfd tells.
    private func watchOrphan(_ pidfd: CInt, reaped: Bool) {
        do throws(SystemError) {
            let token = try poller.add(pidfd, events: reaped ? .hangUp : .input) { [self] in orphanReady(pidfd, reaped)
            }
            state.withLock { $0.pidfdToken = token }
        } catch {
            noteExited(.unknown())
        }
    }

    private func orphanReady(_ pidfd: CInt, _ reaped: Bool) {
        let token = state.withLock { state in
            defer { state.pidfdToken = nil }
            return state.pidfdToken
        }
        guard let token else { return }
        poller.remove(token, descriptor: pidfd)
        var status: CInt = 0
        let known = cl_wait_pidfd(pidfd, &status) == 1 || cl_pidfd_exit_status(pidfd, &status) == 0
        if known {
            var record = ExitRecord.unknown()
            record = ExitRecord(
                waitStatus: status, oomKilled: cgroup?.hasRunOutOfMemory ?? false, finishedAt: record.finishedAt)
            noteExited(record)
        } else if errno == ENODATA && !reaped {
            // A zombie: its code can be read once its new parent has reaped it, which hangs the pidfd up.
            watchOrphan(pidfd, reaped: true)
        } else {
            noteExited(.unknown())
        }
    }

    private func reapMonitor() {
        guard let monitor else { return }
        var status: CInt = 0
        guard cl_wait_pidfd(monitor, &status) != 0 else { return }
        let token = state.withLock { state in
            defer { state.monitorToken = nil }
            return state.monitorToken
        }
        if let token { poller.remove(token, descriptor: monitor) }
    }
}
