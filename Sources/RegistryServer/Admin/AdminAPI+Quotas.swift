import HTTP
import RegistryStore

extension AdminAPI {
    static let quotaEndpoints: [Route<Handler>] = [
        .init(.get, "/quotas") { try await $0.listQuotas($1) },
        .init(.post, "/quotas/count") { try await $0.countQuotas($1) },
    ]

    /// Of `GET /quotas`, in bytes.
    package struct QuotaItem: Codable, Sendable {
        package let pattern: String
        package let limit: Int64
        package let used: Int64
    }

    private func listQuotas(_ call: Call) async throws -> Response {
        let items = try await store.quotaUse().map { use in
            QuotaItem(pattern: use.pattern, limit: use.limit, used: use.bytes)
        }
        return try RegistryAPI.json(200, items)
    }

    private func countQuotas(_ call: Call) async throws -> Response {
        call.done.deed = .init("quota-recount")
        try await store.countQuotas(isAgain: true)
        return try await listQuotas(call)
    }
}
