/// Merges the stored layers of a chain, each as soon as it and those below it are complete, and hands the result to a
/// driver.
package struct ChainBuilder: Sendable {
    private var tree = ImageTree()
    /// The layers merged so far, lowest first.
    package private(set) var layers: [LayerFiles] = []

    package init() {}

    /// Merges the next layer from its parsed members (``LayerFiles/entries``).
    ///
    /// - Throws: `LayerError`; the builder is then of no use.
    package mutating func append(_ layer: LayerFiles) throws(LayerError) {
        let index = layers.count
        try EntryReader.forEach(layer.entries) { (entry: LayerEntry) throws(LayerError) in
            try tree.apply(layer: index, entry)
        }
        try tree.finishLayer(index)
        layers.append(layer)
    }

    /// Prepares the chain of the layers so far in `directory`, which exists.
    package func prepare(with driver: some LayerDriver, at directory: String) throws(LayerError) {
        try driver.prepare(tree, layers: layers, at: directory)
    }

    /// Prepares the chain of `layers` in one go.
    package static func prepare(
        _ layers: [LayerFiles], with driver: some LayerDriver, at directory: String
    ) throws(LayerError) {
        var builder = ChainBuilder()
        for layer in layers { try builder.append(layer) }
        try builder.prepare(with: driver, at: directory)
    }
}
