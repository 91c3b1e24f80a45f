/// Words of names that are nearly what somebody has typed: with one letter more, one less, another one, or one at another place.
/// They are asked for by name, in the sorted list of all words of names, which says which letters come after a beginning:
/// a push of a new name adds its words and nothing else.
enum Spelling {
    /// Letters of a word that is corrected, and of what it is corrected to.
    private static let lengths = 3...24
    /// Letters after one beginning: those of any script, and few of a language that has a sign for each word.
    private static let lettersMax = 128
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

    /// What becomes of `word` without one of its letters, and with one at another place.
    static func forms(_ word: [Unicode.Scalar]) -> Set<[Unicode.Scalar]> {
        var forms: Set<[Unicode.Scalar]> = []
        for place in word.indices {
            var shorter = word
            let letter = shorter.remove(at: place)
            forms.insert(shorter)
            for target in word.indices { forms.insert(shorter[..<target] + [letter] + shorter[target...]) }
        }
        return forms
    }

    /// Words of names that begin with `start` and go on with any one letter and then one of `rests`.
    private static func words(
        _ start: ArraySlice<Unicode.Scalar>, thenAnyOf rests: [ArraySlice<Unicode.Scalar>],
        _ connection: any SQLConnection
    ) throws -> [Word] {
        let from = text(start)
        // From the first word with a letter to the first behind all with that letter, by the sorted list.
        let selects = rests.map { _ in
            """
            SELECT vocabulary.word AS word, vocabulary.uses AS uses FROM letters
            JOIN vocabulary ON vocabulary.word = letters.start || ?
            """
        }
        return try connection.rows(
            """
            WITH RECURSIVE found (word) AS (
                SELECT (SELECT min(word) FROM vocabulary WHERE word > ? AND word < ?)
                UNION ALL
                SELECT (SELECT min(word) FROM vocabulary
                    WHERE word > substr(found.word, 1, \(start.count + 1)) || '\(last)' AND word < ?)
                FROM found WHERE found.word IS NOT NULL),
            letters (start) AS (
                SELECT substr(word, 1, \(start.count + 1)) FROM found WHERE word IS NOT NULL LIMIT \(lettersMax))
            \(selects.joined(separator: " UNION ALL "))
            """, [.text(from), .text(from + last), .text(from + last)] + rests.map { .text(text($0)) }
        ).map(Word.init)
    }

    /// The word of names that `word` was meant to be, the most common of those; nil for one that is right, or far from all.
    static func corrected(_ word: String, _ connection: any SQLConnection) throws -> String? {
        let scalars = Array(word.unicodeScalars)
        guard lengths.contains(scalars.count), try words([word], connection).isEmpty else { return nil }
        var found = try words(forms(scalars).map { text($0[...]) }, connection)
        for place in scalars.indices {
            found += try words(scalars[..<place], thenAnyOf: [scalars[place...], scalars[(place + 1)...]], connection)
        }
        found += try words(scalars[...], thenAnyOf: [[]], connection)
        return found.filter { lengths.contains($0.text.unicodeScalars.count) }
            .map { (distance(word, $0.text), -$0.uses, $0.text) }.min { $0 < $1 }?.2
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        String(String.UnicodeScalarView(scalars))
    }

    /// Those of `words` that are words of names.
    private static func words(_ words: [String], _ connection: any SQLConnection) throws -> [Word] {
        var found: [Word] = []
        try SQLList.parts(words) { part in
            found += try connection.rows(
                "SELECT word, uses FROM vocabulary WHERE word IN \(SQLList.marks(part.count))", part.map { .text($0) }
            ).map(Word.init)
        }
        return found
    }

    /// A word of names, and of how many.
    private struct Word {
        let text: String
        let uses: Int64

        init(_ row: SQLRow) throws {
            text = try row.text("word")
            uses = try row.integer("uses")
        }
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
