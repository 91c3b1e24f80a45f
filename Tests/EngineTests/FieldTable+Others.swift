/// Members that are refused or told to have no effect, and those that tests of their own observe.
extension FieldTable {
    static let refusals: [Field] = [
        .refused("Cgroup", "\"container:x\"", "the control group of another container cannot be joined"),
        .refused("StorageOpt", #"{"size": "1g"}"#, "--storage-opt size is not supported by this storage driver"),
        .refused("UsernsMode", "\"private\"", "invalid user namespace mode"),
        .refused("Runtime", "\"bogus\"", "unknown or invalid runtime name: bogus"),
        .refused("Isolation", "\"hyperv\"", "invalid isolation 'hyperv' on linux"),
        .refused(
            "VolumeDriver", "\"bogus\", \"Binds\": [\"made:/x\"]",
            "error looking up volume plugin bogus: plugin \"bogus\" not found"),
        .refused("CpuRealtimePeriod", "1000000", "Your kernel does not support CPU real-time scheduler"),
        .refused("CpuRealtimeRuntime", "95000", "Your kernel does not support CPU real-time scheduler"),
        .refused("CpuCount", "1", "linux does not support CPU count and CPU percent"),
        .refused("CpuPercent", "50", "linux does not support CPU count and CPU percent"),
        .refused("IOMaximumIOps", "1", "linux does not support Maximum IO Bandwidth or Maximum IO IOps"),
        .refused("IOMaximumBandwidth", "1", "linux does not support Maximum IO Bandwidth or Maximum IO IOps"),
        .refused(
            "DeviceRequests",
            #"[{"Driver": "cdi", "Count": 1, "DeviceIDs": ["vendor.com/class=x"], "Capabilities": [["gpu"]], "Options": {"a": "b"}}]"#,
            "could not select device driver \"cdi\" with capabilities: [[gpu]]",
            [
                "DeviceRequest.Driver", "DeviceRequest.Count", "DeviceRequest.DeviceIDs", "DeviceRequest.Capabilities",
                "DeviceRequest.Options",
            ]),
        .refused(
            "BlkioWeightDevice", #"[{"Path": "/dev/vda", "Weight": 9}]"#, "invalid weight for device: /dev/vda:9"),
        .refused("BlkioDeviceReadBps", #"[{"Path": "vda", "Rate": 1}]"#, "bad format for device path: vda"),
        .refused(
            "BlkioDeviceWriteIOps", #"[{"Path": "/dev/vda", "Rate": -1}]"#, "invalid rate for device: /dev/vda:-1"),
        .refused(
            "Mounts", #"[{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Options": [["uid", "1"]]}}]"#,
            "invalid mount config for type \"tmpfs\": invalid option: uid"),
        .refused(
            "Mounts", #"[{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Options": [[]]}}]"#,
            "invalid option array length"),
        .refused(
            "Mounts", #"[{"Type": "cluster", "Source": "x", "Target": "/x"}]"#,
            "invalid mount config for type \"cluster\": mount type unknown"),
        .refused("KernelMemory", "5", "Minimum kernel memory limit allowed is 6MB"),
        Field(
            members: ["HostConfig.KernelMemory"],
            proof: .told(host: #""KernelMemory": 67108864"#, words: "does not support kernel memory limit capabilities")
        ),
        Field(
            members: ["HostConfig.OomKillDisable"],
            proof: .told(host: #""OomKillDisable": true"#, words: "but no memory limit is set")),
        Field(
            members: ["EndpointSettings.DriverOpts"],
            proof: .refused(
                config: #""NetworkingConfig": {"EndpointsConfig": {"bridge": {"DriverOpts": {"a": "b"}}}}"#,
                words: "driver option a of an endpoint is not supported")),
        Field(
            members: ["EndpointIPAMConfig.LinkLocalIPs"],
            proof: .refused(
                config:
                    #""NetworkingConfig": {"EndpointsConfig": {"bridge": {"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}}}"#,
                words: "link-local addresses of an endpoint are not supported")),
    ]

    private static func test(_ members: String..., name: String) -> Field {
        Field(members: members, proof: .test(name))
    }

    static let elsewhere: [Field] = [
        test("HostConfig.AutoRemove", name: "a container that is to go when it ends goes also under the next daemon"),
        test(
            "RestartPolicy.Name", "RestartPolicy.MaximumRetryCount",
            name: "a failing container starts again with growing pauses and then stays down"),
        test("Config.StopSignal", name: "the small init is process 1, reaps orphans, and passes signals on"),
        test(
            "Config.StopTimeout",
            name: "a container is ended after the time it was given, unless the request says another"),
        test("Config.StdinOnce", name: "standard input reaches the program and its end is seen"),
        test(
            "Config.NetworkDisabled",
            name: "a network that is disabled is none, and the host's network has the host's name"),
        test("Config.Shell", name: "a test is a command, a line for the shell, or none"),
        test(
            "Config.Cmd", "Config.Image",
            name: "a configuration that cannot be is refused in Docker's words and its twin runs"),
        test(
            "Config.Healthcheck", "Healthcheck.Test", "Healthcheck.Interval",
            name: "a container is healthy once its check succeeds, and ps, inspect, filters and events say so"),
        test("Healthcheck.Retries", name: "a container is unhealthy after its retries, and recovers"),
        test(
            "Healthcheck.Timeout",
            name: "a check that takes too long is killed with what it started, and counts as a failure"),
        test("Healthcheck.StartPeriod", name: "failures in the start period do not count, and a success ends it"),
        test("Healthcheck.StartInterval", name: "probes come faster within the start period, until one succeeds"),
        test(
            "BindOptions.NonRecursive", "BindOptions.ReadOnlyNonRecursive", "BindOptions.ReadOnlyForceRecursive",
            name: "what is mounted below a source comes along, read-only as far as asked"),
        test("BindOptions.Propagation", name: "mounts reach a running container as its propagation says"),
        test(
            "VolumeOptions.NoCopy", "VolumeOptions.Subpath",
            name: "a volume is seeded unless that is declined, and a part of one can be mounted"),
        test("VolumeOptions.Labels", name: "mounts are told as Docker tells them"),
        test(
            "Mount.ImageOptions", "ImageOptions.Subpath",
            name: "an image can be mounted, whole or in part, and is kept meanwhile"),
    ]
}
