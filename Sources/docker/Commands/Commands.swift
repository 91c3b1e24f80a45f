/// Every command, one line each, and the groups that hold them under their long names.
enum Commands {
    static let table: [CommandEntry] = [
        .init("run", Run.self), .init("create", Create.self), .init("start", Start.self), .init("stop", Stop.self),
        .init("restart", Restart.self), .init("kill", Kill.self), .init("pause", Pause.self),
        .init("unpause", Unpause.self), .init("wait", Wait.self), .init("rm", Remove.self, aliases: ["remove"]),
        .init("rename", Rename.self), .init("attach", Attach.self), .init("pull", Pull.self), .init("push", Push.self),
        .init("exec", Exec.self), .init("logs", Logs.self), .init("ps", ListContainers.self),
        .init("images", ListImages.self), .init("rmi", RemoveImages.self), .init("tag", Tag.self),
        .init("history", History.self), .init("commit", Commit.self), .init("save", Save.self),
        .init("load", Load.self),
        .init("export", Export.self), .init("import", Import.self), .init("inspect", Inspect.self),
        .init("diff", Diff.self), .init("top", Top.self), .init("port", Port.self), .init("version", ShowVersion.self),
        .init("info", Info.self), .init("events", Events.self), .init("login", Login.self),
        .init("logout", Logout.self),
        .init("cp", Copy.self), .init("stats", Stats.self), .init("update", Update.self),
    ]
    static let groups: [String: [CommandEntry]] = [
        "volume": [
            .init("ls", ListVolumes.self, aliases: ["list"]), .init("create", CreateVolume.self),
            .init("rm", RemoveVolumes.self, aliases: ["remove"]),
            .init("inspect", InspectKind<VolumeKind>.self), .init("prune", PruneVolumes.self),
        ],
        "network": [
            .init("connect", ConnectNetwork.self), .init("create", CreateNetwork.self),
            .init("disconnect", DisconnectNetwork.self), .init("inspect", InspectNetworks.self),
            .init("ls", ListNetworks.self, aliases: ["list"]), .init("prune", PruneNetworks.self),
            .init("rm", RemoveNetworks.self, aliases: ["remove"]),
        ],
        "system": [
            .init("df", DiskUsage.self), .init("events", Events.self), .init("info", Info.self),
            .init("prune", PruneSystem.self),
        ],
        "image": [
            .init("ls", ListImages.self, aliases: ["list"]), .init("rm", RemoveImages.self, aliases: ["remove"]),
            .init("inspect", InspectKind<ImageKind>.self),
            .init("prune", PruneImages.self),
        ] + shared(["pull", "push", "tag", "history", "save", "load", "import"]),
        "container": [
            .init("ls", ListContainers.self, aliases: ["list", "ps"]), .init("inspect", InspectContainers.self),
            .init("prune", PruneContainers.self),
        ]
            + shared([
                "run", "create", "start", "stop", "restart", "kill", "pause", "unpause", "wait", "rm", "rename",
                "attach",
                "exec", "logs", "commit", "export", "diff", "top", "port", "cp", "stats", "update",
            ]),
    ]

    private static func shared(_ names: Set<String>) -> [CommandEntry] { table.filter { names.contains($0.name) } }
}
