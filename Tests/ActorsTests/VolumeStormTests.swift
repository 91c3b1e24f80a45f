import Foundation
import Kernel
import Logging
import Registry
import Synchronization
import Testing

@testable import Actors

/// Many at once create, use, remove and prune a few volumes; what they were told must be what one after another would have been.
@Suite struct VolumeStormTests {
    /// What was asked of one name, and what was told.
    enum Call: Hashable {
        /// A creation with a reference; it tells which generation of the volume there is.
        case create(user: String, offered: String, told: String)
        case forget(user: String)
        case remove(RemoveResult)
        /// A prune of everything unused.
        case prune(removed: Bool)
        case look(generation: String?)
    }

    enum RemoveResult: Hashable { case done, inUse, unknown }

    struct Event {
        let name: String
        let call: Call
        let began: Int
        let ended: Int
    }

    /// One name as a sequential engine has it.
    struct Model: Hashable {
        var generation: String?
        var users: Set<String> = []

        /// The state after `call`, or nil when it could not have been told that.
        func after(_ call: Call) -> Model? {
            var next = self
            switch call {
            case .create(let user, let offered, let told):
                if generation == nil { next.generation = offered }
                next.users.insert(user)
                return next.generation == told ? next : nil
            case .forget(let user):
                next.users.remove(user)
                return next
            case .remove(let result):
                let expected: RemoveResult = generation == nil ? .unknown : users.isEmpty ? .done : .inUse
                if expected == .done { next.generation = nil }
                return result == expected ? next : nil
            case .prune(let removed):
                let goes = generation != nil && users.isEmpty
                if removed { next.generation = nil }
                // What came or was left after the prune had listed may stay.
                return removed && !goes ? nil : next
            case .look(let told): return told == generation ? self : nil
            }
        }
    }

    /// Whether some order that respects who had ended before who began explains every answer (Wing and Gong's search).
    static func isLinearizable(_ events: [Event]) -> Bool {
        struct Visit: Hashable {
            var done: Set<Int>
            var model: Model
        }
        var seen: Set<Visit> = []
        var open = [Visit(done: [], model: Model())]
        while let visit = open.popLast() {
            if visit.done.count == events.count { return true }
            let rest = events.indices.filter { !visit.done.contains($0) }
            let firstEnd = rest.map { events[$0].ended }.min() ?? 0
            for index in rest where events[index].began <= firstEnd {
                guard let model = visit.model.after(events[index].call) else { continue }
                let next = Visit(done: visit.done.union([index]), model: model)
                if seen.insert(next).inserted { open.append(next) }
            }
        }
        return false
    }

    @Test func `the checker tells a wrong history from a right one`() {
        func event(_ call: Call, _ began: Int, _ ended: Int) -> Event {
            Event(name: "v1", call: call, began: began, ended: ended)
        }
        let right = [
            event(.create(user: "a", offered: "1", told: "1"), 0, 3), event(.remove(.inUse), 2, 5),
            event(.forget(user: "a"), 6, 7), event(.remove(.done), 8, 9), event(.remove(.unknown), 8, 10),
        ]
        #expect(Self.isLinearizable(right))
        #expect(!Self.isLinearizable(right + [event(.look(generation: "1"), 11, 12)]))
        #expect(!Self.isLinearizable([right[0], event(.remove(.done), 4, 5)]))
        #expect(!Self.isLinearizable([right[0], event(.create(user: "b", offered: "2", told: "2"), 4, 5)]))
    }

    private func registry(_ directory: String) async throws -> VolumeRegistry {
        try Files.makeDirectories(directory)
        var configuration = EngineConfiguration(registry: try RegistryConfiguration())
        configuration.dataRoot = directory
        return try await VolumeRegistry(
            configuration, try StateDatabase.open(directory + "/state.db"), EventLog(), logger: Logger(label: "test"))
    }

