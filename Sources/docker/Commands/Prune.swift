@preconcurrency import Glibc

/// Asking before something is deleted, and telling what was.
enum Prune {
    /// Asks on standard output; anything but `y` is a no.
    static func confirmed(_ warning: String) -> Bool {
        print("WARNING! \(warning)\nAre you sure you want to continue? [y/N] ", terminator: "")
        fflush(stdout)
        return readLine()?.trimmed.lowercased() == "y"
    }

    /// The filters that were typed, and those that the configuration file has for every `prune`.
    static func filters(_ typed: Filters, _ settings: Settings) throws(CLIError) -> Filters {
        typed.adding(defaults: settings.config.pruneFilters)
    }

    /// The names under `title`, and an empty line; nothing when there are none.
    static func tell(_ title: String, _ names: [String]) {
        if !names.isEmpty { say("\(title):\n" + names.map { "\($0)\n" }.joined()) }
    }

    /// The last line.
    static func total(_ bytes: Int64) { say("Total reclaimed space: \(Sizes.decimal(bytes))") }

    /// Removes stopped containers; the bytes they took.
    static func containers(_ client: Client, _ filters: Filters) throws(CLIError) -> Int64 {
        let answer = try client.call("POST", "/containers/prune" + query([("filters", filters.encoded)]))
        tell("Deleted Containers", (answer["ContainersDeleted"]?.elements ?? []).compactMap(\.string))
        return answer.int("SpaceReclaimed")
    }

    /// Removes unused networks.
    static func networks(_ client: Client, _ filters: Filters) throws(CLIError) {
        let answer = try client.call("POST", "/networks/prune" + query([("filters", filters.encoded)]))
        tell("Deleted Networks", (answer["NetworksDeleted"]?.elements ?? []).compactMap(\.string))
    }

    /// Removes unused volumes; the bytes they took.
    static func volumes(_ client: Client, _ filters: Filters) throws(CLIError) -> Int64 {
        let answer = try client.call("POST", "/volumes/prune" + query([("filters", filters.encoded)]))
        tell("Deleted Volumes", (answer["VolumesDeleted"]?.elements ?? []).compactMap(\.string))
        return answer.int("SpaceReclaimed")
    }

    /// Removes images nobody names, or with `all` those no container uses; the bytes they took.
    static func images(_ client: Client, _ filters: Filters, all: Bool) throws(CLIError) -> Int64 {
        let encoded = filters.adding("dangling", String(!all)).encoded
        let answer = try client.call("POST", "/images/prune" + query([("filters", encoded)]))
        tell(
            "Deleted Images",
            (answer["ImagesDeleted"]?.elements ?? []).map { item in
                item["Untagged"]?.string.map { "untagged: \($0)" } ?? "deleted: \(item.text("Deleted"))"
            })
        return answer.int("SpaceReclaimed")
    }
}

/// `docker container prune`.
struct PruneContainers: Command {
    static let usage = "container prune [OPTIONS]"
    @Option("--filter", "Provide filter values (e.g. \"until=<timestamp>\")") var filter = Filters()
    @Flag("-f --force", "Do not prompt for confirmation") var force = false

    func run(_ settings: Settings) throws(CLIError) {
        guard force || Prune.confirmed("This will remove all stopped containers.") else { return }
        Prune.total(try Prune.containers(try settings.client(), try Prune.filters(filter, settings)))
    }
}

/// `docker image prune`.
struct PruneImages: Command {
    static let usage = "image prune [OPTIONS]"
    @Flag("-a --all", "Remove all unused images, not just dangling ones") var all = false
    @Option("--filter", "Provide filter values (e.g. \"until=<timestamp>\")") var filter = Filters()
    @Flag("-f --force", "Do not prompt for confirmation") var force = false

    func run(_ settings: Settings) throws(CLIError) {
        let warning =
            all
            ? "This will remove all images without at least one container associated to them."
            : "This will remove all dangling images."
        guard force || Prune.confirmed(warning) else { return }
        Prune.total(try Prune.images(try settings.client(), try Prune.filters(filter, settings), all: all))
    }
}

/// `docker volume prune`.
struct PruneVolumes: Command {
    static let usage = "volume prune [OPTIONS]"
    @Flag("-a --all", "Remove all unused volumes, not just anonymous ones") var all = false
    @Option("--filter", "Provide filter values (e.g. \"label=<label>\")") var filter = Filters()
    @Flag("-f --force", "Do not prompt for confirmation") var force = false

    func run(_ settings: Settings) throws(CLIError) {
        let kind = all ? "all local" : "anonymous local"
        let client = try settings.client()
        let filters = try Prune.filters(filter, settings)
        // Who is asked should know; scripts read Docker's text.
        let going = force || !Terminal.isTerminal(0) ? "" : try VolumeUse.toBePruned(filters, all: all, client)
        let warning = "This will remove \(kind) volumes not used by at least one container."
        guard force || Prune.confirmed(warning + (going.isEmpty ? "" : "\n\(going)")) else { return }
        Prune.total(try Prune.volumes(client, all ? filters.adding("all", "true") : filters))
    }
}

/// `docker system prune`.
struct PruneSystem: Command {
    static let usage = "system prune [OPTIONS]"
    @Flag("-a --all", "Remove all unused images not just dangling ones") var all = false
    @Option("--filter", "Provide filter values (e.g. \"label=<key>=<value>\")") var filter = Filters()
    @Flag("-f --force", "Do not prompt for confirmation") var force = false
    @Flag("--volumes", "Prune anonymous volumes") var volumes = false

    func run(_ settings: Settings) throws(CLIError) {
        guard !volumes || !filter.has("until") else {
            throw CLIError("ERROR: The \"until\" filter is not supported with \"--volumes\"")
        }
        let filters = try Prune.filters(filter, settings)
        guard force || Prune.confirmed(warning(filters.descriptions)) else { return }
        let client = try settings.client()
        var bytes = try Prune.containers(client, filters)
        try Prune.networks(client, filters)
        if volumes { bytes += try Prune.volumes(client, filters) }
        bytes += try Prune.images(client, filters, all: all)
        Prune.total(bytes)
    }

    private func warning(_ filters: [String]) -> String {
        var lines = ["all stopped containers", "all networks not used by at least one container"]
        if volumes { lines.append("all anonymous volumes not used by at least one container") }
        lines.append(all ? "all images without at least one container associated to them" : "all dangling images")
        lines.append(all ? "all build cache" : "unused build cache")
        return "This will remove:\n" + lines.map { "  - \($0)\n" }.joined()
            + (filters.isEmpty
                ? ""
                : "\n  Items to be pruned will be filtered with:\n" + filters.map { "  - \($0)\n" }.joined())
    }
}
