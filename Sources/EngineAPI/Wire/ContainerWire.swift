import Actors
import Foundation
import Synchronization

/// One line of `GET /containers/json`.
enum ContainerSummary {
    /// - Parameters:
    ///   - sizes: where they were asked for.
    ///   - networks: ids by name.
    static func value(_ container: ListedContainer, _ sizes: ContainerSizes?, networks: [String: String]) -> JSON {
        let pieces = pieces(of: container, networks)
        var size: JSON = [:]
        if let sizes {
            if sizes.rw > 0 { size.append("SizeRw", .int(sizes.rw)) }
            size.append("SizeRootFs", .int(sizes.rootFs))
        }
        let status: JSON = ["Status": .string(status(container.record.state))]
        return .members([pieces[0], size.memberText, pieces[1], status.memberText, pieces[2]])
    }

    /// All but the sizes and the status, which grow while the record stays as it is.
    private static func pieces(of container: ListedContainer, _ networks: [String: String]) -> [[UInt8]] {
        if let kept = container.text.withLock({ $0 }), kept.networks.allSatisfy({ networks[$0] ?? "" == $1 }) {
            return kept.pieces
        }
        let record = container.record
        let head: JSON = [
            "Id": .string(record.id), "Names": [.string("/\(record.name)")], "Image": .string(record.imageName),
            "ImageID": .string("\(record.imageID)"), "Command": .string(command(record)),
            "Created": .int(Timestamp(record.created)?.seconds ?? 0), "Ports": ports(record),
        ]
        let middle: JSON = [
            "Labels": JSON(record.config.labels ?? [:]), "State": .string(record.state.status.rawValue),
        ]
        let tail: JSON = [
            "HostConfig": ["NetworkMode": .string(record.hostConfig.networkMode ?? "bridge")],
            "NetworkSettings": ["Networks": EndpointWire.all(record, networks: networks)],
            "Mounts": .array(record.mounts.map(ContainerDetails.mount)),
        ]
        let text = ListedContainer.Text(
            networks: Dictionary(uniqueKeysWithValues: record.networks.keys.map { ($0, networks[$0] ?? "") }),
            pieces: [head.memberText, middle.memberText, tail.memberText])
        container.text.withLock { $0 = text }
        return text.pieces
    }

    /// Words with blanks are quoted, as in Docker.
    private static func command(_ record: ContainerRecord) -> String {
        ([record.path] + record.args).map { $0.contains(" ") ? "'\($0)'" : $0 }.joined(separator: " ")
    }

    private static func ports(_ record: ContainerRecord) -> JSON {
        let isLive = record.state.status.hasProcess
        var names = Set(record.ports.keys)
        names.formUnion((record.config.exposedPorts ?? [:]).keys)
        guard isLive else { return [] }
        return .array(
            names.sorted().flatMap { name -> [JSON] in
                let parts = name.split(separator: "/")
                guard let number = parts.first.flatMap({ Int($0) }) else { return [] }
                let type = parts.count > 1 ? String(parts[1]) : "tcp"
                let bindings = record.ports[name] ?? []
                guard !bindings.isEmpty else { return [["PrivatePort": JSON(number), "Type": .string(type)]] }
                return bindings.map { binding in
                    [
                        "IP": .string(binding.hostIp ?? ""), "PrivatePort": JSON(number),
                        "PublicPort": JSON(Int(binding.hostPort ?? "") ?? 0), "Type": .string(type),
                    ]
                }
            })
    }

    private static func health(_ state: ContainerRecord.State) -> String {
        switch state.health?.status {
        case nil: ""
        case .starting: " (health: starting)"
        case .healthy: " (healthy)"
        case .unhealthy: " (unhealthy)"
        }
    }

    static func status(_ state: ContainerRecord.State) -> String {
        func ago(_ text: String) -> String {
            let start = Timestamp(text)?.nanosecondsSince1970 ?? 0
            return HumanText.duration(seconds: (Timestamp.now().nanosecondsSince1970 - start) / 1_000_000_000)
        }
        switch state.status {
        case .created: return "Created"
        case .running: return "Up \(ago(state.startedAt))" + health(state)
        case .paused: return "Up \(ago(state.startedAt)) (Paused)"
        case .restarting: return "Restarting (\(state.exitCode)) \(ago(state.finishedAt)) ago"
        case .removing: return "Removal In Progress"
        case .dead: return "Dead"
        case .exited: return "Exited (\(state.exitCode)) \(ago(state.finishedAt)) ago"
        }
    }
}

/// A container's networks.
enum EndpointWire {
    static func all(_ record: ContainerRecord, networks: [String: String]) -> JSON {
        .object(
            record.networks.sorted { $0.key < $1.key }.map { ($0.key, value($0.value, networkID: networks[$0.key])) })
    }

    private static func value(_ endpoint: EndpointSettings, networkID: String?) -> JSON {
        var ipam: JSON = nil
        if let config = endpoint.ipamConfig {
            ipam = [:]
            ipam.appendUnlessNull("IPv4Address", JSON(config.ipv4Address))
            ipam.appendUnlessNull("IPv6Address", JSON(config.ipv6Address))
            ipam.appendUnlessNull("LinkLocalIPs", JSON(config.linkLocalIPs))
        }
        let known = endpoint.networkID.flatMap { $0.isEmpty ? nil : $0 }
        return [
            "IPAMConfig": ipam, "Links": JSON(endpoint.links), "Aliases": JSON(endpoint.aliases),
            "MacAddress": .string(endpoint.macAddress ?? ""), "DriverOpts": JSON(endpoint.driverOpts),
            "GwPriority": JSON(endpoint.gatewayPriority ?? 0),
            "NetworkID": .string(known ?? networkID ?? ""), "EndpointID": .string(endpoint.endpointID ?? ""),
            "Gateway": .string(endpoint.gateway ?? ""), "IPAddress": .string(endpoint.ipAddress ?? ""),
            "IPPrefixLen": JSON(endpoint.ipPrefixLength ?? 0), "IPv6Gateway": .string(endpoint.ipv6Gateway ?? ""),
            "GlobalIPv6Address": .string(endpoint.globalIPv6Address ?? ""),
            "GlobalIPv6PrefixLen": JSON(endpoint.globalIPv6PrefixLength ?? 0), "DNSNames": JSON(endpoint.dnsNames),
        ]
    }
}

