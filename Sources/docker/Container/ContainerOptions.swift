/// The options `docker run` and `docker create` share.
struct ContainerOptions {
    @Option("--add-host", "Add a custom host-to-IP mapping (host:ip)") var addHost =
        CheckedList<ExtraHostRule>()
    @Option(
        "--annotation", "Add an annotation to the container (passed through to the OCI runtime) (default map[])",
        kind: "map")
    var annotation: [String] = []
    @Option("-a --attach", "Attach to STDIN, STDOUT or STDERR") var attach: [String] = []
    @Option("--blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
    var blkioWeight: UInt16 = 0
    @Option("--blkio-weight-device", "Block IO weight (relative device weight) (default [])")
    var blkioWeightDevice = WeightDevices()
    @Option("--cap-add", "Add Linux capabilities") var capAdd: [String] = []
    @Option("--cap-drop", "Drop Linux capabilities") var capDrop: [String] = []
    @Option("--cgroup-parent", "Optional parent cgroup for the container") var cgroupParent = ""
    @Option(
        "--cgroupns",
        "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)"
    ) var cgroupns = ""
    @Option("--cidfile", "Write the container ID to the file") var cidfile: String?
    @Option("--cpu-count", nil) var cpuCount: Int64 = 0
    @Option("--cpu-percent", nil) var cpuPercent: Int64 = 0
    @Option("--cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period") var cpuPeriod: Int64 = 0
    @Option("--cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota") var cpuQuota: Int64 = 0
    @Option("--cpu-rt-period", "Limit CPU real-time period in microseconds") var cpuRtPeriod: Int64 = 0
    @Option("--cpu-rt-runtime", "Limit CPU real-time runtime in microseconds") var cpuRtRuntime: Int64 = 0
    @Option("-c --cpu-shares", "CPU shares (relative weight)") var cpuShares: Int64 = 0
    @Option("--cpus", "Number of CPUs", kind: "decimal") var cpus: String?
    @Option("--cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)") var cpusetCpus = ""
    @Option("--cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)") var cpusetMems = ""
    @Option("--device", "Add a host device to the container") var device: [String] = []
    @Option("--device-cgroup-rule", "Add a rule to the cgroup allowed devices list") var deviceCgroupRule: [String] = []
    @Option("--device-read-bps", "Limit read rate (bytes per second) from a device (default [])")
    var deviceReadBps = ThrottledDevices<BytesPerSecond>()
    @Option("--device-read-iops", "Limit read rate (IO per second) from a device (default [])")
    var deviceReadIOps = ThrottledDevices<OperationsPerSecond>()
    @Option("--device-write-bps", "Limit write rate (bytes per second) to a device (default [])")
    var deviceWriteBps = ThrottledDevices<BytesPerSecond>()
    @Option("--device-write-iops", "Limit write rate (IO per second) to a device (default [])")
    var deviceWriteIOps = ThrottledDevices<OperationsPerSecond>()
    @Flag("--disable-content-trust", "Skip image verification (default true)") var disableContentTrust = true
    @Option("--dns", "Set custom DNS servers") var dns = CheckedList<NameServerRule>()
    @Option("--dns-option --dns-opt", "Set DNS options") var dnsOption: [String] = []
    @Option("--dns-search", "Set custom DNS search domains") var dnsSearch = CheckedList<SearchDomainRule>()
    @Option("--domainname", "Container NIS domain name") var domainname = ""
    @Option("--entrypoint", "Overwrite the default ENTRYPOINT of the image") var entrypoint: String?
    @Option("-e --env", "Set environment variables") var env: [String] = []
    @Option("--env-file", "Read in a file of environment variables") var envFile: [String] = []
    @Option("--expose", "Expose a port or a range of ports") var expose: [String] = []
    @Option("--gpus", "GPU devices to add to the container ('all' to pass all GPUs)") var gpus = GPURequests()
    @Option("--group-add", "Add additional groups to join") var groupAdd: [String] = []
    @Option("--health-cmd", "Command to run to check health") var healthCmd: String?
    @Option("--health-interval", "Time between running the check (ms|s|m|h) (default 0s)", kind: "duration")
    var healthInterval: String?
    @Option("--health-retries", "Consecutive failures needed to report unhealthy") var healthRetries: Int?
    @Option(
        "--health-start-interval", "Time between running the check during the start period (ms|s|m|h) (default 0s)",
        kind: "duration")
    var healthStartInterval: String?
    @Option(
        "--health-start-period",
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)",
        kind: "duration")
    var healthStartPeriod: String?
    @Option("--health-timeout", "Maximum time to allow one check to run (ms|s|m|h) (default 0s)", kind: "duration")
    var healthTimeout: String?
    @Option("-h --hostname", "Container host name") var hostname = ""
    @Flag("--init", "Run an init inside the container that forwards signals and reaps processes")
    var initProcess = false
    @Flag("-i --interactive", "Keep STDIN open even if not attached") var interactive = false
    @Option("--io-maxbandwidth", nil) var ioMaxBandwidth: String?
    @Option("--io-maxiops", nil) var ioMaxIOps: UInt64 = 0
    @Option("--ip", "IPv4 address (e.g., 172.30.100.104)") var ip = ""
    @Option("--ip6", "IPv6 address (e.g., 2001:db8::33)") var ip6 = ""
    @Option("--ipc", "IPC mode to use") var ipc = ""
    @Option("--isolation", "Container isolation technology") var isolation = ""
    @Option("--kernel-memory", "Kernel memory limit", kind: "bytes") var kernelMemory: String?
    @Option("-l --label", "Set meta data on a container") var label = CheckedList<LabelRule>()
    @Option("--label-file", "Read in a line delimited file of labels") var labelFile: [String] = []
    @Option("--link", "Add link to another container") var link = CheckedList<LinkRule>()
    @Option("--link-local-ip", "Container IPv4/IPv6 link-local addresses") var linkLocalIP: [String] = []
    @Option("--log-driver", "Logging driver for the container") var logDriver = ""
    @Option("--log-opt", "Log driver options") var logOpt: [String] = []
    @Option("--mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)") var macAddress = ""
    @Option("-m --memory", "Memory limit", kind: "bytes") var memory: String?
    @Option("--memory-reservation", "Memory soft limit", kind: "bytes") var memoryReservation: String?
    @Option("--memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", kind: "bytes")
    var memorySwap: String?
    @Option("--memory-swappiness", "Tune container memory swappiness (0 to 100) (default -1)") var memorySwappiness:
        Int64 = -1
    @Option("--mount", "Attach a filesystem mount to the container", kind: "mount") var mount: [String] = []
    @Option("--name", "Assign a name to the container") var name: String?
    @Option("--network --net", "Connect a container to a network")
    var network = NetworkAttachments()
    @Option("--network-alias --net-alias", "Add network-scoped alias for the container")
    var networkAlias: [String] = []
    @Flag("--no-healthcheck", "Disable any container-specified HEALTHCHECK") var noHealthcheck = false
    @Flag("--oom-kill-disable", "Disable OOM Killer") var oomKillDisable = false
    @Option("--oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)") var oomScoreAdj: Int = 0
    @Option("--pid", "PID namespace to use") var pid = ""
    @Option("--pids-limit", "Tune container pids limit (set -1 for unlimited)") var pidsLimit: Int64 = 0
    @Option("--platform", "Set platform if server is multi-platform capable") var platform: String?
    @Flag("--privileged", "Give extended privileges to this container") var privileged = false
    @Option("-p --publish", "Publish a container's port(s) to the host") var publish: [String] = []
    @Flag("-P --publish-all", "Publish all exposed ports to random ports") var publishAll = false
    @Flag("-q --quiet", "Suppress the pull output") var quiet = false
    @Flag("--read-only", "Mount the container's root filesystem as read only") var readOnly = false
    @Option("--restart", "Restart policy to apply when a container exits (default \"no\")") var restart = "no"
    @Flag("--rm", "Automatically remove the container and its associated anonymous volumes when it exits") var rm =
        false
    @Option("--runtime", "Runtime to use for this container") var runtime: String?
    @Option("--security-opt", "Security Options") var securityOpt: [String] = []
    @Option("--shm-size", "Size of /dev/shm", kind: "bytes") var shmSize: String?
    @Option("--stop-signal", "Signal to stop the container") var stopSignal: String?
    @Option("--stop-timeout", "Timeout (in seconds) to stop a container") var stopTimeout: Int?
    @Option("--storage-opt", "Storage driver options for the container") var storageOpt: [String] = []
    @Option("--sysctl", "Sysctl options (default map[])", kind: "map") var sysctl: [String] = []
    @Option("--tmpfs", "Mount a tmpfs directory") var tmpfs: [String] = []
    @Flag("-t --tty", "Allocate a pseudo-TTY") var tty = false
    @Option("--ulimit", "Ulimit options (default [])", kind: "ulimit") var ulimit: [String] = []
    @Flag("--use-api-socket", "Bind mount Docker API socket and required auth") var useAPISocket = false
    @Option("-u --user", "Username or UID (format: <name|uid>[:<group|gid>])") var user = ""
    @Option("--userns", "User namespace to use") var userns = ""
    @Option("--uts", "UTS namespace to use") var uts = ""
    @Option("-v --volume", "Bind mount a volume") var volume: [String] = []
    @Option("--volume-driver", "Optional volume driver for the container") var volumeDriver = ""
    @Option("--volumes-from -volumes-from", "Mount volumes from the specified container(s)") var volumesFrom: [String] =
        []
    @Option("-w --workdir", "Working directory inside the container") var workdir = ""
    @Argument var words: [String]

    /// Refuses what only daemons on Windows know.
    func checkSystem() throws(CLIError) {
        let given = [
            ("cpu-count", cpuCount != 0), ("cpu-percent", cpuPercent != 0), ("io-maxbandwidth", ioMaxBandwidth != nil),
            ("io-maxiops", ioMaxIOps != 0),
        ]
        for (name, isGiven) in given where isGiven {
            throw CLIError(
                "\"--\(name)\" requires the Docker daemon to run on windows, but the Docker daemon is running on linux")
        }
    }
}
