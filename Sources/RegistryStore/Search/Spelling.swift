/// Words of names that are nearly what somebody has typed. Two words that differ by one letter too many, too few, another or
/// two that have changed places have a form in common when each is written without one of its letters; those forms are kept.
enum Spelling {
    /// Letters of a word that has forms.
    private static let lengths = 3...24
    /// Words with the same form that are looked at.
    private static let candidatesMax: Int64 = 50

    /// `word`, and what becomes of it without one of its letters.
    static func forms(_ word: String) -> Set<String> {
        guard lengths.contains(word.unicodeScalars.count) else { return [] }
        var forms: Set<String> = [word]
        for place in word.unicodeScalars.indices {
            var form = word.unicodeScalars
            form.remove(at: place)
            forms.insert(String(form))
        }
        return forms
    }

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

    /// The word of names that `word` was meant to be, the most common of those; nil for one that is right, or far from all.
    static func corrected(_ word: String, _ connection: any SQLConnection) throws -> String? {
        var best: (word: String, distance: Int, uses: Int64)?
        for form in forms(word) {
            let found = try connection.rows(
                """
                SELECT vocabulary.word AS word, uses FROM spellings JOIN vocabulary ON vocabulary.word = spellings.word
                WHERE variant = ? ORDER BY uses DESC LIMIT ?
                """, [.text(form), .integer(candidatesMax)])
            for row in found {
                let (candidate, uses) = (try row.text("word"), try row.integer("uses"))
                let distance = distance(word, candidate)
                guard distance > 0 else { return nil }
                if let best, (best.distance, -best.uses, best.word) <= (distance, -uses, candidate) { continue }
                best = (candidate, distance, uses)
            }
        }
        return best?.word
    }
}

extension Change {
    /// The words of a name came to be, or went.
    func countNameWords(_ name: String, by count: Int64) throws {
        for word in Set(SearchWords.split(name)) {
            let row = try connection.row(
                """
                INSERT INTO vocabulary (word, uses) VALUES (?, ?)
                ON CONFLICT (word) DO UPDATE SET uses = vocabulary.uses + excluded.uses RETURNING uses
                """, [.text(word), .integer(count)])
            let uses = try row?.integer("uses") ?? 0
            if uses == 1, count == 1 {
                for form in Spelling.forms(word) {
                    try connection.execute(
                        "INSERT INTO spellings (variant, word) VALUES (?, ?) ON CONFLICT (variant, word) DO NOTHING",
                        [.text(form), .text(word)])
                }
            } else if uses <= 0 {
                try connection.execute("DELETE FROM vocabulary WHERE word = ?", [.text(word)])
                for form in Spelling.forms(word) {
                    try connection.execute(
                        "DELETE FROM spellings WHERE variant = ? AND word = ?", [.text(form), .text(word)])
                }
            }
        }
    }
}