/// What `GET /containers/{id}/json` answers.
enum ContainerDetails {
    static func value(
        _ snapshot: ContainerSnapshot, _ sizes: ContainerSizes?, engine: Engine, networks: [String: String]
    ) -> JSON {
        let record = snapshot.record
        var value: JSON = [
            "Id": .string(record.id), "Created": .string(record.created), "Path": .string(record.path),
            "Args": JSON(record.args), "State": state(record.state), "Image": .string("\(record.imageID)"),
            "ResolvConfPath": .string("\(snapshot.directory)/resolv.conf"),
            "HostnamePath": .string("\(snapshot.directory)/hostname"),
            "HostsPath": .string("\(snapshot.directory)/hosts"),
            "LogPath": .string(snapshot.logPath), "Name": .string("/\(record.name)"),
            "RestartCount": JSON(record.restartCount), "Driver": .string(engine.host.storageDriver),
            "Platform": "linux",
            "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "",
            "ExecIDs": snapshot.execIDs.isEmpty ? nil : JSON(snapshot.execIDs),
            "HostConfig": HostConfigWire.value(record.hostConfig),
            "GraphDriver": ["Data": nil, "Name": .string(engine.host.storageDriver)],
        ]
        value.appendUnlessNull("SizeRw", JSON(sizes?.rw))
        value.appendUnlessNull("SizeRootFs", JSON(sizes?.rootFs))
        value.append("Mounts", .array(record.mounts.map(mount)))
        value.append("Config", ConfigWire.value(record.config))
        value.append("NetworkSettings", network(record, networks: networks))
        return value
    }

    private static func state(_ state: ContainerRecord.State) -> JSON {
        var value: JSON = [
            "Status": .string(state.status.rawValue),
            "Running": .bool(state.status.isActive),
            "Paused": .bool(state.status == .paused), "Restarting": .bool(state.status == .restarting),
            "OOMKilled": .bool(state.oomKilled), "Dead": .bool(state.status == .dead), "Pid": JSON(state.pid),
            "ExitCode": JSON(state.exitCode), "Error": .string(state.error), "StartedAt": .string(state.startedAt),
            "FinishedAt": .string(state.finishedAt),
        ]
        if let health = state.health { value.append("Health", self.health(health)) }
        return value
    }

    private static func health(_ health: Health) -> JSON {
        [
            "Status": .string(health.status.rawValue), "FailingStreak": JSON(health.failingStreak),
            "Log": .array(
                health.log.map {
                    [
                        "Start": .string($0.start), "End": .string($0.end), "ExitCode": JSON($0.exitCode),
                        "Output": .string($0.output),
                    ]
                }),
        ]
    }

    static func mount(_ mount: ContainerRecord.MountPoint) -> JSON {
        var value: JSON = ["Type": .string(mount.type)]
        value.appendUnlessNull("Name", JSON(mount.name))
        value.append("Source", .string(mount.source))
        value.append("Destination", .string(mount.destination))
        value.appendUnlessNull("Driver", JSON(mount.driver))
        value.append("Mode", .string(mount.mode))
        value.append("RW", .bool(mount.rw))
        value.append("Propagation", .string(mount.propagation))
        return value
    }

    /// `NetworkSettings`; the members of before there were several networks repeat the default bridge's.
    private static func network(_ record: ContainerRecord, networks: [String: String]) -> JSON {
        let bridge = record.networks["bridge"]
        let isLive = record.state.status.hasProcess
        var ports: [String: [PortBindingRequest]?] = [:]
        if isLive {
            for name in (record.config.exposedPorts ?? [:]).keys { ports[name] = .some(nil) }
            for (name, bindings) in record.ports { ports[name] = bindings.isEmpty ? .some(nil) : bindings }
        }
        return [
            "Bridge": "", "SandboxID": .string(isLive ? record.id : ""),
            "SandboxKey": .string(isLive && record.state.pid > 0 ? "/proc/\(record.state.pid)/ns/net" : ""),
            "Ports": HostConfigWire.ports(ports), "HairpinMode": false, "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0, "SecondaryIPAddresses": nil, "SecondaryIPv6Addresses": nil,
            "EndpointID": .string(bridge?.endpointID ?? ""), "Gateway": .string(bridge?.gateway ?? ""),
            "GlobalIPv6Address": .string(bridge?.globalIPv6Address ?? ""),
            "GlobalIPv6PrefixLen": JSON(bridge?.globalIPv6PrefixLength ?? 0),
            "IPAddress": .string(bridge?.ipAddress ?? ""), "IPPrefixLen": JSON(bridge?.ipPrefixLength ?? 0),
            "IPv6Gateway": .string(bridge?.ipv6Gateway ?? ""), "MacAddress": .string(bridge?.macAddress ?? ""),
            "Networks": EndpointWire.all(record, networks: networks),
        ]
    }
}
