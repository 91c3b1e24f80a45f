/// Words as the index has them and as a query is read. One function for both, and for every database: none of them is left to
/// its own idea of a word.
enum SearchWords {
    /// Bytes of a word; what is longer is cut, in the index as in a query.
    private static let wordBytesMax = 40

    /// The words of `text` in order: letters and digits, in lower case. An ideograph is a word by itself, since nothing
    /// parts words where those are written.
    static func split(_ text: String, countMax: Int = .max) -> [String] {
        var words: [String] = []
        var word = ""
        func end() {
            guard !word.isEmpty else { return }
            words.append(word)
            word = ""
        }
        for scalar in text.unicodeScalars {
            guard words.count < countMax else { return words }
            if isIdeograph(scalar) {
                end()
                words.append(String(scalar))
            } else if !isPart(scalar) {
                end()
            } else if word.utf8.count < wordBytesMax {
                if scalar.isASCII {
                    word.unicodeScalars.append(lowered(scalar))
                } else {
                    word += scalar.properties.lowercaseMapping
                }
            }
        }
        if words.count < countMax { end() }
        return words
    }

    private static func isPart(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII {
            return (0x30...0x39).contains(scalar.value) || (0x61...0x7a).contains(scalar.value | 0x20)
        }
        if scalar.properties.isAlphabetic || scalar.properties.numericType != nil { return true }
        return [.nonspacingMark, .spacingMark].contains(scalar.properties.generalCategory)
    }

    private static func lowered(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        let value = UInt8(truncatingIfNeeded: scalar.value)
        return Unicode.Scalar((0x41...0x5a).contains(value) ? value | 0x20 : value)
    }

    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x3040
            && (scalar.properties.isIdeographic || (0x3040...0x30ff).contains(scalar.value))
    }

    /// What a tag is found by: itself and its parts between `-`, `_` and `+`, so that `7.2-alpine` is found by `7.2-al`, by
    /// `7` and by `alpine`, all of them beginnings of words.
    static func ofTag(_ tag: String) -> [String] {
        var seen: Set<String> = []
        let parts = tag.split(whereSeparator: { "-_+".contains($0) }).prefix(tagWordsMax)
        return ([tag[...]] + parts).map(tagWord).filter { seen.insert($0).inserted }
    }

    /// Parts of one tag: bounds what a push of a tag adds.
    private static let tagWordsMax = 8

    /// As ``ofTag(_:)`` has one word.
    static func tagWord(_ text: some StringProtocol) -> String {
        String(decoding: text.lowercased().utf8.prefix(wordBytesMax), as: UTF8.self)
    }

    /// The names of a repository and of all that it is below: what the index finds by a ``Visibility``. They are written as
    /// words that nobody's text has.
    static func paths(_ name: String) -> [String] {
        var path = ""
        return name.split(separator: "/").map { part in
            path += (path.isEmpty ? "" : "/") + part
            return self.path(path)
        }
    }

    /// FNV-1a: two names with the same one cost a look, since the name itself is compared, too.
    static func path(_ name: String) -> String {
        let hash = name.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return "p" + String(hash, radix: 16)
    }

    /// The first of all strings that begin with none of `prefix`, in the order of bytes; nil where there is none.
    static func end(of prefix: String) -> String? {
        var scalars = Array(prefix.unicodeScalars)
        while let last = scalars.popLast() {
            // Behind U+D7FF come the surrogates, which are no scalars.
            guard let next = Unicode.Scalar(last.value == 0xd7ff ? 0xe000 : last.value + 1) else { continue }
            return String(String.UnicodeScalarView(scalars + [next]))
        }
        return nil
    }
}
