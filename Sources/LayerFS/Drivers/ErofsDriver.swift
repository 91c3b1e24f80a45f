import Glibc
import Kernel

/// Mounts the image from its layers' tars through an EROFS index: no file is ever extracted.
package struct ErofsDriver: LayerDriver {
    /// What the kernel reads the image from.
    package enum Backing: Sendable {
        /// The files themselves (Linux 6.12).
        case files
        /// Loop devices over them, for older kernels.
        case loopDevices
    }

    private let backing: Backing

    package init(backing: Backing = .files) { self.backing = backing }

    package var name: String {
        switch backing {
        case .files: "erofs"
        case .loopDevices: "erofs-loop"
        }
    }

    private static let indexName = "/index.erofs"
    /// An index up to this size is read ahead when it is mounted.
    private static let readAheadBytesMax = 64 << 20

    package func isPrepared(_ directory: String) -> Bool { Files.exists(directory + Self.indexName) }

    package func prepare(_ tree: borrowing ImageTree, layers: [LayerFiles], at directory: String) throws(LayerError) {
        let path = directory + Self.indexName
        let temporary = path + ".new"
        do throws(LayerError) {
            let devices = try ErofsWriter.write(tree, to: temporary)
            try completeBlocks(devices, layers)
            try check(devices, layers)
        } catch {
            unlink(temporary)
            throw error
        }
        do throws(SystemError) {
            try checked("rename", path) { rename(temporary, path) }
            try Files.syncDirectory(of: path)
        } catch {
            throw LayerError(error, "storing the index of an image")
        }
    }

    package func mount(_ directory: String, layers: [LayerFiles], at target: String) throws(LayerError) -> String {
        if Mounts.isMountPoint(target) { return target }
        do throws(SystemError) {
            try Files.makeDirectories(target)
            let index = try OwnedFD.open(directory + Self.indexName, O_RDONLY)
            // Directories are read a page at a time; the whole index in one go is cheaper.
            posix_fadvise(index.raw, 0, off_t(Self.readAheadBytesMax), CInt(POSIX_FADV_WILLNEED))
        } catch {
            throw LayerError(error, "mounting an image")
        }
        let devices = try Self.devices(of: directory)
        try check(devices, layers)
        let files = [directory + Self.indexName] + (try devices.paths(layers))
        do throws(SystemError) {
            switch backing {
            case .files: try mount(files: files, at: target)
            case .loopDevices: try mount(loopDevicesOver: files, at: target)
            }
        } catch {
            throw LayerError(error, "mounting an image")
        }
        return target
    }

    package func unmount(_ target: String) throws(LayerError) {
        guard Mounts.isMountPoint(target) else { return }
        do throws(SystemError) { try Mounts.detach(target) } catch { throw LayerError(error, "unmounting an image") }
    }

    /// The device table of a prepared chain.
    private static func devices(of directory: String) throws(LayerError) -> ErofsDevices {
        let head: [UInt8]
        do throws(SystemError) {
            let index = try OwnedFD.open(directory + indexName, O_RDONLY)
            let superblock = try read(index, byteCount: ErofsDevices.superblockEnd)
            head = try read(index, byteCount: ErofsDevices.headBytes(superblock))
        } catch {
            throw LayerError(error, "reading the index of an image")
        }
        return try ErofsDevices(index: head)
    }

    /// The first bytes of a file; fewer where it ends.
    private static func read(_ file: borrowing OwnedFD, byteCount: Int) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let descriptor = file.raw
        let count = try checked("pread") { pread(descriptor, &bytes, byteCount, 0) }
        bytes.removeLast(byteCount - count)
        return bytes
    }

    /// Refuses a layer's file that has not all blocks the index refers to: the kernel answers reads past its end, also
    /// those inside the last block, with EIO.
    private func check(_ devices: ErofsDevices, _ layers: [LayerFiles]) throws(LayerError) {
        for (device, path) in zip(devices.devices, try devices.paths(layers)) {
            var status = stat()
            guard lstat(path, &status) == 0 else { throw LayerError(SystemError("lstat", path), "mounting an image") }
            guard UInt64(status.st_size) >= UInt64(device.blocks) * UInt64(Erofs.blockBytes) else {
                throw LayerError(.malformed, "\(path) is shorter than its entries say; pull the image again")
            }
        }
    }

    /// Rounds a layer's sparse file up to whole blocks; it is ours, unlike the tar, and its end may be inside one.
    private func completeBlocks(_ devices: ErofsDevices, _ layers: [LayerFiles]) throws(LayerError) {
        for (device, path) in zip(devices.devices, try devices.paths(layers)) where device.content == .sparse {
            do throws(SystemError) {
                let file = try OwnedFD.open(path, O_WRONLY)
                let size = Int(try file.nodeStatus().size)
                let rounded = Erofs.round(size, to: Erofs.blockBytes)
                if size == rounded { continue }
                let descriptor = file.raw
                try checked("ftruncate", path) { ftruncate(descriptor, rounded) }
                try file.sync()
            } catch {
                throw LayerError(error, "completing a layer's sparse file")
            }
        }
    }

    /// - Parameter files: the index, then its devices in their order.
    private func mount(files: [String], at target: String) throws(SystemError) {
        final class Held {
            let file: OwnedFD
            init(_ path: String) throws(SystemError) { file = try OwnedFD.open(path, O_RDONLY) }
        }
        let context = try FilesystemContext("erofs")
        try context.set("ro")  // or the kernel tries to open a loop device for writing
        var held: [Held] = []
        for (index, file) in files.enumerated() {
            var path = file
            if path.utf8.count > FilesystemContext.valueBytesMax {
                let open = try Held(file)
                held.append(open)
                path = open.file.procPath
            }
            try context.set(index == 0 ? "source" : "device", path)
        }
        defer { withExtendedLifetime(held) {} }  // the kernel opens the paths only now
        try context.mount(at: target, readOnly: true)
    }

    /// The kernel opens the devices when the file system is made; until then each is held open here.
    private func mount(loopDevicesOver files: [String], at target: String) throws(SystemError) {
        final class Held {
            let device: LoopDevice
            init(_ file: String) throws(SystemError) {
                device = try LoopDevice(file, blockBytes: UInt32(Erofs.blockBytes))
            }
        }
        var held: [Held] = []
        for file in files { held.append(try Held(file)) }
        try withExtendedLifetime(held) { () throws(SystemError) in
            try mount(files: held.map { $0.device.path }, at: target)
        }
    }
}
