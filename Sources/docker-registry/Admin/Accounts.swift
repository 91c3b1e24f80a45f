import ArgumentParser
import FoundationEssentials
import Glibc
import NIOHTTP1
import OCI
import RegistryServer
import ServerProcess

/// What commands of accounts have in common.
enum AccountCommand {
    /// Says so when nobody is asked who they are.
    static func note(_ answer: AdminAPI.AccountAnswer) {
        guard !answer.isEnforced else { return }
        StandardError.write(
            "docker-registry: this registry lets everybody do everything: serve it with --accounts, or --htpasswd\n")
    }

    /// Prints what nobody is told again.
    static func show(_ answer: AdminAPI.AccountAnswer) {
        if let secret = answer.secret { print(secret) }
        note(answer)
    }

    static func list(_ client: AdminClient, _ kind: String) async throws {
        let items = try await client.ask(.GET, "/accounts/\(kind)", as: [AdminAPI.AccountItem].self)
        let now = Int64(time(nil))
        let rows = items.map { item in
            let state = !item.isEnabled ? "disabled" : item.expires.map { $0 <= now } ?? false ? "expired" : "enabled"
            return [item.name, state, date(item.created), item.expires.map(date) ?? "never"]
        }
        print(table(["NAME", "STATE", "CREATED", "EXPIRES"], rows))
    }

    private static func date(_ seconds: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
    }

    /// Columns that are as wide as their widest entry.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        var table = TextTable(head)
        for row in rows { table.add(row) }
        return table.text
    }

    /// A password from standard input, or asked for where a person sits.
    static func password(fromInput: Bool) throws -> String {
        if fromInput {
            guard let line = readLine(strippingNewline: true), !line.isEmpty else {
                throw ServeOptions.Failure("there is no password on standard input")
            }
            return line
        }
        func ask(_ prompt: String) throws -> String {
            guard isatty(0) == 1, let typed = getpass(prompt) else {
                throw ServeOptions.Failure("there is no terminal to ask for a password: use --password-stdin")
            }
            return String(cString: typed)
        }
        let password = try ask("Password: ")
        guard try ask("Password again: ") == password else { throw ServeOptions.Failure("the passwords differ") }
        return password
    }
}

