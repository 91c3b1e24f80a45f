import Glibc
package import Kernel
package import LayerFS
import Volumes

/// Which archive of a volume is wanted.
package struct VolumeExport: Sendable {
    package var name: String
    package var compression: Compression
    /// Bytes of the beginning that are there from an earlier export, which began at `began`.
    package var offset: UInt64
    package var began: NodeStatus.Moment?
    /// Everything is looked at first, so that the total is known.
    package var isMeasured: Bool

    package init(
        _ name: String, compression: Compression = .identity, offset: UInt64 = 0, began: NodeStatus.Moment? = nil,
        isMeasured: Bool = false
    ) {
        self.name = name
        self.compression = compression
        self.offset = offset
        self.began = began
        self.isMeasured = isMeasured
    }
}

/// Volumes as archives.
extension VolumeRegistry {
    // MARK: Out

    /// Looks whether an export can be made, and goes on where an earlier one has stopped.
    ///
    /// - Returns: when the export began: that of which the offset is, or now.
    /// - Throws: ``EngineError`` `.notFound`; `.conflict` when anything in the volume has changed since the earlier one began.
    package func beginExport(_ export: VolumeExport) async throws -> NodeStatus.Moment {
        let record = try volume(export.name)
        guard export.offset > 0 else { return .now }
        guard let began = export.began, export.compression == .identity else {
            throw EngineError(
                .invalidParameter,
                "export \(export.name): an offset needs the time at which the export began, and no compression")
        }
        let changed = try await using(export.name, for: "export") { path in
            try await BulkMove().run { move in
                let place = try OwnedFD.open(record.options.isEmpty ? path + "/.." : path, NodeAccess.handleOfDirectory)
                return max(
                    try TreeSteps.measure(try OwnedFD.quietTree(path), move).changed, try place.nodeStatus().ctime)
            }
        }
        guard changed < began else {
            throw EngineError(
                .conflict,
                "export \(export.name): the volume has changed since the export began: begin again, without an offset")
        }
        return began
    }

    /// Writes the archive of a volume to `target`, a file or a pipe, from where that stands.
    ///
    /// The volume is read as it is at the moment: what containers write meanwhile is in it or not. A clone stands still.
    package func export(_ export: VolumeExport, to target: DescriptorBox, _ move: BulkMove) async throws {
        try await using(export.name, for: "export") { path in
            do {
                try await move.run { move in
                    if export.isMeasured {
                        move.set(total: try TreeSteps.measure(try OwnedFD.quietTree(path), move).bytes)
                    }
                    try Self.write(path, export, to: target, move)
                }
            } catch { throw Self.told(error, "export \(export.name)") }
        }
        await events.publish(.volume, "export", export.name, ["driver": "local"])
    }

    private static func write(
        _ path: String, _ export: VolumeExport, to target: DescriptorBox, _ move: BulkMove
    ) throws {
        var output = try ArchiveOutput(
            to: try target.take(), compression: export.compression, skip: export.offset, move: move)
        try TreeArchive(try OwnedFD.quietTree(path), move: move).write(to: &output)
    }

    /// Runs `body` with a pipe that brings the plain archive of a volume, and the bytes of its files.
    ///
    /// - Throws: also when the archive was not written whole, whatever `body` has made of it.
    func withArchive<Value: Sendable>(
        _ name: String, for purpose: String, _ move: BulkMove,
        _ body: @Sendable (_ archive: DescriptorBox, _ bytes: Int64) async throws -> Value
    ) async throws -> Value {
        try await using(name, for: purpose) { path in
            do {
                let bytes = try await move.run { try TreeSteps.measure(try OwnedFD.quietTree(path), $0).bytes }
                move.set(total: bytes)
                let pipe = try Pipe()
                async let written: Void = move.run { try Self.write(path, VolumeExport(name), to: pipe.writer, $0) }
                let value = try await body(pipe.reader, bytes)
                try await written
                return value
            } catch { throw Self.told(error, "\(purpose) \(name)") }
        }
    }

    /// The archive as a stream of bytes.
    package nonisolated func exportStream(_ export: VolumeExport) throws -> OutgoingStream {
        let pipe = try Pipe()
        let (reader, writer) = (pipe.reader, pipe.writer)
        return OutgoingStream(
            reader: reader, completion: Task { try await self.export(export, to: writer, BulkMove()) })
    }

    // MARK: In

    /// Makes the volume `name`, or fills it where it is empty and nobody's, with what an archive holds: all of it or nothing.
    ///
    /// - Parameters:
    ///   - source: the archive, compressed or not.
    ///   - size: bytes of `source`, where they are known.
    ///   - labels: of a volume that is new.
    ///   - verb: what this is called to users.
    ///   - move: told of the bytes. Whoever gives the archive and cannot go on stops it before the archive ends.
    /// - Throws: ``EngineError`` `.conflict` for a volume that has content, users or a file system of its own;
    ///   `.invalidParameter` for an archive that is cut, broken, or leads out of the volume.
    package func importArchive(
        _ name: String, from source: DescriptorBox, size: Int64? = nil, labels: [String: String] = [:],
        as verb: String = "import", _ move: BulkMove
    ) async throws -> VolumeRecord {
        let target: VolumeName
        do throws(VolumeError) { target = try VolumeName(name) } catch {
            throw EngineError(.invalidParameter, "\(verb) \(name.printable): \(error.message)")
        }
        if let size { move.set(total: size) }
        let record = try await holding(name) {
            let known = volumes[name]
            if let known { try checkImport(known, verb) }
            let disk = disk
            do {
                try await move.run { move in
                    if known != nil { try disk.checkEmpty(target) }
                    let archive = try source.take()
                    try disk.fill(target, isNew: known == nil) { content, scratch in
                        try Self.extract(archive, to: content, scratch: scratch, move)
                    }
                }
            } catch { throw Self.told(error, "\(verb) \(name)") }
            if let known { return known }
            return try await store(target, labels: labels)
        }
        await events.publish(.volume, verb, name, ["driver": record.driver])
        return record
    }

