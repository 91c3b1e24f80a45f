/// The names of what a daemon has, for completion: nothing is said when it cannot be asked.
struct ObjectNames {
    enum Kind { case none, containers, images, volumes, networks, contexts, all, shells }

    private let options: GlobalOptions

    init(_ options: GlobalOptions) { self.options = options }

    /// - Parameter command: the words of the command that wants them: some commands only want what runs, or does not.
    func list(_ kind: Kind, _ command: String) -> [Completion.Candidate] {
        switch kind {
        case .none: []
        case .containers: containers(String(command.split(separator: " ").last ?? ""))
        case .images: images
        case .volumes: (ask("/volumes")["Volumes"]?.elements ?? []).map { ($0.text("Name"), $0.text("Driver")) }
        case .networks: ask("/networks").elements.map { ($0.text("Name"), $0.text("Driver")) }
        case .contexts:
            // A context that cannot be read is no candidate.
            ((try? ContextStore(folder: options.folder).list()) ?? []).map { ($0.name, $0.description) }
                + [(ContextStore.defaultName, Settings.defaultDescription)]
        case .all:
            list(.containers, "") + list(.images, "") + list(.volumes, "") + list(.networks, "")
        case .shells: [("bash", ""), ("fish", ""), ("zsh", "")]
        }
    }

    /// Commands for containers that run, and that do not.
    private static let (ofRunning, ofStopped): (Set<String>, Set<String>) = (
        ["attach", "exec", "kill", "pause", "port", "stats", "stop", "top", "unpause"], ["start"]
    )

    private func containers(_ command: String) -> [Completion.Candidate] {
        let isRunning = { (container: JSON) in ["running", "paused", "restarting"].contains(container.text("State")) }
        return ask("/containers/json?all=1").elements.filter { container in
            Self.ofRunning.contains(command)
                ? isRunning(container) : !Self.ofStopped.contains(command) || !isRunning(container)
        }.flatMap { container in
            (container["Names"]?.elements ?? []).compactMap { $0.string?.drop { $0 == "/" } }
                .filter { !$0.contains("/") }.map { (String($0), container.text("Image")) }
        }
    }

    private var images: [Completion.Candidate] {
        ask("/images/json").elements.flatMap { image in
            (image["RepoTags"]?.elements ?? []).compactMap(\.string).filter { !$0.hasPrefix("<none>") }
                .flatMap { tag -> [Completion.Candidate] in
                    let id = Short.id(image.text("Id"))
                    return tag.hasSuffix(":latest") ? [(tag, id), (String(tag.dropLast(7)), id)] : [(tag, id)]
                }
        }
    }

    private func ask(_ path: String) -> JSON {
        // A tab starts no daemon, and prints no error into the line that is being typed.
        let client = (try? Settings(options, path: "")).flatMap { try? Client($0, mayStart: false) }
        return (try? client?.call("GET", path)) ?? .null
    }
}
