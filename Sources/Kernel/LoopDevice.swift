import CLinux
import Glibc

/// A loop device (loop(4)) over a file; it frees itself when its last user is gone.
package struct LoopDevice: ~Copyable {
    private let device: OwnedFD
    /// `/dev/loopN`, valid as long as this value or a mount of the device lives.
    package let path: String

    private static let getFree: UInt = 0x4C82  // LOOP_CTL_GET_FREE
    private static let configure: UInt = 0x4C0A  // LOOP_CONFIGURE
    /// Bytes of struct loop_config, and where its fields are (linux/loop.h).
    private static let configBytes = 304
    private static let blockSizeOffset = 4
    private static let flagsOffset = 60
    private static let readOnlyFlag: UInt32 = 1  // LO_FLAGS_READ_ONLY
    private static let autoClearFlag: UInt32 = 4  // LO_FLAGS_AUTOCLEAR

    private init(_ device: consuming OwnedFD, _ path: String) {
        self.device = device
        self.path = path
    }

    /// The device that is over `file` already, held so that it stays so; nil when there is none. A file system that can be
    /// written must not be mounted by two devices at once.
    package static func existing(over file: String) throws(SystemError) -> LoopDevice? {
        for name in try Files.list("/sys/block") where name.hasPrefix("loop") && isOver(file, name) {
            // Freed meanwhile, it cannot be opened, or is over nothing or another file.
            guard let device = try? OwnedFD.open("/dev/" + name, O_RDWR), isOver(file, name) else { continue }
            return LoopDevice(device, "/dev/" + name)
        }
        return nil
    }

    private static func isOver(_ file: String, _ name: String) -> Bool {
        guard let bytes = try? Files.read("/sys/block/\(name)/loop/backing_file") else { return false }
        return String(decoding: bytes, as: UTF8.self) == file + "\n"
    }

    /// Takes a free device for `file`.
    ///
    /// - Parameter blockBytes: logical block size, a power of two from 512.
    /// - Throws: `SystemError`; EBUSY when others take every free device first.
    package init(_ file: String, blockBytes: UInt32, isReadOnly: Bool = true) throws(SystemError) {
        let access = isReadOnly ? O_RDONLY : O_RDWR
        let backing = try OwnedFD.open(file, access)
        let control = try OwnedFD.open("/dev/loop-control", O_RDWR)
        var attempts = 64  // others may take the device between the two calls
        while true {
            let number = try checked("LOOP_CTL_GET_FREE") { cl_ioctl_int(control.raw, Self.getFree, 0) }
            let path = "/dev/loop\(number)"
            let device = try OwnedFD.open(path, access)
            var config = [UInt32](repeating: 0, count: Self.configBytes / 4)
            config[0] = UInt32(bitPattern: backing.raw)
            config[Self.blockSizeOffset / 4] = blockBytes
            config[Self.flagsOffset / 4] = Self.autoClearFlag | (isReadOnly ? Self.readOnlyFlag : 0)
            if config.withUnsafeMutableBytes({ cl_ioctl_pointer(device.raw, Self.configure, $0.baseAddress) }) == 0 {
                self.device = device
                self.path = path
                return
            }
            let code = errno
            attempts -= 1
            guard code == EBUSY, attempts > 0 else { throw SystemError("LOOP_CONFIGURE", code, file) }
        }
    }
}
