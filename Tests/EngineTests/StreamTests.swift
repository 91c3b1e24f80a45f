import Foundation
import Testing

/// Attached clients as they are on the wire; `Tests/Support/stream-client` has the steps.
@Suite(.serialized)
final class StreamTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
    }

    @Test(arguments: [
        "the_usual_keys_leave_a_terminal", "other_keys_leave_when_they_are_asked_for",
        "without_a_terminal_no_keys_leave", "keys_that_do_not_exist_are_refused", "keys_leave_an_exec_that_goes_on",
        "an_exec_is_inspected_as_docker_has_it", "the_exec_of_a_health_check_is_listed_while_it_runs",
        "a_reader_that_stops_holds_up_neither_the_container_nor_who_reads_a_gigabyte",
        "a_container_does_not_wait_for_a_later_reader_that_stops",
        "a_slow_reader_from_before_the_start_misses_nothing", "input_and_its_end_may_come_before_the_start",
        "streams_are_raw_or_multiplexed_and_say_so", "a_paused_container_is_not_attached_to",
    ])
    func `an attached client sees what Docker shows`(_ step: String) throws {
        let ran = try Lab.run(
            "/usr/bin/env", ["python3", Lab.root.path + "/Tests/Support/stream-client", image, step],
            environment: lab.environment)
        #expect(ran.code == 0, "\(ran.err)")
    }
}