    private func checkImport(_ record: VolumeRecord, _ verb: String) throws {
        try Self.checkLocal(record, verb)
        let holders = (users[record.name] ?? []).sorted()
        guard holders.isEmpty else {
            throw EngineError(
                .conflict, "\(verb) \(record.name): volume is in use - [\(holders.joined(separator: ", "))]")
        }
        guard try mountOptions(record.name) == nil else {
            throw EngineError(
                .conflict,
                "\(verb) \(record.name): the volume has a file system of its own: \(verb) into another and copy")
        }
    }

    /// Puts a volume that is on disk into the database.
    func store(
        _ target: VolumeName, labels: [String: String] = [:], options: [String: String] = [:]
    ) async throws -> VolumeRecord {
        let record = VolumeRecord(
            name: target.text, driver: Self.local, mountpoint: disk.dataPath(of: target), created: Timestamp.now().text,
            labels: labels, options: options, anonymous: false)
        let disk = disk
        do { try await database.write { try $0.put(.volumes, record.name, record) } } catch {
            // Nobody knows it yet: the next start would find it.
            try? await BlockingPool.shared.run { () throws(VolumeError) in try disk.remove(target) }
            throw error
        }
        volumes[target.text] = record
        return record
    }

    private static func extract(
        _ archive: borrowing OwnedFD, to content: borrowing OwnedFD, scratch: String, _ move: BulkMove
    ) throws {
        let raw = archive.raw
        let root = try content.open(".", O_RDONLY | O_DIRECTORY)
        let extraction = try ArchiveExtraction(
            root: root, path: "/", options: ExtractOptions(isWhole: true), scratchPath: scratch)
        try extraction.run { (buffer) throws(LayerError) in
            do throws(SystemError) {
                try move.check()
                let count = try checked("read") { read(raw, buffer.baseAddress, buffer.count) }
                // Who was to write more has perhaps ended because it could not.
                if count == 0 { try move.check() }
                move.add(count)
                return count
            } catch { throw LayerError(error, "reading the archive") }
        }
    }

    // MARK: Errors

    /// What went wrong, for who asked.
    static func told(_ error: any Error, _ doing: String) -> any Error {
        switch error {
        case let error as VolumeError:
            return EngineError(MountRequests.engineError(error).code, "\(doing): \(error.message)")
        case let error as LayerError:
            let isArchive = [.malformed, .limit, .unsupported].contains(error.code)
            return EngineError(
                isArchive || isHostile(error.cause) ? .invalidParameter : .system, "\(doing): \(error.message)")
        case let error as SystemError: return EngineError(.system, "\(doing): \(error)")
        default: return error
        }
    }

    /// Names that lead through a link or to nothing: the archive's fault, not the machine's.
    private static func isHostile(_ cause: SystemError?) -> Bool {
        cause.map { [ELOOP, ENOTDIR, ENOENT, EXDEV].contains($0.code) } ?? false
    }
}

extension BulkMove {
    /// How often progress is told: ten times a second is as fast as eyes.
    private static let interval = Duration.milliseconds(100)

    /// Runs `body` and tells how far it is; who stops listening stops it.
    ///
    /// - Parameters:
    ///   - status: "Exporting".
    ///   - id: the volume.
    ///   - body: gives the last events; what else there is to say it tells.
    package static func events(
        _ status: String, _ id: String,
        _ body:
            @escaping @Sendable (BulkMove, _ tell: @escaping @Sendable (TransferEvent) -> Void) async throws
            -> [TransferEvent]
    ) -> AsyncThrowingStream<TransferEvent, any Error> {
        let (stream, continuation) = AsyncThrowingStream<TransferEvent, any Error>.makeStream(
            bufferingPolicy: .bufferingNewest(16))
        let move = BulkMove()
        let work = Task {
            let ticker = Task {
                var hasBegun = false
                while true {
                    try await Task.sleep(for: interval)
                    let (done, total) = (move.done, move.total)
                    // That nothing has moved yet is told once.
                    if done == 0, total == 0, hasBegun { continue }
                    hasBegun = true
                    continuation.yield(
                        TransferEvent(status, id: id, current: done, total: total > 0 ? max(total, done) : nil))
                }
            }
            defer { ticker.cancel() }
            do {
                let last = try await body(move) { continuation.yield($0) }
                for event in last { continuation.yield(event) }
                continuation.finish()
            } catch { continuation.finish(throwing: error) }
        }
        continuation.onTermination = { _ in work.cancel() }
        return stream
    }
}
