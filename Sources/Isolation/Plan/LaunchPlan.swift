import CLinux
import Glibc
import Kernel

/// Builds the flat block of launch_plan.h: operations in order, their strings, lists and filters.
struct LaunchPlan {
    private var operations: [lp_op] = []
    private var strings: [UInt8] = []
    private var lists: [(operation: Int?, items: [UInt32])] = []
    private var filter: (operation: Int, program: [UInt8])?
    private var failed = false
    var header = lp_header()
    private var arguments: [UInt32] = []
    private var environment: [UInt32] = []
    private var logPath: UInt32 = 0
    private var logAttributes: UInt32 = 0

    init() {
        header.magic = LP_MAGIC
        header.version = LP_VERSION
        header.cgroup_fd = -1
        header.pid_namespace_fd = -1
        header.oom_fd = -1
    }

    /// Offset of `text` plus one in the strings; it becomes a real offset when the block is laid out.
    private mutating func intern(_ text: String) -> UInt32 {
        if text.utf8.contains(0) { failed = true }
        let offset = UInt32(truncatingIfNeeded: strings.count + 1)
        strings.append(contentsOf: text.utf8)
        strings.append(0)
        return offset
    }

    mutating func add(
        _ code: lp_code, _ s0: String? = nil, _ s1: String? = nil, _ s2: String? = nil, list: [String] = [],
        flags: Int = 0, a: UInt64 = 0, b: UInt64 = 0, c: UInt64 = 0
    ) {
        var operation = lp_op()
        operation.code = code.rawValue
        operation.flags = UInt32(truncatingIfNeeded: flags)
        operation.s0 = s0.map { intern($0) } ?? 0
        operation.s1 = s1.map { intern($0) } ?? 0
        operation.s2 = s2.map { intern($0) } ?? 0
        operation.list_count = UInt32(truncatingIfNeeded: list.count)
        operation.a = a
        operation.b = b
        operation.c = c
        if !list.isEmpty { lists.append((operations.count, list.map { intern($0) })) }
        operations.append(operation)
    }

    mutating func add(filter program: [UInt8]) {
        filter = (operations.count, program)
        add(LP_OP_SECCOMP)
    }

    mutating func setProgram(arguments: [String], environment: [String]) {
        self.arguments = arguments.map { intern($0) }
        self.environment = environment.map { intern($0) }
    }

    mutating func setLog(_ log: LogSpec) {
        logPath = intern(log.path)
        if !log.attributes.isEmpty { logAttributes = intern(log.attributes) }
        header.log_bytes_max = UInt64(clamping: log.bytesMax)
        header.log_files_max = UInt32(clamping: max(1, log.filesMax))
        header.log_format = UInt32(log.format == .frames ? LP_LOG_LOCAL : LP_LOG_JSON)
        header.log_sequence = log.sequence
        guard let bytes = log.queueBytes else { return }
        header.flags |= UInt32(LP_LOG_QUEUED)
        header.log_queue_bytes = UInt64(clamping: bytes)
    }

    /// The block, in the order: header, operations, lists, filter, strings.
    ///
    /// - Throws: `LaunchError` when it is larger than the monitor accepts, or a string holds a NUL.
    consuming func encoded() throws(LaunchError) -> [UInt8] {
        guard !failed else { throw LaunchError(.invalid, step: "plan", "a string holds a NUL byte") }
        lists.append((nil, arguments))
        lists.append((nil, environment))
        let operationsOffset = MemoryLayout<lp_header>.size
        let listsOffset = operationsOffset + operations.count * MemoryLayout<lp_op>.stride
        let filterOffset = listsOffset + lists.reduce(0) { $0 + $1.items.count * 4 }
        let stringsOffset = filterOffset + (filter?.program.count ?? 0)
        let total = stringsOffset + strings.count + 1
        guard total <= Int(LP_BYTES_MAX), operations.count <= Int(LP_OPS_MAX) else {
            throw LaunchError(.invalid, step: "plan", code: E2BIG, "arguments, environment and mounts are too large")
        }
        let base = UInt32(stringsOffset) - 1
        func real(_ offset: UInt32) -> UInt32 { offset == 0 ? 0 : base + offset }
        var listBytes: [UInt32] = []
        var listOffsets: [UInt32] = []
        for list in lists {
            let offset = UInt32(listsOffset + listBytes.count * 4)
            listOffsets.append(offset)
            if let operation = list.operation { operations[operation].list = offset }
            listBytes.append(contentsOf: list.items.map(real))
        }
        for index in operations.indices {
            operations[index].s0 = real(operations[index].s0)
            operations[index].s1 = real(operations[index].s1)
            operations[index].s2 = real(operations[index].s2)
        }
        if let filter {
            operations[filter.operation].a = UInt64(filterOffset)
            operations[filter.operation].b = UInt64(filter.program.count)
        }
        header.total_bytes = UInt32(total)
        header.ops_offset = UInt32(operationsOffset)
        header.op_count = UInt32(operations.count)
        header.arguments = listOffsets[lists.count - 2]
        header.argument_count = UInt32(arguments.count)
        header.environment = listOffsets[lists.count - 1]
        header.environment_count = UInt32(environment.count)
        header.log_path = real(logPath)
        header.log_attributes = real(logAttributes)
        var block: [UInt8] = []
        block.reserveCapacity(total)
        withUnsafeBytes(of: header) { block.append(contentsOf: $0) }
        operations.withUnsafeBytes { block.append(contentsOf: $0) }
        listBytes.withUnsafeBytes { block.append(contentsOf: $0) }
        if let filter { block.append(contentsOf: filter.program) }
        block.append(contentsOf: strings)
        block.append(0)
        return block
    }

    /// The block in a sealed memory file, ready to be handed to a monitor.
    consuming func sealed() throws(LaunchError) -> OwnedFD {
        let block = try encoded()
        do throws(SystemError) {
            let file = OwnedFD(adopting: try checked("memfd_create") { cl_memfd("launch-plan", 1) })
            let descriptor = file.raw
            try checked("write") { block.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } }
            try checked("fcntl") { cl_memfd_seal(descriptor) }
            return file
        } catch { throw LaunchError(error, step: "plan") }
    }
}
