import FoundationEssentials
import Glibc
package import Kernel
import LayerFS
package import OCI

/// What `POST /commit` asks for beside the container.
package struct CommitRequest: Sendable {
    package var repository = ""
    package var tag = ""
    package var comment = ""
    package var author = ""
    package var pause = true
    /// Dockerfile instructions that change the configuration: `CMD ["x"]`, `ENV a=b`, ...
    package var changes: [String] = []
    package var config: Config?

    package init() {}
}

extension ImageStore {
    /// Bytes moved from a pipe to an ingest at once.
    private static let blockBytes = 256 << 10

    /// Stores a layer from an uncompressed or compressed tar that is read from `reader` to its end. The layer is pinned.
    nonisolated func ingestLayer(from reader: consuming OwnedFD) async throws -> LayerRecord {
        let source = DescriptorBox(reader)
        return try await layers.newLayer { files in
            let layer = try await self.feed(try LayerIngest(IngestRequest(files: files)), from: try source.take())
            return LayerRecord(
                diffID: layer.diffID, blobDigest: nil, blobSize: 0, mediaType: nil, size: layer.tarSize,
                repositories: [])
        }
    }

    /// Moves everything that `reader` gives into an ingest, and ends it.
    @discardableResult
    nonisolated func feed(_ ingest: LayerIngest, from reader: consuming OwnedFD) async throws -> IngestedLayer {
        let source = DescriptorBoxed(reader)
        return try await feed(ingest) { () throws(SystemError) in
            try source.descriptor.readBlock(bytesMax: Self.blockBytes)
        }
    }

    nonisolated func feed(_ ingest: LayerIngest, from range: FileRange) async throws -> IngestedLayer {
        try await feed(ingest) { () throws(SystemError) in try range.next(bytesMax: Self.blockBytes) }
    }

    private nonisolated func feed(
        _ ingest: LayerIngest, _ next: @escaping @Sendable () throws(SystemError) -> [UInt8]
    ) async throws -> IngestedLayer {
        do {
            while true {
                let block = try await BlockingPool.shared.run(next)
                if block.isEmpty { return try await ingest.finish() }
                try await ingest.write(copying: block)
            }
        } catch {
            await ingest.cancel()
            throw error
        }
    }

    /// Stores an image made here from layers that are stored already, and names it.
    ///
    /// - Returns: its id.
    func make(_ config: ImageConfig, tags: [Reference]) async throws -> Digest {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = try encoder.encode(config)
        return try await store(config, bytes, tags: tags)
    }

    /// Stores an image by its configuration's bytes.
    func store(
        _ config: ImageConfig, _ bytes: Data, tags: [Reference],
        manifest: (bytes: [UInt8], type: String, layers: [Descriptor])? = nil
    ) async throws -> Digest {
        let id = SHA256Bytes.digest([UInt8](bytes))
        var size: Int64 = 0
        for diffID in config.rootfs.diffIDs { size += await layers.record(diffID)?.size ?? 0 }
        try await layers.prepare(config.rootfs.diffIDs)
        let record = ImageRecord(
            id: id, manifestDigest: manifest.map { SHA256Bytes.digest($0.bytes) }, manifestMediaType: manifest?.type,
            manifestBytes: manifest.map { Data($0.bytes) }, config: config, configBytes: bytes,
            layers: manifest?.layers ?? [],
            size: size, storedAt: Timestamp.now().seconds)
        try await commit(record, tags: tags)
        return id
    }

    /// Makes an image from a container's writable layer (`docker commit`).
    func commit(
        _ request: CommitRequest, container: ContainerRecord, layer tar: consuming OwnedFD
    ) async throws -> Digest {
        let base = try? await image(container.imageID.description)
        let layer = try await ingestLayer(from: tar)
        do {
            var config = ImageConfig(
                created: Timestamp.now().text,
                architecture: base?.record.config.architecture ?? Platform.host.architecture,
                os: "linux", config: ContainerConfig(committing: request.config ?? container.config),
                rootfs: ImageConfig.RootFS(diffIDs: container.diffIDs + [layer.diffID]),
                history: base?.record.config.history)
            config.variant = base?.record.config.variant
            config.author = request.author.isEmpty ? nil : request.author
            try ConfigChange.apply(request.changes, to: &config)
            var step = ImageConfig.History(
                created: config.created, createdBy: ([container.path] + container.args).joined(separator: " "),
                comment: request.comment.isEmpty ? nil : request.comment)
            step.author = config.author
            config.history = (config.history ?? []) + [step]
            let id = try await make(config, tags: try Self.names(request.repository, request.tag))
            await layers.unpin([layer.diffID])
            return id
        } catch {
            await layers.unpin([layer.diffID])
            throw error
        }
    }

    private static func names(_ repository: String, _ tag: String) throws -> [Reference] {
        guard !repository.isEmpty else { return [] }
        let reference = try Reference(tag.isEmpty ? repository : "\(repository):\(tag)")
        guard reference.digest == nil else { throw EngineError(.invalidParameter, "cannot commit to digest reference") }
        return [reference.tagged]
    }

    /// Makes a one-layer image from a tar (`docker import`).
    package func importImage(
        from reader: consuming OwnedFD, repository: String, tag: String, message: String, changes: [String],
        platform: Platform?
    ) async throws -> Digest {
        let names = try Self.names(repository, tag)
        let layer = try await ingestLayer(from: reader)
        do {
            let platform = platform ?? .host
            var config = ImageConfig(
                created: Timestamp.now().text, architecture: platform.architecture, os: platform.os,
                config: ContainerConfig(), rootfs: ImageConfig.RootFS(diffIDs: [layer.diffID]),
                history: [
                    ImageConfig.History(
                        created: Timestamp.now().text, createdBy: nil,
                        comment: message.isEmpty ? "Imported from -" : message)
                ])
            config.variant = platform.variant
            try ConfigChange.apply(changes, to: &config)
            let id = try await make(config, tags: names)
            await layers.unpin([layer.diffID])
            await events.publish(.image, "import", id.description, ["name": names.first?.familiar ?? id.description])
            return id
        } catch {
            await layers.unpin([layer.diffID])
            throw error
        }
    }
}

