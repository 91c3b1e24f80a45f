/// `docker version`.
struct ShowVersion: Command {
    static let usage = "version [OPTIONS]"
    @Option("-f --format", Help.format) var format: String?

    #if arch(arm64)
        static let architecture = "arm64"
    #else
        static let architecture = "amd64"
    #endif

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        var server = JSON.null
        var failure: CLIError?
        do throws(CLIError) { server = try client.call("GET", "/version") } catch { failure = error }
        let own: JSON = [
            "Version": .string(Version.client), "ApiVersion": .string(client.negotiatedVersion),
            "DefaultAPIVersion": .string(Client.apiVersion), "GitCommit": .string(Version.build), "Os": "linux",
            "Arch": .string(Self.architecture), "Context": .string(settings.contextName),
        ]
        if let format {
            let both: JSON = ["Client": own, "Server": server == .null ? .null : Self.typed(server)]
            let template = format == "json" ? "{{json .}}" : format
            try Template(template, name: "version").show(GoValue(open: both, "system.versionInfo"), or: failure)
        } else {
            say(Self.lines("Client:", " ", own, client: true))
            if server != .null { say(Self.serverLines(server)) }
        }
        if let failure { throw failure }
    }

    /// The server's side as Docker's type holds it.
    private static func typed(_ server: JSON) -> JSON {
        let details = [
            "ApiVersion", "Arch", "BuildTime", "GitCommit", "GoVersion", "KernelVersion", "MinAPIVersion", "Os",
        ]
        let engine: JSON = [
            "Name": "Engine", "Version": .string(server.text("Version")),
            "Details": JSON(
                map: Dictionary(
                    uniqueKeysWithValues: details.filter { $0 != "KernelVersion" || server[$0] != nil }.map {
                        ($0, server.text($0))
                    } + [("Experimental", String(server.flag("Experimental")))])),
        ]
        let parts = server["Components"]?.elements ?? []
        var members: [(String, JSON?)] = [
            ("Platform", server["Platform"] ?? ["Name": ""]), ("Components", .array(parts.isEmpty ? [engine] : parts)),
        ]
        for name in ["Version", "ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch"] {
            members.append((name, .string(server.text(name))))
        }
        for name in ["KernelVersion", "Experimental", "BuildTime"] { members.append((name, server[name])) }
        return CreateBody.object(members)
    }

    private static func serverLines(_ server: JSON) -> String {
        let name = server["Platform"]?.text("Name") ?? ""
        let components = (server["Components"]?.elements ?? []).filter { $0.text("Name") != "Engine" }
        let others = components.map { part in
            let details = (part["Details"]?.members ?? []).map { row("  \($0.name):", 18, $0.value.string ?? "") }
            return ([" \(part.text("Name")):", row("  Version:", 18, part.text("Version"))] + details).joined(
                separator: "\n")
        }
        let head = "\nServer:\(name.isEmpty ? "" : " \(name)")\n"
        return ([head + lines(" Engine:", "  ", server, client: false)] + others).joined(separator: "\n")
    }

    /// The lines of one side; what a side does not say is left out.
    private static func lines(_ title: String, _ indent: String, _ side: JSON, client: Bool) -> String {
        let least = side.text("MinAPIVersion")
        let api = side.text("ApiVersion") + (client || least.isEmpty ? "" : " (minimum version \(least))")
        var rows = [
            ("Version", side.text("Version")), ("API version", api), ("Go version", side.text("GoVersion")),
            ("Git commit", side.text("GitCommit")), ("Built", side.text("BuildTime")),
            ("OS/Arch", "\(side.text("Os"))/\(side.text("Arch"))"),
        ]
        rows.append(client ? ("Context", side.text("Context")) : ("Experimental", String(side.flag("Experimental"))))
        return ([title] + rows.filter { !$0.1.isEmpty }.map { row("\(indent)\($0.0):", 20, $0.1) })
            .joined(separator: "\n")
    }

    private static func row(_ name: String, _ width: Int, _ value: String) -> String {
        name + String(repeating: " ", count: max(1, width - name.utf8.count)) + value
    }
}

/// `docker info`.
struct Info: Command {
    static let usage = "info [OPTIONS]"
    @Option("-f --format", Help.format) var format: String?

    func run(_ settings: Settings) throws(CLIError) {
        let client: JSON = [
            "Debug": .bool(settings.options.debug), "Version": .string(Version.client),
            "DefaultAPIVersion": .string(Client.apiVersion), "GitCommit": .string(Version.build), "Os": "linux",
            "Arch": .string(ShowVersion.architecture),
            "Context": .string(settings.contextName),
            "Plugins": [], "Warnings": .null,
        ]
        let template = try format.map { (text) throws(CLIError) in
            try Template(text == "json" ? "{{json .}}" : text)
        }
        // What is told of the client alone needs no daemon.
        if let template, template.text != "{{json .}}" {
            let own = GoValue(open: ["ClientInfo": client], "system.dockerInfo")
            if let text = try? template.render(own) { return say(text) }
        }
        var info = JSON.object([])
        var failure: CLIError?
        do throws(CLIError) { info = try settings.client().call("GET", "/info") } catch { failure = error }
        if let template {
            let whole = JSON.object(info.members + [.init(name: "ClientInfo", value: client)])
            try template.show(GoValue(open: whole, "system.dockerInfo"), or: failure)
        } else {
            say(
                "Client:\n Version:    \(Version.client)\n Context:    \(settings.contextName)\n Debug Mode: \(settings.options.debug)\n\nServer:"
            )
            if failure == nil {
                say((Self.head(info) + Self.machine(info) + Self.registries(info)).joined(separator: "\n") + "\n")
            }
            for warning in info["Warnings"]?.elements ?? [] { complain(warning.string ?? "") }
        }
        if let failure { throw failure }
    }

