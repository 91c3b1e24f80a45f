import Testing

/// One or more members of the Engine API's types, and how it shows that they are honoured or refused.
///
/// In texts `$DIR` stands for the lab's directory, `$LOOP` and `$NUMBER` for a block device and its numbers, `$HOST` and
/// `$USERNS` for the host's name and user namespace, `$DONOR` for the address of a neighbour.
struct Field: Sendable, CustomTestStringConvertible {
    /// `Type.Member`; more than one where a value of a type is seen by a single observation.
    let members: [String]
    let proof: Proof

    enum Proof: Sendable {
        /// With these members of HostConfig and of the configuration, the command prints this in the container.
        case inside(host: String, config: String, command: String, prints: String)
        /// It is kept and an inspection shows it; Docker does no more on Linux.
        case shown(host: String, config: String, template: String, prints: String)
        /// A creation with these members of the configuration is refused with these words.
        case refused(config: String, words: String)
        /// A creation with these members of HostConfig is answered with this warning.
        case told(host: String, words: String)
        /// A test of this name observes it.
        case test(String)
    }

    var testDescription: String { members.joined(separator: " ") }

    /// A member of HostConfig that is seen inside.
    static func host(_ name: String, _ value: String, _ command: String, _ prints: String, _ more: [String] = [])
        -> Self
    {
        Field(
            members: ["HostConfig.\(name)"] + more,
            proof: .inside(host: "\"\(name)\": \(value)", config: "", command: command, prints: prints))
    }

    /// A member of the configuration that is seen inside.
    static func config(_ name: String, _ value: String, _ command: String, _ prints: String) -> Self {
        Field(
            members: ["Config.\(name)"],
            proof: .inside(host: "", config: "\"\(name)\": \(value)", command: command, prints: prints))
    }

    /// A member of HostConfig that is shown.
    static func shown(_ name: String, _ value: String, _ template: String, _ prints: String, _ more: [String] = [])
        -> Self
    {
        Field(
            members: ["HostConfig.\(name)"] + more,
            proof: .shown(host: "\"\(name)\": \(value)", config: "", template: "{{\(template)}}", prints: prints))
    }

    static func shownConfig(_ name: String, _ value: String, _ template: String, _ prints: String) -> Self {
        Field(
            members: ["Config.\(name)"],
            proof: .shown(host: "", config: "\"\(name)\": \(value)", template: "{{\(template)}}", prints: prints))
    }

