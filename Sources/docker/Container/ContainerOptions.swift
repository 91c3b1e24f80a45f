/// The options `docker run` and `docker create` share.
struct ContainerOptions {
    @Option("--add-host", "Add a custom host-to-IP mapping (host:ip)") var addHost =
        CheckedList<ExtraHostRule>()
    @Option("--annotation", "Add an annotation to the container (passed through to the OCI runtime)") var annotation:
        [String] =
            []
    @Option("-a --attach", "Attach to STDIN, STDOUT or STDERR") var attach: [String] = []
    @Option("--blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable") var blkioWeight:
        UInt16 = 0
    @Option("--cap-add", "Add Linux capabilities") var capAdd: [String] = []
    @Option("--cap-drop", "Drop Linux capabilities") var capDrop: [String] = []
    @Option("--cgroup-parent", "Optional parent cgroup for the container") var cgroupParent = ""
    @Option("--cgroupns", "Cgroup namespace to use (host|private)") var cgroupns = ""
    @Option("--cidfile", "Write the container ID to the file") var cidfile: String?
    @Option("--cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period") var cpuPeriod: Int64 = 0
    @Option("--cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota") var cpuQuota: Int64 = 0
    @Option("-c --cpu-shares", "CPU shares (relative weight)") var cpuShares: Int64 = 0
    @Option("--cpus", "Number of CPUs") var cpus: String?
    @Option("--cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)") var cpusetCpus = ""
    @Option("--cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)") var cpusetMems = ""
    @Option("--device", "Add a host device to the container") var device: [String] = []
    @Option("--device-cgroup-rule", "Add a rule to the cgroup allowed devices list") var deviceCgroupRule: [String] = []
    @Option("--dns", "Set custom DNS servers") var dns = CheckedList<NameServerRule>()
    @Option("--dns-option --dns-opt", "Set DNS options") var dnsOption: [String] = []
    @Option("--dns-search", "Set custom DNS search domains") var dnsSearch = CheckedList<SearchDomainRule>()
    @Option("--domainname", "Container NIS domain name") var domainname = ""
    @Option("--entrypoint", "Overwrite the default ENTRYPOINT of the image") var entrypoint: String?
    @Option("-e --env", "Set environment variables") var env: [String] = []
    @Option("--env-file", "Read in a file of environment variables") var envFile: [String] = []
    @Option("--expose", "Expose a port or a range of ports") var expose: [String] = []
    @Option("--group-add", "Add additional groups to join") var groupAdd: [String] = []
    @Option("--health-cmd", "Command to run to check health") var healthCmd: String?
    @Option("--health-interval", "Time between running the check (ms|s|m|h)") var healthInterval: String?
    @Option("--health-retries", "Consecutive failures needed to report unhealthy") var healthRetries: Int?
    @Option("--health-start-interval", "Time between running the check during the start period (ms|s|m|h)")
    var healthStartInterval: String?
    @Option(
        "--health-start-period",
        "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)")
    var healthStartPeriod: String?
    @Option("--health-timeout", "Maximum time to allow one check to run (ms|s|m|h)") var healthTimeout: String?
    @Option("-h --hostname", "Container host name") var hostname = ""
    @Flag("--init", "Run an init inside the container that forwards signals and reaps processes")
    var initProcess = false
    @Flag("-i --interactive", "Keep STDIN open even if not attached") var interactive = false
    @Option("--ip", "IPv4 address (e.g., 172.30.100.104)") var ip = ""
    @Option("--ip6", "IPv6 address (e.g., 2001:db8::33)") var ip6 = ""
    @Option("--ipc", "IPC mode to use") var ipc = ""
    @Option("-l --label", "Set meta data on a container") var label = CheckedList<LabelRule>()
    @Option("--label-file", "Read in a line delimited file of labels") var labelFile: [String] = []
    @Option("--link", "Add link to another container") var link = CheckedList<LinkRule>()
    @Option("--link-local-ip", "Container IPv4/IPv6 link-local addresses") var linkLocalIP: [String] = []
    @Option("--log-driver", "Logging driver for the container") var logDriver = ""
    @Option("--log-opt", "Log driver options") var logOpt: [String] = []
    @Option("--mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)") var macAddress = ""
    @Option("-m --memory", "Memory limit") var memory: String?
    @Option("--memory-reservation", "Memory soft limit") var memoryReservation: String?
    @Option("--memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap") var memorySwap:
        String?
    @Option("--memory-swappiness", "Tune container memory swappiness (0 to 100)") var memorySwappiness: Int64 = -1
    @Option("--mount", "Attach a filesystem mount to the container") var mount: [String] = []
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
    @Option("--pull", "Pull image before running (\"always\", \"missing\", \"never\")") var pull = "missing"
    @Flag("-q --quiet", "Suppress the pull output") var quiet = false
    @Flag("--read-only", "Mount the container's root filesystem as read only") var readOnly = false
    @Option("--restart", "Restart policy to apply when a container exits") var restart = "no"
    @Flag("--rm", "Automatically remove the container and its associated anonymous volumes when it exits") var rm =
        false
    @Option("--runtime", "Runtime to use for this container") var runtime: String?
    @Option("--security-opt", "Security Options") var securityOpt: [String] = []
    @Option("--shm-size", "Size of /dev/shm") var shmSize: String?
    @Option("--stop-signal", "Signal to stop the container") var stopSignal: String?
    @Option("--stop-timeout", "Timeout (in seconds) to stop a container") var stopTimeout: Int?
    @Option("--storage-opt", "Storage driver options for the container") var storageOpt: [String] = []
    @Option("--sysctl", "Sysctl options") var sysctl: [String] = []
    @Option("--tmpfs", "Mount a tmpfs directory") var tmpfs: [String] = []
    @Flag("-t --tty", "Allocate a pseudo-TTY") var tty = false
    @Option("--ulimit", "Ulimit options") var ulimit: [String] = []
    @Option("-u --user", "Username or UID (format: <name|uid>[:<group|gid>])") var user = ""
    @Option("--userns", "User namespace to use") var userns = ""
    @Option("--uts", "UTS namespace to use") var uts = ""
    @Option("-v --volume", "Bind mount a volume") var volume: [String] = []
    @Option("--volume-driver", "Optional volume driver for the container") var volumeDriver = ""
    @Option("--volumes-from", "Mount volumes from the specified container(s)") var volumesFrom: [String] = []
    @Option("-w --workdir", "Working directory inside the container") var workdir = ""
    @Flag("--disable-content-trust", nil) var disableContentTrust = false
    @Argument var words: [String]
}
