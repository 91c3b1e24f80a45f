/// A flag with a value: `@Option("-w --workdir", "Working directory inside the container") var workdir = ""`.
@propertyWrapper struct Option<Value: FlagValue> {
    private let slot: ValueSlot<Value>
    var wrappedValue: Value { slot.value }

    /// - Parameter kind: what help calls the value, when its type does not say it.
    init(wrappedValue: Value, _ names: StaticString, _ help: StaticString?, kind: StaticString? = nil) {
        slot = ValueSlot(names, help, wrappedValue, kind)
    }

    init<Wrapped>(
        _ names: StaticString, _ help: StaticString?, kind: StaticString? = nil
    ) where Value == Wrapped? {
        slot = ValueSlot(names, help, nil, kind)
    }
}

/// A flag that is there or not, or says which by `=true` and `=false`.
@propertyWrapper struct Flag {
    private let slot: SwitchSlot
    var wrappedValue: Bool { slot.value }

    init(wrappedValue: Bool, _ names: StaticString, _ help: StaticString?) {
        slot = SwitchSlot(names, help, wrappedValue)
    }
}

/// A positional argument, in the order of declaration: required unless it has a value already or may be nil; a list takes all
/// that are left.
@propertyWrapper struct Argument<Value: FlagValue> {
    private let slot: WordSlot<Value>
    var wrappedValue: Value { slot.value }

    init() { slot = WordSlot(.initial, isRequired: !Value.mayBeAbsent) }
    init(wrappedValue: Value) { slot = WordSlot(wrappedValue, isRequired: false) }
}
