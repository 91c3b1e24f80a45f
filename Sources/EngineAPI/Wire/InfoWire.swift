import Actors

/// What `GET /info` answers.
enum InfoWire {
    struct Counts {
        let containers: Int
        let running: Int
        let paused: Int
        let stopped: Int
        let images: Int
        let volumeDrivers: [String]
    }

    static func value(_ engine: Engine, counts: Counts) -> JSON {
        var value = head(engine, counts)
        for (name, member) in capabilities(engine) { value.append(name, member) }
        for (name, member) in machine(engine) { value.append(name, member) }
        for (name, member) in runtime(engine) { value.append(name, member) }
        return value
    }

    private static func head(_ engine: Engine, _ counts: Counts) -> JSON {
        let host = engine.host
        return [
            "ID": .string(host.id), "Containers": JSON(counts.containers), "ContainersRunning": JSON(counts.running),
            "ContainersPaused": JSON(counts.paused), "ContainersStopped": JSON(counts.stopped),
            "Images": JSON(counts.images), "Driver": .string(host.storageDriver),
            "DriverStatus": .array(host.driverStatus.map { [.string($0.0), .string($0.1)] }),
            "Plugins": [
                "Volume": JSON(counts.volumeDrivers), "Network": ["bridge", "host", "null"], "Authorization": nil,
                "Log": ["json-file", "none"],
            ],
        ]
    }

    private static func capabilities(_ engine: Engine) -> [(String, JSON)] {
        [
            ("MemoryLimit", true), ("SwapLimit", true), ("CpuCfsPeriod", true), ("CpuCfsQuota", true),
            ("CPUShares", true), ("CPUSet", true), ("PidsLimit", true), ("IPv4Forwarding", true),
            ("Debug", .bool(engine.configuration.debug)),
            ("NFd", 0), ("OomKillDisable", .bool(engine.host.cgroupVersion == "1")), ("NGoroutines", 0),
        ]
    }

    private static func machine(_ engine: Engine) -> [(String, JSON)] {
        let host = engine.host
        return [
            ("SystemTime", .string(Timestamp.now().text)),
            ("LoggingDriver", .string(engine.configuration.logDefaults.type ?? "json-file")),
            ("CgroupDriver", .string(host.cgroupDriver)), ("CgroupVersion", .string(host.cgroupVersion)),
            ("NEventsListener", 0), ("KernelVersion", .string(host.kernelVersion)),
            ("OperatingSystem", .string(host.operatingSystem)), ("OSVersion", .string(host.osVersion)),
            ("OSType", "linux"),
            ("Architecture", .string(host.architecture)), ("IndexServerAddress", "https://index.docker.io/v1/"),
            ("RegistryConfig", ["InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": [:], "Mirrors": []]),
            ("NCPU", JSON(host.cpus)), ("MemTotal", .int(host.memory)), ("GenericResources", nil),
            ("DockerRootDir", .string(engine.configuration.dataRoot)), ("HttpProxy", ""), ("HttpsProxy", ""),
            ("NoProxy", ""),
            ("Name", .string(host.name)), ("Labels", JSON(engine.configuration.labels)), ("ExperimentalBuild", false),
            ("ServerVersion", .string(Engine.version)),
        ]
    }

    private static func runtime(_ engine: Engine) -> [(String, JSON)] {
        [
            ("Runtimes", ["docker-monitor": ["path": .string(engine.configuration.monitorPath)]]),
            ("DefaultRuntime", "docker-monitor"),
            (
                "Swarm",
                [
                    "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
                    "RemoteManagers": nil,
                ]
            ), ("LiveRestoreEnabled", true), ("Isolation", ""), ("InitBinary", "docker-init"),
            ("ContainerdCommit", ["ID": ""]), ("RuncCommit", ["ID": ""]), ("InitCommit", ["ID": ""]),
            ("SecurityOptions", JSON(engine.host.securityOptions)), ("CDISpecDirs", []), ("Warnings", nil),
        ]
    }
}
