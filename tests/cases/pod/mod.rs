//! A pod: what its containers share and what each has of its own, how they start again, and how it goes.

mod added;
mod asked;
mod causes;
mod clearing;
mod elsewhere;
mod exec;
mod failures;
mod files;
mod gates;
mod last_words;
mod limits;
mod order;
mod policy;
mod probes;
mod processes;
mod rotation;
mod rounds;
mod shared;
mod start;

use std::time::Duration;

use super::Case;
use crate::wire::Mode;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(180), run };
    vec![
        case("containers_share_net_ipc_and_uts_and_nothing_else", shared::namespaces),
        case("what_one_container_puts_the_other_takes", shared::memory_queues_and_files),
        case("a_process_gets_its_arguments_environment_and_directory", start::process),
        case("a_command_that_is_not_there_is_a_start_error", start::no_such_command),
        case("a_container_without_image_waits_while_the_other_runs", start::no_such_image),
        case("logs_are_cri_lines_where_shippers_look", files::logs),
        case("a_host_path_is_made_and_read_only_is_kept", files::host_path),
        case("a_claim_outlives_its_pods", files::claim),
        case("a_claim_says_what_it_takes_and_stays_if_it_is_to", files::retained),
        case("the_kernel_has_the_limits_of_the_manifest", limits::written),
        case("each_restart_policy_meets_each_exit", policy::each_meets_each),
        case("restarts_wait_0_and_10_seconds", policy::back_off),
        case("init_containers_run_one_after_the_other", order::init_containers),
        case("an_init_container_that_fails_holds_up_its_pod_or_ends_it", order::init_fails),
        case("a_sidecar_starts_before_and_goes_after_the_main_containers", order::sidecars),
        case("an_init_container_is_repeated_until_it_succeeds_and_no_other_is", failures::init_repeated),
        case("a_main_container_waits_for_a_sidecar_that_fails_to_come_up", failures::sidecar_startup),
        case("sidecars_go_after_a_main_container_that_failed", failures::main_fails),
        case("a_pod_that_is_over_needs_no_sidecar", order::over),
        case("a_pod_past_its_deadline_is_ended", order::deadline),
        case("a_rule_restarts_the_exit_it_names", order::rules),
        case("an_exit_may_ask_for_all_containers_to_run_again", rounds::all_again),
        case("a_cause_may_have_a_restart_rule_and_a_back_off_of_its_own", causes::restarts),
        case("who_ignores_sigterm_is_named_and_need_not_be_waited_for", causes::deaf),
        case("events_tell_the_life_of_a_pod", causes::story),
        case("gates_hold_up_the_start_and_the_readiness", gates::hold_up),
        case("hooks_have_their_time_and_no_more", order::hooks),
        case("a_failed_liveness_probe_ends_the_container_and_no_other", probes::liveness),
        case("restarts_by_a_liveness_probe_are_counted_up", probes::count),
        case("a_startup_probe_holds_the_others_back", probes::startup),
        case("an_unready_container_is_never_restarted", probes::readiness),
        case("a_liveness_probe_has_a_grace_period_of_its_own", probes::own_grace),
        Case {
            name: "a_probe_may_name_another_host",
            mode: Mode::Alone,
            limit: Duration::from_secs(180),
            run: elsewhere::named,
        },
        case("a_command_has_streams_and_an_exit_code", exec::streams),
        case("a_command_may_have_a_terminal", exec::terminal),
        Case {
            name: "an_ephemeral_container_looks_on_and_decides_nothing",
            mode: Mode::Alone,
            limit: Duration::from_secs(180),
            run: added::debug,
        },
        case("whoever_attaches_hears_and_is_heard", exec::attached),
        case("a_command_that_cannot_run_is_refused", exec::refusals),
        case("a_command_has_exactly_the_limits_of_its_container", exec::confinement),
        case("a_command_that_is_late_is_killed_with_its_session", exec::limit),
        case("a_commands_end_is_not_the_containers", exec::ends),
        case("a_command_ends_with_its_pod", exec::deletion),
        case("a_command_ends_with_its_client", exec::client_gone),
        case("a_program_may_say_why_it_ends", last_words::messages),
        Case {
            name: "a_log_is_whole_across_rotations",
            mode: Mode::Alone,
            limit: Duration::from_secs(600),
            run: rotation::whole,
        },
        case("standard_input_stays_open_if_that_is_asked", asked::stdin),
        case("a_terminal_is_all_three_streams_and_its_output_is_the_log", asked::terminal),
        case("the_pod_then_the_image_name_the_stop_signal", asked::signal),
        case("containers_may_share_their_processes", processes::seen),
        case("a_killed_pause_process_is_replaced_with_all_around_it", processes::killed),
        case("a_deleted_pod_is_asked_first", clearing::asked_first),
        case("nothing_is_left_of_a_deleted_pod", clearing::nothing_is_left),
        case("nothing_is_left_of_starts_that_failed", clearing::failed_starts),
    ]
}

/// A pod of these containers. `spec` is what else its specification has.
pub(crate) fn manifest(name: &str, spec: &str, containers: &[String]) -> String {
    let containers = containers.concat();
    format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n{spec}  containers:\n{containers}")
}

/// A container that runs a shell script. `more` are further fields, indented by six.
pub(crate) fn shell(name: &str, script: &str, more: &str) -> String {
    // A Rust string's escapes are YAML's as well, as far as they occur here.
    format!(
        "    - name: {name}\n      image: carob-work:1\n      imagePullPolicy: Never\n      command: [\"sh\", \"-c\", {script:?}]\n{more}"
    )
}
