import Glibc
import Kernel
import Logging
package import OCI
import VolumeDrivers
import Volumes

/// A volume as clients see it.
package struct VolumeView: Sendable {
    package let record: VolumeRecord
    /// `local` or `global`.
    package let scope: String
    /// What its driver says about it; nil for nothing.
    package var status: [String: JSONValue]?

    package init(_ record: VolumeRecord, scope: String = "local") {
        self.record = record
        self.scope = scope
    }
}

/// Volumes of drivers beside the daemon.
extension VolumeRegistry {
    static let local = "local"

    /// A driver's error as Docker tells it.
    static func engineError(_ error: DriverError, _ prefix: String) -> EngineError {
        EngineError(error.code == .notFound ? .notFound : .system, prefix + error.message)
    }

    private func driver(_ name: String, _ prefix: String = "") async throws -> VolumeDriver {
        do throws(DriverError) { return try await drivers.driver(name) } catch {
            throw Self.engineError(error, prefix + "error looking up volume plugin \(name): ")
        }
    }

    // MARK: Create and remove

    /// Makes the volume, or takes up the one that the driver has under this name. For who holds the name.
    func createByDriver(_ record: VolumeRecord) async throws -> VolumeRecord {
        let name = record.name
        let driver = try await driver(record.driver, "create \(name): ")
        do throws(DriverError) {
            let isNew = try await found(name, by: driver) == nil
            if isNew { try await driver.create(name, options: record.options) }
            var record = record
            // Some drivers know none before the volume is mounted.
            record.mountpoint = (try? await driver.path(of: name)) ?? ""
            let made = record
            do { try await database.write { try $0.put(.volumes, name, made) } } catch {
                // Nobody knows it: the next creation takes it up, unless it goes now.
                if isNew { try? await driver.remove(name) }
                throw DriverError(.invalid, "\(error)")
            }
            return record
        } catch { throw Self.engineError(error, "create \(name): ") }
    }

    /// What the driver has under a name; nil also when it refuses to tell, as Docker takes it.
    private func found(_ name: String, by driver: VolumeDriver) async throws(DriverError) -> DriverVolume? {
        do throws(DriverError) { return try await driver.get(name) } catch {
            guard error.code == .refused else { throw error }
            return nil
        }
    }

    /// The volume `name` of whichever driver has it, known from now on; nil when none has. For who holds the name.
    func adoptFromDriver(_ name: String) async throws -> VolumeRecord? {
        for driver in await drivers.all() {
            // A driver that does not answer cannot have it for now.
            guard let volume = try? await driver.get(name) else { continue }
            let record = Self.record(volume, named: name, of: driver)
            try await database.write { try $0.put(.volumes, name, record) }
            volumes[name] = record
            return record
        }
        return nil
    }

    private static func record(_ volume: DriverVolume, named name: String, of driver: VolumeDriver) -> VolumeRecord {
        VolumeRecord(
            name: name, driver: driver.name, mountpoint: volume.mountpoint, created: volume.created, labels: [:],
            options: [:], anonymous: false)
    }

    /// - Parameter force: forgets the volume also when its driver does not remove it.
    func removeByDriver(_ record: VolumeRecord, force: Bool) async throws {
        do {
            let driver = try await driver(record.driver)
            do throws(DriverError) { try await driver.remove(record.name) } catch {
                throw Self.engineError(error, "remove \(record.name): ")
            }
        } catch {
            guard force else { throw error }
            logger.warning(
                "volume is forgotten, its driver has not removed it",
                metadata: ["volume": "\(record.name)", "driver": "\(record.driver)", "error": "\(error)"])
        }
        try await database.write(makesRoom: true) { try $0.remove(.volumes, record.name) }
        volumes[record.name] = nil
    }

    // MARK: Look

    /// A volume, with what its driver says about it.
    ///
    /// - Throws: ``EngineError`` for a name that no driver has, and for a driver that does not answer.
    package func look(_ name: String) async throws -> VolumeView {
        var record = volumes[name]
        if record == nil { record = try await holding(name) { try await known(name) } }
        guard let record else { throw EngineError.noSuchVolume(name) }
        return record.driver == Self.local ? await localView(record) : try await view(record)
    }

    /// With what holds it to its size, for a volume that has one.
    private func localView(_ record: VolumeRecord) async -> VolumeView {
        var view = VolumeView(record)
        guard record.options["size"] != nil, let volume = try? VolumeName(record.name) else { return view }
        let disk = disk
        switch await BlockingPool.shared.run({ disk.sizeLimit(of: volume) }) {
        case .projectQuota(let project):
            view.status = ["SizeLimit": .string("project quota"), "Project": .integer(Int64(project))]
        case .fileSystem: view.status = ["SizeLimit": .string("file system of its own")]
        case nil: break
        }
        return view
    }

    /// The volume `name`, if need be of whichever driver has it. For who holds the name.
    func known(_ name: String) async throws -> VolumeRecord? {
        if let record = volumes[name] { return record }
        guard (try? VolumeName(name)) != nil else { return nil }
        return try await adoptFromDriver(name)
    }

    private func view(_ record: VolumeRecord) async throws -> VolumeView {
        do throws(DriverError) {
            let driver = try await drivers.driver(record.driver)
            guard let volume = try await found(record.name, by: driver) else {
                throw DriverError(.refused, "")
            }
            var view = VolumeView(Self.told(record, volume), scope: try await driver.scope())
            view.status = volume.status
            return view
        } catch {
            // The driver has removed it by itself.
            if error.code == .refused { throw EngineError.noSuchVolume(record.name) }
            throw Self.engineError(
                error,
                "get \(record.name): error while checking if volume \"\(record.name)\" exists in driver \"\(record.driver)\": "
            )
        }
    }

