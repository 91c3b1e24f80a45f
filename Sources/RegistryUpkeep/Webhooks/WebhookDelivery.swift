import AsyncHTTPClient
import Logging
import NIOCore
import NIOHTTP1
import RegistryStore

/// Tells one receiver what its outbox has: in order, one request at a time, each event until it was taken, so that one may
/// come twice.
///
/// Receivers are the operator's choice; what they answer is read no further than its status, redirects are not followed, and
/// certificates are verified: nobody who pushes can have the registry ask somebody else.
struct WebhookDelivery: Sendable {
    /// Events that wait for a receiver that is not there, each some 700 bytes: the oldest of more are dropped.
    static let outboxMax = 100_000
    /// How often an empty outbox is looked at.
    private static let idlePause = Duration.seconds(1)
    /// Steps after which the outbox is trimmed.
    private static let trimSteps = 60
    /// Bytes of an answer that are read, so that the connection can be used again.
    private static let answerBytesMax = 16 << 10
    /// Beyond what one delivery may take.
    private static let leaseDuration = Duration.seconds(60)

    let rule: WebhookRule
    let store: RegistryStore
    let client: HTTPClient
    let logger: Logger

    /// Runs until it is cancelled.
    func run() async {
        var pace = DeliveryPace()
        var steps = 0
        while !Task.isCancelled {
            var pause = Self.idlePause
            do {
                if steps.isMultiple(of: Self.trimSteps) { try await trim() }
                steps += 1
                if let next = try await step(&pace) { pause = next }
            } catch { logger.error("webhook \(rule.name): \(error)") }
            // Cancelled, which the loop looks at.
            if pause > .zero { try? await Task.sleep(for: pause) }
        }
    }

    private func trim() async throws {
        let dropped = try await store.trimOutbox(of: rule.name, countMax: Self.outboxMax)
        guard dropped > 0 else { return }
        logger.error("webhook \(rule.name): \(dropped) events were dropped, since more than \(Self.outboxMax) waited")
    }

    /// - Returns: how long to wait before the next one; nil when there was nothing to do.
    private func step(_ pace: inout DeliveryPace) async throws -> Duration? {
        let entries = try await store.outbox(of: rule.name, countMax: pace.batch)
        guard let first = entries.first,
            try await store.lease("webhook \(rule.name)", for: rule.timeout + Self.leaseDuration)
        else { return nil }
        let (outcome, reason) = await send(entries)
        if outcome == .taken { try await store.delivered(entries, to: rule.name) }
        let action = pace.event(
            outcome, count: entries.count, refusals: first.refusals, random: Double.random(in: 0...1))
        switch action {
        case .goOn, .single: return .zero
        case .park:
            try await store.refused(first, parks: true)
            logger.error(
                "webhook \(rule.name): an event was set aside, \(reason): docker registry webhooks --redeliver")
            return .zero
        case .wait(let seconds):
            if outcome == .refused { try await store.refused(first, parks: false) }
            if pace.failures == 1 { logger.warning("webhook \(rule.name): \(reason); it is tried again") }
            return .seconds(seconds)
        }
    }

    private func send(_ entries: [OutboxEntry]) async -> (DeliveryPace.Outcome, String) {
        let message = WebhookMessage(entries, to: rule, now: RegistryStore.now)
        var request = HTTPClientRequest(url: rule.url)
        request.method = .POST
        request.headers.add(name: "User-Agent", value: "docker-registry")
        for (name, value) in message.headers { request.headers.replaceOrAdd(name: name, value: value) }
        request.body = .bytes(ByteBuffer(bytes: message.body))
        do {
            let response = try await client.execute(
                request, timeout: .nanoseconds(rule.timeout.components.seconds * 1_000_000_000))
            // What it says is nobody's to know; without it the connection ends.
            _ = try? await response.body.collect(upTo: Self.answerBytesMax)
            let status = response.status.code
            switch status {
            case 200..<300: return (.taken, "")
            case 408, 425, 429: return (.failed, "it answers \(status)")
            case 400..<500: return (.refused, "it answers \(status)")
            default: return (.failed, "it answers \(status)")
            }
        } catch { return (.failed, "it cannot be reached: \(error)") }
    }
}
