/// Draws a pull as a self-contained SVG: a swim lane per layer, a row per stage in it, a time axis and totals.
struct TraceDrawing {
    private static let left = 170.0
    private static let width = 1000.0
    private static let rowHeight = 12.0
    private static let laneGap = 10.0
    private static let colours = [
        "resolve": "#7a8ca3", "network wait": "#9db7e8", "receive": "#4c8bf5", "hash blob": "#8e63ce",
        "hash tar": "#b08be0",
        "inflate": "#f2994a", "parse": "#e2b93b", "write blob": "#2aa5a0", "write tar": "#3aa76d", "sync": "#d9534f",
        "index": "#b07d62", "commit": "#a33b38", "wait for input block": "#c4cad3", "wait for input": "#c4cad3",
        "wait for blob": "#c4cad3", "wait for tar block": "#c4cad3", "wait for tar": "#c4cad3",
    ]
    private static let spare = ["#7a8ca3", "#b07d62", "#5c9ead", "#9a8c3f"]

    private let stages: [PullTrace.Stage]
    private let title: String
    private let origin: Int64
    private let wall: Double

    init(_ stages: [PullTrace.Stage], title: String) {
        self.stages = stages
        self.title = title
        origin = stages.map(\.start).min() ?? 0
        wall = max(PullTrace.wallSeconds(stages), 1e-6)
    }

    /// The document.
    func svg() -> String {
        let names = PullTrace.totals(stages).map(\.name)
        let layers = stages.reduce(into: [String]()) { if !$0.contains($1.layer) { $0.append($1.layer) } }
        var body = ""
        var y = 96.0
        for layer in layers {
            let own = stages.filter { $0.layer == layer }
            let rows = names.filter { name in own.contains { $0.name == name } }
            let height = Double(rows.count) * Self.rowHeight
            body +=
                "<rect x=\"\(n(Self.left))\" y=\"\(n(y - 3))\" width=\"\(n(Self.width))\" height=\"\(n(height + 6))\" rx=\"4\" fill=\"#f5f7fa\"/>\n"
            body +=
                "<text x=\"\(n(Self.left - 10))\" y=\"\(n(y + height / 2 + 4))\" text-anchor=\"end\" class=\"lane\">\(xml(String(layer.prefix(12))))</text>\n"
            for (row, name) in rows.enumerated() {
                for stage in own where stage.name == name {
                    body += bar(stage, names, y + Double(row) * Self.rowHeight)
                }
            }
            y += height + Self.laneGap
        }
        let bottom = y
        let totals = legend(names, bottom + 40)
        let height = totals.bottom + 20
        let full = Self.left + Self.width + 40
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(n(full)) \(n(height))" width="\(n(full))" height="\(n(height))" font-family="Helvetica, Arial, sans-serif">
            <style>.lane{font:12px monospace;fill:#333}.tick{font-size:11px;fill:#667}.head{font-size:18px;font-weight:600;fill:#1d2733}.sub{font-size:12px;fill:#556}.key{font-size:12px;fill:#333}</style>
            <rect width="100%" height="100%" fill="#ffffff"/>
            <text x="24" y="34" class="head">\(xml(title))</text>
            <text x="24" y="54" class="sub">\(xml(subtitle(layers.count)))</text>
            \(axis(bottom))\(body)\(totals.text)</svg>

            """
    }

    private func subtitle(_ layers: Int) -> String {
        let bytes = PullTrace.tarBytes(stages)
        return
            "\(layers - (stages.contains { $0.layer == "image" } ? 1 : 0)) layers, \(Sizes.formatted(wall, "%.2f")) s wall, \(Sizes.decimal(bytes)) written, "
            + "\(Sizes.decimal(Double(bytes) / wall))/s"
    }

    private func bar(_ stage: PullTrace.Stage, _ names: [String], _ y: Double) -> String {
        let x = Self.left + Double(stage.start &- origin) / 1e9 / wall * Self.width
        let width = max(stage.seconds / wall * Self.width, 0.6)
        let busy = Sizes.formatted(stage.busySeconds * 1e3, "%.1f")
        let note =
            "\(stage.name): busy \(busy) of \(Sizes.formatted(stage.seconds * 1e3, "%.1f")) ms, \(Sizes.decimal(stage.bytes))"
        // The fuller the colour, the busier the stage was in that stretch.
        let opacity = 0.25 + 0.75 * stage.busySeconds / max(stage.seconds, 1e-9)
        return
            "<rect x=\"\(n(x))\" y=\"\(n(y))\" width=\"\(n(width))\" height=\"\(n(Self.rowHeight - 2))\" rx=\"1.5\" fill=\"\(colour(stage.name, names))\" fill-opacity=\"\(n(min(opacity, 1)))\"><title>\(xml(note))</title></rect>\n"
    }

    private func axis(_ bottom: Double) -> String {
        let raw = wall / 8
        var step = 1e-6
        while step < raw {
            if step * 2 >= raw { step *= 2; break }
            if step * 5 >= raw { step *= 5; break }
            step *= 10
        }
        var out = ""
        var time = 0.0
        while time <= wall * 1.0001 {
            let x = Self.left + time / wall * Self.width
            let label = wall < 1 ? "\(Sizes.formatted(time * 1e3, "%g")) ms" : "\(Sizes.formatted(time, "%g")) s"
            out +=
                "<line x1=\"\(n(x))\" x2=\"\(n(x))\" y1=\"84\" y2=\"\(n(bottom))\" stroke=\"#d5dae1\"/><text x=\"\(n(x))\" y=\"78\" text-anchor=\"middle\" class=\"tick\">\(label)</text>\n"
            time += step
        }
        return out
    }

    private func legend(_ names: [String], _ top: Double) -> (text: String, bottom: Double) {
        let totals = PullTrace.totals(stages)
        let longest = max(totals.map(\.seconds).max() ?? 0, 1e-9)
        var out =
            "<text x=\"24\" y=\"\(n(top - 12))\" class=\"sub\">Busy time per stage, all layers together (bars above: the fuller the colour, the busier)</text>\n"
        var y = top
        for total in totals {
            let width = max(total.seconds / longest * 500, 1)
            out +=
                "<rect x=\"\(n(Self.left))\" y=\"\(n(y))\" width=\"\(n(width))\" height=\"14\" rx=\"2\" fill=\"\(colour(total.name, names))\"/>"
            out +=
                "<text x=\"\(n(Self.left - 10))\" y=\"\(n(y + 11))\" text-anchor=\"end\" class=\"key\">\(xml(total.name))</text>"
            out +=
                "<text x=\"\(n(Self.left + width + 8))\" y=\"\(n(y + 11))\" class=\"tick\">\(Sizes.formatted(total.seconds, "%.3f")) s, \(Sizes.decimal(total.bytes))</text>\n"
            y += 20
        }
        return (out, y)
    }

    private func colour(_ name: String, _ names: [String]) -> String {
        Self.colours[name] ?? Self.spare[(names.firstIndex(of: name) ?? 0) % Self.spare.count]
    }

    private func n(_ value: Double) -> String { Sizes.formatted(value, "%.2f") }

    private func xml(_ text: String) -> String {
        text.reduce(into: "") { out, character in
            switch character {
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "&": out += "&amp;"
            default: out.append(character)
            }
        }
    }
}
