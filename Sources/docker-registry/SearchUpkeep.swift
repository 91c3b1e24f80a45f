import Logging
import RegistryStore

/// Keeps up what searches are answered from, beside the requests.
struct SearchUpkeep: Sendable {
    /// How late a pull is counted, and found what a mirrored configuration tells.
    private static let interval = Duration.seconds(5)

    let store: RegistryStore
    let logger: Logger

    /// Runs until it is cancelled. What fails is tried again.
    func run() async {
        repeat {
            await describe()
            await writePulls()
        } while (try? await Task.sleep(for: Self.interval)) != nil
        // Those of the last seconds.
        await writePulls()
    }

    private func describe() async {
        do {
            let count = try await store.describeOverdue()
            if count > 0 { logger.debug("\(count) repositories are found by what was not known of them") }
        } catch { logger.error("what repositories are found by is not up to date: \(error)") }
    }

    private func writePulls() async {
        do { try await store.writePulls() } catch { logger.error("pulls have not been counted: \(error)") }
    }
}
