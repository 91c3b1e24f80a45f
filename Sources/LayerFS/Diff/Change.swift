/// One line of `docker diff`: what a container did to a path of its image.
package struct Change: Sendable, Hashable {
    /// The numbers are those of the Engine API.
    package enum Kind: Int, Sendable, Hashable {
        case modified = 0
        case added = 1
        case deleted = 2

        /// C, A or D.
        package var letter: Character {
            switch self {
            case .modified: "C"
            case .added: "A"
            case .deleted: "D"
            }
        }
    }

    package var kind: Kind
    /// Absolute, with a leading slash, as bytes.
    package var path: [UInt8]

    package init(_ kind: Kind, _ path: [UInt8]) {
        self.kind = kind
        self.path = path
    }

    /// `path` as text; bytes that are not UTF-8 are replaced.
    package var text: String { String(decoding: path, as: UTF8.self) }
}

/// Paths of a container's writable layer that the engine made, not the container. Relative, without leading slash.
package struct DiffExclusions: Sendable, Hashable {
    /// Left out with everything below: `etc/hosts`, `etc/resolv.conf`, `etc/hostname`, `dev`, `proc`, `sys`…
    package let omitted: Set<[UInt8]>
    /// Mount points: the directory or file itself is kept, nothing that is below.
    package let hollow: Set<[UInt8]>
    /// Directories that hold something omitted: the engine's own creation there has changed their time.
    let disturbed: Set<[UInt8]>

    package init(omitted: some Sequence<String> = [], hollow: some Sequence<String> = []) {
        func clean(_ path: String) -> [UInt8] {
            Array(path.utf8.split(separator: UInt8(ascii: "/")).joined(separator: [UInt8(ascii: "/")]))
        }
        self.omitted = Set(omitted.map(clean))
        self.hollow = Set(hollow.map(clean))
        var parents: Set<[UInt8]> = []
        for path in self.omitted {
            guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { continue }
            parents.insert(Array(path[..<slash]))
        }
        disturbed = parents
    }
}
