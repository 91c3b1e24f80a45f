import OCI

/// The rules for names inside a layer.
enum TarPath {
    /// `raw` without leading `/`, empty, `.` and `..` components, and trailing `/`; empty for the root.
    ///
    /// A `..` takes back the component before it, whatever that is on the disk, as every engine reads it.
    ///
    /// - Throws: ``LayerError``: `.malformed` for an empty name, a NUL or a `..` above the root, `.limit` when too long.
    static func clean(_ raw: [UInt8], at position: UInt64) throws(LayerError) -> [UInt8] {
        guard !raw.isEmpty else {
            throw LayerError(.malformed, "tar archive at byte \(position): a member without a name")
        }
        guard raw.count <= TarLimits.pathBytesMax else { throw tooLong(raw, TarLimits.pathBytesMax, at: position) }
        var isClean = true
        var start = 0
        for index in 0...raw.count {
            guard index == raw.count || raw[index] == 0x2F || raw[index] == 0 else { continue }
            if index < raw.count, raw[index] == 0 {
                throw LayerError(.malformed, "tar archive at byte \(position): name \(quoted(raw)) holds a NUL")
            }
            let count = index - start
            if count == 0 || (count == 1 && raw[start] == 0x2E) {
                isClean = isClean && count == 0 && index == raw.count && index > 1
            } else if count == 2, raw[start] == 0x2E, raw[start + 1] == 0x2E {
                isClean = false
            } else if count > TarLimits.nameBytesMax {
                throw tooLong(raw, TarLimits.nameBytesMax, at: position)
            }
            start = index + 1
        }
        if isClean { return raw.last == 0x2F ? raw.dropLast() : raw }
        return try resolved(raw, at: position)
    }

    private static func resolved(_ raw: [UInt8], at position: UInt64) throws(LayerError) -> [UInt8] {
        var components: [ArraySlice<UInt8>] = []
        for component in raw.split(separator: 0x2F) where !component.elementsEqual([0x2E]) {
            guard component.elementsEqual([0x2E, 0x2E]) else {
                components.append(component)
                continue
            }
            guard components.popLast() != nil else {
                throw LayerError(
                    .malformed,
                    "tar archive at byte \(position): name \(quoted(raw)) leads out of the layer by a .. component")
            }
        }
        return Array(components.joined(separator: [0x2F]))
    }

    /// A symbolic link's target, which may point anywhere: it is resolved inside the container.
    static func symlinkTarget(_ raw: [UInt8], at position: UInt64) throws(LayerError) -> [UInt8] {
        guard !raw.isEmpty, !raw.contains(0) else {
            throw LayerError(
                .malformed, "tar archive at byte \(position): a symbolic link with an empty target or a NUL in it")
        }
        guard raw.count < TarLimits.pathBytesMax else { throw tooLong(raw, TarLimits.pathBytesMax - 1, at: position) }
        return raw
    }

    static func quoted(_ name: [UInt8]) -> String { OCIError.quoted(String(decoding: name.prefix(200), as: UTF8.self)) }

    private static func tooLong(_ raw: [UInt8], _ bytesMax: Int, at position: UInt64) -> LayerError {
        LayerError(
            .limit,
            "tar archive at byte \(position): name \(quoted(raw)) is too long; at most \(bytesMax) bytes are taken")
    }
}
