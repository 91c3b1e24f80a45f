/// Bytes of one component of a path (NAME_MAX).
let nameBytesMax = 255

/// One mount of a container, as the engine will make it: what, where, how.
package struct MountSpec: Sendable, Hashable {
    package enum Source: Sendable, Hashable {
        /// A new volume with a name of the engine's choice.
        case anonymousVolume
        case volume(VolumeName)
        /// A file or directory of the host: absolute, cleaned.
        case bind(String)
        case tmpfs(TmpfsOptions)
        /// The files of an image, by its reference or id; never written.
        case image(String)
    }

    package enum Propagation: String, Sendable, Hashable, CaseIterable {
        case `private`, rprivate, slave, rslave, shared, rshared
    }

    package enum Label: String, Sendable, Hashable {
        /// `z`: shared between containers; `Z`: this container's own.
        case shared = "z"
        case own = "Z"
    }

    package var source: Source
    /// Where it appears in the container: absolute, cleaned, never `/`.
    package var target: String
    package var readOnly = false
    /// Whether what is mounted below a bind's source is mounted too.
    package var recursive = true
    /// Whether read-only holds for what is mounted below as well.
    package var recursiveReadOnly = true
    /// Of a bind; nil means rprivate.
    package var propagation: Propagation?
    package var label: Label?
    /// Whether an empty volume is first filled with what the image has at the target.
    package var copiesImageContent = true
    /// Whether a missing bind source is made as a directory (`-v`) or is an error (`--mount`).
    package var createsSource = false
    /// What of the volume or image is mounted instead of its root; relative, never above it.
    package var subpath: String?
    /// Driver of the volume; nil for the local one.
    package var driver: String?
    /// The options of `-v` as written, for `docker inspect`.
    package var mode = ""

    package init(source: Source, target: String) {
        self.source = source
        self.target = target
    }
}

extension MountSpec {
    /// A new volume for a path that an image or a user declares. The path is data: a colon in it means nothing.
    ///
    /// - Throws: `VolumeError` `.invalid` with Docker's text.
    package init(anonymousAt path: String) throws(VolumeError) {
        try self.init(MountRequest(type: .volume, target: path))
    }

    /// Parses the argument of `-v`: `/path`, `name:/path[:options]` or `/host:/path[:options]`.
    ///
    /// - Throws: `VolumeError` `.invalid` with Docker's text.
    package init(volumeFlag raw: String, driver: String? = nil) throws(VolumeError) {
        let invalid = "invalid volume specification: '\(raw)'"
        let parts = raw.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard let first = parts.first, !first.isEmpty, parts.count <= 3 else { throw VolumeError(.invalid, invalid) }
        if parts.count == 2 && FlagMode(parts[1]) != nil { throw VolumeError(.invalid, invalid) }
        let modeText = parts.count == 3 ? parts[2] : ""
        guard let mode = FlagMode(modeText) else { throw VolumeError(.invalid, "invalid mode: \(modeText)") }
        var request = MountRequest(type: .volume, target: parts.count == 1 ? first : parts[1])
        if parts.count > 1 {
            request.source = first
            if first.hasPrefix("/") { request.type = .bind }
        }
        request.readOnly = mode.readOnly
        if let propagation = mode.propagation {
            request.bindPropagation = propagation.rawValue
            request.hasBindOptions = true
        }
        if mode.noCopy || (driver != nil && request.type == .volume) { request.hasVolumeOptions = true }
        request.noCopy = mode.noCopy
        do throws(VolumeError) { self = try MountSpec(request) } catch {
            throw VolumeError(error.code, "\(invalid): \(error.message)", cause: error.cause)
        }
        label = mode.label
        createsSource = request.type == .bind
        self.driver = request.type == .volume ? driver : nil
        self.mode = modeText
    }

