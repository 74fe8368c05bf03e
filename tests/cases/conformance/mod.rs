//! Kubernetes' own conformance tests of a pod on a node, as far as no other area re-enacts them. `tests/conformance.tsv`
//! says which case stands for which test of the list.

mod api;
mod config;
mod downward;
mod environment;
mod first;
mod hooks;
mod kubelet;
mod lifecycle;
#[cfg(test)]
mod list;
mod probes;
mod security;
mod volumes;

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    Case,
    pod::{manifest, shell},
};
use crate::{pods::Pod, wire::Mode, world::World};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(300), run };
    vec![
        case("an_exit_and_its_restart_policy_make_the_status", lifecycle::status),
        case("the_images_command_runs_unless_the_manifest_has_one", lifecycle::commands),
        case("another_image_starts_without_the_old_back_off", lifecycle::back_off_afresh),
        case("hooks_are_heard_by_another_pod", hooks::heard),
        case("a_grpc_probe_of_a_wrong_port_restarts", probes::wrong_port),
        Case {
            limit: Duration::from_secs(900),
            ..case("five_failed_liveness_probes_are_five_restarts", probes::five)
        },
        case("an_empty_dir_has_the_mode_and_medium_that_is_asked_for", volumes::empty_dirs),
        case("a_host_path_keeps_its_mode_and_has_parts", volumes::host_paths),
        case("files_of_config_maps_are_as_kubernetes_wants_them", config::config_maps),
        case("files_of_secrets_are_as_kubernetes_wants_them", config::secrets),
        case("a_part_of_files_is_mounted", config::sub_paths),
        case("a_config_map_lives_from_create_to_delete_collection", config::life),
        case("a_client_updates_patches_and_deletes_objects", api::objects),
        case("a_client_writes_events_and_takes_them_back", api::events),
        case("a_client_watches_from_where_it_says", api::watchers),
        case("a_client_sees_a_pod_live_and_end", api::pods),
        case("files_about_the_pod_are_as_kubernetes_wants_them", downward::files),
        case("the_environment_is_as_kubernetes_wants_it", environment::variables),
        case("a_sub_path_is_expanded_or_refused", environment::sub_paths),
        case("a_process_is_the_user_of_its_container_or_pod", security::users),
        case("a_command_in_a_container_is_no_way_to_the_agent", security::exec),
        case("a_pod_that_always_fails_can_be_deleted", kubelet::always_fails),
        case("a_pod_has_the_boxs_address", kubelet::host_address),
        case("the_summary_api_says_what_pods_use", kubelet::summary),
        case("the_manifests_that_one_writes_first_need_a_name_and_run", first::manifests),
    ]
}

/// A test of the list that one container can re-enact.
struct Line {
    /// A part of the test's name.
    name: &'static str,
    /// The container's further fields, indented by six.
    fields: String,
    script: String,
    /// All that it is to write.
    said: String,
}

fn line(name: &'static str, fields: &str, script: &str, said: &str) -> Line {
    Line { name, fields: fields.to_owned(), script: script.to_owned(), said: said.to_owned() }
}

/// One pod with a container for each line; it is gone afterwards. `spec` is what else the pod has.
fn check(world: &World, name: &str, spec: &str, lines: &[Line]) -> Result<()> {
    check_labelled(world, name, "", spec, lines)
}

/// `labels`: a line of the pod's metadata, indented by two.
fn check_labelled(world: &World, name: &str, labels: &str, spec: &str, lines: &[Line]) -> Result<()> {
    let container = |(n, line): (usize, &Line)| {
        let Line { script, fields, .. } = line;
        shell(&format!("c{n}"), &format!("exec 2>&1; set -e; {script}"), fields)
    };
    let containers: Vec<String> = lines.iter().enumerate().map(container).collect();
    let spec = format!("  restartPolicy: Never\n{spec}");
    let text = manifest(name, &spec, &containers).replacen(
        &format!("  name: {name}\n"),
        &format!("  name: {name}\n{labels}"),
        1,
    );
    let pod = Pod::apply(world, name, &text)?;
    for (n, Line { name, said, .. }) in lines.iter().enumerate() {
        let container = format!("c{n}");
        let end = pod.end(&container, 0)?;
        let found = pod.logs(&container)?;
        let wanted = said.replace("UID", pod.uid());
        ensure!(found == wanted && end["exitCode"] == 0, "{name}: it said {found:?}, not {wanted:?}; {end}");
    }
    Ok(())
}
