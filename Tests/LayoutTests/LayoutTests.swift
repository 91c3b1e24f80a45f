import Foundation
import Testing

/// The rules of CONTRIBUTING.md that can be read off the files.
struct LayoutTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Our modules that each module may import. A new arrow is a decision: write it here and in ARCHITECTURE.md.
    static let arrows: [String: Set<String>] = [
        "OCI": [], "Kernel": ["CLinux"], "Ring": ["Kernel", "CLinux"], "Netlink": ["Kernel", "CLinux"],
        "LayerFS": ["OCI", "Kernel", "Ring", "CLinux", "CCodecs", "CInflate"],
        "Isolation": ["OCI", "Kernel", "CLinux", "CSeccomp"],
        "Volumes": ["Kernel", "Ring", "CLinux"], "VolumeDrivers": ["OCI", "Kernel"], "DNS": ["Kernel"], "HTTP": [],
        "Registry": ["OCI", "Kernel", "CLinux"], "ServerProcess": ["Kernel", "CLinux"],
        "RegistryPages": ["OCI"],
        "S3": ["OCI", "Kernel"], "RegistryStore": ["S3", "OCI", "Kernel", "CLinux", "CLibpq"],
        "RegistryMirror": ["RegistryStore", "Registry", "OCI", "Kernel"],
        "RegistryEngine": ["RegistryStore", "OCI"],
        "RegistryUpkeep": ["RegistryStore", "Registry", "OCI", "Kernel"],
        "RegistryServer": [
            "RegistryPages", "RegistryMirror", "RegistryEngine", "RegistryUpkeep", "Registry", "RegistryStore", "HTTP",
            "OCI", "Kernel", "CCrypt",
        ],
        "docker-registry": [
            "RegistryServer", "RegistryMirror", "RegistryEngine", "RegistryStore", "RegistryUpkeep", "HTTP", "OCI",
            "Kernel", "ServerProcess",
        ],
        "Actors": [
            "Isolation", "LayerFS", "Volumes", "VolumeDrivers", "Registry", "Netlink", "DNS", "Ring", "Kernel", "OCI",
        ],
        "EngineAPI": ["Actors", "HTTP", "OCI", "Kernel", "LayerFS", "Registry", "Isolation", "VolumeDrivers"],
        "docker": [],
        "dockerd": [
            "EngineAPI", "Actors", "HTTP", "Registry", "LayerFS", "Isolation", "Volumes", "Netlink", "Ring", "Kernel",
            "OCI", "CLinux", "ServerProcess",
        ],
    ]
    static let mechanism = [
        "OCI", "Kernel", "Ring", "Netlink", "LayerFS", "Isolation", "Volumes", "VolumeDrivers", "DNS",
        "ServerProcess", "S3", "RegistryStore", "RegistryPages",
    ]

    /// No file is longer, in lines.
    static let fileLinesMax = 800
    /// No function is longer, in lines.
    static let functionLinesMax = 100

    struct Source: Sendable, CustomTestStringConvertible {
        let module: String
        let path: String
        let lines: [String]
        var testDescription: String { path }
    }

    static let sources: [Source] = {
        let folder = root.appending(path: "Sources")
        guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else { return [] }
        return walk.compactMap { item in
            guard let url = item as? URL, ["swift", "c", "h"].contains(url.pathExtension),
                let text = try? String(contentsOf: url, encoding: .utf8)
            else { return nil }
            let path = url.path.dropFirst(folder.path.count + 1)
            let module = path.split(separator: "/").first.map(String.init) ?? ""
            return Source(module: module, path: String(path), lines: text.components(separatedBy: "\n"))
        }.sorted { $0.path < $1.path }
    }()

    @Test func `the tree has sources to look at`() { #expect(Self.sources.count > 40) }

    @Test(arguments: sources) func `a module imports only what its arrows allow`(_ source: Source) {
        guard let allowed = Self.arrows[source.module] else { return }
        let ours = Set(Self.arrows.keys).union(["CLinux", "CCodecs", "CInflate", "CSeccomp", "CCrypt", "CLibpq"])
        for line in source.lines {
            // `import struct M.T` as well as `import M`.
            let words = line.split(separator: " ").filter {
                !["struct", "enum", "class", "func", "protocol"].contains($0)
            }
            guard let position = words.firstIndex(of: "import"), position <= 1, position + 1 < words.count else {
                continue
            }
            let module = String(words[position + 1].split(separator: ".")[0])
            guard ours.contains(module) else { continue }
            #expect(allowed.contains(module), "\(source.path) imports \(module)")
        }
    }

    @Test(arguments: sources) func `mechanism modules do without Foundation`(_ source: Source) {
        guard Self.mechanism.contains(source.module) else { return }
        #expect(!source.lines.contains { $0.hasSuffix("import Foundation") }, "\(source.path)")
    }

    @Test(arguments: sources) func `no file is too long`(_ source: Source) {
        #expect(source.lines.count <= Self.fileLinesMax, "\(source.path) has \(source.lines.count) lines")
    }

    @Test(arguments: sources) func `no function is too long`(_ source: Source) {
        guard source.path.hasSuffix(".swift") else { return }
        var start: (line: Int, indent: Int)?
        for (number, line) in source.lines.enumerated() {
            let indent = line.prefix { $0 == " " }.count
            if let open = start, indent <= open.indent, line.dropFirst(indent).hasPrefix("}") {
                #expect(number - open.line <= Self.functionLinesMax, "\(source.path):\(open.line + 1)")
                start = nil
            }
            let isFunction =
                line.contains(" func ") || line.dropFirst(indent).hasPrefix("func ") || line.contains(" init(")
            if start == nil, isFunction, !line.dropFirst(indent).hasPrefix("//") { start = (number, indent) }
        }
    }

    /// Each needs a reason in a comment on the line or just above it.
    static let needingReason = ["@unchecked Sendable", "nonisolated(unsafe)"]
    static let banned = ["try!", "fatalError(", "preconditionFailure("]

    @Test(arguments: sources) func `nothing traps or escapes the checker without a reason`(_ source: Source) {
        for (number, line) in source.lines.enumerated() {
            let code = line.components(separatedBy: "//")[0]
            for pattern in Self.banned { #expect(!code.contains(pattern), "\(source.path):\(number + 1) \(pattern)") }
            for pattern in Self.needingReason where code.contains(pattern) {
                let near = source.lines[max(0, number - 6)...number].joined()
                #expect(near.contains("//"), "\(source.path):\(number + 1) \(pattern) without a reason")
            }
        }
    }

    @Test(arguments: sources) func `nothing is left open`(_ source: Source) {
        for (number, line) in source.lines.enumerated() {
            for mark in ["TODO", "FIXME", "XXX"] {
                #expect(!line.contains(mark), "\(source.path):\(number + 1) \(mark)")
            }
        }
    }
}
