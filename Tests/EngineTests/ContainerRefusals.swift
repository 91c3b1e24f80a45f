/// Members of a creation that are refused before anything is made, always with 400, and beside each what must work.
enum ContainerRefusals {
    typealias Row = (bad: String, words: String, good: String)

    /// Of the configuration.
    static let program: [Row] = [
        (#""User": "root\n""#, "invalid user or host name", #""User": "root""#),
        (#""User": "a\u0000b""#, "NUL", #""User": ":""#),
        (
            #""WorkingDir": "relative""#,
            "the working directory 'relative' is invalid, it needs to be an absolute path", #""WorkingDir": "/""#
        ),
        (#""WorkingDir": "/x\u0000y""#, "NUL", #""WorkingDir": "/outside/new""#),
        (#""Env": ["A=\u0000"]"#, "invalid Env: a value holds a NUL byte", #""Env": ["A=line\nbreak", "B"]"#),
        (#""Env": ["=odd"]"#, "invalid environment variable: =odd", #""Env": ["odd=", "A==b"]"#),
        (#""Env": [""]"#, "invalid environment variable: ", #""Env": []"#),
        (#""Env": "A=1""#, "invalid JSON: Env: ", #""Env": ["A=1"]"#),
        (#""Cmd": ["true", "\u0000"]"#, "NUL", #""Cmd": ["true", "\u0001"]"#),
        (#""Entrypoint": ["true", "\u0000"]"#, "NUL", #""Entrypoint": ["true", "\n"]"#),
        (#""Hostname": "a\nb""#, "invalid hostname format: a?b", #""Hostname": "a-b.c""#),
        (#""Hostname": "a b""#, "invalid hostname format: a b", #""Hostname": "a_b""#),
        (#""Hostname": "..""#, "invalid hostname format: ..", #""Hostname": "9""#),
        (
            #""Hostname": "\#(String(repeating: "h", count: 65))""#, "invalid hostname format: hhh",
            #""Hostname": "\#(String(repeating: "h", count: 64))""#
        ),
        (#""Domainname": "a/b""#, "invalid domainname format: a/b", #""Domainname": "example.com""#),
        (#""StopSignal": "BOGUS""#, "Invalid signal: BOGUS", #""StopSignal": "SIGRTMIN+3""#),
        (#""StopTimeout": 9223372036854775807"#, "invalid StopTimeout", #""StopTimeout": 2147483647"#),
        (#""ExposedPorts": {"80/xyz": {}}"#, "invalid proto: xyz", #""ExposedPorts": {"80/UDP": {}}"#),
        (#""ExposedPorts": {"x/tcp": {}}"#, "invalid port specification: \"x/tcp\"", #""ExposedPorts": {"80": {}}"#),
        (#""ExposedPorts": {"65536/tcp": {}}"#, "invalid port", #""ExposedPorts": {"65535/tcp": {}}"#),
        (
            #""MacAddress": "02:42:ac:11:00:02""#, "conflicting options: mac-address and the network mode",
            #""MacAddress": """#
        ),
        (
            #""MacAddress": "02:42:ac:11:00", "HostConfig": {"NetworkMode": "bridge"}"#,
            "invalid MAC address: 02:42:ac:11:00", #""HostConfig": {}"#
        ),
        (
            #""NetworkingConfig": {"EndpointsConfig": {"nonet": {}}}"#, "network nonet not found",
            #""NetworkingConfig": {"EndpointsConfig": {"none": null}}"#
        ),
        (
            #""NetworkingConfig": {"EndpointsConfig": {"host": {}}}"#,
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            #""NetworkingConfig": {"EndpointsConfig": {}}"#
        ),
        (
            #""NetworkingConfig": {"EndpointsConfig": {"none": {"IPAMConfig": {"IPv4Address": "1.2.3.4"}}}}"#,
            "user specified IP address is supported on user defined networks only",
            #""NetworkingConfig": {"EndpointsConfig": {"none": {"IPAMConfig": {}}}}"#
        ),
        (
            #""NetworkingConfig": {"EndpointsConfig": {"none": {"Aliases": ["a"]}}}"#,
            "network-scoped alias is supported only for containers in user defined networks",
            #""NetworkingConfig": {"EndpointsConfig": {"none": {"Aliases": []}}}"#
        ),
        (
            #""NetworkingConfig": {"EndpointsConfig": {"container:x": {"MacAddress": "02:42:ac:11:00:02"}}}, "#
                + #""HostConfig": {"NetworkMode": "container:x"}"#,
            "conflicting options: mac-address and the network mode", #""HostConfig": {}"#
        ),
        (
            #""Healthcheck": {"Test": ["CMD", "true"], "Interval": 5}"#,
            "Interval in Healthcheck cannot be less than 1ms",
            #""Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000}"#
        ),
        (
            #""Healthcheck": {"Test": ["CMD", "true"], "Retries": -1}"#, "Retries in Healthcheck cannot be negative",
            #""Healthcheck": {"Test": ["NONE"]}"#
        ),
        (
            #""Healthcheck": {"Test": ["BOGUS"]}"#, "Unknown healthcheck type 'BOGUS'",
            #""Healthcheck": {"Test": ["CMD-SHELL", "true"]}"#
        ),
    ]

    // MARK: Of HostConfig

    static let memory: [Row] = [
        (#""Memory": 6291455"#, "Minimum memory limit allowed is 6MB", #""Memory": 6291456"#),
        (#""Memory": -1"#, "Minimum memory limit allowed is 6MB", #""Memory": 9223372036854775807"#),
        (
            #""Memory": 16777216, "MemorySwap": 8388608"#,
            "Minimum memoryswap limit should be larger than memory limit, see usage",
            #""Memory": 16777216, "MemorySwap": -1"#
        ),
        (
            #""MemorySwap": 16777216"#,
            "You should always set the Memory limit when using Memoryswap limit, see usage", #""MemorySwap": -1"#
        ),
        (#""MemorySwap": -2"#, "invalid MemorySwap -2", #""MemorySwap": 0"#),
        (
            #""Memory": 16777216, "MemoryReservation": 16777217"#,
            "Minimum memory limit can not be less than memory reservation limit, see usage",
            #""Memory": 16777216, "MemoryReservation": 16777216"#
        ),
        (#""MemoryReservation": 5"#, "Minimum memory reservation allowed is 6MB", #""MemoryReservation": 6291456"#),
        (
            #""MemorySwappiness": 101"#, "Invalid value: 101, valid memory swappiness range is 0-100",
            #""MemorySwappiness": -1"#
        ),
        (
            #""OomScoreAdj": 1001"#, "Invalid value 1001, range for oom score adj is [-1000, 1000]",
            #""OomScoreAdj": 1000"#
        ),
        (#""ShmSize": -1"#, "SHM size can not be less than 0", #""ShmSize": 65536"#),
    ]

    static let processors: [Row] = [
        (#""NanoCpus": 1000000000000"#, "range of CPUs is from 0.01 to", #""NanoCpus": 500000000"#),
        (#""NanoCpus": -1"#, "range of CPUs is from 0.01 to", #""NanoCpus": 0"#),
        (#""NanoCpus": 9999999"#, "range of CPUs is from 0.01 to", #""NanoCpus": 10000000"#),
        (
            #""NanoCpus": 500000000, "CpuQuota": 50000"#,
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            #""CpuQuota": 50000, "CpuPeriod": 100000"#
        ),
        (
            #""NanoCpus": 500000000, "CpuPeriod": 50000"#,
            "Conflicting options: Nano CPUs and CPU Period cannot both be set", #""CpuPeriod": 50000"#
        ),
        (
            #""CpuPeriod": 999"#,
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            #""CpuPeriod": 1000"#
        ),
        (#""CpuPeriod": 1000001"#, "CPU cfs period can not be", #""CpuPeriod": 1000000"#),
        (#""CpuPeriod": -3"#, "CPU cfs period can not be", #""CpuPeriod": 0"#),
        (#""CpuQuota": 999"#, "CPU cfs quota can not be less than 1ms (i.e. 1000)", #""CpuQuota": 1000"#),
        (#""CpuQuota": 17592186044416"#, "CPU cfs quota can not be larger than", #""CpuQuota": -1"#),
        (#""PidsLimit": 4194305"#, "invalid PidsLimit 4194305: at most 4194304", #""PidsLimit": 4194304"#),
        (#""CpuShares": -1"#, "invalid CPU shares (-1): value must be a positive integer", #""CpuShares": 2"#),
        (#""CpuRealtimePeriod": 1000"#, "does not support CPU real-time scheduler", #""CpuRealtimePeriod": 0"#),
        (#""CpuCount": 1"#, "linux does not support CPU count", #""CpuCount": 0, "CpuPercent": 0"#),
        (
            #""CpusetCpus": "4095""#, "Requested CPUs are not available - requested 4095, available: 0",
            #""CpusetCpus": "0""#
        ),
        (#""CpusetCpus": "0-x""#, "Invalid value 0-x for cpuset cpus: invalid format: 0-x", #""CpusetCpus": "0-0""#),
        (#""CpusetCpus": "1-0""#, "invalid format: 1-0", #""CpusetCpus": "0,0""#),
        (
            #""CpusetCpus": "0-99999999999999999999""#, "invalid format",
            #""CpusetCpus": """#
        ),
        (#""CpusetMems": "7""#, "Requested memory nodes are not available - requested 7", #""CpusetMems": "0""#),
        (#""BlkioWeight": 9"#, "Range of blkio weight is from 10 to 1000", #""BlkioWeight": 10"#),
        (#""BlkioWeight": 1001"#, "Range of blkio weight is from 10 to 1000", #""BlkioWeight": 1000"#),
        (
            #""BlkioDeviceReadBps": [{"Path": "vda", "Rate": 1}]"#, "bad format for device path: vda",
            #""BlkioDeviceReadBps": []"#
        ),
        (#""IOMaximumIOps": 1"#, "Invalid QoS settings: linux does not support", #""IOMaximumIOps": 0"#),
        (
            #""Ulimits": [{"Name": "bogus", "Soft": 1, "Hard": 1}]"#, "invalid ulimit type: bogus",
            #""Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}]"#
        ),
        (
            #""Ulimits": [{"Name": "nofile", "Soft": 30, "Hard": 20}]"#,
            "ulimit soft limit must be less than or equal to hard limit: 30 > 20",
            #""Ulimits": [{"Name": "nofile", "Soft": 20, "Hard": 20}]"#
        ),
        (
            #""Ulimits": [{"Name": "core", "Soft": -1, "Hard": 20}]"#, "ulimit soft limit must be",
            #""Ulimits": [{"Name": "core", "Soft": 20, "Hard": -1}]"#
        ),
    ]

    static let modes: [Row] = [
        (#""IpcMode": "bogus""#, "invalid IPC mode: bogus", #""IpcMode": "shareable""#),
        (#""IpcMode": "container:""#, "invalid IPC mode: container:", #""IpcMode": "none""#),
        (#""PidMode": "bogus""#, "invalid PID mode: bogus", #""PidMode": """#),
        (#""UTSMode": "bogus""#, "invalid UTS mode: bogus", #""UTSMode": "host""#),
        (#""CgroupnsMode": "bogus""#, "invalid cgroup namespace mode: bogus", #""CgroupnsMode": "host""#),
        (#""Isolation": "hyperv""#, "invalid isolation 'hyperv' on linux", #""Isolation": "default""#),
        (#""Runtime": "bogus""#, "unknown or invalid runtime name: bogus", #""Runtime": "runc""#),
        (#""StorageOpt": {"size": "1g"}"#, "--storage-opt size is not supported", #""StorageOpt": {}"#),
        (#""CgroupParent": "a\nb""#, "invalid cgroup parent: a?b", #""CgroupParent": "docker-lab/sub""#),
        (#""Annotations": {"": "x"}"#, "invalid Annotations: the empty string", #""Annotations": {"a": ""}"#),
        (#""ConsoleSize": [1, -1]"#, "invalid ConsoleSize", #""ConsoleSize": [24, 80]"#),
        (
            #""RestartPolicy": {"Name": "bogus"}"#, "invalid restart policy: unknown policy 'bogus'",
            #""RestartPolicy": {"Name": "on-failure"}"#
        ),
        (
            #""RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}"#,
            "invalid restart policy: maximum retry count cannot be negative",
            #""RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}"#
        ),
        (
            #""RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}"#,
            "invalid restart policy: maximum retry count cannot be used with restart policy 'always'",
            #""RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}"#
        ),
        (
            #""AutoRemove": true, "RestartPolicy": {"Name": "always"}"#,
            "can't create 'AutoRemove' container with restart policy", #""RestartPolicy": {"Name": "no"}"#
        ),
    ]

    static let logs: [Row] = [
        (
            #""LogConfig": {"Type": "bogus"}"#, "no log driver named 'bogus' is registered",
            #""LogConfig": {"Type": "none"}"#
        ),
        (
            #""LogConfig": {"Config": {"x": "1"}}"#, "unknown log opt 'x' for json-file log driver",
            #""LogConfig": {"Config": {"mode": "blocking"}}"#
        ),
        (
            #""LogConfig": {"Type": "local", "Config": {"bogus": "1m"}}"#,
            "unknown log opt 'bogus' for local log driver",
            #""LogConfig": {"Type": "none", "Config": {"max-size": "1m", "mode": "bogus"}}"#
        ),
        (
            #""LogConfig": {"Config": {"max-size": "many"}}"#, "invalid size: 'many'",
            #""LogConfig": {"Config": {"max-size": "-1"}}"#
        ),
        (
            #""LogConfig": {"Config": {"max-size": "0"}}"#, "max-size must be a positive number",
            #""LogConfig": {"Config": {"max-size": "1"}}"#
        ),
        (
            #""LogConfig": {"Config": {"max-file": "0"}}"#, "max-file cannot be less than 1",
            #""LogConfig": {"Config": {"max-file": "1"}}"#
        ),
        (
            #""LogConfig": {"Config": {"max-file": "x"}}"#, "invalid value \"x\" for log opt 'max-file'",
            #""LogConfig": {"Config": {"max-file": "2147483647"}}"#
        ),
        (
            #""LogConfig": {"Config": {"compress": "true", "max-file": "1"}}"#,
            "compress cannot be true when max-file is less than 2", #""LogConfig": {"Config": {"compress": "true"}}"#
        ),
        (
            #""LogConfig": {"Config": {"mode": "asynchronous"}}"#, "logger: logging mode not supported: asynchronous",
            #""LogConfig": {"Config": {"mode": "non-blocking"}}"#
        ),
        (
            #""LogConfig": {"Config": {"max-buffer-size": "1m"}}"#,
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            #""LogConfig": {"Type": "local", "Config": {"mode": "non-blocking", "max-buffer-size": "1m"}}"#
        ),
        (
            #""LogConfig": {"Config": {"mode": "non-blocking", "max-buffer-size": "many"}}"#,
            "error parsing option max-buffer-size: invalid size: 'many'",
            #""LogConfig": {"Config": {"mode": "", "tag": "{{.Name}}"}}"#
        ),
        (
            #""LogConfig": {"Type": "local", "Config": {"tag": "x"}}"#, "unknown log opt 'tag' for local log driver",
            #""LogConfig": {"Type": "local", "Config": {"max-size": "1m", "max-file": "2", "compress": "0"}}"#
        ),
        (
            #""LogConfig": {"Config": {"labels-regex": "("}}"#, "error parsing regexp",
            #""LogConfig": {"Config": {"labels-regex": "^a"}}"#
        ),
    ]

    static let confinement: [Row] = [
        (
            #""CapAdd": ["BOGUS"]"#, "invalid CapAdd: unknown capability: \"CAP_BOGUS\"",
            #""CapAdd": ["cap_sys_time", "NET_ADMIN"]"#
        ),
        (#""CapDrop": ["cap_x"]"#, "invalid CapDrop: unknown capability: \"CAP_X\"", #""CapDrop": ["all"]"#),
        (
            #""SecurityOpt": ["bogus"]"#, "invalid --security-opt 1: \"bogus\"",
            #""SecurityOpt": ["no-new-privileges"]"#
        ),
        (
            #""SecurityOpt": ["bogus=1"]"#, "invalid --security-opt 2: \"bogus=1\"",
            #""SecurityOpt": ["no-new-privileges:true", "label=disable"]"#
        ),
        (
            #""SecurityOpt": ["no-new-privileges=maybe"]"#, "invalid --security-opt 2: \"no-new-privileges=maybe\"",
            #""SecurityOpt": ["no-new-privileges=0"]"#
        ),
        (
            #""SecurityOpt": ["seccomp={"]"#, "Decoding seccomp profile failed",
            #""SecurityOpt": ["seccomp=unconfined"]"#
        ),
        (
            #""SecurityOpt": ["seccomp={\"defaultAction\": \"BOGUS\"}"]"#, "unknown action BOGUS",
            #""SecurityOpt": ["seccomp={\"defaultAction\": \"SCMP_ACT_ALLOW\"}"]"#
        ),
        (
            #""Sysctls": {"kernel.hostname": "x"}"#,
            "sysctl \"kernel.hostname\" is not in a separate kernel namespace",
            #""Sysctls": {"kernel.msgmax": "8192"}"#
        ),
        (
            #""IpcMode": "host", "Sysctls": {"kernel.msgmax": "8192"}"#,
            "sysctl \"kernel.msgmax\" is not in a separate kernel namespace", #""IpcMode": "host""#
        ),
        (
            #""NetworkMode": "host", "Sysctls": {"net.ipv4.ip_forward": "1"}"#,
            "sysctl \"net.ipv4.ip_forward\" is not in a separate kernel namespace", #""NetworkMode": "host""#
        ),
        (
            #""Sysctls": {"net.ipv4.ip_forward": "1\n"}"#, "has an invalid value",
            #""Sysctls": {"net.ipv4.ip_forward": "1"}"#
        ),
        (
            #""Sysctls": {"net.ipv4/../../kernel.hostname": "1"}"#, "is not in a separate kernel namespace",
            #""Sysctls": {"net.ipv4.conf.lo.forwarding": "1"}"#
        ),
        (
            #""DeviceCgroupRules": ["bogus"]"#, "invalid device cgroup rule format: 'bogus'",
            #""DeviceCgroupRules": ["c 10:200 rwm"]"#
        ),
        (
            #""Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "zz"}]"#, "invalid device mode: zz",
            #""Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "rw"}]"#
        ),
        (
            #""Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": "rr"}]"#, "invalid device mode: rr",
            #""Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": ""}]"#
        ),
        (
            #""Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/../../x"}]"#, "invalid device path",
            #""Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/..x"}]"#
        ),
        (
            #""Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "dev/x"}]"#,
            "'dev/x' is not an absolute path", #""Devices": []"#
        ),
        (
            #""DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]"#,
            "could not select device driver \"nvidia\" with capabilities: [[gpu]]", #""DeviceRequests": []"#
        ),
        (#""GroupAdd": ["a\u0000"]"#, "invalid GroupAdd", #""GroupAdd": ["user"]"#),
    ]

    static let network: [Row] = [
        (#""NetworkMode": "nonet""#, "network nonet not found", #""NetworkMode": "none""#),
        (#""NetworkMode": "container:""#, "invalid container format container:<name|id>", #""NetworkMode": "host""#),
        (#""Dns": ["bogus"]"#, "IP address is not correctly formatted: bogus", #""Dns": ["1.1.1.1", "fe80::1%eth0"]"#),
        (#""Dns": ["1.1.1.1\nx"]"#, "IP address is not correctly formatted: 1.1.1.1?x", #""Dns": ["::1"]"#),
        (#""DnsSearch": ["a\nnameserver 1.1.1.1"]"#, "is not a valid domain", #""DnsSearch": ["."]"#),
        (#""DnsSearch": ["a b"]"#, "a b is not a valid domain", #""DnsSearch": ["example.com."]"#),
        (#""DnsOptions": ["a\nb"]"#, "invalid DNS option: \"a?b\"", #""DnsOptions": ["ndots:2"]"#),
        (#""ExtraHosts": ["a"]"#, "bad format for add-host: \"a\"", #""ExtraHosts": ["a:1.2.3.4", "b=::1"]"#),
        (#""ExtraHosts": ["a:b"]"#, "invalid IP address in add-host: \"b\"", #""ExtraHosts": ["a_b:[::1]"]"#),
        (#""ExtraHosts": ["a\nb:1.2.3.4"]"#, "bad format for add-host: \"a?b:1.2.3.4\"", #""ExtraHosts": []"#),
        (
            #""PortBindings": {"80/xyz": [{}]}"#, "invalid proto: xyz",
            #""PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}"#
        ),
        (
            #""PortBindings": {"99999/tcp": [{}]}"#, "invalid port specification: \"99999/tcp\"",
            #""PortBindings": {"80": null}"#
        ),
        (
            #""PortBindings": {"80/tcp": [{"HostPort": "-1"}]}"#, "invalid hostPort: -1",
            #""PortBindings": {"80/tcp": [{"HostPort": ""}]}"#
        ),
        (
            #""PortBindings": {"80/tcp": [{"HostIp": "nowhere"}]}"#, "invalid IP address: nowhere",
            #""PortBindings": {"80/tcp": [{"HostIp": ""}]}"#
        ),
        (#""Links": ["a:b:c"]"#, "bad format for links: a:b:c", #""Links": []"#),
        (
            #""NetworkMode": "host", "Links": ["a:b"]"#,
            "conflicting options: host type networking can't be used with links", #""NetworkMode": "host""#
        ),
    ]
}
