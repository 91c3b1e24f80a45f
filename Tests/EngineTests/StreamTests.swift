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
        "a_log_and_the_output_behind_it_have_each_line_once",
    ])
    func `an attached client sees what Docker shows`(_ step: String) throws { try check(step) }

    @Test(arguments: [
        "a_json_log_is_rotated_compressed_and_read_whole", "a_local_log_is_rotated_compressed_and_read_whole",
        "a_log_that_is_not_configured_stays_small", "labels_variables_and_a_tag_are_written_beside_each_line",
        "long_lines_are_kept_in_parts_and_the_last_one_without_a_line_feed_too",
        "each_record_has_the_time_its_bytes_were_read", "text_is_written_byte_for_byte_as_docker_does",
        "a_json_log_of_one_file_is_followed_without_a_repetition_or_a_torn_line",
        "a_local_log_of_one_file_is_followed_without_a_repetition_or_a_torn_line",
        "a_reader_that_has_begun_sees_no_gap_however_much_is_rotated_away",
        "a_log_that_is_not_kept_cannot_be_read", "a_hundred_followers_see_a_line_at_once_and_the_end",
    ])
    func `a log keeps and shows what was asked for`(_ step: String) throws { try check(step) }

    private func check(_ step: String) throws {
        let ran = try Lab.run(
            "/usr/bin/env", ["python3", Lab.root.path + "/Tests/Support/stream-client", image, step],
            environment: lab.environment)
        #expect(ran.code == 0, "\(ran.err)")
    }

    @Test func `the daemon's log driver and options are those of containers that name none`() throws {
        let configured = try Lab(configuration: #"{"log-driver": "local", "log-opts": {"max-size": "64k"}}"#)
        let image = try configured.pulledImage()
        let format = "{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}"
        func config(_ name: String, _ flags: [String]) throws -> String {
            let made = try configured.docker(
                "create", "--name", [name, "--network", "none"] + flags + [image, "true"])
            guard made.code == 0 else { throw LabFailure(made.err) }
            return try configured.docker("inspect", "-f", [format, name]).text
        }
        #expect(try config("plain", []) == #"local {"max-size":"64k"}"#)
        #expect(try config("more", ["--log-opt", "max-file=2"]) == #"local {"max-file":"2","max-size":"64k"}"#)
        #expect(try config("other", ["--log-driver", "json-file"]) == "json-file {}")
        #expect(try configured.docker("info", "-f", ["{{.LoggingDriver}}"]).text == "local")
        try configured.docker(
            "run", "--name", ["wrote", "--network", "none", image, "sh", "-c", "echo out; echo err >&2"])
        let before = try configured.docker("logs", "wrote")
        configured.killDaemon()
        try configured.startDaemon()
        let after = try configured.docker("logs", "wrote")
        #expect((before.out, before.err) == ("out\n", "err\n"))
        #expect((after.out, after.err) == ("out\n", "err\n"))
    }

    @Test(arguments: [
        (["--log-driver", "bogus"], "no log driver named 'bogus' is registered"),
        (["--log-opt", "bogus=1"], "unknown log opt 'bogus' for json-file log driver"),
        (["--log-opt", "bogus"], "invalid key/value pair format in 'bogus'"),
    ])
    func `a daemon with a log driver or option there is not does not start`(
        _ flags: [String], _ reason: String
    ) throws {
        let directory = lab.directory + "/refused"
        let ran = try Lab.run(
            Lab.binaries + "/dockerd",
            [
                "-H", "unix://\(directory).sock", "--data-root", directory, "--exec-root", directory + "-run",
                "--bridge", "none",
            ] + flags)
        #expect(ran.code != 0)
        #expect((ran.out + ran.err).contains(reason), "\(ran.out)\(ran.err)")
    }
}
