import CLinux

/// fcntl(2) with an integer argument.
package enum DescriptorControl {
    package static func set(_ descriptor: CInt, _ command: CInt, _ argument: CInt) -> CInt {
        cl_fcntl_int(descriptor, command, argument)
    }
}
