/// Pulls one image and shows how it goes.
struct ImagePull {
    let client: Client
    let settings: Settings
    /// Asks the daemon for the stages of the pull; it sends them among the progress.
    var traced = false

    /// Pulls; the stages of the pull come back when they were asked for.
    @discardableResult
    func pull(
        _ name: ImageName, platform: String?, progress: ProgressView?, all: Bool = false
    ) throws(CLIError) -> [PullTrace.Stage] {
        let parameters = [
            ("fromImage", name.full), ("tag", all ? nil : name.tagOrDigest), ("platform", platform),
            ("trace", traced ? "1" : nil),
        ]
        let header = try ConfigFile(folder: settings.folder).header(for: name)
        let response = try client.open("POST", "/images/create" + query(parameters), headers: [header])
        var view = progress
        var stages: [PullTrace.Stage] = []
        defer { view?.finish() }
        while let message = try response.nextMessage() {
            if let error = message["errorDetail"]?["message"]?.string ?? message["error"]?.string { throw CLIError(error) }
            for stage in message["aux"]?["trace"]?.elements ?? [] { stages.append(PullTrace.Stage(stage)) }
            view?.show(message)
        }
        client.recycle(response)
        return stages
    }
}
