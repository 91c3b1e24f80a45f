import Glibc
import Kernel

/// What overlayfs wrote on an object of an upper directory.
enum OverlayMark: Hashable {
    case none
    /// The lower object of this name is deleted.
    case whiteout
    /// The lower directory of this name is hidden.
    case opaque
    /// Content or name is elsewhere, by a feature we mount without: the object is not what it seems.
    case foreign(String)

    private static let prefix = Array("trusted.overlay.".utf8)

    /// True for the name of an attribute that is overlayfs's own.
    static func isOverlays(_ attribute: [UInt8]) -> Bool { attribute.starts(with: prefix) }

    /// Reads the marks of the object that `handle` holds.
    init(_ handle: borrowing OwnedFD, _ status: NodeStatus) throws(SystemError) {
        if status.kind == .character {
            self = status.deviceMajor == 0 && status.deviceMinor == 0 ? .whiteout : .none
            return
        }
        guard status.kind == .file || status.kind == .directory else {
            self = .none
            return
        }
        var mark = OverlayMark.none
        for name in try handle.attributeNames() where name.starts(with: Self.prefix) {
            switch String(decoding: name.dropFirst(Self.prefix.count), as: UTF8.self) {
            case "redirect": mark = .foreign("redirect_dir")
            case "metacopy": mark = .foreign("metacopy")
            case "whiteout" where status.kind == .file && status.size == 0 && mark == .none: mark = .whiteout
            case "opaque" where status.kind == .directory && mark == .none:
                // "x" says only that whiteouts in the form of attributes are inside.
                if try handle.attribute(name) == [UInt8(ascii: "y")] { mark = .opaque }
            default: break
            }
        }
        self = mark
    }
}

/// The image's directory beside a directory of the upper one; empty where the image has none.
final class LowerDirectory {
    private let directory: OwnedFD?

    init() { directory = nil }

    /// - Parameter directory: opened for reading.
    init(adopting directory: consuming OwnedFD?) { self.directory = directory }

    /// What the image has under this name; nil for nothing.
    func status(of name: [UInt8]) throws(SystemError) -> NodeStatus? {
        do throws(SystemError) { return try directory?.nodeStatus(of: name) } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
    }

    func child(_ name: [UInt8]) throws(SystemError) -> LowerDirectory {
        guard let child = try directory?.open(node: name, NodeAccess.directory) else { return LowerDirectory() }
        return LowerDirectory(adopting: child)
    }

    /// Whether this directory has the extended attributes of `upper`, but for overlay's own.
    func hasAttributes(of upper: borrowing OwnedFD) throws(SystemError) -> Bool {
        guard let lower = try directory?.attributeNames() else { return false }
        let names = Set(try upper.attributeNames().filter { !OverlayMark.isOverlays($0) })
        guard names == Set(lower.filter { !OverlayMark.isOverlays($0) }) else { return false }
        for name in names where try upper.attribute(name) != directory?.attribute(name) { return false }
        return true
    }

    /// Names here that the directory `upper` does not have.
    func names(without upper: borrowing OwnedFD) throws(SystemError) -> [[UInt8]] {
        let present = Set(try upper.names())
        return (try directory?.names() ?? []).filter { !present.contains($0) }
    }
}
