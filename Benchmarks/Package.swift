// swift-tools-version: 6.3
import PackageDescription

/// The settings of the engine's modules, which are built here from the same sources (`Sources` is a link) so that a benchmark
/// may call what the package keeps to itself.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let package = Package(
    name: "docker-swift-benchmarks",
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "CLinux", linkerSettings: [.linkedLibrary("uring")]),
        .target(name: "CInflate", cSettings: [.unsafeFlags(["-O3"])]),
        .systemLibrary(name: "CCodecs"),
        .target(name: "OCI", swiftSettings: settings),
        .target(name: "Kernel", dependencies: ["CLinux"], swiftSettings: settings),
        .target(name: "Ring", dependencies: ["Kernel", "CLinux"], swiftSettings: settings),
        .target(
            name: "LayerFS",
            dependencies: ["OCI", "Kernel", "Ring", "CLinux", "CCodecs", "CInflate", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: settings),
        .target(
            name: "DNS",
            dependencies: [
                "Kernel", .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "NameServer",
            dependencies: [
                "DNS", "Kernel", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Benchmarks/DNS", swiftSettings: settings),
        .systemLibrary(name: "CNftables", path: "Benchmarks/CNftables"),
        .target(name: "Netlink", dependencies: ["Kernel", "CLinux"], swiftSettings: settings),
        .executableTarget(
            name: "PacketRules", dependencies: ["Netlink", "Kernel", "CNftables"], path: "Benchmarks/Rules",
            swiftSettings: settings),
        .executableTarget(
            name: "LayerFSBenchmarks",
            dependencies: ["LayerFS", "OCI", "Kernel", "CCodecs", .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/LayerFS", swiftSettings: settings,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ]
)
