/// The PORTS column: `0.0.0.0:8080->80/tcp, 443/tcp`.
///
/// Ports that are published under their own number, or not at all, are joined to ranges; those under another number stand
/// behind them one by one.
struct PortList {
    /// Consecutive ports of one protocol at one address.
    private struct Run {
        let ip: String
        let proto: String
        var numbers: ClosedRange<Int64>

        func isLike(_ other: Run) -> Bool { ip == other.ip && proto == other.proto }

        var text: String {
            let range =
                numbers.count == 1 ? String(numbers.lowerBound) : "\(numbers.lowerBound)-\(numbers.upperBound)"
            return (ip.isEmpty ? "" : "\(PortList.joined(ip, range))->") + "\(range)/\(proto)"
        }
    }

    private var ended: [String] = []
    private var open: [Run] = []
    private var translated: [String] = []

    /// - Parameter ports: as `GET /containers/json` lists them.
    static func text(_ ports: [JSON]) -> String {
        var list = PortList()
        for port in ports.sorted(by: isAscending) { list.add(port) }
        return (list.ended + list.open.map(\.text) + list.translated).joined(separator: ", ")
    }

    /// An address and a port as they are dialled: `[::1]:80`.
    static func joined(_ ip: String, _ port: String) -> String { (ip.contains(":") ? "[\(ip)]" : ip) + ":\(port)" }

    private static func isAscending(_ left: JSON, _ right: JSON) -> Bool {
        func key(_ port: JSON) -> (Int64, String, Int64, String) {
            (port.int("PrivatePort"), port.text("IP"), port.int("PublicPort"), port.text("Type"))
        }
        return key(left) < key(right)
    }

    private mutating func add(_ port: JSON) {
        let number = port.int("PrivatePort")
        let next = Run(ip: port.text("IP"), proto: port.text("Type"), numbers: number...number)
        if !next.ip.isEmpty, port.int("PublicPort") != number {
            translated.append("\(Self.joined(next.ip, String(port.int("PublicPort"))))->\(number)/\(next.proto)")
            return
        }
        guard let index = open.firstIndex(where: next.isLike) else { return open.append(next) }
        let run = open[index].numbers
        if number == run.upperBound + 1 {
            open[index].numbers = run.lowerBound...number
        } else {
            ended.append(open[index].text)
            open[index] = next
        }
    }
}
