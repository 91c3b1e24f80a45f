package import Synchronization

/// A container as lists show it: its record after the last change. Never changed; the next change makes another.
package final class ListedContainer: Sendable {
    package let record: ContainerRecord
    /// The API's text about it, which whoever lists containers keeps here.
    package let text = Mutex<Text?>(nil)

    /// A row of a list, in the pieces between which stands what changes while the record does not.
    package struct Text: Sendable {
        /// The ids that the container's networks had when the text was made.
        package let networks: [String: String]
        package let pieces: [[UInt8]]

        package init(networks: [String: String], pieces: [[UInt8]]) {
            self.networks = networks
            self.pieces = pieces
        }
    }

    init(_ record: ContainerRecord) { self.record = record }
}

/// Where a container's actor leaves its record, so that a list of thousands waits only for those that have changed since the
/// list before.
final class RecordBoard: Sendable {
    private let shown = Mutex<ListedContainer?>(nil)

    /// What was left here; nil when the record has changed since.
    var current: ListedContainer? { shown.withLock { $0 } }

    func show(_ container: ListedContainer) { shown.withLock { $0 = container } }

    func clear() { shown.withLock { $0 = nil } }
}
