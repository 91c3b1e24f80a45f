import CLinux

/// Compiles an ``ExecSpec`` into the operations of a launch plan.
enum ExecPlan {
    static func compiled(
        _ spec: ExecSpec, container: Int32, cgroupFiles: [Int32], cgroupDirectory: Int32?, seccomp: [UInt8]?
    ) throws(LaunchError) -> LaunchPlan {
        guard !spec.args.isEmpty else { throw LaunchError(.invalid, step: "spec", "No exec command specified") }
        var plan = LaunchPlan()
        plan.header.pid_namespace_fd = container
        plan.header.cgroup_fd = cgroupDirectory ?? -1
        plan.header.flags = UInt32(
            LP_EXEC | (spec.terminal ? LP_TERMINAL : 0) | (spec.openStdin ? LP_OPEN_STDIN : 0)
                | (spec.stdinOnce ? LP_STDIN_ONCE : 0))
        plan.header.rows = spec.terminalSize.rows
        plan.header.columns = spec.terminalSize.columns
        plan.header.stall_seconds = UInt32(clamping: spec.attachStall.components.seconds)
        plan.setProgram(arguments: spec.args, environment: spec.env)
        for file in cgroupFiles { plan.add(LP_OP_CGROUP, a: UInt64(file)) }
        if spec.oomScoreAdj != 0 { plan.add(LP_OP_OOM_SCORE, "\(spec.oomScoreAdj)") }
        let others = Namespace.uts | Namespace.ipc | Namespace.network | Namespace.cgroup
        plan.add(LP_OP_SETNS, a: UInt64(container), b: others | Namespace.mount)
        plan.add(LP_OP_WORKING_DIRECTORY, ContainerPlan.clean(spec.workingDirectory))
        if spec.terminal { plan.add(LP_OP_CONSOLE) }
        plan.add(LP_OP_KEYRING, "exec")
        try plan.addProcess(
            rlimits: spec.rlimits, user: spec.user, groups: spec.additionalGroups,
            capabilities: spec.privileged ? .all : spec.capabilities, noNewPrivileges: spec.noNewPrivileges,
            seccomp: seccomp)
        return plan
    }
}
