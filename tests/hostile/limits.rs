//! Every limit that is documented has a test that goes beyond it.

use std::collections::BTreeSet;
use std::fs;

use projectionist::guest::limits::LIMITS;

use crate::support::repository;

/// The test that trips a limit. It speaks of the limit by its name.
struct Trip {
    limit: &'static str,
    file: &'static str,
    test: &'static str,
}

const fn trip(limit: &'static str, file: &'static str, test: &'static str) -> Trip {
    Trip { limit, file, test }
}

const CALLS: &str = "tests/hostile/calls.rs";
const DATA: &str = "tests/hostile/data.rs";
const ANSWERS: &str = "tests/hostile/answers.rs";
const LOADING: &str = "tests/hostile/loading.rs";
const DIRECTORY: &str = "tests/hostile/directory.rs";
const HTTP: &str = "tests/hostile/http.rs";

const TRIPS: &[Trip] = &[
    trip(
        "handle-timeout-ms",
        CALLS,
        "a_loop_in_handle_meets_its_deadline",
    ),
    trip(
        "setup-timeout-ms",
        CALLS,
        "a_loop_in_setup_meets_its_deadline",
    ),
    trip("memory-mib", DATA, "a_memory_bomb_meets_its_limit"),
    trip("table-entries", LOADING, "table_bombs_meet_their_limit"),
    trip("host-calls", DATA, "a_flood_of_host_calls_meets_its_limit"),
    trip(
        "statements",
        DATA,
        "statements_without_end_meet_their_limit",
    ),
    trip("sent-mib", DATA, "parameters_without_end_meet_their_limit"),
    trip("received-mib", DATA, "answers_without_end_meet_their_limit"),
    trip(
        "appended-events",
        ANSWERS,
        "appends_without_end_meet_their_limit_and_nothing_of_them_is_kept",
    ),
    trip("log-lines", ANSWERS, "a_flood_of_log_lines_is_cut"),
    trip(
        "http-requests",
        HTTP,
        "too_many_requests_in_a_batch_are_refused",
    ),
    trip(
        "http-concurrent",
        HTTP,
        "too_many_requests_at_once_are_refused",
    ),
    trip(
        "http-request-kib",
        HTTP,
        "a_request_that_is_too_large_is_cut",
    ),
    trip("http-response-kib", HTTP, "an_endless_body_is_cut"),
    trip(
        "http-connect-timeout-ms",
        HTTP,
        "a_server_that_does_not_shake_hands_is_given_up",
    ),
    trip(
        "http-first-byte-timeout-ms",
        HTTP,
        "a_server_that_never_answers_is_given_up",
    ),
    trip(
        "http-between-bytes-timeout-ms",
        HTTP,
        "an_answer_that_stops_in_the_middle_is_given_up",
    ),
    trip(
        "http-request-timeout-ms",
        HTTP,
        "an_answer_that_drips_is_given_up",
    ),
    trip("http-headers", HTTP, "endless_headers_are_cut"),
    trip(
        "http-header-bytes",
        HTTP,
        "headers_that_are_too_long_are_refused",
    ),
    trip(
        "http-host-concurrent",
        "host/src/guest/http/outbound.rs",
        "requests_beyond_those_of_the_host_wait_for_a_place",
    ),
    trip("host-call-mib", DATA, "a_huge_parameter_is_not_taken_over"),
    trip(
        "stack-bytes",
        CALLS,
        "deep_recursion_meets_the_end_of_the_stack",
    ),
    trip("core-instances", LOADING, "a_crowd_of_instances_is_refused"),
    trip(
        "memories",
        LOADING,
        "crowds_of_memories_and_tables_are_refused",
    ),
    trip(
        "tables",
        LOADING,
        "crowds_of_memories_and_tables_are_refused",
    ),
    trip("resources", DATA, "timers_without_end_meet_their_limit"),
    trip("query-rows", DATA, "a_million_rows_are_not_handed_over"),
    trip("query-bytes", DATA, "a_huge_answer_is_not_handed_over"),
    trip(
        "statement-bytes",
        DATA,
        "a_statement_that_is_too_long_is_not_parsed",
    ),
    trip("read-events", DATA, "an_answer_of_the_reader_is_cut"),
    trip("read-bytes", DATA, "an_answer_of_the_reader_is_cut"),
    trip("log-line-bytes", ANSWERS, "a_flood_of_log_lines_is_cut"),
    trip("output-bytes", ANSWERS, "a_flood_of_output_is_cut"),
    trip(
        "message-bytes",
        ANSWERS,
        "a_loud_failure_is_cut_and_written_down",
    ),
    trip(
        "retry-context-bytes",
        DATA,
        "a_retry_context_that_is_too_long_is_not_kept",
    ),
    trip("descriptor-bytes", LOADING, "a_giant_descriptor_is_refused"),
    trip(
        "describe-timeout-ms",
        LOADING,
        "a_loop_in_describe_meets_its_deadline",
    ),
    trip(
        "module-bytes",
        "tests/modules.rs",
        "each_refused_file_says_why",
    ),
    trip(
        "settings-bytes",
        "tests/modules.rs",
        "each_refused_file_says_why",
    ),
    trip(
        "compile-seconds",
        LOADING,
        "a_compilation_that_takes_too_long_is_killed_and_told",
    ),
    trip(
        "compile-memory-mib",
        LOADING,
        "a_compilation_that_takes_too_much_memory_is_ended_and_told",
    ),
    trip(
        "native-bytes",
        LOADING,
        "native_code_that_is_too_large_is_not_taken_over",
    ),
    trip(
        "compilers",
        LOADING,
        "no_more_modules_are_compiled_at_a_time_than_may_be",
    ),
    trip(
        "compile-cache-mib",
        "host/src/guest/cache.rs",
        "what_was_not_used_for_longest_goes",
    ),
    trip(
        "ready-modules",
        "host/src/engine/catalog.rs",
        "what_was_not_used_for_longest_goes",
    ),
    trip(
        "modules",
        DIRECTORY,
        "more_modules_than_a_host_takes_are_refused_by_name",
    ),
    trip(
        "directory-entries",
        DIRECTORY,
        "a_directory_with_too_many_entries_changes_nothing",
    ),
    trip(
        "file-name-bytes",
        DIRECTORY,
        "a_file_whose_name_is_too_long_is_refused",
    ),
];

