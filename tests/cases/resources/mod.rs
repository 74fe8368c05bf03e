//! What a pod asks of the box, what it gets, and what becomes of it when it takes more.

mod qos;
mod resize;
mod room;
mod storage;
mod update;
mod whole;

use std::time::Duration;

use super::Case;
use crate::wire::Mode;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(240), run };
    vec![
        case("who_goes_first_and_who_gets_the_processor_is_the_kubelets_rule", qos::classes),
        case("a_pod_has_a_budget_of_its_own", whole::budget),
        case("memory_is_protected_for_who_asks_for_it", whole::protected),
        case("a_pod_without_room_waits_until_there_is_some", room::waits),
        case("another_image_restarts_the_container_whatever_the_policy", update::image),
        case("a_deadline_may_be_set_on_a_pod_that_runs", update::deadline),
        case("nothing_else_of_a_pod_changes_in_place", update::refused),
        case("a_running_pod_gets_other_limits", resize::in_place),
        case("what_cannot_be_given_now_is_waited_for", resize::not_now),
        case("a_pod_that_fills_the_disk_is_evicted", storage::evicted),
        Case {
            name: "an_eviction_outlives_the_agent",
            mode: Mode::Alone,
            limit: Duration::from_secs(300),
            run: storage::outlives,
        },
    ]
}
