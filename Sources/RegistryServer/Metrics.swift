import HTTP
import Synchronization

/// Counts of answers, for Prometheus (its text format 0.0.4).
final class Metrics: Sendable {
    private struct Key: Hashable {
        let route: String
        let method: String
        let status: Int
    }

    private struct Sum {
        var count = 0
        var seconds = 0.0
    }

    /// Methods that are counted by name: a client can make up any number of others.
    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

    private let sums = Mutex<[Key: Sum]>([:])
    private let bytes = Atomic<Int>(0)
    /// By server, which the configuration bounds.
    private let redirects = Mutex<[String: Int]>([:])

    func count(_ route: DistributionRoute.Kind?, _ method: Method, _ status: Int, _ duration: Duration) {
        let name = method.description
        let key = Key(
            route: route.map { "\($0)" } ?? "none", method: Self.methods.contains(name) ? name : "other", status: status
        )
        let seconds = duration / .seconds(1)
        sums.withLock { sums in
            sums[key, default: Sum()].count += 1
            sums[key, default: Sum()].seconds += seconds
        }
    }

    /// Bytes of blobs that were begun to be sent.
    func sends(_ count: Int) { bytes.wrappingAdd(count, ordering: .relaxed) }

    /// A client was sent to a server for a blob.
    func redirects(to server: String) { redirects.withLock { $0[server, default: 0] += 1 } }

    var text: String {
        let sorted = sums.withLock { $0 }.sorted {
            ($0.key.route, $0.key.method, $0.key.status) < ($1.key.route, $1.key.method, $1.key.status)
        }
        func lines(_ name: String, _ value: (Sum) -> String) -> [String] {
            ["# TYPE \(name) counter"]
                + sorted.map { key, sum in
                    "\(name){route=\"\(key.route)\",method=\"\(key.method)\",code=\"\(key.status)\"} \(value(sum))"
                }
        }
        let all =
            lines("docker_registry_requests_total") { "\($0.count)" }
            + lines("docker_registry_request_seconds_total") { "\($0.seconds)" }
            + [
                "# TYPE docker_registry_blob_bytes_total counter",
                "docker_registry_blob_bytes_total \(bytes.load(ordering: .relaxed))",
                "# TYPE docker_registry_blob_redirects_total counter",
            ]
            + redirects.withLock { $0 }.sorted { $0.key < $1.key }.map { server, count in
                "docker_registry_blob_redirects_total{server=\"\(server)\"} \(count)"
            }
        return all.joined(separator: "\n") + "\n"
    }
}
