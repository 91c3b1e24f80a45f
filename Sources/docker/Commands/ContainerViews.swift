/// `docker diff`.
struct Diff: Command {
    static let usage = "diff CONTAINER"
    @Argument var name: String
    func run(_ settings: Settings) throws(CLIError) {
        for change in try settings.client().call("GET", try containerPath(name) + "/changes").elements {
            let kind = [0: "C", 1: "A", 2: "D"][change.int("Kind")] ?? "?"
            say("\(kind) \(change.text("Path"))")
        }
    }
}

/// `docker top`.
struct Top: Command {
    static let usage = "top CONTAINER [ps OPTIONS]"
    static let stopsAtPositional = true
    @Argument var words: [String]
    func run(_ settings: Settings) throws(CLIError) {
        let options = words.dropFirst().joined(separator: " ")
        let path = try containerPath(words.first ?? "") + "/top" + query([("ps_args", options.isEmpty ? nil : options)])
        let answer = try settings.client().call("GET", path)
        var table = Table((answer["Titles"]?.elements ?? []).compactMap(\.string))
        for row in answer["Processes"]?.elements ?? [] { table.add(row.elements.compactMap(\.string)) }
        print(table.rendered(minimum: 20), terminator: "")
    }
}

/// `docker port`.
struct Port: Command {
    static let usage = "port CONTAINER [PRIVATE_PORT[/PROTO]]"
    @Argument var name: String
    @Argument var port = ""

    func run(_ settings: Settings) throws(CLIError) {
        let info = try settings.client().call("GET", try containerPath(name) + "/json")
        let ports = info["NetworkSettings"]?["Ports"] ?? .null
        let lines = port.isEmpty ? Self.all(ports) : try addresses(ports)
        for line in lines.sorted(by: NaturalOrder.isAscending) { say(line) }
    }

    private static func all(_ ports: JSON) -> [String] {
        ports.members.flatMap { port in port.value.elements.map { "\(port.name) -> \(address($0))" } }
    }

    private func addresses(_ ports: JSON) throws(CLIError) -> [String] {
        let (number, proto) = port.cut("/")
        do throws(FlagReason) { _ = try PortRange.number(number) } catch {
            throw CLIError("Error: invalid port (\(number)): \(error.text)")
        }
        let wanted = "\(number)/\(proto.flatMap { $0.isEmpty ? nil : $0 } ?? "tcp")"
        let found = ports[wanted]?.elements ?? []
        guard !found.isEmpty else { throw CLIError("Error: No public port '\(port)' published for \(name)") }
        return found.map(Self.address)
    }

    private static func address(_ binding: JSON) -> String {
        PortList.joined(binding.text("HostIp"), binding.text("HostPort"))
    }
}

/// `docker events`.
struct Events: Command {
    static let usage = "events [OPTIONS]"
    @Option("-f --filter", "Filter output based on conditions provided") var filter = Filters()
    @Option("--format", Help.format) var format: String?
    @Option("--since", "Show all events created since timestamp") var since: String?
    @Option("--until", "Stream events until this timestamp") var until: String?
    func run(_ settings: Settings) throws(CLIError) {
        let parameters = [
            ("filters", filter.encoded), ("since", try since.map(Times.apiTimestamp)),
            ("until", try until.map(Times.apiTimestamp)),
        ]
        let client = try settings.client()
        let response = try client.open("GET", "/events" + query(parameters))
        let isObject = format == "json" || format == "{{json .}}"
        let template = try isObject ? nil : format.map(Self.template)
        while let event = try response.nextMessage() {
            if isObject {
                writeLine(object(event).encoded(escapingHTML: false))
            } else if let template {
                let message = GoValue(event, .pointer(.record("events.Message")))
                do throws(CLIError) { writeLine(try template.render(message)) } catch { throw Self.malformed(error) }
            } else {
                writeLine(text(event))
            }
        }
    }

    private static func template(_ format: String) throws(CLIError) -> Template {
        do throws(CLIError) { return try Template(format) } catch { throw malformed(error) }
    }

    private static func malformed(_ error: CLIError) -> CLIError {
        CLIError(
            "Error parsing format: \(error.message.droppingPrefix("template parsing error: "))", exitCode: 64)
    }

    /// The event with its members in Docker's order.
    private func object(_ event: JSON) -> JSON {
        let names = ["status", "id", "from", "Type", "Action", "Actor", "scope", "time", "timeNano"]
        return .object(names.compactMap { name in event[name].map { .init(name: name, value: $0) } })
    }

    private func writeLine(_ text: String) {
        // A reader that left ends the stream by SIGPIPE's error at the next write; nothing is lost that anybody reads.
        _ = try? writeAll(1, Array((text + "\n").utf8))
    }

    private func text(_ event: JSON) -> String {
        let nanoseconds = event.int("timeNano")
        let fraction = String(nanoseconds % 1_000_000_000)
        let padded = "." + String(repeating: "0", count: max(0, 9 - fraction.count)) + fraction
        let actor = event["Actor"]
        let attributes = (actor?["Attributes"]?.members ?? []).sorted { $0.name < $1.name }
            .map { "\($0.name)=\($0.value.string ?? "")" }.joined(separator: ", ")
        return "\(Times.rfc3339(Double(nanoseconds / 1_000_000_000), fraction: padded)) \(event.text("Type")) "
            + "\(event.text("Action")) \(actor?.text("ID") ?? "") (\(attributes))"
    }
}
