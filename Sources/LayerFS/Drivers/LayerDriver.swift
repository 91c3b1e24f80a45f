/// A way to show the merged layers of a chain to the kernel as one read-only lower directory.
///
/// A chain lives in a directory of its own. `prepare` fills it once; `mount` and `unmount` may then be called any
/// number of times, also by a later process. Every implementation passes the same conformance suite.
package protocol LayerDriver: Sendable {
    /// As shown to and chosen by the user.
    var name: String { get }

    /// Fills a chain's directory, which exists, so that after a crash it is either complete or can be prepared again.
    ///
    /// - Parameter layers: the layers' files, lowest first, as many as `tree` has layers.
    /// - Throws: `LayerError` `.limit` where the driver's format ends, `.malformed` where a layer's file is shorter
    ///   than its entries say, `.system`.
    func prepare(_ tree: borrowing ImageTree, layers: [LayerFiles], at directory: String) throws(LayerError)

    /// True when `directory` holds what `prepare` of this driver made.
    func isPrepared(_ directory: String) -> Bool

    /// Makes a prepared chain visible; when it is mounted at `target` already, that mount serves.
    ///
    /// - Parameter target: a directory, made if missing, where the driver may mount. One caller at a time for one
    ///   target.
    /// - Returns: the directory to use as overlay's lower.
    func mount(_ directory: String, layers: [LayerFiles], at target: String) throws(LayerError) -> String

    /// Undoes `mount`; nothing mounted is no error.
    func unmount(_ target: String) throws(LayerError)
}

/// Builds and mounts a small image in a new directory below `scratch`, with an overlay above it, to see whether
/// `driver` works on this machine and this file system.
///
/// - Throws: `LayerError` with the reason why it does not.
package func probe(_ driver: some LayerDriver, scratch: String) throws(LayerError) {
    try DriverProbe(driver: driver, directory: scratch + "/probe-\(driver.name)").run()
}
