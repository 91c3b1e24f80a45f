@preconcurrency import Glibc

/// Shows the progress messages of pull, push, load and import: a line per layer and a total on a terminal, plain lines elsewhere.
struct ProgressView {
    private struct Layer {
        var id: String
        var status: String
        var current: Int64 = 0
        var total: Int64 = 0
        var downloading = false
    }

    private let descriptor: CInt
    private let isTerminal: Bool
    private var layers: [Layer] = []
    private var linesDrawn = 0
    private var received: [String: (current: Int64, total: Int64)] = [:]
    /// When a layer's bytes began to come, and how many were there already.
    private var starts: [String: (time: Double, bytes: Int64)] = [:]
    private var begun: Double?
    private var drawnAt = 0.0

    /// What goes on while bytes move.
    private static let moving = [
        "Downloading", "Pushing", "Exporting", "Importing", "Cloning", "Backing up", "Restoring",
    ]
    /// At most so many redraws a second: more only costs the terminal.
    private static let secondsBetweenDraws = 0.05

    init(descriptor: CInt) {
        self.descriptor = descriptor
        isTerminal = Terminal.isTerminal(descriptor)
    }

    /// Takes one message of the stream.
    mutating func show(_ message: JSON) {
        if let stream = message["stream"]?.string { return write(stream) }
        let status = message.text("status")
        guard let id = message["id"]?.string, !id.isEmpty else {
            if !status.isEmpty { line(status) }
            return
        }
        let detail = message["progressDetail"]
        let total = detail?.int("total") ?? 0
        let current = detail?.int("current") ?? 0
        guard isTerminal else {
            // Moving bars are left out where nobody can see them move.
            if current == 0, total == 0 { write("\(id): \(status)\n") }
            return
        }
        let isDownload = Self.moving.contains(status)
        if isDownload {
            if begun == nil { begun = Times.now }
            if starts[id] == nil { starts[id] = (Times.now, current) }
            received[id] = (current, total)
        } else if let known = received[id], known.current < known.total,
            status.contains("complete") || status.contains("Verifying")
        {
            received[id]?.current = known.total
        }
        let layer = Layer(id: id, status: status, current: current, total: total, downloading: isDownload)
        if let index = layers.firstIndex(where: { $0.id == id }) { layers[index] = layer } else { layers.append(layer) }
        draw(force: false)
    }

    /// Draws the last state and leaves the cursor below it.
    mutating func finish() {
        if isTerminal, !layers.isEmpty { draw(force: true) }
        layers = []
        linesDrawn = 0
    }

    private mutating func line(_ text: String) {
        finish()
        write(text + "\n")
    }

    private mutating func draw(force: Bool) {
        let now = Times.now
        guard force || now - drawnAt >= Self.secondsBetweenDraws || linesDrawn < layers.count else { return }
        drawnAt = now
        let size = Terminal.size(descriptor) ?? (rows: 24, columns: 80)
        // More lines than the terminal has cannot be redrawn: the first ones scroll away, so only the last are shown.
        let shown = layers.suffix(max(1, size.rows - 2))
        var out = linesDrawn > 0 ? "\u{1b}[\(linesDrawn)A" : ""
        for layer in shown { out += String(text(of: layer, size.columns).prefix(size.columns - 1)) + "\u{1b}[K\n" }
        let total = totalLine(now)
        if let total { out += String(total.prefix(size.columns - 1)) + "\u{1b}[K\n" }
        linesDrawn = shown.count + (total == nil ? 0 : 1)
        write(out)
    }

    private func text(of layer: Layer, _ columns: Int) -> String {
        guard layer.current > 0 || layer.total > 0 else { return "\(layer.id): \(layer.status) " }
        let amounts =
            layer.total > 0
            ? "\(Sizes.decimal(layer.current))/\(Sizes.decimal(layer.total))" : Sizes.decimal(layer.current)
        let pace = layer.downloading ? self.pace(layer) : ""
        let cells = min(50, columns - 70)
        guard layer.total > 0, cells >= 10 else { return "\(layer.id): \(layer.status)  \(amounts)\(pace)" }
        let done = min(cells, Int(Double(max(0, layer.current)) / Double(layer.total) * Double(cells)))
        let bar = String(repeating: "=", count: done) + (done < cells ? ">" : "")
        return
            "\(layer.id): \(layer.status) [\(bar)\(String(repeating: " ", count: max(0, cells - bar.count)))]  \(amounts)\(pace)"
    }

    /// A layer's speed and how long it will take at that; nothing until it can be told.
    private func pace(_ layer: Layer) -> String {
        guard let start = starts[layer.id], layer.current > start.bytes else { return "" }
        let speed = Double(layer.current - start.bytes) / max(Times.now - start.time, 0.05)
        let rate = "  \(Sizes.decimal(speed, digits: 3))/s"
        guard layer.total > layer.current else { return rate }
        return rate + "  ETA \(Int((Double(layer.total - layer.current) / speed).rounded(.up)))s"
    }

    private func totalLine(_ now: Double) -> String? {
        guard let begun, !received.isEmpty else { return nil }
        let current = received.values.reduce(0) { $0 + $1.current }
        let total = received.values.reduce(0) { $0 + max($1.total, $1.current) }
        let speed = Double(current) / max(now - begun, 0.001)
        let left = speed > 0 ? Int((Double(total - current) / speed).rounded(.up)) : 0
        let eta = current >= total ? "done in \(Sizes.formatted(now - begun, "%.1f"))s" : "ETA \(left)s"
        return "Total: \(Sizes.decimal(current))/\(Sizes.decimal(total))  \(Sizes.decimal(speed))/s  \(eta)"
    }

    private func write(_ text: String) {
        fflush(stdout)
        // Progress that cannot be shown must not stop the work it reports.
        _ = try? writeAll(descriptor, Array(text.utf8))
    }
}
