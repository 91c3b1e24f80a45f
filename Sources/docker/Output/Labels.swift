/// Labels in listings.
enum Labels {
    /// `a=1,b=2`, in order.
    static func text(_ labels: JSON?) -> String {
        (labels?.members ?? []).map { "\($0.name)=\($0.value.string ?? "")" }.sorted().joined(separator: ",")
    }

    /// The method `.Label "NAME"` of rows whose objects the daemon sent.
    ///
    /// - Parameters:
    ///   - rows: of the listing, in the order of `objects`.
    ///   - name: of the column that tells rows apart.
    static func methods(_ rows: [JSON], _ objects: [JSON], by name: String) -> TemplateEvaluator.Methods {
        let known = Dictionary(zip(rows, objects).map { ($0.text(name), $1["Labels"] ?? .null) }) { first, _ in first }
        return [
            "Label": { row, argument in .string(known[row.text(name)]?.text(argument.string ?? "") ?? "") }
        ]
    }
}