#[test]
fn every_limit_has_a_test_that_trips_it() {
    let documented: BTreeSet<&str> = LIMITS.iter().map(|limit| limit.name).collect();
    let tripped: BTreeSet<&str> = TRIPS.iter().map(|trip| trip.limit).collect();
    let untested: Vec<_> = documented.difference(&tripped).collect();
    assert!(
        untested.is_empty(),
        "these limits of host/LIMITS.md have no test that goes beyond them; write one, and name it in tests/hostile/limits.rs: {untested:?}"
    );
    assert_eq!(tripped, documented, "what is tripped is no limit any more");

    let silent: Vec<String> = TRIPS
        .iter()
        .filter(|trip| !test_text(trip).is_some_and(|text| names(&text, trip.limit)))
        .map(|trip| format!("{}: {} and `{}`", trip.file, trip.test, trip.limit))
        .collect();
    assert!(
        silent.is_empty(),
        "these tests are not there, or do not speak of the limit that they trip:\n{}",
        silent.join("\n")
    );
}

/// A test with its attribute and what is said above it.
fn test_text(trip: &Trip) -> Option<String> {
    let text = fs::read_to_string(repository().join(trip.file)).ok()?;
    let name = text.find(&format!("fn {}()", trip.test))?;
    let begin = text[..name].rfind("\n\n").map_or(0, |begin| begin + 2);
    let indent = text[begin..].len() - text[begin..].trim_start_matches(' ').len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    let end = text[name..].find(&end).map_or(text.len(), |at| name + at);
    let test = &text[begin..end];
    (test.contains("test]")).then(|| test.to_owned())
}

/// Whether a text has the name as a word of its own.
fn names(text: &str, limit: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || "-_".contains(character);
    text.match_indices(limit).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + limit.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}
