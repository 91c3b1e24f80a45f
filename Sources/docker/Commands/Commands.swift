/// Every command, one line each, and the groups that hold them under their long names.
enum Commands {
    static let table: [CommandEntry] = [
        .init("run", Run.self), .init("create", Create.self), .init("start", Start.self), .init("stop", Stop.self),
        .init("restart", Restart.self), .init("kill", Kill.self), .init("pause", Pause.self),
        .init("unpause", Unpause.self), .init("wait", Wait.self), .init("rm", Remove.self),
        .init("rename", Rename.self), .init("attach", Attach.self), .init("pull", Pull.self), .init("push", Push.self),
    ]
    static let groups: [String: [CommandEntry]] = [:]
}
