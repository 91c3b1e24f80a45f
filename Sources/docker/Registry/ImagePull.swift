/// `--platform` where the API takes an OCI platform object.
enum PlatformName {
    /// `linux/arm/v7` as JSON.
    static func json(_ text: String) throws(CLIError) -> String {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw CLIError("\"\(text)\": cannot parse platform specifier: invalid argument")
        }
        let members = [
            ("architecture", parts.count > 1 ? JSON.string(parts[1]) : nil), ("os", .string(parts[0])),
            ("variant", parts.count > 2 ? .string(parts[2]) : nil),
        ]
        return CreateBody.object(members).encoded()
    }
}

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
        let header = try settings.config.header(for: name)
        let response = try client.open("POST", "/images/create" + query(parameters), headers: [header])
        var view = progress
        var stages: [PullTrace.Stage] = []
        defer { view?.finish() }
        while let message = try response.nextMessage() {
            if let error = message["errorDetail"]?["message"]?.string ?? message["error"]?.string {
                throw CLIError(error)
            }
            for stage in message["aux"]?["trace"]?.elements ?? [] { stages.append(PullTrace.Stage(stage)) }
            view?.show(message)
        }
        client.recycle(response)
        return stages
    }
}
