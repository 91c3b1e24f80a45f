import Actors
import NIOCore

/// Events as the API shows them: the members of today beside those of before 1.22.
enum EventWire {
    static func line(_ event: Event) -> ByteBuffer {
        var line = value(event).bytes
        line.writeStaticString("\n")
        return line
    }

    static func value(_ event: Event) -> JSON {
        var value: JSON = [:]
        let from = event.attributes["image"]
        if event.kind == .container || event.kind == .image {
            value.append("status", .string(event.action))
            value.append("id", .string(event.id))
            if event.kind == .container, let from { value.append("from", .string(from)) }
        }
        value.append("Type", .string(event.kind.rawValue))
        value.append("Action", .string(event.action))
        value.append("Actor", ["ID": .string(event.id), "Attributes": JSON(event.attributes)])
        value.append("scope", "local")
        value.append("time", .int(event.time / 1_000_000_000))
        value.append("timeNano", .int(event.time))
        return value
    }
}

/// The filters of `docker events`.
struct EventFilter: Sendable {
    private static let known: Set<String> = [
        "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "service", "type",
        "volume",
        "config", "secret",
    ]
    private let filters: [String: [String]]

    init(_ filters: [String: [String]]) throws {
        try Filter.check(filters, known: Self.known)
        self.filters = filters
    }

    func matches(_ event: Event) -> Bool {
        Filter.equals(filters["type"], event.kind.rawValue) && matchesAction(event.action)
            && Filter.equals(filters["scope"], "local") && Filter.labels(filters["label"], event.attributes)
            && matchesObject("container", .container, event) && matchesImage(event)
            && matchesObject("volume", .volume, event) && matchesObject("network", .network, event)
            && matchesObject("daemon", .daemon, event)
    }

    /// `exec_start` stands for `exec_start: command` too.
    private func matchesAction(_ action: String) -> Bool {
        guard let wanted = filters["event"], !wanted.isEmpty else { return true }
        return wanted.contains { action == $0 || action.hasPrefix("\($0): ") }
    }

    private func matchesObject(_ key: String, _ kind: Event.Kind, _ event: Event) -> Bool {
        guard let wanted = filters[key], !wanted.isEmpty else { return true }
        guard event.kind == kind else { return false }
        return wanted.contains { event.id.hasPrefix($0) || event.attributes["name"] == $0 }
    }

    private func matchesImage(_ event: Event) -> Bool {
        guard let wanted = filters["image"], !wanted.isEmpty else { return true }
        let names = [event.id, event.attributes["name"] ?? "", event.attributes["image"] ?? ""]
        return wanted.contains { image in names.contains { $0 == image || $0.hasPrefix("\(image):") } }
    }
}
