/// The types of Docker's that templates walk through: what fields they have, and what the daemon calls them.
enum GoTypes {
    struct Field: Sendable {
        let name: String
        /// Its name in JSON.
        let member: String
        let type: GoType
    }

    /// Go's names of members that structures made of answers have.
    static let sentNames = ["ID": "Id", "APIVersion": "ApiVersion"]

    /// Members of answers whose own members users name.
    private static let maps: Set = [
        "Annotations", "Attributes", "DriverOpts", "Endpoints", "Labels", "Options", "Runtimes", "TLSMaterial",
    ]

    /// What Go calls the types of members that errors tell of.
    private static let names = [
        "BuildCache": "*formatter.buildCacheContext", "Client": "system.clientVersion",
        "ClientInfo": "*system.clientInfo", "Containers": "*formatter.ContainerContext",
        "Images": "*formatter.imageContext", "Metadata": "store.Metadata", "Server": "*types.Version",
        "Volumes": "*formatter.volumeContext",
    ]

    /// A member of a structure that is made of what it has.
    static func open(_ json: JSON, _ name: String) -> GoValue {
        switch json {
        // Lists, maps and pointers are sent so where there is nothing in them.
        case .null where names[name] != nil:
            GoValue(.null, .pointer(.open((names[name] ?? "").droppingPrefix("*"))))
        case .null: GoValue(.null, maps.contains(name) ? .map("string", .any) : .list(.text))
        case .bool: GoValue(json, .bool)
        case .number(let digits): GoValue(json, Int64(digits) == nil ? .float : .int("int64"))
        case .string: GoValue(json, .text)
        case .array(let elements):
            GoValue(json, .list(elements.first.map { open($0, name).type } ?? .text))
        case .object: GoValue(json, maps.contains(name) ? .map("string", .any) : .open(names[name] ?? "interface {}"))
        }
    }

    /// Whether the numbers inside keep their digits: those of answers that are taken as they come do.
    static func keepsDigits(_ type: GoType) -> Bool {
        switch type {
        case .list(.any), .map(_, .any): true
        default: false
        }
    }

    /// The Go type that an object of a kind is held as, by the kind's name.
    static let roots = [
        "container": "container.InspectResponse", "image": "image.InspectResponse", "network": "network.Inspect",
        "volume": "volume.Volume",
    ]

    /// With the members of maps in the order of their names.
    static func sorted(_ json: JSON, _ type: GoType) -> JSON {
        switch (json, type.pointed) {
        case (.array(let elements), .list(let element)): return .array(elements.map { sorted($0, element) })
        case (.array(let elements), _): return .array(elements.map { sorted($0, .any) })
        case (.object(let members), .record(let name)):
            let fields = structures[name] ?? []
            return .object(
                members.map { member in
                    let type = fields.first { $0.member == member.name }?.type ?? .any
                    return .init(name: member.name, value: sorted(member.value, type))
                })
        case (.object(let members), .open):
            return .object(members.map { .init(name: $0.name, value: sorted($0.value, open($0.value, $0.name).type)) })
        case (.object(let members), let type):
            var element = GoType.any
            if case .map(_, let declared) = type { element = declared }
            return .object(
                members.sorted { $0.name < $1.name }.map { .init(name: $0.name, value: sorted($0.value, element)) })
        case (.number(let digits), .float): return Double(digits).map { .number(GoPrintf.encoded($0)) } ?? json
        default: return json
        }
    }

    // MARK: Structures

    /// Fields by the name of their structure.
    static let structures: [String: [Field]] = {
        var structures: [String: [Field]] = [:]
        for line in declarations.split(separator: "\n") {
            let (name, fields) = String(line).cut(":")
            var known: [Field] = []
            for group in (fields ?? "").split(separator: ",") {
                let words = group.split(separator: " ").map(String.init)
                let declared = GoTypes.type(words.last ?? "")
                for word in words.dropLast() {
                    let (name, member) = word.cut("=")
                    known.append(Field(name: name, member: member ?? name, type: declared))
                }
            }
            structures[name] = known
        }
        return structures
    }()

    private static func type(_ text: String) -> GoType {
        switch text {
        case "bool": return .bool
        case "any": return .any
        case "string": return .text
        case "int", "int64", "uint16", "uint64", "time.Duration", "uint": return .int(text)
        case "time.Time": return .string(text)
        default: break
        }
        if text.hasPrefix("*") { return .pointer(type(String(text.dropFirst()))) }
        if text.hasPrefix("[]") { return .list(type(String(text.dropFirst(2)))) }
        if text.hasPrefix("map[") {
            let (key, element) = String(text.dropFirst(4)).cut("]")
            return .map(key, type(element ?? ""))
        }
        return text.hasPrefix("'") ? .string(String(text.dropFirst())) : .record(text)
    }

