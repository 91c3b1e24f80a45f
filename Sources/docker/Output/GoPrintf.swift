@preconcurrency import Glibc

/// Go's fmt for the values of templates.
enum GoPrintf {
    /// Columns and digits that a format may ask for: Go's own limit is a million, for which no terminal has a use.
    private static let sizeMax = 10_000

    /// Floats from this power of ten on are shown with an exponent.
    private static let exponentMin = 21

    private struct Flags {
        var minus = false
        var plus = false
        var sharp = false
        var space = false
        var zero = false
        var width = 0
        var precision: Int?
    }

    // MARK: Text

    /// `fmt.Sprintf`.
    static func printf(_ format: String, _ arguments: [GoValue]) -> String {
        var out = ""
        var rest = Array(format.unicodeScalars)[...]
        var next = 0
        var isReordered = false
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                out.unicodeScalars.append(scalar)
                continue
            }
            var flags = Flags()
            var isGood = true
            takeFlags(&rest, &flags)
            takeIndex(&rest, &next, &isReordered, &isGood, arguments.count)
            if rest.first == "*" {
                rest = rest.dropFirst()
                takeStar(arguments, &next, "%!(BADWIDTH)", &out) { width in
                    flags.minus = flags.minus || width < 0
                    flags.width = abs(width)
                }
            } else {
                flags.width = takeNumber(&rest) ?? 0
            }
            if rest.first == "." {
                rest = rest.dropFirst()
                takeIndex(&rest, &next, &isReordered, &isGood, arguments.count)
                if rest.first == "*" {
                    rest = rest.dropFirst()
                    takeStar(arguments, &next, "%!(BADPREC)", &out) { flags.precision = $0 < 0 ? nil : $0 }
                } else {
                    flags.precision = takeNumber(&rest) ?? 0
                }
            }
            takeIndex(&rest, &next, &isReordered, &isGood, arguments.count)
            guard let verb = rest.popFirst() else {
                out += "%!(NOVERB)"
                break
            }
            if verb == "%" {
                out += "%"
            } else if !isGood {
                out += "%!\(verb)(BADINDEX)"
            } else if next < arguments.count {
                out += shown(arguments[next], verb, flags)
                next += 1
            } else {
                out += "%!\(verb)(MISSING)"
            }
        }
        guard !isReordered, next < arguments.count else { return out }
        let extra = arguments[next...].map { $0.isNil ? "<nil>" : "\($0.typeName)=\(text($0))" }
        return out + "%!(EXTRA \(extra.joined(separator: ", ")))"
    }

    /// `fmt.Sprint`: spaces between operands that are both no strings.
    static func print(_ arguments: [GoValue]) -> String {
        var out = ""
        for (index, argument) in arguments.enumerated() {
            if index > 0, !argument.isString, !arguments[index - 1].isString { out += " " }
            out += text(argument)
        }
        return out
    }

    /// `fmt.Sprintln`.
    static func println(_ arguments: [GoValue]) -> String { arguments.map(text).joined(separator: " ") + "\n" }

    /// Go's `%v`.
    static func text(_ value: GoValue) -> String { shown(value, "v", Flags()) }

    /// `U+0041`.
    static func codePoint(_ value: Int64) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return "U+" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    // MARK: Formats

    private static func takeFlags(_ rest: inout ArraySlice<Unicode.Scalar>, _ flags: inout Flags) {
        while let flag = rest.first, "-+# 0".unicodeScalars.contains(flag) {
            rest = rest.dropFirst()
            switch flag {
            case "-": flags.minus = true
            case "+": flags.plus = true
            case "#": flags.sharp = true
            case " ": flags.space = true
            default: flags.zero = true
            }
        }
    }

    private static func takeNumber(_ rest: inout ArraySlice<Unicode.Scalar>) -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest.dropFirst(digits.count)
        return Int(String(String.UnicodeScalarView(digits))).map { min($0, sizeMax) }
    }

    /// `[2]`: which argument is meant, counted from 1.
    private static func takeIndex(
        _ rest: inout ArraySlice<Unicode.Scalar>, _ next: inout Int, _ isReordered: inout Bool, _ isGood: inout Bool,
        _ count: Int
    ) {
        guard rest.first == "[" else { return }
        isReordered = true
        let inside = rest.dropFirst().prefix { $0 != "]" }
        let number = Int(String(String.UnicodeScalarView(inside)))
        guard rest.count > inside.count + 1, let number, (1...max(count, 1)).contains(number), number <= count else {
            isGood = false
            rest = rest.count > inside.count + 1 ? rest.dropFirst(inside.count + 2) : rest.dropFirst()
            return
        }
        rest = rest.dropFirst(inside.count + 2)
        next = number - 1
    }

    private static func takeStar(
        _ arguments: [GoValue], _ next: inout Int, _ failure: String, _ out: inout String, _ use: (Int) -> Void
    ) {
        defer { next += 1 }
        guard next < arguments.count, case .int = arguments[next].type, let value = arguments[next].json.int,
            abs(value) <= sizeMax
        else {
            out += failure
            return
        }
        use(Int(value))
    }

    // MARK: Values

    private static func shown(_ value: GoValue, _ verb: Unicode.Scalar, _ flags: Flags) -> String {
        if verb == "T" { return padded(value.isNil ? "<nil>" : value.typeName, flags) }
        guard !value.isNil else { return verb == "v" ? padded("<nil>", flags) : "%!\(verb)(<nil>)" }
        if "vsxXq".unicodeScalars.contains(verb), let text = value.ownText, !(verb == "v" && flags.sharp) {
            return shown(text: text, verb, flags) ?? bad(value, verb)
        }
        switch value.type.pointed {
        case .string:
            return shown(text: value.json.string ?? GoValue.digits(value.json), verb, flags) ?? bad(value, verb)
        case .bool:
            return verb == "v" || verb == "t"
                ? padded(value.json.bool == true ? "true" : "false", flags) : bad(value, verb)
        case .int: return shown(whole: value.json.int ?? 0, verb, flags) ?? bad(value, verb)
        case .float: return shown(float: value.json.double ?? 0, verb, flags) ?? bad(value, verb)
        case .missing, .any: return "<nil>"
        default: return shown(parts: value, verb, flags)
        }
    }

    private static func shown(parts value: GoValue, _ verb: Unicode.Scalar, _ flags: Flags) -> String {
        switch value.type.pointed {
        case .list: return "[" + value.elements.map { shown($0, verb, flags) }.joined(separator: " ") + "]"
        case .map(let key, _):
            let pairs = value.members.map { name, member in
                shown(GoValue(.string(name), .string(key)), verb, flags) + ":" + shown(member, verb, flags)
            }
            return "map[" + pairs.joined(separator: " ") + "]"
        default:
            let fields = value.members.map { name, member in
                (flags.plus ? name + ":" : "") + shown(member, verb, flags)
            }
            return "{" + fields.joined(separator: " ") + "}"
        }
    }

    private static func bad(_ value: GoValue, _ verb: Unicode.Scalar) -> String {
        "%!\(verb)(\(value.typeName)=\(text(value)))"
    }

    private static func shown(text: String, _ verb: Unicode.Scalar, _ flags: Flags) -> String? {
        let cut = flags.precision.map { String(String.UnicodeScalarView(text.unicodeScalars.prefix($0))) } ?? text
        switch verb {
        case "v" where flags.sharp: return padded(text.goQuoted, flags)
        case "v", "s": return padded(cut, flags)
        case "q":
            return padded(flags.sharp && !cut.contains("`") && !cut.contains("\n") ? "`\(cut)`" : cut.goQuoted, flags)
        case "x", "X":
            let bytes = flags.precision.map { Array(text.utf8.prefix($0)) } ?? Array(text.utf8)
            let digits = bytes.map { byte in
                let digits = String(byte, radix: 16, uppercase: verb == "X")
                return digits.count == 1 ? "0" + digits : digits
            }
            let mark = flags.sharp && !digits.isEmpty ? "0\(verb)" : ""
            return padded(flags.space ? digits.map { mark + $0 }.joined(separator: " ") : mark + digits.joined(), flags)
        default: return nil
        }
    }

    private static func shown(whole value: Int64, _ verb: Unicode.Scalar, _ flags: Flags) -> String? {
        let radix: Int
        var mark = ""
        switch verb {
        case "v", "d": radix = 10
        case "b": (radix, mark) = (2, flags.sharp ? "0b" : "")
        case "o": (radix, mark) = (8, flags.sharp ? "0" : "")
        case "O": (radix, mark) = (8, "0o")
        case "x": (radix, mark) = (16, flags.sharp ? "0x" : "")
        case "X": (radix, mark) = (16, flags.sharp ? "0X" : "")
        case "c": return padded(String(scalar(value)), flags)
        case "q": return padded("'\(scalar(value))'", flags)
        case "U": return padded(codePoint(value) + (flags.sharp ? " '\(scalar(value))'" : ""), flags)
        default: return nil
        }
        var digits = String(value.magnitude, radix: radix, uppercase: verb == "X")
        let sign = value < 0 ? "-" : flags.plus ? "+" : flags.space ? " " : ""
        let wanted =
            flags.precision ?? (flags.zero && !flags.minus ? flags.width - sign.count - (verb == "O" ? 2 : 0) : 0)
        digits = String(repeating: "0", count: max(0, wanted - digits.count)) + digits
        var spaced = flags
        spaced.zero = false
        return padded(sign + mark + digits, spaced)
    }

    private static func scalar(_ value: Int64) -> Unicode.Scalar {
        UInt32(exactly: value).flatMap { Unicode.Scalar($0) } ?? "\u{fffd}"
    }

    private static func shown(float value: Double, _ verb: Unicode.Scalar, _ flags: Flags) -> String? {
        let sign = value < 0 ? "-" : flags.plus ? "+" : flags.space ? " " : ""
        let text: String
        switch verb {
        case "v", "g", "G": text = shortest(abs(value), precision: flags.precision)
        case "f", "F": text = Sizes.formatted(abs(value), "%.\(min(flags.precision ?? 6, 20))f")
        case "e", "E": text = Sizes.formatted(abs(value), "%.\(min(flags.precision ?? 6, 20))\(verb)")
        default: return nil
        }
        let cased = verb == "G" ? text.uppercased() : text
        guard flags.zero, !flags.minus else { return padded(sign + cased, flags) }
        return sign + String(repeating: "0", count: max(0, flags.width - sign.count - cased.count)) + cased
    }

    /// The fewest digits that mean this number, with an exponent where Go's `%v` has one.
    private static func shortest(_ value: Double, precision: Int?) -> String {
        if let precision { return Sizes.formatted(value, "%.\(min(precision, 20))g") }
        guard value != 0 else { return "0" }
        let digits = "\(value)"
        let exponent = Int(log10(value).rounded(.down))
        if exponent < -4 || exponent >= exponentMin {
            let parts = digits.split(separator: "e")
            var mantissa = String(parts[0])
            if mantissa.hasSuffix(".0") { mantissa.removeLast(2) }
            let power = parts.count > 1 ? Int(parts[1]) ?? exponent : exponent
            let shown = abs(power) < 10 ? "0\(abs(power))" : "\(abs(power))"
            return "\(mantissa)e\(power < 0 ? "-" : "+")\(shown)"
        }
        if !digits.contains("e") { return digits.hasSuffix(".0") ? String(digits.dropLast(2)) : digits }
        return Sizes.formatted(value, exponent >= 0 ? "%.0f" : "%.\(min(20, 17 - exponent))f")
    }

    /// A float as a number of JSON that can be told from a whole number.
    static func marked(_ value: Double) -> String {
        let digits = "\(value)"
        return digits.contains(".") || digits.contains("e") ? digits : digits + ".0"
    }

    /// A float as Go's JSON has it.
    static func encoded(_ value: Double) -> String {
        (value < 0 ? "-" : "") + shortest(abs(value), precision: nil)
    }

    private static func padded(_ text: String, _ flags: Flags) -> String {
        let missing = flags.width - text.unicodeScalars.count
        guard missing > 0 else { return text }
        let fill = String(repeating: flags.zero && !flags.minus ? "0" : " ", count: missing)
        return flags.minus ? text + fill : fill + text
    }
}