    private static func told(_ record: VolumeRecord, _ volume: DriverVolume) -> VolumeRecord {
        var record = record
        if !volume.mountpoint.isEmpty { record.mountpoint = volume.mountpoint }
        if !volume.created.isEmpty { record.created = volume.created }
        return record
    }

    /// The volumes of all drivers that match `filters`, by name, and which drivers did not tell theirs.
    package func list(filters: [String: [String]]) async throws -> (volumes: [VolumeView], warnings: [String]) {
        let known = try knownVolumes(filters: filters)
        var views = known.filter { $0.driver == Self.local }.map { VolumeView($0) }
        var warnings: [String] = []
        var told: Set<String> = []
        let answers = await withTaskGroup(of: (VolumeDriver, Result<[DriverVolume], DriverError>, String).self) {
            group in
            for driver in await drivers.all() where Filter.equals(filters["driver"], driver.name) {
                group.addTask {
                    do throws(DriverError) {
                        return (driver, .success(try await driver.list()), try await driver.scope())
                    } catch { return (driver, .failure(error), "local") }
                }
            }
            var answers: [(VolumeDriver, Result<[DriverVolume], DriverError>, String)] = []
            for await answer in group { answers.append(answer) }
            return answers.sorted { $0.0.name < $1.0.name }
        }
        for (driver, answer, scope) in answers {
            switch answer {
            case .failure(let error): warnings.append("list \(driver.name): \(error.message)")
            case .success(let listed):
                told.insert(driver.name)
                for volume in listed {
                    // A name has one volume: the first driver's.
                    guard volumes[volume.name].map({ $0.driver == driver.name }) ?? true else { continue }
                    let record = volumes[volume.name] ?? Self.record(volume, named: volume.name, of: driver)
                    guard try matches(record, filters) else { continue }
                    views.append(VolumeView(Self.told(record, volume), scope: scope))
                }
            }
        }
        // Those of a driver that does not answer are shown as they are known.
        views += known.filter { $0.driver != Self.local && !told.contains($0.driver) }.map { VolumeView($0) }
        var seen: Set<String> = []
        return (
            views.filter { seen.insert($0.record.name).inserted }.sorted { $0.record.name < $1.record.name }, warnings
        )
    }

    /// Names of the drivers there are, the daemon's own first.
    package func driverNames() async -> [String] { [Self.local] + (await drivers.all().map(\.name)) }

    // MARK: Mounts

    /// Has the driver mount a volume for a user, once.
    ///
    /// That it was asked is stored before: whatever becomes of this daemon, the next one knows what to end.
    /// - Returns: the directory with the volume's content.
    func mountByDriver(_ record: VolumeRecord, for user: String) async throws -> String {
        let name = record.name
        return try await holding(name) {
            if mounters[name]?.contains(user) == true, let path = driverPaths[name] { return path }
            do {
                let driver = try await driver(record.driver)
                try await noteMount(name) { $0.insert(user) }
                let path: String
                do throws(DriverError) { path = try await driver.mount(name, for: user) } catch {
                    // What has said no has mounted nothing; of anything else nobody knows.
                    if error.code == .refused {
                        try await noteMount(name) { $0.remove(user) }
                    } else {
                        endMountLater(name, user)
                    }
                    throw Self.engineError(error, "")
                }
                mounters[name, default: []].insert(user)
                driverPaths[name] = path
                return path
            } catch let error as EngineError {
                throw EngineError(error.code, "error while mounting volume '\(record.mountpoint)': \(error.message)")
            }
        }
    }

    /// Has the driver end a user's mount. What it does not end stays noted, for the next start.
    func unmountByDriver(_ name: String, for user: String) async {
        await holding(name) {
            mounters[name]?.remove(user)
            if mounters[name]?.isEmpty == true { (mounters[name], driverPaths[name]) = (nil, nil) }
            await endMount(name, user)
        }
    }

    private func endMount(_ name: String, _ user: String) async {
        guard let record = volumes[name] else { return }
        do {
            let driver = try await drivers.driver(record.driver)
            try await driver.unmount(name, for: user)
            try await noteMount(name) { $0.remove(user) }
        } catch {
            logger.warning(
                "cannot unmount volume",
                metadata: ["volume": "\(name)", "driver": "\(record.driver)", "error": "\(error)"])
        }
    }

    private func endMountLater(_ name: String, _ user: String) {
        Task { await holding(name) { if mounters[name]?.contains(user) != true { await endMount(name, user) } } }
    }

    private func noteMount(_ name: String, _ change: (inout Set<String>) -> Void) async throws {
        guard var record = volumes[name] else { throw EngineError.noSuchVolume(name) }
        var users = Set(record.mountedBy ?? [])
        change(&users)
        record.mountedBy = users.isEmpty ? nil : users.sorted()
        let noted = record
        try await database.write { try $0.put(.volumes, name, noted) }
        volumes[name] = noted
    }

    /// Ends mounts that an earlier daemon asked for and nobody uses. A driver may take its time: nothing waits for it.
    func endLeftMounts() {
        for record in volumes.values {
            for user in record.mountedBy ?? [] where mounters[record.name]?.contains(user) != true {
                endMountLater(record.name, user)
            }
        }
    }

    /// Ends what has to do with drivers; containers go on.
    func shutdown() async { await drivers.shutdown() }
}