    @Test func `whatever many do at once to a few volumes one after another could have done`() async throws {
        let directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/storm-" + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let volumes = try await registry(directory)
        let history = History()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<Self.workers {
                group.addTask {
                    for step in 0..<Self.steps {
                        try await Self.act(on: volumes, history, id: "\(worker)-\(step)", directory)
                    }
                }
            }
            try await group.waitForAll()
        }
        let events = history.events
        for name in Self.names {
            let own = events.filter { $0.name == name }
            #expect(own.count > 20)
            #expect(Self.isLinearizable(own), "\(name): \(own.sorted { $0.began < $1.began })")
        }
        // Whoever comes next finds on disk what was told.
        let told = try await volumes.knownVolumes().map(\.name)
        #expect(try Files.list(directory + "/volumes").sorted() == told)
    }

    private static let names = ["v0", "v1", "v2"]
    private static let workers = 4
    private static let steps = 30

    /// One random step: a use of a volume with its end, a removal, a prune, or a look.
    private static func act(
        on volumes: VolumeRegistry, _ history: History, id: String, _ directory: String
    ) async throws {
        let name = names.randomElement() ?? "v0"
        switch Int.random(in: 0..<10) {
        case 0..<5:
            let began = history.tick()
            let record = try await volumes.create(name: name, labels: ["generation": id], for: id)
            let told = record.labels["generation"] ?? ""
            history.add(name, .create(user: id, offered: id, told: told), began)
            // The data is that of the generation, whatever was removed before.
            let file = "\(directory)/volumes/\(name)/_data/generation"
            if let bytes = try? Files.read(file) {
                #expect(String(decoding: bytes, as: UTF8.self) == told)
            } else {
                try Data(told.utf8).write(to: URL(filePath: file), options: .atomic)
            }
            await Task.yield()
            #expect(Files.exists(file), "\(name) went while it was used")
            let ending = history.tick()
            await volumes.forget(container: id, removing: [])
            history.add(name, .forget(user: id), ending)
        case 5..<8:
            let began = history.tick()
            var result = RemoveResult.done
            do { try await volumes.remove(name) } catch let error as EngineError {
                result = error.code == .conflict ? .inUse : .unknown
                #expect(result == .unknown || error.message.hasPrefix("remove \(name): volume is in use - ["))
            }
            history.add(name, .remove(result), began)
        case 8:
            let began = history.tick()
            let removed = try await volumes.prune(filters: ["all": ["1"]]).deleted
            for other in names { history.add(other, .prune(removed: removed.contains(other)), began) }
        default:
            let began = history.tick()
            let record = try? await volumes.volume(name)
            history.add(name, .look(generation: record?.labels["generation"]), began)
        }
    }

    /// What was done, with a clock that orders beginnings and ends.
    private final class History: Sendable {
        private let state = Mutex((clock: 0, events: [Event]()))
        var events: [Event] { state.withLock { $0.events } }
        func tick() -> Int {
            state.withLock {
                $0.clock += 1
                return $0.clock
            }
        }
        func add(_ name: String, _ call: Call, _ began: Int) {
            state.withLock {
                $0.clock += 1
                $0.events.append(Event(name: name, call: call, began: began, ended: $0.clock))
            }
        }
    }

    @Test func `a volume found on disk without a row is kept, and one that nobody named is anonymous`() async throws {
        let directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/storm-" + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let anonymous = String(repeating: "ab", count: 32)
        for name in ["found", anonymous] { try Files.makeDirectories("\(directory)/volumes/\(name)/_data") }
        try Files.makeDirectories(directory + "/volumes/lost+found")
        let volumes = try await registry(directory)
        #expect(try await volumes.knownVolumes().map(\.name) == [anonymous, "found"])
        #expect(try await volumes.prune(filters: [:]).deleted == [anonymous])
        #expect(try await volumes.knownVolumes().map(\.name) == ["found"])
    }

    @Test func `a prune takes what its filters say and tells the bytes`() async throws {
        let directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/storm-" + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let volumes = try await registry(directory)
        for (name, labels) in [("plain", [:]), ("kept", ["keep": "yes"]), ("other", ["keep": "no"])] {
            let record = try await volumes.create(name: name, labels: labels)
            try Files.replace(record.mountpoint + "/bytes", with: Array(repeating: 1, count: 1000))
            #expect(link(record.mountpoint + "/bytes", record.mountpoint + "/again") == 0)
        }
        let nameless = try await volumes.create(name: nil, anonymous: true)
        _ = try await volumes.create(name: "used", for: "container")
        #expect(try await volumes.prune(filters: [:]).deleted == [nameless.name])
        let labelled = try await volumes.prune(filters: ["all": ["true"], "label": ["keep=no"]])
        #expect(labelled.deleted == ["other"] && labelled.spaceReclaimed == 1000)
        #expect(try await volumes.prune(filters: ["all": ["1"], "label!": ["keep"]]).deleted == ["plain"])
        #expect(try await volumes.knownVolumes().map(\.name) == ["kept", "used"])
        for bad in [["nosuch": ["x"]], ["all": ["perhaps"]]] {
            await #expect(throws: EngineError.self) { try await volumes.prune(filters: bad) }
        }
    }
}