    private static func head(_ info: JSON) -> [String] {
        var lines = [
            " Containers: \(info.int("Containers"))", "  Running: \(info.int("ContainersRunning"))",
            "  Paused: \(info.int("ContainersPaused"))", "  Stopped: \(info.int("ContainersStopped"))",
            " Images: \(info.int("Images"))", " Server Version: \(info.text("ServerVersion"))",
            " Storage Driver: \(info.text("Driver"))",
        ]
        for pair in info["DriverStatus"]?.elements ?? [] {
            lines.append("  " + pair.elements.map { $0.string ?? "" }.joined(separator: ": "))
        }
        for (title, name) in [
            ("Logging Driver", "LoggingDriver"), ("Cgroup Driver", "CgroupDriver"), ("Cgroup Version", "CgroupVersion"),
        ] {
            lines.append(" \(title): \(info.text(name))")
        }
        let plugins = info["Plugins"]
        lines.append(" Plugins:")
        for name in ["Volume", "Network", "Authorization", "Log"] {
            let names = list(plugins?[name])
            if name != "Authorization" || !names.isEmpty { lines.append("  \(name): \(names)") }
        }
        let folders = (info["CDISpecDirs"]?.elements ?? []).compactMap(\.string)
        if !folders.isEmpty { lines += [" CDI spec directories:"] + folders.map { "  \($0)" } }
        lines.append(" Swarm: \(info["Swarm"]?.text("LocalNodeState") ?? "inactive")")
        lines.append(" Runtimes: " + (info["Runtimes"]?.members ?? []).map(\.name).sorted().joined(separator: " "))
        lines += [" Default Runtime: \(info.text("DefaultRuntime"))", " Init Binary: \(info.text("InitBinary"))"]
        for (title, name) in [("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")] {
            if let commit = info[name] { lines.append(" \(title) version: \(commit.text("ID"))") }
        }
        return lines
    }

    private static func machine(_ info: JSON) -> [String] {
        var lines: [String] = []
        let security = (info["SecurityOptions"]?.elements ?? []).compactMap(\.string)
        if !security.isEmpty { lines.append(" Security Options:") }
        for option in security {
            for (index, field) in option.split(separator: ",").enumerated() {
                let (name, value) = field.cut("=")
                let title = name == "profile" ? "Profile" : name
                lines.append(index == 0 ? "  \(value ?? name)" : "   \(title): \(value ?? "")")
            }
        }
        lines += [
            " Kernel Version: \(info.text("KernelVersion"))", " Operating System: \(info.text("OperatingSystem"))",
            " OSType: \(info.text("OSType"))", " Architecture: \(info.text("Architecture"))",
            " CPUs: \(info.int("NCPU"))",
            " Total Memory: \(Sizes.binary(Double(info.int("MemTotal"))))", " Name: \(info.text("Name"))",
            " ID: \(info.text("ID"))", " Docker Root Dir: \(info.text("DockerRootDir"))",
            " Debug Mode: \(info.flag("Debug"))",
        ]
        if info.flag("Debug") {
            lines += [
                "  File Descriptors: \(info.int("NFd"))", "  Goroutines: \(info.int("NGoroutines"))",
                "  System Time: \(info.text("SystemTime"))", "  EventsListeners: \(info.int("NEventsListener"))",
            ]
        }
        for (title, name) in [("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")] {
            let value = info.text(name)
            if !value.isEmpty { lines.append(" \(title): \(value)") }
        }
        return lines
    }

    private static func registries(_ info: JSON) -> [String] {
        var lines: [String] = []
        let labels = (info["Labels"]?.elements ?? []).compactMap(\.string)
        if !labels.isEmpty { lines += [" Labels:"] + labels.map { "  \($0)" } }
        lines.append(" Experimental: \(info.flag("ExperimentalBuild"))")
        let config = info["RegistryConfig"]
        let insecure =
            (config?["IndexConfigs"]?.members ?? []).filter { $0.value["Secure"] == false }.map(\.name)
            + (config?["InsecureRegistryCIDRs"]?.elements ?? []).compactMap(\.string)
        if !insecure.isEmpty { lines += [" Insecure Registries:"] + insecure.map { "  \($0)" } }
        let mirrors = (config?["Mirrors"]?.elements ?? []).compactMap(\.string)
        if !mirrors.isEmpty { lines += [" Registry Mirrors:"] + mirrors.map { "  \($0)" } }
        lines.append(" Live Restore Enabled: \(info.flag("LiveRestoreEnabled"))")
        if !info.text("ProductLicense").isEmpty { lines.append(" Product License: \(info.text("ProductLicense"))") }
        let pools = info["DefaultAddressPools"]?.elements ?? []
        if !pools.isEmpty { lines.append(" Default Address Pools:") }
        return lines + pools.map { "   Base: \($0.text("Base")), Size: \($0.int("Size"))" }
    }

    private static func list(_ value: JSON?) -> String {
        (value?.elements ?? []).compactMap(\.string).joined(separator: " ")
    }
}
