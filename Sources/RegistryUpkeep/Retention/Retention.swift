import Logging
import OCI
package import RegistryStore

/// Removes what no rule keeps.
package struct Retention: Sendable {
    /// A tag or a manifest that goes.
    package struct Line: Sendable, Hashable, Codable {
        package let repository: String
        /// nil for a manifest without a tag.
        package let tag: String?
        package let digest: String
        package let reason: String
    }

    /// How often it runs.
    private static let interval: Int64 = 3600
    /// How often it is looked whether it is time.
    private static let lookInterval = Duration.seconds(30)
    private static let leaseDuration = Duration.seconds(600)
    private static let pageCount = 500
    /// Tags of one transaction.
    private static let tagsAtOnce = 200
    private static let progressName = "retention"

    let store: RegistryStore
    let rules: [RetentionRule]
    /// Is told what has been removed, transaction by transaction.
    let removed: @Sendable ([Removal]) async -> Void
    let logger: Logger

    /// Runs until it is cancelled.
    func run() async {
        repeat {
            do {
                let last = try await store.progress(Self.progressName).flatMap { Int64($0) } ?? 0
                guard RegistryStore.now - last >= Self.interval,
                    try await store.lease("retention", for: Self.leaseDuration)
                else { continue }
                let retired = try await apply()
                if retired != Retired() {
                    logger.info("\(retired.tags) tags and \(retired.manifests) manifests were removed by rule")
                }
            } catch { logger.error("retention failed: \(error)") }
        } while (try? await Task.sleep(for: Self.lookInterval)) != nil
    }

    /// Removes what goes now.
    package func apply() async throws -> Retired {
        var total = Retired()
        func note(_ removals: [Removal]) async {
            total.count(removals)
            await removed(removals)
        }
        try await forEachPlan { name, plan in
            let goes = Set(plan.tags.map(\.tag))
            for group in plan.groups { await note(try await store.retire(group, tags: goes, in: name)) }
            let gone = Set(plan.groups.flatMap { $0.map(\.digest) })
            let rest = plan.tags.map(\.tag).filter { !gone.contains($0.digest) }
            for start in stride(from: 0, to: rest.count, by: Self.tagsAtOnce) {
                let part = Array(rest[start..<min(start + Self.tagsAtOnce, rest.count)])
                await note(try await store.retire(tags: part, in: name))
            }
        }
        try await store.setProgress(Self.progressName, "\(RegistryStore.now)")
        return total
    }

    /// Tells what would go now, tag by tag.
    package func preview(_ each: (Line) async throws -> Void) async throws {
        try await forEachPlan { name, plan in
            for item in plan.tags {
                try await each(
                    Line(
                        repository: name.description, tag: item.tag.name, digest: item.tag.digest.description,
                        reason: item.reason))
            }
            let tagged = Set(plan.tags.map(\.tag.digest))
            for group in plan.groups {
                for (number, manifest) in group.enumerated() where !tagged.contains(manifest.digest) {
                    let reason = number == 0 ? plan.untaggedReasons[manifest.digest] : nil
                    try await each(
                        Line(
                            repository: name.description, tag: nil, digest: manifest.digest.description,
                            reason: reason ?? "part or signature of what goes"))
                }
            }
        }
    }

    private func forEachPlan(_ body: (RepositoryName, RetentionPlan) async throws -> Void) async throws {
        var last: String?
        while true {
            let page = try await store.repositories(after: last, countMax: Self.pageCount)
            for text in page.items {
                let rules = rules.filter { $0.repositories.matches(text) }
                guard !rules.isEmpty else { continue }
                let name = try RepositoryName(text)
                guard let contents = try await store.contents(of: name) else { continue }
                try await body(name, RetentionPlan(contents, rules, now: RegistryStore.now))
            }
            guard page.hasMore, let end = page.items.last else { return }
            last = end
        }
    }
}