    static func refused(_ name: String, _ value: String, _ words: String, _ more: [String] = []) -> Self {
        Field(
            members: ["HostConfig.\(name)"] + more,
            proof: .refused(config: #""HostConfig": {"\#(name)": \#(value)}"#, words: words))
    }
}

/// Every member that API 1.51 documents of what makes a container. Members of one group are given to one container.
enum FieldTable {
    static let groups: [[Field]] = [
        limits, files, names, [.host("CpuQuota", "20000", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "20000"), period],
        process, terminal, shared, hostModes, privileged, linked, endpoint,
    ]
    static let others = refusals + elsewhere

    static var all: [Field] { groups.flatMap { $0 } + others }

    // MARK: Limits

    private static func limit(_ name: String, _ value: String, _ file: String, _ prints: String, _ more: [String] = [])
        -> Field
    {
        .host(name, value, "cat /sys/fs/cgroup/\(file)", prints, more)
    }

    private static let period = limit("CpuPeriod", "50000", "cpu/cpu.cfs_period_us", "50000")

    static let limits: [Field] = [
        limit("Memory", "67108864", "memory/memory.limit_in_bytes", "67108864"),
        limit("MemorySwap", "100663296", "memory/memory.memsw.limit_in_bytes", "100663296"),
        limit("MemoryReservation", "33554432", "memory/memory.soft_limit_in_bytes", "33554432"),
        limit("MemorySwappiness", "7", "memory/memory.swappiness", "7"),
        limit("KernelMemoryTCP", "8388608", "memory/memory.kmem.tcp.limit_in_bytes", "8388608"),
        .host(
            "OomKillDisable", "true", "head -n 1 /sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 1"),
        limit("CpuShares", "512", "cpu/cpu.shares", "512"),
        limit("NanoCpus", "500000000", "cpu/cpu.cfs_quota_us", "50000"),
        limit("CpusetCpus", "\"0\"", "cpuset/cpuset.cpus", "0"),
        limit("CpusetMems", "\"0\"", "cpuset/cpuset.mems", "0"),
        limit("PidsLimit", "77", "pids/pids.max", "77"),
        .host("BlkioWeight", "300", "cat /sys/fs/cgroup/blkio/blkio.bfq.weight", "300"),
        .host(
            "BlkioWeightDevice", #"[{"Path": "$LOOP", "Weight": 400}]"#,
            "grep '$NUMBER' /sys/fs/cgroup/blkio/blkio.bfq.weight_device", "$NUMBER 400",
            ["WeightDevice.Path", "WeightDevice.Weight"]),
        limit(
            "BlkioDeviceReadBps", #"[{"Path": "$LOOP", "Rate": 1048576}]"#, "blkio/blkio.throttle.read_bps_device",
            "$NUMBER 1048576", ["ThrottleDevice.Path", "ThrottleDevice.Rate"]),
        limit(
            "BlkioDeviceWriteBps", #"[{"Path": "$LOOP", "Rate": 1048577}]"#, "blkio/blkio.throttle.write_bps_device",
            "$NUMBER 1048577"),
        limit(
            "BlkioDeviceReadIOps", #"[{"Path": "$LOOP", "Rate": 101}]"#, "blkio/blkio.throttle.read_iops_device",
            "$NUMBER 101"),
        limit(
            "BlkioDeviceWriteIOps", #"[{"Path": "$LOOP", "Rate": 102}]"#, "blkio/blkio.throttle.write_iops_device",
            "$NUMBER 102"),
        .host(
            "Ulimits", #"[{"Name": "nofile", "Soft": 50, "Hard": 100}]"#, "ulimit -n; ulimit -Hn", "50\n100",
            ["Ulimit.Name", "Ulimit.Soft", "Ulimit.Hard"]),
        .host("OomScoreAdj", "321", "cat /proc/self/oom_score_adj", "321"),
        .host(
            "CgroupParent", "\"docker-lab/fields\"", "grep -c :memory:/docker-lab/fields/ /proc/self/cgroup", "1"),
        .host(
            "DeviceCgroupRules", "[\"c 10:200 r\"]", "grep 'c 10:200' /sys/fs/cgroup/devices/devices.list",
            "c 10:200 r"),
        .host(
            "Devices",
            #"[{"PathOnHost": "/dev/loop-control", "PathInContainer": "/dev/also", "CgroupPermissions": "r"}]"#,
            "stat -c %t:%T /dev/also; (: < /dev/also) && echo read; (: > /dev/also) 2> /dev/null || echo no",
            "a:ed\nread\nno",
            ["DeviceMapping.PathOnHost", "DeviceMapping.PathInContainer", "DeviceMapping.CgroupPermissions"]),
    ]

    // MARK: Files and names

    static let files: [Field] = [
        .host(
            "Binds", "[\"$DIR/bound:/bound:ro\"]", "cat /bound/file; touch /bound/x 2> /dev/null || echo no",
            "bound\nno"),
        .host("VolumesFrom", "[\"donor:ro\"]", "cat /given/file; touch /given/x 2> /dev/null || echo no", "given\nno"),
        .host("Tmpfs", #"{"/t": "size=1m"}"#, "df -k /t | awk 'NR == 2 {print $2}'", "1024"),
        .host("ReadonlyRootfs", "true", "touch /x 2> /dev/null || echo no", "no"),
        .host("ShmSize", "1048576", "df -k /dev/shm | awk 'NR == 2 {print $2}'", "1024"),
        .host("MaskedPaths", "[\"/proc/version\"]", "wc -c < /proc/version", "0"),
        .host("ReadonlyPaths", "[\"/tmp\"]", "grep ' /tmp ' /proc/mounts | grep -c '[ ,]ro,'", "1"),
        .host(
            "Mounts",
            #"""
            [{"Type": "bind", "Source": "$DIR/bound", "Target": "/mounted", "ReadOnly": true, "Consistency": "cached",
              "BindOptions": {"NonRecursive": true}},
             {"Type": "bind", "Source": "$DIR/made", "Target": "/made", "BindOptions": {"CreateMountpoint": true}},
             {"Type": "volume", "Source": "fields", "Target": "/vol",
              "VolumeOptions": {"NoCopy": true, "Labels": {"l": "v"}, "DriverConfig": {"Name": "local", "Options": {}}}},
             {"Type": "tmpfs", "Target": "/mem",
              "TmpfsOptions": {"SizeBytes": 8388608, "Mode": 448, "Options": [["exec"]]}}]
            """#,
            """
            cat /mounted/file; touch /mounted/x 2> /dev/null || echo no; test -d /made && echo made; \
            touch /vol/x && echo volume; stat -c %a /mem; df -k /mem | awk 'NR == 2 {print $2}'; cp /bin/busybox /mem/echo && /mem/echo runs
            """, "bound\nno\nmade\nvolume\n700\n8192\nruns",
            [
                "Mount.Type", "Mount.Source", "Mount.Target", "Mount.ReadOnly", "Mount.BindOptions",
                "Mount.VolumeOptions", "Mount.TmpfsOptions", "BindOptions.CreateMountpoint", "TmpfsRequest.SizeBytes",
                "TmpfsRequest.Mode", "TmpfsRequest.Options", "VolumeOptions.DriverConfig", "VolumeDriverConfig.Name",
                "VolumeDriverConfig.Options",
            ]),
        Field(
            members: ["Mount.Consistency"],
            proof: .shown(
                host: "", config: "", template: "{{(index .HostConfig.Mounts 0).Consistency}}", prints: "cached")),
        .shownConfig(
            "Volumes", #"{"/declared": {}}"#,
            "range .Mounts}}{{if eq .Destination \"/declared\"}}{{.Driver}}{{end}}{{end", "local"),
        .shown("VolumeDriver", "\"local\"", ".HostConfig.VolumeDriver", "local"),
        .shown("ContainerIDFile", "\"/some/file\"", ".HostConfig.ContainerIDFile", "/some/file"),
        .shown(
            "LogConfig", #"{"Type": "local", "Config": {"max-size": "1m"}}"#,
            ".HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config \"max-size\"", "local 1m",
            ["LogConfig.Type", "LogConfig.Config"]),
    ]

    static let names: [Field] = [
        .config("Hostname", "\"own\"", "hostname", "own"),
        .config("Domainname", "\"example.net\"", "cat /proc/sys/kernel/domainname", "example.net"),
        .host("Dns", "[\"10.9.8.7\"]", "grep -c 'nameserver 10.9.8.7' /etc/resolv.conf", "1"),
        .host("DnsSearch", "[\"example.org\"]", "grep -c 'search example.org' /etc/resolv.conf", "1"),
        .host("DnsOptions", "[\"ndots:3\"]", "grep -c 'options ndots:3' /etc/resolv.conf", "1"),
        .host("ExtraHosts", "[\"friend:10.1.2.3\"]", "grep friend /etc/hosts | tr '\\t' ' '", "10.1.2.3 friend"),
        .host("NetworkMode", "\"bridge\"", "ls /sys/class/net | tr '\\n' ' '", "eth0 lo"),
        .config("MacAddress", "\"02:42:ac:11:00:99\"", "cat /sys/class/net/eth0/address", "02:42:ac:11:00:99"),
        .host(
            "Sysctls", #"{"net.ipv4.tcp_keepalive_time": "1234"}"#, "cat /proc/sys/net/ipv4/tcp_keepalive_time",
            "1234"),
        .shownConfig(
            "ExposedPorts", #"{"81/tcp": {}}"#, "gt (len (index .NetworkSettings.Ports \"81/tcp\")) 0", "true"),
        .shown("PublishAllPorts", "true", "gt (len (index .NetworkSettings.Ports \"81/tcp\")) 0", "true"),
        .shown(
            "PortBindings", #"{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]}"#,
            "range (index .NetworkSettings.Ports \"80/tcp\")}}{{.HostIp}}:{{.HostPort}}{{end", "127.0.0.1:18080",
            ["PortBindingRequest.HostIp", "PortBindingRequest.HostPort"]),
    ]

    // MARK: Processes

    static let process: [Field] = [
        .config("User", "\"user\"", "id -u", "1000"), .config("WorkingDir", "\"/new/one\"", "pwd", "/new/one"),
        .config("Env", "[\"A=one two\"]", "echo \"$A\"", "one two"),
        .config("Entrypoint", "[\"env\", \"ENTRY=yes\"]", "echo $ENTRY", "yes"),
        .config("OpenStdin", "true", "test \"$(readlink /proc/self/fd/0)\" = /dev/null || echo open", "open"),
        .host("GroupAdd", "[\"2000\"]", "id -G", "1000 2000"),
        .host("CapAdd", "[\"SYS_TIME\"]", "grep CapBnd /proc/self/status | cut -f 2", "00000000a20425fb"),
        .host("CapDrop", "[\"MKNOD\"]", "grep CapBnd /proc/self/status | cut -f 2", "00000000a20425fb"),
        .host("SecurityOpt", "[\"no-new-privileges\"]", "grep NoNewPrivs /proc/self/status | cut -f 2", "1"),
        .host("Init", "true", "test $$ = 1 || echo child", "child"),
        .host("CgroupnsMode", "\"private\"", "cut -d : -f 3 /proc/self/cgroup | sort -u", "/"),
        .shown("Annotations", #"{"a": "b"}"#, "index .HostConfig.Annotations \"a\"", "b"),
        .shown(
            "RestartPolicy", #"{"Name": "on-failure", "MaximumRetryCount": 3}"#,
            ".HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount", "on-failure 3",
            ["RestartPolicy.Name", "RestartPolicy.MaximumRetryCount"]),
        .shown("Runtime", "\"runc\"", ".HostConfig.Runtime", "runc"),
        .shown("Isolation", "\"default\"", ".HostConfig.Isolation", "default"),
        .shownConfig("AttachStdin", "true", ".Config.AttachStdin", "true"),
        .shownConfig("AttachStdout", "true", ".Config.AttachStdout", "true"),
        .shownConfig("AttachStderr", "true", ".Config.AttachStderr", "true"),
        .shownConfig("Labels", #"{"l": "v"}"#, "index .Config.Labels \"l\"", "v"),
        .shownConfig("OnBuild", "[\"RUN x\"]", "index .Config.OnBuild 0", "RUN x"),
        .shownConfig("ArgsEscaped", "true", ".Config.ArgsEscaped", "true"),
        .shownConfig("StopTimeout", "7", ".Config.StopTimeout", "7"),
        .shownConfig("Shell", "[\"/bin/ash\", \"-c\"]", "index .Config.Shell 0", "/bin/ash"),
    ]

    static let terminal: [Field] = [
        .config("Tty", "true", "test -t 1 && echo terminal", "terminal"),
        .host("ConsoleSize", "[33, 77]", "stty size", "33 77"),
    ]

    static let shared: [Field] = [
        .host("IpcMode", "\"container:donor\"", "cat /dev/shm/file", "shm"),
        .host("PidMode", "\"container:donor\"", "tr '\\0' ' ' < /proc/1/cmdline", "sleep 600"),
    ]

    static let hostModes: [Field] = [
        .host("UTSMode", "\"host\"", "hostname", "$HOST"),
        .host("UsernsMode", "\"host\"", "readlink /proc/self/ns/user", "$USERNS"),
    ]

    static let privileged: [Field] = [
        .host("Privileged", "true", "grep Seccomp: /proc/self/status | cut -f 2", "0")
    ]

    // MARK: Networks

    static let linked: [Field] = [
        .host(
            "Links", "[\"donor:the-db\"]",
            "grep the-db /etc/hosts | tr '\\t' ' ' | cut -d ' ' -f 1,2; env | grep ^THE_DB_ | sort",
            """
            $DONOR the-db
            THE_DB_ENV_GIVEN=value
            THE_DB_NAME=/linked/the-db
            THE_DB_PORT=tcp://$DONOR:6379
            THE_DB_PORT_6379_TCP=tcp://$DONOR:6379
            THE_DB_PORT_6379_TCP_ADDR=$DONOR
            THE_DB_PORT_6379_TCP_PORT=6379
            THE_DB_PORT_6379_TCP_PROTO=tcp
            """)
    ]

    private static let network = "(index .NetworkSettings.Networks \"n1\")"

    private static func told(_ member: String, _ template: String, _ prints: String) -> Field {
        Field(
            members: ["EndpointSettings.\(member)"],
            proof: .shown(host: "", config: "", template: "{{\(template)}}", prints: prints))
    }

    static let endpoint: [Field] = [
        Field(
            members: [
                "EndpointSettings.IPAMConfig", "EndpointIPAMConfig.IPv4Address", "EndpointIPAMConfig.IPv6Address",
                "EndpointSettings.MacAddress", "EndpointSettings.GwPriority",
            ],
            proof: .inside(
                host: #""NetworkMode": "n1""#,
                config: #"""
                    "NetworkingConfig": {"EndpointsConfig": {"n2": {"GwPriority": 5}, "n1": {
                    "IPAMConfig": {"IPv4Address": "10.77.0.9", "IPv6Address": "fd77::9"}, "Aliases": ["other"],
                    "MacAddress": "02:42:ac:11:00:77", "Links": ["donor:x"], "EndpointID": "made-up",
                    "NetworkID": "made-up", "Gateway": "1.1.1.1", "IPAddress": "1.1.1.2", "IPPrefixLen": 3,
                    "IPv6Gateway": "fd77::3", "GlobalIPv6Address": "fd77::4", "GlobalIPv6PrefixLen": 5,
                    "DNSNames": ["made-up"]}}}
                    """#,
                command: """
                    ip address | grep -o 'inet6* 10.77.0.9/24\\|inet6* fd77::9/64' | sort; ip route | grep -c 'default via 10.78'; \
                    ip link | grep -c 02:42:ac:11:00:77
                    """, prints: "inet 10.77.0.9/24\ninet6 fd77::9/64\n1\n1")),
        told("Aliases", "index \(network).Aliases 0", "other"), told("Links", "index \(network).Links 0", "donor:x"),
        // What the daemon tells is not a client's to say.
        told("NetworkID", "eq \(network).NetworkID \"made-up\"", "false"),
        told("EndpointID", "eq \(network).EndpointID \"made-up\"", "false"),
        told("Gateway", "\(network).Gateway", "10.77.0.1"), told("IPAddress", "\(network).IPAddress", "10.77.0.9"),
        told("IPPrefixLen", "\(network).IPPrefixLen", "24"),
        told("IPv6Gateway", "\(network).IPv6Gateway", "fd77::1"),
        told("GlobalIPv6Address", "\(network).GlobalIPv6Address", "fd77::9"),
        told("GlobalIPv6PrefixLen", "\(network).GlobalIPv6PrefixLen", "64"),
        told("DNSNames", "index \(network).DNSNames 1", "other"),
    ]
}
