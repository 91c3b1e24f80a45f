/// Words of names that are nearly what somebody has typed: with one letter more, one less, another one, or one at another place.
/// They are asked for by name, in the sorted list of all words of names, which says which letters come after a beginning:
/// a push of a new name adds its words and nothing else.
enum Spelling {
    /// Letters of a word that is corrected, and of what it is corrected to.
    private static let lengths = 3...24
    /// Letters after one beginning: those of any script, and few of a language that has a sign for each word.
    private static let lettersMax = 128
    /// Words that are looked for: bounds what names of strange letters cost.
    private static let formsMax = 4096
    /// Behind every word that begins with what is before it.
    private static let last = "\u{10ffff}"

    /// How many letters have to be put in, taken out, changed or exchanged with the next one.
    static func distance(_ left: String, _ right: String) -> Int {
        let (left, right) = (Array(left.unicodeScalars), Array(right.unicodeScalars))
        guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
        var before: [Int] = []
        var last = Array(0...right.count)
        for (row, letter) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var best = min(last[column] + (letter == other ? 0 : 1), last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                    best = min(best, before[column - 1] + 1)
                }
                current.append(best)
            }
            (before, last) = (last, current)
        }
        return last[right.count]
    }

    /// What `word` may have been meant to be.
    ///
    /// - Parameter next: the letters that words of names have behind the first of `word`: behind none, one, two and so on.
    static func forms(_ word: [Unicode.Scalar], _ next: [[Unicode.Scalar]]) -> Set<[Unicode.Scalar]> {
        var forms: Set<[Unicode.Scalar]> = []
        for place in word.indices {
            var shorter = word
            let letter = shorter.remove(at: place)
            forms.insert(shorter)
            for target in word.indices { forms.insert(shorter[..<target] + [letter] + shorter[target...]) }
        }
        for (place, letters) in next.enumerated() {
            for letter in letters where forms.count < formsMax {
                forms.insert(word[..<place] + [letter] + word[place...])
                if place < word.count { forms.insert(word[..<place] + [letter] + word[(place + 1)...]) }
            }
        }
        return forms.filter { lengths.contains($0.count) && $0 != word }
    }

    /// The letters that words of names have behind `start`.
    private static func letters(after start: String, _ connection: any SQLConnection) throws -> [Unicode.Scalar] {
        let count = start.unicodeScalars.count
        let found = try connection.rows(
            """
            WITH RECURSIVE found (word) AS (
                SELECT (SELECT min(word) FROM vocabulary WHERE word > ? AND word < ?)
                UNION ALL
                SELECT (SELECT min(word) FROM vocabulary
                    WHERE word > substr(found.word, 1, \(count + 1)) || '\(last)' AND word < ?)
                FROM found WHERE found.word IS NOT NULL)
            SELECT word FROM found WHERE word IS NOT NULL LIMIT \(lettersMax)
            """, [.text(start), .text(start + last), .text(start + last)])
        return try found.compactMap { try $0.text("word").unicodeScalars.dropFirst(count).first }
    }

    /// The word of names that `word` was meant to be, the most common of those; nil for one that is right, or far from all.
    static func corrected(_ word: String, _ connection: any SQLConnection) throws -> String? {
        let scalars = Array(word.unicodeScalars)
        guard lengths.contains(scalars.count), try uses([word], connection).isEmpty else { return nil }
        var next: [[Unicode.Scalar]] = []
        for count in 0...scalars.count {
            let letters = try letters(after: text(scalars[..<count]), connection)
            // No word begins so, and none with more of it.
            guard !letters.isEmpty else { break }
            next.append(letters)
        }
        let found = try uses(forms(scalars, next).map { text($0[...]) }, connection)
        return found.map { (distance(word, $0.word), -$0.uses, $0.word) }.min { $0 < $1 }?.2
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        String(String.UnicodeScalarView(scalars))
    }

    /// Those of `words` that are words of names, and of how many.
    private static func uses(
        _ words: [String], _ connection: any SQLConnection
    ) throws -> [(word: String, uses: Int64)] {
        var found: [(word: String, uses: Int64)] = []
        try SQLList.parts(words) { part in
            let rows = try connection.rows(
                "SELECT word, uses FROM vocabulary WHERE word IN \(SQLList.marks(part.count))", part.map { .text($0) })
            for row in rows { found.append((try row.text("word"), try row.integer("uses"))) }
        }
        return found
    }
}

extension Change {
    /// The words of a name came to be, or went.
    func countNameWords(_ name: String, by count: Int64) throws {
        try SQLList.parts(Set(SearchWords.split(name)).sorted()) { part in
            try connection.execute(
                """
                INSERT INTO vocabulary (word, uses) VALUES \(SQLList.rows(part.count, of: 2))
                ON CONFLICT (word) DO UPDATE SET uses = vocabulary.uses + excluded.uses
                """, part.flatMap { [.text($0), .integer(count)] })
            guard count < 0 else { return }
            try connection.execute(
                "DELETE FROM vocabulary WHERE uses <= 0 AND word IN \(SQLList.marks(part.count))",
                part.map { .text($0) })
        }
    }
}