    /// Parses the argument of `--volumes-from`: a container and access or a label, nothing else of `-v`.
    ///
    /// - Throws: `VolumeError` `.invalid` with Docker's text.
    package static func volumesFrom(_ text: String) throws(VolumeError) -> (container: String, readOnly: Bool) {
        guard !text.isEmpty else {
            throw VolumeError(.invalid, "volumes-from specification cannot be an empty string")
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { return (text, false) }
        guard let mode = FlagMode(parts[1]), mode.propagation == nil, !mode.noCopy else {
            throw VolumeError(.invalid, "invalid mode: \(parts[1])")
        }
        return (parts[0], mode.readOnly)
    }

    /// A path in the container as mounts have it: without `.`, `..`, and slashes too many.
    package static func cleaned(_ path: String) -> String { HostPath.clean(path) }

    /// Checks a mount of `--mount` (HostConfig.Mounts).
    ///
    /// - Throws: `VolumeError` `.invalid` with Docker's text.
    package init(_ request: MountRequest) throws(VolumeError) {
        func refuse(_ text: String) -> VolumeError {
            VolumeError(.invalid, "invalid mount config for type \"\(request.type.rawValue)\": \(text)")
        }
        guard !request.target.isEmpty else { throw refuse("field Target must not be empty") }
        guard !Self.hasControlCharacter(request.target + request.source + request.subpath) else {
            throw refuse("invalid mount path: a path cannot contain NUL or another control character")
        }
        for part in (request.target + "/" + request.source).split(separator: "/") where part.utf8.count > nameBytesMax {
            throw refuse("invalid mount path: \(part.prefix(32))...: file name too long")
        }
        let target = HostPath.clean(request.target)
        guard target != "/" else { throw refuse("invalid specification: destination can't be '/'") }
        guard request.target.hasPrefix("/") else {
            throw refuse("invalid mount path: '\(request.target)' mount path must be absolute")
        }
        switch request.type {
        case .bind: self.init(source: try Self.bind(request, refuse), target: target)
        case .volume: self.init(source: try Self.volume(request, refuse), target: target)
        case .tmpfs: self.init(source: .tmpfs(try Self.tmpfs(request, refuse)), target: target)
        case .image: self.init(source: try Self.image(request, refuse), target: target)
        }
        readOnly = request.readOnly || request.type == .image
        recursive = !request.nonRecursive
        recursiveReadOnly = !request.readOnlyNonRecursive
        propagation = request.bindPropagation.flatMap(Propagation.init(rawValue:))
        copiesImageContent = request.type == .volume && !request.noCopy
        createsSource = request.createMountpoint
        subpath = request.subpath.isEmpty ? nil : request.subpath
        driver = request.driver
    }

    private static func bind(_ request: MountRequest, _ refuse: (String) -> VolumeError) throws(VolumeError) -> Source {
        guard !request.source.isEmpty else { throw refuse("field Source must not be empty") }
        if let text = request.bindPropagation, !text.isEmpty, Propagation(rawValue: text) == nil {
            throw refuse("invalid propagation mode: \(text)")
        }
        if request.hasVolumeOptions { throw refuse("field VolumeOptions must not be specified") }
        if request.hasTmpfsOptions { throw refuse("field TmpfsOptions must not be specified") }
        if request.hasImageOptions { throw refuse("field ImageOptions must not be specified") }
        if request.readOnlyNonRecursive || request.readOnlyForceRecursive {
            guard request.readOnly else {
                throw refuse("a mount must be read-only for ReadOnlyNonRecursive and ReadOnlyForceRecursive")
            }
            guard !(request.readOnlyNonRecursive && request.readOnlyForceRecursive) else {
                throw refuse("ReadOnlyNonRecursive and ReadOnlyForceRecursive must not both be specified")
            }
        }
        guard request.source.hasPrefix("/") else {
            throw refuse("invalid mount path: '\(request.source)' mount path must be absolute")
        }
        return .bind(HostPath.clean(request.source))
    }

    private static func volume(_ request: MountRequest, _ refuse: (String) -> VolumeError) throws(VolumeError) -> Source
    {
        if request.hasBindOptions { throw refuse("field BindOptions must not be specified") }
        if request.hasTmpfsOptions { throw refuse("field TmpfsOptions must not be specified") }
        if request.hasImageOptions { throw refuse("field ImageOptions must not be specified") }
        if !request.subpath.isEmpty {
            guard !request.source.isEmpty else { throw refuse("must not set Subpath when using anonymous volumes") }
            guard HostPath.isLocal(request.subpath) else {
                throw refuse("subpath must be a relative path within the volume")
            }
        }
        guard !request.source.isEmpty else {
            if request.readOnly { throw refuse("must not set ReadOnly mode when using anonymous volumes") }
            return .anonymousVolume
        }
        return .volume(try VolumeName(request.source))
    }

    private static func image(_ request: MountRequest, _ refuse: (String) -> VolumeError) throws(VolumeError) -> Source
    {
        guard !request.source.isEmpty else { throw refuse("field Source must not be empty") }
        if request.hasBindOptions { throw refuse("field BindOptions must not be specified") }
        if request.hasVolumeOptions { throw refuse("field VolumeOptions must not be specified") }
        if request.hasTmpfsOptions { throw refuse("field TmpfsOptions must not be specified") }
        if !request.subpath.isEmpty, !HostPath.isLocal(request.subpath) {
            throw refuse("subpath must be a relative path within the volume")
        }
        return .image(request.source)
    }

    private static func hasControlCharacter(_ text: String) -> Bool { text.utf8.contains { $0 < 0x20 || $0 == 0x7F } }

    private static func tmpfs(_ request: MountRequest, _ refuse: (String) -> VolumeError) throws(VolumeError)
        -> TmpfsOptions
    {
        if request.hasBindOptions { throw refuse("field BindOptions must not be specified") }
        if request.hasVolumeOptions { throw refuse("field VolumeOptions must not be specified") }
        if request.hasImageOptions { throw refuse("field ImageOptions must not be specified") }
        guard request.source.isEmpty else { throw refuse("field Source must not be specified") }
        var options = TmpfsOptions()
        if let bytes = request.tmpfsSizeBytes, bytes != 0 {
            guard bytes > 0 else { throw refuse("tmpfs size must not be negative") }
            options.size = .bytes(UInt64(bytes))
        }
        if let mode = request.tmpfsMode, mode != 0 {
            guard mode <= 0o7777 else { throw refuse("invalid tmpfs mode") }
            options.mode = UInt16(mode)
        }
        options.readOnly = request.readOnly
        do throws(VolumeError) { try options.take(request.tmpfsOptions) } catch { throw refuse(error.message) }
        return options
    }
}

/// A mount as `--mount` asks for it, not yet checked.
package struct MountRequest: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, CaseIterable { case bind, volume, tmpfs, image }

