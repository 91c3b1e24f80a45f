import Foundation

/// A headless Chromium, driven by its debugging protocol over a pair of pipes (`--remote-debugging-pipe`).
final class Browser {
    private let directory: String
    private let process = Process()
    private let input: CInt
    private let output: CInt
    private var received: [UInt8] = []
    private var lastID = 0
    private var session: String?
    /// What pages have complained of: errors of scripts, and what a policy has kept from running.
    private(set) var complaints: [String] = []

    /// How long an answer may take on a busy machine.
    private static let patience: Int32 = 120_000

    init() throws {
        directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/browser-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for name in ["in", "out"] where mkfifo("\(directory)/\(name)", 0o600) != 0 {
            throw LabFailure("mkfifo: \(errno)")
        }
        // Both ends, so that opening waits for nobody.
        input = open(directory + "/in", O_RDWR | O_CLOEXEC)
        output = open(directory + "/out", O_RDWR | O_CLOEXEC)
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = [
            "-c",
            """
            exec chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --no-first-run \
            --user-data-dir="$0/profile" --remote-debugging-pipe about:blank 3<"$0/in" 4>"$0/out" 2>"$0/log"
            """, directory,
        ]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let target = try send("Target.createTarget", ["url": "about:blank"])["targetId"] as? String ?? ""
        session =
            try send("Target.attachToTarget", ["targetId": target, "flatten": true])["sessionId"] as? String
        for domain in ["Page", "Runtime", "Log"] { _ = try send("\(domain).enable") }
    }

    deinit {
        // It may be gone already.
        _ = try? write(["id": 0, "method": "Browser.close"])
        for _ in 0..<100 where process.isRunning { usleep(50_000) }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        close(input)
        close(output)
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Messages

    private func write(_ message: [String: Any]) throws {
        var bytes = [UInt8](try JSONSerialization.data(withJSONObject: message)) + [0]
        while !bytes.isEmpty {
            let count = Foundation.write(input, bytes, bytes.count)
            guard count > 0 else { throw LabFailure("write to the browser: \(errno)") }
            bytes.removeFirst(count)
        }
    }

    private func receive() throws -> [String: Any] {
        while true {
            if let end = received.firstIndex(of: 0) {
                let message = try JSONSerialization.jsonObject(with: Data(received[..<end])) as? [String: Any]
                received.removeSubrange(...end)
                return message ?? [:]
            }
            var ready = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            guard poll(&ready, 1, Self.patience) == 1 else {
                let log = (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? ""
                throw LabFailure("the browser does not answer: \(log.suffix(2000))")
            }
            var block = [UInt8](repeating: 0, count: 65536)
            let count = read(output, &block, block.count)
            guard count > 0 else { throw LabFailure("read from the browser: \(errno)") }
            received += block[..<count]
        }
    }

    /// Sends a command and waits for its answer.
    @discardableResult
    func send(_ method: String, _ parameters: [String: Any] = [:]) throws -> [String: Any] {
        lastID += 1
        var message: [String: Any] = ["id": lastID, "method": method, "params": parameters]
        message["sessionId"] = session
        try write(message)
        while true {
            let answer = try receive()
            if answer["id"] as? Int == lastID {
                guard let result = answer["result"] as? [String: Any] else { throw LabFailure("\(method): \(answer)") }
                return result
            }
            note(answer)
        }
    }

    private func note(_ event: [String: Any]) {
        let parameters = event["params"] as? [String: Any] ?? [:]
        switch event["method"] as? String {
        case "Log.entryAdded":
            let entry = parameters["entry"] as? [String: Any] ?? [:]
            // A page that is refused is told as an error of the network, which is what the test wants of it.
            if entry["source"] as? String != "network" { complaints.append("\(entry["text"] ?? "")") }
        case "Runtime.exceptionThrown": complaints.append("\(parameters)")
        default: break
        }
    }

    // MARK: Pages

    /// Opens a page and waits until it is there.
    func visit(_ address: String) throws {
        try send("Page.navigate", ["url": address])
        for _ in 0..<600 {
            if (try? evaluate("location.href !== 'about:blank' && document.readyState === 'complete'")) as? Bool == true
            {
                return
            }
            usleep(50_000)
        }
        throw LabFailure("\(address) does not load")
    }

    /// The value of an expression in the page.
    func evaluate(_ expression: String) throws -> Any? {
        let answer = try send(
            "Runtime.evaluate", ["expression": expression, "returnByValue": true, "awaitPromise": true])
        if let failure = answer["exceptionDetails"] { throw LabFailure("\(expression.prefix(80)): \(failure)") }
        return (answer["result"] as? [String: Any])?["value"]
    }

    func text(_ expression: String) throws -> String { try evaluate(expression) as? String ?? "" }

    func type(_ text: String) throws {
        for letter in text { try send("Input.dispatchKeyEvent", ["type": "char", "text": String(letter)]) }
    }

    func press(_ key: String, code: Int) throws {
        // A key with a text is also what it does, such as sending a form.
        for type in [key == "Enter" ? "keyDown" : "rawKeyDown", "keyUp"] {
            try send(
                "Input.dispatchKeyEvent",
                [
                    "type": type, "key": key, "code": key, "windowsVirtualKeyCode": code,
                    "text": key == "Enter" ? "\r" : "",
                ])
        }
    }

    func resize(_ width: Int, _ height: Int) throws {
        try send(
            "Emulation.setDeviceMetricsOverride",
            ["width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600])
    }

    func prefer(dark: Bool) throws {
        try send(
            "Emulation.setEmulatedMedia",
            ["features": [["name": "prefers-color-scheme", "value": dark ? "dark" : "light"]]])
    }

    /// The page as it is seen, a PNG.
    func screenshot() throws -> Data {
        let answer = try send("Page.captureScreenshot", ["format": "png"])
        return (answer["data"] as? String).flatMap { Data(base64Encoded: $0) } ?? Data()
    }
}
