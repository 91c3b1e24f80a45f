import Isolation

/// Devices of the host that a container is given. Whether they are there is seen at the start, as in Docker.
enum DeviceCheck {
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func check(_ host: HostConfig) throws {
        for device in host.devices ?? [] { try check(device) }
        for rule in host.deviceCgroupRules ?? [] {
            do throws(LaunchError) { _ = try DeviceRule(parsing: rule) } catch {
                throw EngineError.invalid(error.message)
            }
        }
        if let request = host.deviceRequests?.first {
            let sets = (request.capabilities ?? []).map { "[\($0.joined(separator: " "))]" }.joined(separator: " ")
            throw EngineError.invalid(
                "could not select device driver \"\((request.driver ?? "").printable)\" "
                    + "with capabilities: [\(sets.printable)]"
            )
        }
    }

    private static func check(_ device: DeviceMapping) throws {
        let mode = device.cgroupPermissions ?? ""
        guard mode.allSatisfy({ "rwm".contains($0) }), Set(mode).count == mode.count else {
            throw EngineError.invalid("invalid device mode: \(mode.printable)")
        }
        let outside = device.pathOnHost ?? ""
        let inside = (device.pathInContainer ?? "").isEmpty ? outside : device.pathInContainer ?? ""
        for path in [outside, inside] {
            guard path.hasPrefix("/"), !path.hasControlCharacter else {
                throw EngineError.invalid("'\(path.printable)' is not an absolute path")
            }
        }
        guard !inside.split(separator: "/").contains(".."), inside.contains(where: { $0 != "/" }) else {
            throw EngineError.invalid("invalid device path in the container: \(inside.printable)")
        }
    }
}
