import OCI
import RegistryStore

/// What goes by rule, and why: a pure function of what a repository has.
///
/// A tag goes when a rule is for it and none of its rules keeps it. With it goes its manifest, unless another tag or an index that
/// stays names it; what an index names goes with the index, and signatures and other referrers go with their subject. A tag that
/// names the digest of a manifest (`sha256-<hex>.sig`) is a signature of that, and no rule is for it while that is there.
struct RetentionPlan: Sendable, Hashable {
    struct Item: Sendable, Hashable {
        let tag: RepositoryContents.Tag
        let reason: String
    }

    /// Tags that go.
    private(set) var tags: [Item] = []
    /// Manifests that go, in groups that go at once: one that nothing names, and what only it has.
    private(set) var groups: [[RepositoryContents.Manifest]] = []
    /// Of the first of each group that had no tag.
    private(set) var untaggedReasons: [Digest: String] = [:]

    init(_ contents: RepositoryContents, _ rules: [RetentionRule], now: Int64) {
        let graph = Graph(contents)
        let ordinary = contents.tags.filter { !graph.isSignature($0) }
        let pulled = Dictionary(
            contents.manifests.map { ($0.digest, $0.pulled) }, uniquingKeysWith: { first, _ in first })
        let sorted = ordinary.sorted { ($0.pushed, $0.name) > ($1.pushed, $1.name) }
        let reasons = Self.reasons(sorted, pulled, rules, now)
        tags = sorted.compactMap { tag in reasons[tag.name].map { Item(tag: tag, reason: $0) } }
        let untaggedAfter = rules.compactMap(\.untagged).max()
        var roots = ordinary.filter { reasons[$0.name] == nil }.map(\.digest)
        let tagged = Set(ordinary.map(\.digest))
        for (index, manifest) in contents.manifests.enumerated()
        where !tagged.contains(manifest.digest) && !graph.isNamed(index) {
            if let untaggedAfter, now - max(manifest.pushed, manifest.pulled ?? 0) > untaggedAfter {
                untaggedReasons[manifest.digest] =
                    "untagged, pushed \(RetentionRule.days(now - manifest.pushed)) ago"
            } else {
                roots.append(manifest.digest)
            }
        }
        let live = graph.reachable(from: roots)
        groups = graph.groups(without: live)
        for tag in contents.tags where graph.isSignature(tag) {
            guard let place = graph.place(tag.digest), !live[place] else { continue }
            tags.append(Item(tag: tag, reason: "signature of what goes"))
        }
    }

    /// Why tags go, by name.
    ///
    /// - Parameter sorted: the one that was pushed last first.
    private static func reasons(
        _ sorted: [RepositoryContents.Tag], _ pulled: [Digest: Int64?], _ rules: [RetentionRule], _ now: Int64
    ) -> [String: String] {
        var reasons: [String: String] = [:]
        var kept: Set<String> = []
        for rule in rules {
            for (rank, tag) in sorted.filter({ rule.isFor(tag: $0.name) }).enumerated() {
                let reason = rule.reason(rank, pushed: tag.pushed, pulled: pulled[tag.digest] ?? nil, now: now)
                if let reason { reasons[tag.name] = reason } else { kept.insert(tag.name) }
            }
            // What one rule protects, another does not take.
            for tag in sorted where rule.protected.matches(tag.name) { kept.insert(tag.name) }
        }
        return reasons.filter { !kept.contains($0.key) }
    }
}

/// Which manifest goes with which.
private struct Graph {
    private let manifests: [RepositoryContents.Manifest]
    private let places: [Digest: Int]
    /// What goes with each: members of an index, referrers, signatures.
    private var below: [[Int]]
    private var named: [Bool]

    init(_ contents: RepositoryContents) {
        manifests = contents.manifests
        let places = Dictionary(
            contents.manifests.enumerated().map { ($1.digest, $0) }, uniquingKeysWith: { first, _ in first })
        self.places = places
        below = Array(repeating: [], count: manifests.count)
        named = Array(repeating: false, count: manifests.count)
        for (index, manifest) in manifests.enumerated() {
            for member in manifest.members { link(index, places[member]) }
            if let subject = manifest.subject, let above = places[subject] { link(above, index) }
        }
        for tag in contents.tags {
            guard let subject = SignatureTag(tag.name)?.subject, let above = places[subject] else { continue }
            link(above, places[tag.digest])
        }
    }

    private mutating func link(_ above: Int, _ index: Int?) {
        guard let index, index != above else { return }
        below[above].append(index)
        named[index] = true
    }

    func place(_ digest: Digest) -> Int? { places[digest] }

    /// Whether another manifest keeps it.
    func isNamed(_ index: Int) -> Bool { named[index] }

    /// Whether a tag is a signature of a manifest that is here.
    func isSignature(_ tag: RepositoryContents.Tag) -> Bool {
        SignatureTag(tag.name).map { places[$0.subject] != nil && $0.subject != tag.digest } ?? false
    }

    func reachable(from roots: [Digest]) -> [Bool] {
        var found = Array(repeating: false, count: manifests.count)
        for root in roots.compactMap({ places[$0] }) { _ = take(root, &found) }
        return found
    }

    /// Manifests that are not in `live`, each with what was only its own.
    func groups(without live: [Bool]) -> [[RepositoryContents.Manifest]] {
        var found = live
        var hasAbove = Array(repeating: false, count: manifests.count)
        for index in manifests.indices where !live[index] { for child in below[index] { hasAbove[child] = true } }
        // Those of a circle, which digests do not make, come last.
        let order = manifests.indices.filter { !hasAbove[$0] } + manifests.indices.filter { hasAbove[$0] }
        return order.compactMap { index in
            let group = take(index, &found)
            return group.isEmpty ? nil : group.map { manifests[$0] }
        }
    }

    /// What can be reached from `start` and was not found before.
    private func take(_ start: Int, _ found: inout [Bool]) -> [Int] {
        var (stack, taken) = ([start], [Int]())
        while let index = stack.popLast() {
            guard !found[index] else { continue }
            found[index] = true
            taken.append(index)
            stack += below[index]
        }
        return taken
    }
}
