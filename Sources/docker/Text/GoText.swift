extension String {
    /// The text in double quotes with the escapes of Go's `%q`.
    var goQuoted: String {
        var out = "\""
        for scalar in unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            case "\u{07}": out += "\\a"
            case "\u{08}": out += "\\b"
            case "\u{0b}": out += "\\v"
            case "\u{0c}": out += "\\f"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                out += "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

extension Bool {
    /// What Go's strconv takes for a truth value; nil for anything else.
    init?(goText: String) {
        switch goText {
        case "1", "t", "T", "true", "TRUE", "True": self = true
        case "0", "f", "F", "false", "FALSE", "False": self = false
        default: return nil
        }
    }
}

/// Text that numbers inside are compared by, as people sort: `a2` before `a10`.
enum NaturalOrder {
    /// Whether `left` comes before `right`: digits before other bytes, numbers by value, then by fewer zeros in front.
    static func isAscending(_ left: String, _ right: String) -> Bool {
        var left = Array(left.utf8)[...]
        var right = Array(right.utf8)[...]
        while let first = left.first, let second = right.first {
            guard isDigit(first) == isDigit(second) else { return isDigit(first) }
            guard isDigit(first) else {
                if first != second { return first < second }
                left.removeFirst()
                right.removeFirst()
                continue
            }
            let (zeros, number) = takeNumber(&left)
            let (otherZeros, other) = takeNumber(&right)
            if number.count != other.count { return number.count < other.count }
            if number != other { return number.lexicographicallyPrecedes(other) }
            if zeros != otherZeros { return zeros < otherZeros }
        }
        return left.count < right.count
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func takeNumber(_ text: inout ArraySlice<UInt8>) -> (zeros: Int, digits: ArraySlice<UInt8>) {
        let zeros = text.prefix { $0 == 0x30 }.count
        text = text.dropFirst(zeros)
        let digits = text.prefix(while: isDigit)
        text = text.dropFirst(digits.count)
        return (zeros, digits)
    }
}
