/// Every command, one line each, and the groups that hold them under their long names.
enum Commands {
    /// The commands that help names first.
    static let common: [CommandEntry] = [
        .init("run", Run.self, "Create and run a new container from an image"),
        .init("exec", Exec.self, "Execute a command in a running container"),
        .init("ps", ListContainers.self, "List containers"),
        .init("pull", Pull.self, "Download an image from a registry"),
        .init("push", Push.self, "Upload an image to a registry"),
        .init("images", ListImages.self, "List images"),
        .init(
            "login", Login.self, "Authenticate to a registry",
            description: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified."),
        .init(
            "logout", Logout.self, "Log out from a registry",
            description:
                "Log out from a registry.\nIf no server is specified, the default is defined by the daemon."),
        .init("search", Search.self, "Search Docker Hub for images"),
        .init("version", ShowVersion.self, "Show the Docker version information"),
        .init("info", Info.self, "Display system-wide information"),
    ]
    /// All others.
    static let others: [CommandEntry] = [
        .init("attach", Attach.self, "Attach local standard input, output, and error streams to a running container"),
        .init("commit", Commit.self, "Create a new image from a container's changes"),
        .init(
            "completion", CompletionCommand.self, "Generate the autocompletion script for the specified shell",
            isHidden: true),
        .init(
            "cp", Copy.self, "Copy files/folders between a container and the local filesystem",
            description: """
                Copy files/folders between a container and the local filesystem

                Use '-' as the source to read a tar archive from stdin
                and extract it to a directory destination in a container.
                Use '-' as the destination to stream a tar archive of a
                container source to stdout.
                """),
        .init("create", Create.self, "Create a new container"),
        .init("diff", Diff.self, "Inspect changes to files or directories on a container's filesystem"),
        .init("events", Events.self, "Get real time events from the server"),
        .init("export", Export.self, "Export a container's filesystem as a tar archive"),
        .init("history", History.self, "Show the history of an image"),
        .init("import", Import.self, "Import the contents from a tarball to create a filesystem image"),
        .init("inspect", Inspect.self, "Return low-level information on Docker objects"),
        .init("kill", Kill.self, "Kill one or more running containers"),
        .init("load", Load.self, "Load an image from a tar archive or STDIN"),
        .init("logs", Logs.self, "Fetch the logs of a container"),
        .init("pause", Pause.self, "Pause all processes within one or more containers"),
        .init("port", Port.self, "List port mappings or a specific mapping for the container"),
        .init("rename", Rename.self, "Rename a container"),
        .init("restart", Restart.self, "Restart one or more containers"),
        .init("rm", Remove.self, "Remove one or more containers"),
        .init("rmi", RemoveImages.self, "Remove one or more images"),
        .init("save", Save.self, "Save one or more images to a tar archive (streamed to STDOUT by default)"),
        .init("start", Start.self, "Start one or more stopped containers"),
        .init("stats", Stats.self, "Display a live stream of container(s) resource usage statistics"),
        .init("stop", Stop.self, "Stop one or more running containers"),
        .init("tag", Tag.self, "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
        .init("top", Top.self, "Display the running processes of a container"),
        .init("unpause", Unpause.self, "Unpause all processes within one or more containers"),
        .init("update", Update.self, "Update configuration of one or more containers"),
        .init("wait", Wait.self, "Block until one or more containers stop, then print their exit codes"),
    ]
    static let groups: [CommandGroup] = [
        CommandGroup(
            "container", "Manage containers",
            [
                .init("inspect", InspectContainers.self, "Display detailed information on one or more containers"),
                .init("ls", ListContainers.self, "List containers", aliases: ["list", "ps"]),
                .init("prune", PruneContainers.self, "Remove all stopped containers"),
                .init("rm", Remove.self, "Remove one or more containers", aliases: ["remove"]),
            ]
                + shared([
                    "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port",
                    "rename", "restart", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
                ])),
        CommandGroup("context", "Manage contexts", contexts),
        CommandGroup(
            "image", "Manage images",
            [
                .init("inspect", InspectImages.self, "Display detailed information on one or more images"),
                .init("ls", ListImages.self, "List images", aliases: ["list"]),
                .init("prune", PruneImages.self, "Remove unused images"),
                .init("rm", RemoveImages.self, "Remove one or more images", aliases: ["remove"]),
            ] + shared(["history", "import", "load", "pull", "push", "save", "tag"])),
        CommandGroup(
            "network", "Manage networks",
            [
                .init("connect", ConnectNetwork.self, "Connect a container to a network"),
                .init("create", CreateNetwork.self, "Create a network"),
                .init("disconnect", DisconnectNetwork.self, "Disconnect a container from a network"),
                .init("inspect", InspectNetworks.self, "Display detailed information on one or more networks"),
                .init("ls", ListNetworks.self, "List networks", aliases: ["list"]),
                .init("prune", PruneNetworks.self, "Remove all unused networks"),
                .init("rm", RemoveNetworks.self, "Remove one or more networks", aliases: ["remove"]),
            ]),
        CommandGroup(
            "system", "Manage Docker",
            [
                .init("df", DiskUsage.self, "Show docker disk usage"),
                .init(
                    "dial-stdio", DialStdio.self,
                    "Proxy the stdio stream to the daemon connection. Should not be invoked manually.", isHidden: true),
                .init("prune", PruneSystem.self, "Remove unused data"),
            ] + shared(["events", "info"])),
        CommandGroup(
            "volume", "Manage volumes",
            [
                .init("create", CreateVolume.self, "Create a volume"),
                .init("inspect", InspectVolumes.self, "Display detailed information on one or more volumes"),
                .init("ls", ListVolumes.self, "List volumes", aliases: ["list"]),
                .init("prune", PruneVolumes.self, "Remove unused local volumes"),
                .init(
                    "rm", RemoveVolumes.self, "Remove one or more volumes",
                    description:
                        "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
                    aliases: ["remove"]),
                .init("update", UpdateVolume.self, "Update a volume (cluster volumes only)"),
                .init("backup", BackUpVolume.self, "Send a volume to a registry", isExtension: true),
                .init("clone", CloneVolume.self, "Create a volume with the content of another", isExtension: true),
                .init("export", ExportVolume.self, "Export a volume as a tar archive", isExtension: true),
                .init("import", ImportVolume.self, "Create or fill a volume from a tar archive", isExtension: true),
                .init("rename", RenameVolume.self, "Rename a volume", isExtension: true),
                .init(
                    "restore", RestoreVolume.self, "Create or fill a volume from a registry", isExtension: true),
                .init(
                    "snapshot", SnapshotVolume.self, "Create a read-only copy of a volume as it is now",
                    isExtension: true),
                .init("top", VolumeUsers.self, "Display the containers that use a volume", isExtension: true),
            ]),
    ]

    private static let contexts: [CommandEntry] = [
        .init("create", CreateContext.self, "Create a context", description: ContextHelp.text("create", "Create")),
        .init("export", ExportContext.self, "Export a context to a tar archive FILE or a tar stream on STDOUT."),
        .init("import", ImportContext.self, "Import a context from a tar or zip file"),
        .init("inspect", InspectContexts.self, "Display detailed information on one or more contexts"),
        .init("ls", ListContexts.self, "List contexts", aliases: ["list"]),
        .init("rm", RemoveContexts.self, "Remove one or more contexts", aliases: ["remove"]),
        .init("show", ShowContext.self, "Print the name of the current context"),
        .init("update", UpdateContext.self, "Update a context", description: ContextHelp.text("update", "Update")),
        .init("use", UseContext.self, "Set the current docker context"),
    ]

    static var table: [CommandEntry] { common + others }

    private static func shared(_ names: Set<String>) -> [CommandEntry] { table.filter { names.contains($0.name) } }

    /// Everything that a command can be called by, as `docker container ls`: by its groups first.
    static func names(of command: any Command.Type) -> [String] {
        let inGroups = groups.flatMap { group in
            group.entries.filter { $0.command == command }.flatMap { entry in
                ([entry.name] + entry.aliases).map { "docker \(group.name) \($0)" }
            }
        }
        return inGroups + table.filter { $0.command == command }.map { "docker \($0.name)" }
    }
}

/// Commands under one name.
struct CommandGroup: Sendable {
    let name: String
    let about: String
    /// In order of their names.
    let entries: [CommandEntry]

    init(_ name: String, _ about: String, _ entries: [CommandEntry]) {
        self.name = name
        self.about = about
        self.entries = entries.sorted { $0.name < $1.name }
    }
}
