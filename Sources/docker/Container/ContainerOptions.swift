import ArgumentParser

/// The options `docker run` and `docker create` share.
struct ContainerOptions: ParsableArguments {
    static let switches =
        "d detach i interactive t tty rm P publish-all read-only privileged init no-healthcheck oom-kill-disable q quiet +sig-proxy disable-content-trust use-api-socket"

    @Option(help: "Add a custom host-to-IP mapping (host:ip)") var addHost: [String] = []
    @Option(help: "Add an annotation to the container (passed through to the OCI runtime)") var annotation: [String] =
        []
    @Option(name: .shortAndLong, help: "Attach to STDIN, STDOUT or STDERR") var attach: [String] = []
    @Option(help: "Block IO (relative weight), between 10 and 1000, or 0 to disable") var blkioWeight: UInt16 = 0
    @Option(help: "Add Linux capabilities") var capAdd: [String] = []
    @Option(help: "Drop Linux capabilities") var capDrop: [String] = []
    @Option(help: "Optional parent cgroup for the container") var cgroupParent = ""
    @Option(help: "Cgroup namespace to use (host|private)") var cgroupns = ""
    @Option(help: "Write the container ID to the file") var cidfile: String?
    @Option(help: "Limit CPU CFS (Completely Fair Scheduler) period") var cpuPeriod: Int64 = 0
    @Option(help: "Limit CPU CFS (Completely Fair Scheduler) quota") var cpuQuota: Int64 = 0
    @Option(name: [.customShort("c"), .long], help: "CPU shares (relative weight)") var cpuShares: Int64 = 0
    @Option(help: "Number of CPUs") var cpus: String?
    @Option(help: "CPUs in which to allow execution (0-3, 0,1)") var cpusetCpus = ""
    @Option(help: "MEMs in which to allow execution (0-3, 0,1)") var cpusetMems = ""
    @Option(help: "Add a host device to the container") var device: [String] = []
    @Option(help: "Add a rule to the cgroup allowed devices list") var deviceCgroupRule: [String] = []
    @Option(help: "Set custom DNS servers") var dns: [String] = []
    @Option(name: [.customLong("dns-option"), .customLong("dns-opt")], help: "Set DNS options") var dnsOption:
        [String] = []
    @Option(help: "Set custom DNS search domains") var dnsSearch: [String] = []
    @Option(help: "Container NIS domain name") var domainname = ""
    @Option(help: "Overwrite the default ENTRYPOINT of the image") var entrypoint: String?
    @Option(name: .shortAndLong, help: "Set environment variables") var env: [String] = []
    @Option(help: "Read in a file of environment variables") var envFile: [String] = []
    @Option(help: "Expose a port or a range of ports") var expose: [String] = []
    @Option(help: "Add additional groups to join") var groupAdd: [String] = []
    @Option(help: "Command to run to check health") var healthCmd: String?
    @Option(help: "Time between running the check (ms|s|m|h)") var healthInterval: String?
    @Option(help: "Consecutive failures needed to report unhealthy") var healthRetries: Int?
    @Option(help: "Time between running the check during the start period (ms|s|m|h)") var healthStartInterval: String?
    @Option(help: "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)")
    var healthStartPeriod: String?
    @Option(help: "Maximum time to allow one check to run (ms|s|m|h)") var healthTimeout: String?
    @Option(name: .shortAndLong, help: "Container host name") var hostname = ""
    @Flag(name: .customLong("init"), help: "Run an init inside the container that forwards signals and reaps processes")
    var initProcess = false
    @Flag(name: .shortAndLong, help: "Keep STDIN open even if not attached") var interactive = false
    @Option(help: "IPv4 address (e.g., 172.30.100.104)") var ip: String?
    @Option(help: "IPv6 address (e.g., 2001:db8::33)") var ip6: String?
    @Option(help: "IPC mode to use") var ipc = ""
    @Option(name: .shortAndLong, help: "Set meta data on a container") var label: [String] = []
    @Option(help: "Read in a line delimited file of labels") var labelFile: [String] = []
    @Option(help: "Add link to another container") var link: [String] = []
    @Option(help: "Logging driver for the container") var logDriver = ""
    @Option(help: "Log driver options") var logOpt: [String] = []
    @Option(help: "Container MAC address (e.g., 92:d0:c6:0a:29:33)") var macAddress: String?
    @Option(name: .shortAndLong, help: "Memory limit") var memory: String?
    @Option(help: "Memory soft limit") var memoryReservation: String?
    @Option(help: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap") var memorySwap: String?
    @Option(help: "Tune container memory swappiness (0 to 100)") var memorySwappiness: Int64 = -1
    @Option(help: "Attach a filesystem mount to the container") var mount: [String] = []
    @Option(help: "Assign a name to the container") var name: String?
    @Option(name: [.customLong("network"), .customLong("net")], help: "Connect a container to a network")
    var network: [String] = []
    @Option(
        name: [.customLong("network-alias"), .customLong("net-alias")],
        help: "Add network-scoped alias for the container")
    var networkAlias: [String] = []
    @Flag(help: "Disable any container-specified HEALTHCHECK") var noHealthcheck = false
    @Flag(help: "Disable OOM Killer") var oomKillDisable = false
    @Option(help: "Tune host's OOM preferences (-1000 to 1000)") var oomScoreAdj: Int = 0
    @Option(help: "PID namespace to use") var pid = ""
    @Option(help: "Tune container pids limit (set -1 for unlimited)") var pidsLimit: Int64 = 0
    @Option(help: "Set platform if server is multi-platform capable") var platform: String?
    @Flag(help: "Give extended privileges to this container") var privileged = false
    @Option(name: .shortAndLong, help: "Publish a container's port(s) to the host") var publish: [String] = []
    @Flag(name: [.customShort("P"), .long], help: "Publish all exposed ports to random ports") var publishAll = false
    @Option(help: "Pull image before running (\"always\", \"missing\", \"never\")") var pull = "missing"
    @Flag(name: .shortAndLong, help: "Suppress the pull output") var quiet = false
    @Flag(help: "Mount the container's root filesystem as read only") var readOnly = false
    @Option(help: "Restart policy to apply when a container exits") var restart = "no"
    @Flag(help: "Automatically remove the container and its associated anonymous volumes when it exits") var rm = false
    @Option(help: "Runtime to use for this container") var runtime: String?
    @Option(help: "Security Options") var securityOpt: [String] = []
    @Option(help: "Size of /dev/shm") var shmSize: String?
    @Option(help: "Signal to stop the container") var stopSignal: String?
    @Option(help: "Timeout (in seconds) to stop a container") var stopTimeout: Int?
    @Option(help: "Storage driver options for the container") var storageOpt: [String] = []
    @Option(help: "Sysctl options") var sysctl: [String] = []
    @Option(help: "Mount a tmpfs directory") var tmpfs: [String] = []
    @Flag(name: .shortAndLong, help: "Allocate a pseudo-TTY") var tty = false
    @Option(help: "Ulimit options") var ulimit: [String] = []
    @Option(name: .shortAndLong, help: "Username or UID (format: <name|uid>[:<group|gid>])") var user = ""
    @Option(help: "User namespace to use") var userns = ""
    @Option(help: "UTS namespace to use") var uts = ""
    @Option(name: .shortAndLong, help: "Bind mount a volume") var volume: [String] = []
    @Option(help: "Optional volume driver for the container") var volumeDriver = ""
    @Option(help: "Mount volumes from the specified container(s)") var volumesFrom: [String] = []
    @Option(name: .shortAndLong, help: "Working directory inside the container") var workdir = ""
    @Flag(help: .hidden) var disableContentTrust = false
    @Argument(help: "The image, the command and its arguments") var words: [String]
}