    /// `STRUCTURE:FIELD[=MEMBER]... TYPE,...`: fields in Go's order, MEMBER where JSON calls it otherwise. A type with an
    /// apostrophe before it is a text.
    private static let declarations = """
        container.InspectResponse:ID=Id Created Path string,Args []string,State *container.State,\
        Image ResolvConfPath HostnamePath HostsPath LogPath Name string,RestartCount int,\
        Driver Platform MountLabel ProcessLabel AppArmorProfile string,ExecIDs []string,\
        HostConfig *container.HostConfig,GraphDriver storage.DriverData,SizeRw SizeRootFs *int64,\
        Mounts []container.MountPoint,Config *container.Config,NetworkSettings *container.NetworkSettings,\
        ImageManifestDescriptor *v1.Descriptor
        container.State:Status string,Running Paused Restarting OOMKilled Dead bool,Pid ExitCode int,\
        Error StartedAt FinishedAt string,Health *container.Health
        container.Health:Status string,FailingStreak int,Log []*container.HealthcheckResult
        container.HealthcheckResult:Start End time.Time,ExitCode int,Output string
        container.MountPoint:Type 'mount.Type,Name Source Destination Driver Mode string,RW bool,\
        Propagation 'mount.Propagation
        container.Config:Hostname Domainname User string,AttachStdin AttachStdout AttachStderr bool,\
        ExposedPorts map[nat.Port]struct,Tty OpenStdin StdinOnce bool,Env Cmd []string,\
        Healthcheck *v1.HealthcheckConfig,ArgsEscaped bool,Image string,Volumes map[string]struct,WorkingDir string,\
        Entrypoint []string,NetworkDisabled bool,MacAddress string,OnBuild []string,Labels map[string]string,\
        StopSignal string,StopTimeout *int,Shell []string
        struct:
        v1.HealthcheckConfig:Test []string,Interval Timeout StartPeriod StartInterval time.Duration,Retries int
        v1.Descriptor:MediaType=mediaType 'string,Digest=digest 'digest.Digest,Size=size int64,URLs=urls []string,\
        Annotations=annotations map[string]string,Platform=platform *v1.Platform,ArtifactType=artifactType string
        v1.Platform:Architecture=architecture OS=os OSVersion=os.version string,OSFeatures=os.features []string,\
        Variant=variant string
        container.HostConfig:Binds []string,ContainerIDFile string,LogConfig container.LogConfig,\
        NetworkMode 'container.NetworkMode,PortBindings map[nat.Port][]nat.PortBinding,\
        RestartPolicy container.RestartPolicy,AutoRemove bool,VolumeDriver string,VolumesFrom []string,\
        ConsoleSize []uint,Annotations map[string]string,CapAdd CapDrop []string,CgroupnsMode 'container.CgroupnsMode,\
        DNS=Dns DNSOptions=DnsOptions DNSSearch=DnsSearch ExtraHosts GroupAdd []string,IpcMode 'container.IpcMode,\
        Cgroup 'container.CgroupSpec,Links []string,OomScoreAdj int,PidMode 'container.PidMode,\
        Privileged PublishAllPorts ReadonlyRootfs bool,SecurityOpt []string,StorageOpt Tmpfs map[string]string,\
        UTSMode 'container.UTSMode,UsernsMode 'container.UsernsMode,ShmSize int64,Sysctls map[string]string,\
        Runtime string,Isolation 'container.Isolation,CPUShares=CpuShares Memory NanoCPUs=NanoCpus int64,\
        CgroupParent string,BlkioWeight uint16,BlkioWeightDevice []*blkiodev.WeightDevice,BlkioDeviceReadBps \
        BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice,CPUPeriod=CpuPeriod \
        CPUQuota=CpuQuota CPURealtimePeriod=CpuRealtimePeriod CPURealtimeRuntime=CpuRealtimeRuntime int64,\
        CpusetCpus CpusetMems string,Devices []container.DeviceMapping,DeviceCgroupRules []string,\
        DeviceRequests []container.DeviceRequest,MemoryReservation MemorySwap int64,MemorySwappiness *int64,\
        OomKillDisable *bool,PidsLimit *int64,Ulimits []*units.Ulimit,CPUCount=CpuCount CPUPercent=CpuPercent int64,\
        IOMaximumIOps IOMaximumBandwidth uint64,Mounts []mount.Mount,MaskedPaths ReadonlyPaths []string,Init *bool
        container.LogConfig:Type string,Config map[string]string
        container.RestartPolicy:Name 'container.RestartPolicyMode,MaximumRetryCount int
        container.DeviceMapping:PathOnHost PathInContainer CgroupPermissions string
        container.DeviceRequest:Driver string,Count int,DeviceIDs []string,Capabilities [][]string,\
        Options map[string]string
        blkiodev.WeightDevice:Path string,Weight uint16
        blkiodev.ThrottleDevice:Path string,Rate uint64
        units.Ulimit:Name string,Hard Soft int64
        mount.Mount:Type 'mount.Type,Source Target string,ReadOnly bool,Consistency 'mount.Consistency,\
        BindOptions *mount.BindOptions,VolumeOptions *mount.VolumeOptions,ImageOptions *mount.ImageOptions,\
        TmpfsOptions *mount.TmpfsOptions,ClusterOptions *struct
        mount.BindOptions:Propagation 'mount.Propagation,\
        NonRecursive CreateMountpoint ReadOnlyNonRecursive ReadOnlyForceRecursive bool
        mount.VolumeOptions:NoCopy bool,Labels map[string]string,Subpath string,DriverConfig *mount.Driver
        mount.Driver:Name string,Options map[string]string
        mount.ImageOptions:Subpath string
        mount.TmpfsOptions:SizeBytes int64,Mode int,Options [][]string
        storage.DriverData:Data map[string]string,Name string
        container.NetworkSettings:Bridge SandboxID SandboxKey string,Ports map[nat.Port][]nat.PortBinding,\
        HairpinMode bool,LinkLocalIPv6Address string,LinkLocalIPv6PrefixLen int,\
        SecondaryIPAddresses SecondaryIPv6Addresses []network.Address,EndpointID Gateway GlobalIPv6Address string,\
        GlobalIPv6PrefixLen int,IPAddress string,IPPrefixLen int,IPv6Gateway MacAddress string,\
        Networks map[string]*network.EndpointSettings
        network.Address:Addr string,PrefixLen int
        nat.PortBinding:HostIP=HostIp HostPort string
        network.EndpointSettings:IPAMConfig *network.EndpointIPAMConfig,Links Aliases []string,MacAddress string,\
        DriverOpts map[string]string,GwPriority int,NetworkID EndpointID Gateway IPAddress string,IPPrefixLen int,\
        IPv6Gateway GlobalIPv6Address string,GlobalIPv6PrefixLen int,DNSNames []string
        network.EndpointIPAMConfig:IPv4Address IPv6Address string,LinkLocalIPs []string
        image.InspectResponse:ID=Id string,RepoTags RepoDigests []string,\
        Parent Comment Created DockerVersion Author string,Config *v1.DockerOCIImageConfig,\
        Architecture Variant Os OsVersion string,Size VirtualSize int64,GraphDriver storage.DriverData,\
        RootFS image.RootFS,Metadata image.Metadata,Descriptor *v1.Descriptor,Manifests []any
        v1.DockerOCIImageConfig:User string,ExposedPorts map[string]struct,Env Entrypoint Cmd []string,\
        Volumes map[string]struct,WorkingDir string,Labels map[string]string,StopSignal string,ArgsEscaped bool,\
        Healthcheck *v1.HealthcheckConfig,OnBuild Shell []string
        image.RootFS:Type string,Layers []string
        image.Metadata:LastTagTime time.Time
        network.Inspect:Name ID=Id string,Created time.Time,Scope Driver string,EnableIPv4 EnableIPv6 bool,\
        IPAM network.IPAM,Internal Attachable Ingress bool,ConfigFrom network.ConfigReference,ConfigOnly bool,\
        Containers map[string]network.EndpointResource,Options Labels map[string]string,Peers []network.PeerInfo,\
        Services map[string]any
        network.IPAM:Driver string,Options map[string]string,Config []network.IPAMConfig
        network.IPAMConfig:Subnet IPRange Gateway string,AuxAddress=AuxiliaryAddresses map[string]string
        network.ConfigReference:Network string
        network.EndpointResource:Name EndpointID MacAddress IPv4Address IPv6Address string
        network.PeerInfo:Name IP string
        volume.Volume:ClusterVolume *struct,CreatedAt Driver string,Labels map[string]string,Mountpoint Name string,\
        Options map[string]string,Scope string,Status map[string]any,UsageData *volume.UsageData
        volume.UsageData:RefCount Size int64
        events.Message:Status=status ID=id From=from Type Action string,Actor events.Actor,Scope=scope string,\
        Time=time TimeNano=timeNano int64
        events.Actor:ID string,Attributes map[string]string
        """
}
