/// A system-call filter before it is compiled: the first words of seccomp(2) in the form libseccomp takes.
struct SeccompProfile {
    enum Action: Hashable {
        case allow, log, trap, killThread, killProcess
        case errno(UInt16)
        case trace(UInt16)
    }
    enum Comparison { case notEqual, less, lessOrEqual, equal, greaterOrEqual, greater, maskedEqual }
    struct Argument {
        var index: UInt32
        var operation: Comparison
        var value: UInt64
        var second: UInt64

        init(index: UInt32, _ operation: Comparison, _ value: UInt64, _ second: UInt64 = 0) {
            self.index = index
            self.operation = operation
            self.value = value
            self.second = second
        }
    }
    struct Rule {
        var names: [String]
        var action: Action
        var arguments: [Argument]

        init(_ names: [String], _ action: Action, _ arguments: [Argument] = []) {
            self.names = names
            self.action = action
            self.arguments = arguments
        }
    }

    var defaultAction: Action
    var rules: [Rule] = []
}
