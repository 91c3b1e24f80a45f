import Isolation
import Kernel
import Logging

extension Container {
    /// Nil for a record that another version has written.
    var logDriver: LogDriver? { try? LogDriver(record.hostConfig.logConfig) }

    /// The written log.
    ///
    /// - Throws: ``EngineError`` `.notImplemented` for a log driver that cannot be read.
    package func logs(_ options: LogOptions) async throws -> LogReader {
        guard let files = try paths.logFiles(LogDriver(record.hostConfig.logConfig).kind) else {
            throw EngineError(.notImplemented, "configured logging driver does not support reading")
        }
        let writer =
            options.follow && isRunning ? LogWriter(self, world.directoryWatch, directory: paths.directory) : nil
        return try await LogReader(files, options, writer: writer)
    }

    /// Compresses the log's full files where that is asked for: those that are there, and each when there is a new one.
    func compressLog(of connection: MonitorConnection) {
        guard let driver = logDriver, driver.compresses else { return }
        connection.onLogRotation { [weak self] in Task { await self?.compressLog(driver) } }
        compressLog(driver)
    }

    private func compressLog(_ driver: LogDriver) {
        guard let files = paths.logFiles(driver.kind) else { return }
        let (before, logger, id) = (compressing, world.logger, id)
        compressing = Task {
            await before?.value
            await BlockingPool.shared.run {
                do { try files.compress() } catch {
                    // A full disk: the files stay as they are, and as many as they may be.
                    logger.warning("cannot compress a log", metadata: ["container": "\(id)", "error": "\(error)"])
                }
            }
        }
    }
}
