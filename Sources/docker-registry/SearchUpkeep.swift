import Logging
import RegistryStore

/// Keeps up what searches are answered from, beside the requests.
struct SearchUpkeep: Sendable {
    /// How late a pull is counted.
    private static let interval = Duration.seconds(5)

    let store: RegistryStore
    let logger: Logger

    /// Runs until it is cancelled. What fails is tried again.
    func run() async {
        do {
            let count = try await store.describeOld()
            if count > 0 { logger.info("\(count) repositories are found by searches now") }
        } catch { logger.error("repositories of before are not found by searches until the next start: \(error)") }
        while (try? await Task.sleep(for: Self.interval)) != nil { await writePulls() }
        // Those of the last seconds.
        await writePulls()
    }

    private func writePulls() async {
        do { try await store.writePulls() } catch { logger.error("pulls have not been counted: \(error)") }
    }
}
