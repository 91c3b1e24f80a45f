import CLinux
import Glibc
import Kernel

/// Docker's words for what the monitor reports.
enum LaunchFailure {
    static func error(_ event: lp_event, isExec: Bool) -> LaunchError {
        let detail = withUnsafeBytes(of: event.detail) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let reason = SystemError("", event.error).reason
        let (kind, text) = words(event, detail, reason)
        let prefix =
            isExec
            ? "OCI runtime exec failed: exec failed: unable to start container process: "
            : "OCI runtime create failed: unable to start container process: "
        let bare = kind == .invalid
        return LaunchError(
            kind, step: stepName(event.op), code: event.error, bare ? text : prefix + text + ": unknown")
    }

    private static func words(_ event: lp_event, _ detail: String, _ reason: String) -> (LaunchError.Kind, String) {
        switch Int(event.reason) {
        case LP_FAIL_NOT_IN_PATH:
            (.commandNotFound, "exec: \"\(detail)\": executable file not found in $PATH")
        case LP_FAIL_STAT:
            (
                event.error == ENOENT ? .commandNotFound : .commandNotExecutable,
                "exec: \"\(detail)\": stat \(detail): \(reason)"
            )
        case LP_FAIL_DIRECTORY: (.commandNotExecutable, "exec: \"\(detail)\": is a directory")
        case LP_FAIL_PERMISSION: (.commandNotExecutable, "exec: \"\(detail)\": \(reason)")
        case LP_FAIL_EXECUTE:
            (event.error == ENOENT ? .commandNotFound : .commandNotExecutable, "exec \(detail): \(reason)")
        case LP_FAIL_NO_USER: (.invalid, "unable to find user \(detail): no matching entries in passwd file")
        case LP_FAIL_NO_GROUP: (.invalid, "unable to find group \(detail): no matching entries in group file")
        case LP_FAIL_ID_RANGE: (.invalid, "uids and gids must be in range 0-2147483647")
        case LP_FAIL_OUTSIDE: (.setup, "current working directory is outside of container mount namespace root")
        default:
            switch event.op {
            case LP_OP_WORKING_DIRECTORY.rawValue:
                (.setup, "chdir to cwd (\"\(detail)\") set in config.json failed: \(reason)")
            case LP_OP_BIND_OPEN.rawValue where event.error == ENOENT:
                (.setup, "bind source path does not exist: \(detail)")
            case LP_OP_BIND_OPEN.rawValue where event.error == EXDEV:
                (.setup, "path \"\(detail)\" escapes from the volume or image it is in")
            default: (.setup, "error during container init: \(stepName(event.op)) \"\(detail)\": \(reason)")
            }
        }
    }

    private static let steps: [UInt32: String] = [
        0: "monitor", LP_OP_CGROUP.rawValue: "cgroup", LP_OP_SETNS.rawValue: "namespace",
        LP_OP_UNSHARE.rawValue: "namespace",
        LP_OP_LOOPBACK_UP.rawValue: "loopback", LP_OP_BIND_OPEN.rawValue: "bind",
        LP_OP_PRIVATE.rawValue: "mount propagation",
        LP_OP_ROOT_OVERLAY.rawValue: "root file system", LP_OP_ROOT_BIND.rawValue: "root file system",
        LP_OP_MOUNT.rawValue: "mount", LP_OP_BIND_ATTACH.rawValue: "bind", LP_OP_MKNOD.rawValue: "device node",
        LP_OP_SYMLINK.rawValue: "link", LP_OP_MASK.rawValue: "masked path", LP_OP_READ_ONLY.rawValue: "read-only path",
        LP_OP_ROOT_READ_ONLY.rawValue: "read-only root", LP_OP_PIVOT.rawValue: "pivot_root",
        LP_OP_SYSCTL.rawValue: "sysctl",
        LP_OP_HOSTNAME.rawValue: "hostname", LP_OP_DOMAINNAME.rawValue: "domainname", LP_OP_RLIMIT.rawValue: "rlimit",
        LP_OP_OOM_SCORE.rawValue: "oom_score_adj", LP_OP_KEYRING.rawValue: "keyring",
        LP_OP_WORKING_DIRECTORY.rawValue: "working directory", LP_OP_CONSOLE.rawValue: "terminal",
        LP_OP_USER.rawValue: "user", LP_OP_CAPABILITIES.rawValue: "capabilities", LP_OP_SECCOMP.rawValue: "seccomp",
        LP_OP_EXECUTE.rawValue: "exec",
    ]

    private static func stepName(_ op: UInt32) -> String { steps[op] ?? "operation \(op)" }
}
