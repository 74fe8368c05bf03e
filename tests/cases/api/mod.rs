//! What a user meets: manifests by hand, by folder and by request, and what the verbs print. Each case has pods of its
//! own and takes them away again.

mod cluster;
mod crowd;
mod disk;
mod frames;
mod input;
mod load;
mod manifests;
mod shape;
mod spaces;
mod verbs;

use std::time::Duration;

use super::Case;
use crate::wire::Mode;

/// Where the API keeps the pods of these cases.
const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn cases() -> Vec<Case> {
    let limit = Duration::from_secs(180);
    let case = |name, run| Case { name, mode: Mode::Shared, limit, run };
    let alone = |name, run| Case { name, mode: Mode::Alone, limit, run };
    vec![
        case("bad_input_is_refused_whole_and_says_where", input::refused),
        case("of_a_file_with_a_fault_nothing_is_created", input::whole_or_not),
        case("a_dry_run_creates_nothing_and_needs_no_agent_on_the_client", input::dry_run),
        case("the_box_is_told_as_kubectl_reads_it", cluster::is_told),
        case("requests_are_answered_in_kubernetes_shape", shape::of_requests),
        case("metrics_are_text_or_openmetrics_as_asked", shape::of_metrics),
        case("a_manifest_is_a_pod_as_long_as_its_file_is_there", manifests::follow_the_folder),
        case("every_verb_says_what_it_should", verbs::say),
        case("bytes_that_are_no_frames_end_a_command_and_nothing_else", frames::end_the_connection),
        alone("ten_thousand_who_watch_are_too_many", crowd::comes),
        Case {
            name: "a_thousand_watch_and_a_hundred_run_commands_and_the_loop_is_in_time",
            mode: Mode::Alone,
            limit: Duration::from_secs(900),
            run: load::borne,
        },
        alone("a_namespace_goes_with_all_that_is_in_it", spaces::go),
        alone("without_room_for_the_store_pods_run_on_and_no_end_is_lost", disk::full),
    ]
}
