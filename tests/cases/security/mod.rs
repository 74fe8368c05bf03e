//! Who a container's processes are, what they may do, and what they cannot reach: seen from inside, and tried.

mod devices;
mod escapes;
mod files;
mod filters;
mod power;
mod users;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{
    Case,
    pod::{manifest, shell},
};
use crate::{
    pods::{PATIENCE, Pod},
    wire::Mode,
    world::World,
};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(240), run };
    vec![
        case("users_groups_and_home_are_as_kubernetes_says", users::manifest_says),
        case("an_images_user_may_have_a_name", users::image_says),
        case("what_may_not_be_root_is_refused_in_the_kubelets_words", users::not_root),
        case("capabilities_are_those_of_the_manifest", power::capabilities),
        case("a_process_starts_clean", power::clean),
        case("a_setuid_program_gains_nothing_without_escalation", power::escalation),
        case("privileged_commands_work_in_a_privileged_container_only", power::privileged),
        case("system_calls_are_filtered_by_default", filters::calls),
        case("a_profile_of_this_box_filters_too", filters::localhost),
        case("app_armor_is_never_ignored", filters::app_armor),
        case("a_read_only_root_and_what_is_hidden", files::read_only),
        case("sysctls_are_the_pods_own", files::sysctls),
        case("volumes_belong_to_the_fs_group", files::fs_group),
        case("no_device_of_the_box_can_be_opened", devices::by_default),
        case("a_privileged_container_has_all_devices", devices::privileged),
        case("a_leaked_directory_is_no_way_out", escapes::leaked_directory),
        case("the_runtimes_program_cannot_be_written_over", escapes::runtime_overwritten),
    ]
}

/// One container: the fields of its security context, and a script.
type Row<'a> = (&'a str, &'a str);

/// Runs one pod of these containers to its end and says what each has written. `spec` is what else the pod has.
fn said(world: &World, name: &str, spec: &str, rows: &[Row<'_>]) -> Result<Vec<String>> {
    let pod = Pod::apply(world, name, &pod_of(name, spec, rows))?;
    let logs = (0..rows.len()).map(|index| {
        let container = format!("c{index}");
        pod.end(&container, 0)?;
        pod.logs(&container)
    });
    logs.collect()
}

fn pod_of(name: &str, spec: &str, rows: &[Row<'_>]) -> String {
    let spec = format!("  restartPolicy: Never\n  terminationGracePeriodSeconds: 0\n{spec}");
    let containers: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(index, (context, script))| {
            // What is said on both ways comes in its order.
            let script = format!("exec 2>&1; {script}");
            shell(&format!("c{index}"), &script, &format!("      securityContext: {{ {context} }}\n"))
        })
        .collect();
    manifest(name, &spec, &containers)
}

/// Runs the containers and compares what they say.
fn check(world: &World, name: &str, spec: &str, rows: &[(&str, &str, &str)]) -> Result<()> {
    let scripts: Vec<Row<'_>> = rows.iter().map(|(context, script, _)| (*context, *script)).collect();
    let found = said(world, name, spec, &scripts)?;
    for ((context, script, wanted), found) in rows.iter().zip(found) {
        ensure!(found == *wanted, "{name}: {{ {context} }} {script:?} said {found:?}, not {wanted:?}");
    }
    Ok(())
}

/// What a container waits for, once it has tried.
fn waiting(world: &World, pod: &Pod<'_>, container: &str) -> Result<Value> {
    world.wait_until(&format!("{container} waits"), PATIENCE, || {
        let state = pod.container(container)?["state"].clone();
        let waits = &state["waiting"];
        ensure!(waits.is_object() && waits["reason"] != "ContainerCreating", "it is {state}");
        Ok(waits.clone())
    })
}
