/// An entry whose name is an instruction: a whiteout of the AUFS convention that OCI layers keep.
enum Marker {
    /// Hide this name of lower layers.
    case whiteout(ArraySlice<UInt8>)
    /// Hide everything that lower layers have in the directory.
    case opaque
    /// Bookkeeping of AUFS, of no meaning.
    case ignored

    private static let prefix = Array(".wh.".utf8)
    private static let metaPrefix = Array(".wh..wh.".utf8)
    private static let opaqueName = Array(".wh..wh..opq".utf8)

    /// nil for an ordinary name.
    ///
    /// - Throws: `LayerError` `.malformed` for a whiteout of `.`, `..` or nothing.
    init?(name: ArraySlice<UInt8>, below parent: ArraySlice<UInt8>, path: [UInt8]) throws(LayerError) {
        if Self.holdsMarker(parent) {
            self = .ignored
            return
        }
        guard name.first == 46, name.starts(with: Self.prefix) else { return nil }
        if name.elementsEqual(Self.opaqueName) {
            self = .opaque
        } else if name.starts(with: Self.metaPrefix) {
            self = .ignored
        } else {
            let hidden = name.dropFirst(Self.prefix.count)
            guard !hidden.isEmpty, hidden != [46], hidden != [46, 46] else {
                throw LayerError(.malformed, "whiteout \(printable(path)) hides no name")
            }
            self = .whiteout(hidden)
        }
    }

    /// True when a directory on the way has a marker's name: what is below it is no part of the image.
    private static func holdsMarker(_ parent: ArraySlice<UInt8>) -> Bool {
        var position = parent.startIndex
        while position < parent.endIndex {
            if parent[position] == 46 && parent[position...].starts(with: prefix) { return true }
            guard let slash = parent[position...].firstIndex(of: UInt8(ascii: "/")) else { return false }
            position = slash + 1
        }
        return false
    }
}