    package var type: Kind
    package var source = ""
    package var target: String
    package var readOnly = false
    /// nil when there are no BindOptions.
    package var bindPropagation: String?
    package var createMountpoint = false
    package var nonRecursive = false
    package var readOnlyNonRecursive = false
    package var readOnlyForceRecursive = false
    /// Whether the options of a type were sent at all: they belong to that type only.
    package var hasBindOptions = false
    package var hasVolumeOptions = false
    package var hasTmpfsOptions = false
    package var hasImageOptions = false
    package var noCopy = false
    package var subpath = ""
    package var driver: String?
    package var tmpfsSizeBytes: Int64?
    package var tmpfsMode: UInt32?
    /// Each a name or a name and a value.
    package var tmpfsOptions: [[String]] = []

    package init(type: Kind, target: String) {
        self.type = type
        self.target = target
    }

    /// - Throws: `VolumeError` for a type there is not.
    package init(type text: String, target: String) throws(VolumeError) {
        guard let type = Kind(rawValue: text) else {
            throw VolumeError(.invalid, "invalid mount config for type \(Quoted(text)): mount type unknown")
        }
        self.init(type: type, target: target)
    }
}

/// The options behind the last colon of `-v`; each group may appear once.
struct FlagMode {
    var readOnly = false
    var label: MountSpec.Label?
    var propagation: MountSpec.Propagation?
    var noCopy = false

    init?(_ text: String) {
        guard !text.isEmpty else { return }
        var hasAccess = false
        var hasConsistency = false
        for option in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
            if option == "rw" || option == "ro" {
                guard !hasAccess else { return nil }
                hasAccess = true
                readOnly = option == "ro"
            } else if let value = MountSpec.Label(rawValue: option) {
                guard label == nil else { return nil }
                label = value
            } else if let value = MountSpec.Propagation(rawValue: option) {
                guard propagation == nil else { return nil }
                propagation = value
            } else if option == "nocopy" {
                guard !noCopy else { return nil }
                noCopy = true
            } else if ["consistent", "cached", "delegated"].contains(option) {
                guard !hasConsistency else { return nil }
                hasConsistency = true
            } else {
                return nil
            }
        }
    }
}

/// Paths as text, cleaned as Go's path.Clean does.
enum HostPath {
    static func clean(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    }

    /// Whether a relative path stays below where it starts.
    static func isLocal(_ path: String) -> Bool {
        guard !path.isEmpty, !path.hasPrefix("/") else { return false }
        var depth = 0
        for part in path.split(separator: "/") where part != "." {
            depth += part == ".." ? -1 : 1
            if depth < 0 { return false }
        }
        return true
    }
}
