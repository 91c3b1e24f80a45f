import Logging
import RegistryMirror

/// Removes what was kept of other registries and is not asked for any more, now and then.
struct MirrorUpkeep: Sendable {
    let mirrors: Mirrors
    let interval: Duration

    /// Runs until it is cancelled, and ends the connections to other registries then. What fails is tried again the next time.
    func run() async {
        while (try? await Task.sleep(for: interval)) != nil {
            do {
                let count = try await mirrors.expire()
                if count > 0 { mirrors.logger.info("\(count) mirrored manifests were removed that nobody asks for") }
            } catch {
                mirrors.logger.error("the end of what is mirrored failed: \(error)")
            }
        }
        await mirrors.close()
    }
}