extension LayerIngest {
    /// Takes all of `bytes`, waiting while the pipeline is full.
    fileprivate func write(copying bytes: [UInt8]) async throws {
        var start = 0
        while true {
            start += try bytes.withUnsafeBytes { try offer(UnsafeRawBufferPointer(rebasing: $0[start...])) }
            if start == bytes.count { return }
            try await waitUntilReady()
        }
    }
}

extension ContainerConfig {
    /// What of a container's configuration goes into an image.
    init(committing config: Config) {
        self.init()
        user = config.user
        exposedPorts = config.exposedPorts
        env = config.env
        entrypoint = config.entrypoint
        cmd = config.cmd
        volumes = config.volumes
        workingDir = config.workingDir
        labels = config.labels
        stopSignal = config.stopSignal
        shell = config.shell
        onBuild = config.onBuild
        healthcheck = config.healthcheck
    }
}

/// The Dockerfile instructions that `--change` takes.
enum ConfigChange {
    /// - Throws: ``EngineError`` `.invalidParameter` for an instruction that changes no configuration.
    static func apply(_ changes: [String], to image: inout ImageConfig) throws {
        var config = image.config ?? ContainerConfig()
        for change in changes { try apply(change.trimmed, to: &config) }
        image.config = config
    }

    private static func apply(_ change: String, to config: inout ContainerConfig) throws {
        let parts = change.split(maxSplits: 1, whereSeparator: \.isWhitespace)
        guard let verb = parts.first?.uppercased() else { return }
        let argument = parts.count == 2 ? String(parts[1]).trimmed : ""
        guard !argument.isEmpty else { throw EngineError(.invalidParameter, "\(verb) requires an argument: \(change)") }
        switch verb {
        case "CMD": config.cmd = try command(argument)
        case "ENTRYPOINT": config.entrypoint = try command(argument)
        case "ENV": config.env = ConfigMerge.environment(config.env ?? [], try pairs(argument).map { "\($0)=\($1)" })
        case "LABEL": config.labels = (config.labels ?? [:]).merging(try pairs(argument)) { $1 }
        case "USER": config.user = argument
        case "HEALTHCHECK": config.healthcheck = try HealthChange.parse(argument, list: words)
        case "WORKDIR": config.workingDir = argument
        case "STOPSIGNAL":
            _ = try SignalName.number(argument)
            config.stopSignal = argument
        case "EXPOSE":
            for port in argument.split(whereSeparator: \.isWhitespace) {
                config.exposedPorts = (config.exposedPorts ?? [:]).merging([
                    port.contains("/") ? String(port) : "\(port)/tcp": .init()
                ]) { $1 }
            }
        case "VOLUME":
            for path in try list(argument) { config.volumes = (config.volumes ?? [:]).merging([path: .init()]) { $1 } }
        case "ONBUILD": config.onBuild = (config.onBuild ?? []) + [argument]
        default: throw EngineError(.invalidParameter, "\(verb) is not a valid change command")
        }
    }

    /// The JSON form, or a line for the shell.
    private static func command(_ text: String) throws -> [String] {
        words(text) ?? ["/bin/sh", "-c", text]
    }

    /// The JSON form's; nil for any other.
    private static func words(_ text: String) -> [String]? {
        text.hasPrefix("[") ? try? JSONDecoder().decode([String].self, from: Data(text.utf8)) : nil
    }

    private static func list(_ text: String) throws -> [String] {
        words(text) ?? text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    /// `key=value` pairs with quotes, or the old `KEY value`.
    private static func pairs(_ text: String) throws -> [(String, String)] {
        let words = try Words.split(text)
        guard let first = words.first, first.contains("=") else {
            guard let key = words.first, words.count >= 2 else {
                throw EngineError(
                    .invalidParameter, "Syntax error - can't find = in \"\(text)\". Must be of the form: name=value")
            }
            return [(key, words.dropFirst().joined(separator: " "))]
        }
        return try words.map { word in
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw EngineError(
                    .invalidParameter, "Syntax error - can't find = in \"\(word)\". Must be of the form: name=value")
            }
            return (String(parts[0]), String(parts[1]))
        }
    }
}

/// Words of a Dockerfile line: blanks separate, quotes keep together, a backslash keeps the next character.
enum Words {
    static func split(_ text: String) throws -> [String] {
        var words: [String] = []
        var word = ""
        var hasWord = false
        var quote: Character?
        var isEscaped = false
        for character in text {
            if isEscaped {
                word.append(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
                hasWord = true
            } else if let open = quote {
                if character == open { quote = nil } else { word.append(character) }
            } else if character == "\"" || character == "'" {
                quote = character
                hasWord = true
            } else if character.isWhitespace {
                if hasWord { words.append(word) }
                word = ""
                hasWord = false
            } else {
                word.append(character)
                hasWord = true
            }
        }
        guard quote == nil else {
            throw EngineError(
                .invalidParameter, "unexpected end of statement while looking for matching quote: \(text)")
        }
        if hasWord { words.append(word) }
        return words
    }
}

extension String {
    /// Without blanks at both ends.
    fileprivate var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
