/// Constants as Go writes them.
enum GoLiteral {
    /// The text of a constant in double, single or back quotes; nil when it is malformed.
    static func unquoted(_ text: String) -> String? {
        let inside = text.dropFirst().dropLast()
        guard !text.hasPrefix("`") else { return inside.filter { $0 != "\r" } }
        var bytes: [UInt8] = []
        var rest = Array(inside.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            guard scalar == "\\" else {
                bytes += Array(String(scalar).utf8)
                continue
            }
            guard let kind = rest.popFirst() else { return nil }
            switch kind {
            case "a": bytes.append(7)
            case "b": bytes.append(8)
            case "f": bytes.append(12)
            case "n": bytes.append(10)
            case "r": bytes.append(13)
            case "t": bytes.append(9)
            case "v": bytes.append(11)
            case "\\": bytes.append(92)
            case "\"" where text.hasPrefix("\""): bytes.append(34)
            case "'" where text.hasPrefix("'"): bytes.append(39)
            case "x":
                guard let value = digits(&rest, 2, 16) else { return nil }
                bytes.append(UInt8(truncatingIfNeeded: value))
            case "u", "U":
                guard let value = digits(&rest, kind == "u" ? 4 : 8, 16), let scalar = Unicode.Scalar(value) else {
                    return nil
                }
                bytes += Array(String(scalar).utf8)
            case "0"..."7":
                rest = [kind] + rest
                guard let value = digits(&rest, 3, 8), value < 256 else { return nil }
                bytes.append(UInt8(value))
            default: return nil
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func digits(_ rest: inout ArraySlice<Unicode.Scalar>, _ count: Int, _ radix: Int) -> UInt32? {
        let text = String(String.UnicodeScalarView(rest.prefix(count)))
        guard text.utf8.count == count, !text.hasPrefix("+"), !text.hasPrefix("-") else { return nil }
        rest = rest.dropFirst(count)
        return UInt32(text, radix: radix)
    }

    /// A whole number, or one with a point or an exponent, as a number of JSON; nil when it is neither, or too large.
    static func number(_ text: String) -> JSON? {
        let isNegative = text.hasPrefix("-")
        let bare = (isNegative || text.hasPrefix("+") ? text.dropFirst() : text[...]).filter { $0 != "_" }.lowercased()
        let radixes = [("0x", 16), ("0b", 2), ("0o", 8)]
        for (mark, radix) in radixes where bare.hasPrefix(mark) && !bare.contains("p") {
            return Int64((isNegative ? "-" : "") + bare.dropFirst(2), radix: radix).map { JSON($0) }
        }
        if bare.count > 1, bare.hasPrefix("0"), bare.allSatisfy({ ("0"..."7").contains($0) }) {
            return Int64((isNegative ? "-" : "") + bare, radix: 8).map { JSON($0) }
        }
        if bare.first?.isNumber == true, let whole = Int64((isNegative ? "-" : "") + bare) { return JSON(whole) }
        guard bare.contains(where: { ".ep".contains($0) }), bare.contains(where: \.isNumber), let value = Double(bare),
            value.isFinite
        else { return nil }
        // The point tells it from a whole number; it is not shown.
        return .number(GoPrintf.marked(isNegative ? -value : value))
    }
}