struct UserCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "People who may log in.",
        subcommands: [Add.self, Remove.self, Password.self, List.self, Enable.self, Disable.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Add a user, who has no rights before docker-registry grant gives some.")
        @Argument var name: String
        @Flag(name: .customLong("password-stdin"), help: "Read the password from standard input")
        var readsInput = false
        @OptionGroup var admin: AdminOptions

        func run() async throws {
            try await admin.run { client in
                var change = AdminAPI.AccountChange()
                change.name = name
                change.password = try AccountCommand.password(fromInput: readsInput)
                AccountCommand.show(try await client.ask(.POST, "/accounts/user", change))
            }
        }
    }

    struct Password: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "passwd", abstract: "Give a user another password.")
        @Argument var name: String
        @Flag(name: .customLong("password-stdin"), help: "Read the password from standard input")
        var readsInput = false
        @OptionGroup var admin: AdminOptions

        func run() async throws {
            try await admin.run { client in
                var change = AdminAPI.AccountChange()
                change.password = try AccountCommand.password(fromInput: readsInput)
                AccountCommand.show(try await client.ask(.POST, "/accounts/user/\(name)", change))
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove a user and its rights.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions
        func run() async throws {
            try await admin.run { AccountCommand.show(try await $0.ask(.DELETE, "/accounts/user/\(name)")) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the users.")
        @OptionGroup var admin: AdminOptions
        func run() async throws { try await admin.run { try await AccountCommand.list($0, "user") } }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "enable", abstract: "Let a user in again.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions
        func run() async throws { try await admin.run { try await set($0, "user", name, isEnabled: true) } }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "disable", abstract: "Keep a user out, whose rights stay.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions
        func run() async throws { try await admin.run { try await set($0, "user", name, isEnabled: false) } }
    }
}

/// Lets an account in, or keeps it out.
private func set(_ client: AdminClient, _ kind: String, _ name: String, isEnabled: Bool) async throws {
    var change = AdminAPI.AccountChange()
    change.isEnabled = isEnabled
    AccountCommand.show(try await client.ask(.POST, "/accounts/\(kind)/\(name)", change))
}

struct RobotCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "robot", abstract: "Programs that may log in.",
        subcommands: [Add.self, Remove.self, Renew.self, List.self, Enable.self, Disable.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Add a robot, and print its secret, which is not shown again.")
        @Argument var name: String
        @Option(help: "After how long it may not log in any more, such as 90d; never by default")
        var expires: String?
        @OptionGroup var admin: AdminOptions

        func run() async throws {
            try await admin.run { client in
                var change = AdminAPI.AccountChange()
                change.name = name
                change.lifetime = try expires.map { text in
                    guard let span = TimeSpan.parse(text) else {
                        throw ServeOptions.Failure("invalid --expires \(text): want a number and s, m, h or d")
                    }
                    return span.components.seconds
                }
                AccountCommand.show(try await client.ask(.POST, "/accounts/robot", change))
            }
        }
    }

    struct Renew: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "renew", abstract: "Give a robot another secret, and print it.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions

        func run() async throws {
            try await admin.run { client in
                var change = AdminAPI.AccountChange()
                change.renews = true
                AccountCommand.show(try await client.ask(.POST, "/accounts/robot/\(name)", change))
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "rm", abstract: "Remove a robot and its rights.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions
        func run() async throws {
            try await admin.run { AccountCommand.show(try await $0.ask(.DELETE, "/accounts/robot/\(name)")) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the robots.")
        @OptionGroup var admin: AdminOptions
        func run() async throws { try await admin.run { try await AccountCommand.list($0, "robot") } }
    }

    struct Enable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "enable", abstract: "Let a robot in again.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions
        func run() async throws { try await admin.run { try await set($0, "robot", name, isEnabled: true) } }
    }

    struct Disable: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "disable", abstract: "Keep a robot out, whose rights stay.")
        @Argument var name: String
        @OptionGroup var admin: AdminOptions
        func run() async throws { try await admin.run { try await set($0, "robot", name, isEnabled: false) } }
    }
}

private let patternHelp: ArgumentHelp =
    "A repository, which stands for those below it, too, or * for all"

struct GrantCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "grant", abstract: "Give an account rights in repositories.",
        discussion: """
            In place of those that it had by the same pattern. An account of the password file has all rights until it is
            given some.
            """)
    @Argument(help: "Of a user, a robot, or an account of the password file")
    var account: String
    @Argument(help: patternHelp) var pattern: String
    @Argument(help: "pull, push, delete, joined by commas, or all; docker push needs pull, too")
    var rights: String
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            let item = AdminAPI.RightsItem(account: account, pattern: pattern, rights: rights)
            AccountCommand.show(try await client.ask(.POST, "/rights", item))
        }
    }
}

struct RevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Take the rights of a pattern from an account.",
        discussion: "An account of the password file has all rights again when none are left that it was given.")
    @Argument var account: String
    @Argument(help: patternHelp) var pattern: String
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            let item = AdminAPI.RightsItem(account: account, pattern: pattern, rights: "")
            AccountCommand.show(try await client.ask(.POST, "/rights", item))
        }
    }
}

struct RightsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rights", abstract: "List the rights of an account, or of all.")
    @Argument var account: String?
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            let items = try await client.ask(.GET, "/rights", as: [AdminAPI.RightsItem].self)
            let shown = items.filter { account == nil || $0.account == account }
            print(
                AccountCommand.table(
                    ["ACCOUNT", "REPOSITORIES", "RIGHTS"], shown.map { [$0.account, $0.pattern, $0.rights] }))
        }
    }
}
