// swift-tools-version: 6.3
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

/// A Swift module or executable with the settings every one of ours has.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// - Parameter data: files that the tests find by their own path.
func tests(_ name: String, _ dependencies: [Target.Dependency], data: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies, exclude: data, swiftSettings: settings)
}

let package = Package(
    name: "docker-swift",
    products: [
        .executable(name: "docker", targets: ["docker"]),
        .executable(name: "dockerd", targets: ["dockerd"]),
        .executable(name: "docker-monitor", targets: ["docker-monitor"]),
        .executable(name: "docker-tls", targets: ["docker-tls"]),
        .executable(name: "docker-registry", targets: ["docker-registry"]),
        .library(name: "LayerFS", targets: ["LayerFS"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // Lowest first: C, values, the system-call line, mechanism, state, wire, executables.
        .target(name: "CLinux", linkerSettings: [.linkedLibrary("uring")]),
        // Optimized in debug builds, too: a test that decompresses would take minutes.
        .target(name: "CInflate", cSettings: [.unsafeFlags(["-O3"])]),
        .systemLibrary(name: "CCodecs"),
        .systemLibrary(name: "CSeccomp"),
        .systemLibrary(name: "CCrypt"),
        .systemLibrary(name: "CLibpq"),
        module("OCI"),
        module("Kernel", ["CLinux"]),
        module("Ring", ["Kernel", "CLinux"]),
        module("Netlink", ["Kernel", "CLinux"]),
        module("LayerFS", ["OCI", "Kernel", "Ring", "CLinux", "CCodecs", "CInflate", crypto]),
        module("Isolation", ["OCI", "Kernel", "CLinux", "CSeccomp"]),
        module("Volumes", ["Kernel", "Ring", "CLinux"]),
        module(
            "VolumeDrivers",
            ["OCI", "Kernel", nio, nioHTTP1, .product(name: "AsyncHTTPClient", package: "async-http-client")]),
        module("DNS", ["Kernel", nio, nioPosix, log]),
        module("HTTP", [nio, nioPosix, nioHTTP1, nioSSL]),
        module("ServerProcess", ["Kernel", "CLinux"]),
        module("RegistryPages", ["OCI"]),
        module(
            "S3",
            [
                "OCI", "Kernel", crypto, nio, nioPosix, nioHTTP1,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        module("RegistryStore", ["S3", "OCI", "Kernel", "CLinux", "CLibpq", crypto, nio, grdb]),
        module("RegistryMirror", ["RegistryStore", "Registry", "OCI", "Kernel", nio, log]),
        module(
            "RegistryEngine",
            ["RegistryStore", "OCI", nio, nioHTTP1, .product(name: "AsyncHTTPClient", package: "async-http-client")]),
        module(
            "RegistryUpkeep",
            [
                "RegistryStore", "Registry", "OCI", "Kernel", crypto, nio, nioHTTP1, log,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        module(
            "RegistryServer",
            [
                "RegistryPages", "RegistryMirror", "RegistryEngine", "RegistryUpkeep", "Registry", "RegistryStore",
                "HTTP", "OCI", "Kernel", "CCrypt", crypto, cryptoExtras, x509, asn1, nio, log,
            ]),
        module(
            "Registry",
            [
                "OCI", "Kernel", "CLinux", crypto, nio, nioPosix, nioHTTP1, nioSSL,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        module(
            "Actors",
            [
                "Isolation", "LayerFS", "Volumes", "VolumeDrivers", "Registry", "Netlink", "DNS", "Ring", "Kernel",
                "OCI", log,
                crypto, nioPosix, grdb,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        module(
            "EngineAPI",
            [
                "Actors", "HTTP", "Registry", "LayerFS", "Isolation", "VolumeDrivers", "OCI", "Kernel", nio, nioPosix,
                nioHTTP1, log,
            ]),
        // C alone and static: one runs beside every container, and it is started from memory.
        .executableTarget(
            name: "docker-monitor", linkerSettings: [.unsafeFlags(["-static-executable", "-nostartfiles"])]),
        // Static in release: a client lives for milliseconds, and loading libraries would take a third of them.
        .executableTarget(
            name: "docker",
            swiftSettings: settings,
            linkerSettings: [.unsafeFlags(["-static-executable"], .when(configuration: .release))]),
        // Started by docker for a daemon that wants TLS, which few do: NIO and BoringSSL would be most of the client.
        .executableTarget(
            name: "docker-tls",
            dependencies: [nio, nioPosix, .product(name: "NIOSSL", package: "swift-nio-ssl")], swiftSettings: settings),
        .executableTarget(
            name: "dockerd",
            dependencies: [
                "EngineAPI", "Actors", "HTTP", "Registry", "LayerFS", "Isolation", "Volumes", "Netlink", "Ring",
                "Kernel", "ServerProcess",
                "CLinux", "OCI", log, nioPosix, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "docker-registry",
            dependencies: [
                "RegistryServer", "RegistryMirror", "RegistryEngine", "RegistryStore", "RegistryUpkeep", "HTTP", "OCI",
                "Kernel", "ServerProcess", log, nio, nioHTTP1,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings),
        tests("LayoutTests", []),
        tests("OCITests", ["OCI"]),
        tests("KernelTests", ["Kernel", "Ring"]),
        tests("LayerFSTests", ["LayerFS", "Kernel", "OCI"]),
        tests("IsolationTests", ["Isolation", "Kernel", "OCI"]),
        tests("VolumesTests", ["Volumes", "Kernel"]),
        tests(
            "VolumeDriversTests",
            ["OCI", "VolumeDrivers", nio, .product(name: "AsyncHTTPClient", package: "async-http-client")]),
        tests(
            "CLITests", ["docker", "docker-tls"],
            data: ["RecordedAnswers.jsonl", "StockOutputs.jsonl", "StockRequests.jsonl"]),
        tests("NetlinkTests", ["Netlink", "Kernel"]),
        tests("DNSTests", ["DNS", "Kernel", "CLinux", nio, nioPosix, log]),
        .target(name: "TestServers", dependencies: ["Kernel"], path: "Tests/TestServers", swiftSettings: settings),
        tests("RegistryTests", ["Registry", "OCI", "Kernel", "TestServers"]),
        tests("HTTPTests", ["HTTP", nio, nioPosix]),
        tests("RegistryPagesTests", ["RegistryPages"]),
        tests(
            "RegistryServerTests",
            [
                "RegistryServer", "RegistryStore", "RegistryUpkeep", "S3", "HTTP", "OCI", "Kernel", "TestServers", nio,
                crypto, cryptoExtras,
            ]),
        tests("ActorsTests", ["Actors", "Netlink", "DNS", "OCI", "Kernel"]),
        tests("EngineTests", ["EngineAPI", "HTTP", "Actors", "OCI"]),
    ]
)
