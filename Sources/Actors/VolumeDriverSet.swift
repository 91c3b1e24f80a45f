import AsyncHTTPClient
import Kernel
import VolumeDrivers

/// Owns what is known of the volume drivers beside the daemon: which have been asked what they are.
///
/// Nothing of it is stored. A driver may come, go and start again at any time, so that it is looked for at each use.
actor VolumeDriverSet {
    private let directories = DriverDirectories()
    /// To use a driver that somebody named.
    private let patience = VolumeDriver.Patience()
    /// To ask all there are: those that do not answer at once are left out.
    private static let glance = {
        var patience = VolumeDriver.Patience()
        patience.look = .seconds(10)
        patience.connect = .milliseconds(500)
        return patience
    }()
    /// Made for the first driver: most daemons never have one.
    private var clients: (using: HTTPClient, glancing: HTTPClient)?
    /// Where the programs listen that have said to be volume drivers.
    private var active: [String: DriverAddress] = [:]

    /// The driver that somebody named.
    ///
    /// - Throws: `DriverError` `.notFound` when there is none of that name.
    func driver(_ name: String) async throws(DriverError) -> VolumeDriver {
        let directories = directories
        let address = try await BlockingPool.shared.run { () throws(DriverError) in
            try directories.address(of: name)
        }
        guard let address else { throw DriverError(.notFound, "plugin \"\(name)\" not found") }
        let driver = VolumeDriver(name, at: address, client: opened().using, patience: patience)
        if active[name] != address {
            try await driver.activate()
            active[name] = address
        }
        return driver
    }

    /// All drivers that answer.
    func all() async -> [VolumeDriver] {
        let directories = directories
        let found = await BlockingPool.shared.run {
            // What is written badly about one driver does not hide the others; its user is told.
            directories.names().compactMap { name in (try? directories.address(of: name)).map { (name, $0) } }
        }
        guard !found.isEmpty else { return [] }
        let client = opened().glancing
        let drivers = found.map { VolumeDriver($0, at: $1, client: client, patience: Self.glance) }
        return await withTaskGroup(of: (VolumeDriver, Bool).self) { group in
            for driver in drivers {
                let isKnown = active[driver.name] == driver.address
                group.addTask {
                    if isKnown { return (driver, true) }
                    do throws(DriverError) { try await driver.activate() } catch { return (driver, false) }
                    return (driver, true)
                }
            }
            var result: [VolumeDriver] = []
            for await (driver, isActive) in group where isActive {
                active[driver.name] = driver.address
                result.append(driver)
            }
            return result.sorted { $0.name < $1.name }
        }
    }

    private func opened() -> (using: HTTPClient, glancing: HTTPClient) {
        if let clients { return clients }
        let opened = (VolumeDriver.client(patience), VolumeDriver.client(Self.glance))
        clients = opened
        return opened
    }

    func shutdown() async {
        guard let last = clients else { return }
        clients = nil
        // Both only fail when they were closed before.
        try? await last.using.shutdown()
        try? await last.glancing.shutdown()
    }
}
