import CLinux
import Glibc
import Kernel

/// Access to devices that is allowed: `c 1:3 rwm`, with `*` for any number.
package struct DeviceRule: Sendable, Hashable {
    /// `a`, `b` or `c`.
    package var type: Character
    package var major: Int32?
    package var minor: Int32?
    package var access: String

    package init(_ type: Character, _ major: Int32?, _ minor: Int32?, _ access: String) {
        self.type = type
        self.major = major
        self.minor = minor
        self.access = access
    }

    /// - Throws: `LaunchError` when `text` is not `a|b|c major:minor [rwm]`.
    package init(parsing text: String) throws(LaunchError) {
        let fields = text.split(separator: " ")
        let numbers = fields.count == 3 ? fields[1].split(separator: ":") : []
        func number(_ field: Substring) -> Int32?? {
            if field == "*" { return .some(nil) }
            return Int32(field).flatMap { $0 >= 0 ? .some($0) : nil }
        }
        guard fields.count == 3, fields[0].count == 1, let type = fields[0].first, "abc".contains(type),
            numbers.count == 2,
            let major = number(numbers[0]), let minor = number(numbers[1]), !fields[2].isEmpty,
            fields[2].allSatisfy({ "rwm".contains($0) })
        else { throw LaunchError(.invalid, step: "device rule", "invalid device cgroup rule format: '\(text)'") }
        self.init(type, major, minor, String(fields[2]))
    }

    var text: String {
        "\(type) \(major.map { "\($0)" } ?? "*"):\(minor.map { "\($0)" } ?? "*") \(access)"
    }

    var kernelRule: cl_device_rule {
        cl_device_rule(
            type: type == "b" ? 1 : type == "c" ? 2 : 0, major_number: major ?? -1, minor_number: minor ?? -1,
            access: (access.contains("m") ? 1 : 0) | (access.contains("r") ? 2 : 0) | (access.contains("w") ? 4 : 0),
            allow: 1)
    }

    /// What every container may use: any node made, and null, zero, full, random, urandom, tty, console, ptmx, pts.
    package static let defaults: [DeviceRule] = [
        .init("c", nil, nil, "m"), .init("b", nil, nil, "m"),
        .init("c", 1, 3, "rwm"), .init("c", 1, 5, "rwm"), .init("c", 1, 7, "rwm"), .init("c", 1, 8, "rwm"),
        .init("c", 1, 9, "rwm"), .init("c", 5, 0, "rwm"), .init("c", 5, 1, "rwm"), .init("c", 5, 2, "rwm"),
        .init("c", 136, nil, "rwm"),
    ]
}
