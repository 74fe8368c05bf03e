//! Objects that make pods of a template: as many pods as they ask for, replaced when the template changes, gone with
//! their object.

mod jobs;
mod sets;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Case;
use crate::{
    pods::{PATIENCE, apply, ready},
    wire::Mode,
    world::World,
};

const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(300), run };
    vec![
        case("a_deployment_is_replaced_pod_by_pod_also_across_a_restart", sets::deployment),
        case("a_stateful_set_keeps_names_and_data", sets::stateful),
        case("no_two_pods_of_a_daemon_set_run_at_a_time", sets::daemon),
        case("a_replication_controller_is_scaled_by_a_patch", sets::scaled),
        case("a_job_runs_until_enough_have_succeeded", jobs::completed),
        case("a_job_gives_up_at_its_limit", jobs::failed),
        case("an_indexed_job_has_a_success_at_each_place", jobs::indexed),
        case("what_makes_no_sense_in_a_template_is_refused", sets::refused),
    ]
}

/// An object that makes pods. It is taken away when it is dropped, and its pods with it.
struct Maker<'w> {
    world: &'w World,
    /// `deployment`, as the command line has it.
    kind: &'static str,
    name: &'static str,
    path: String,
}

impl<'w> Maker<'w> {
    /// `root`: the path of the kind's group; `spec`: the lines below `spec:`, indented by two.
    fn apply(
        world: &'w World,
        kind: &'static str,
        root: &str,
        name: &'static str,
        text: &str,
    ) -> Result<Self> {
        ready(world)?;
        let maker = Self { world, kind, name, path: format!("{root}/namespaces/default/{kind}s/{name}") };
        let said = apply(world, name, text)?;
        ensure!(said.code == Some(0) && said.stdout.contains("created"), "apply {name}: {said:?}\n{text}");
        Ok(maker)
    }

    fn change(&self, text: &str) -> Result<()> {
        let said = apply(self.world, self.name, text)?;
        ensure!(said.code == Some(0) && said.stdout.contains("configured"), "apply again: {said:?}");
        Ok(())
    }

    fn object(&self) -> Result<Value> {
        self.world.read(&self.path)
    }

    /// The pods that say they are of this object.
    fn pods(&self) -> Result<Vec<Value>> {
        let object = self.object()?;
        let uid = &object["metadata"]["uid"];
        let list = self.world.read(PODS)?;
        let own = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["uid"] == *uid;
        Ok(list["items"].as_array().context("no list of pods")?.iter().filter(own).cloned().collect())
    }

    fn await_status(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        self.world.wait_until(&format!("{} {}: {what}", self.kind, self.name), PATIENCE, || {
            let object = self.object()?;
            ensure!(holds(&object["status"]), "its status is {}", object["status"]);
            Ok(object)
        })
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        // Best effort: a case that has failed is not made better by a second complaint.
        drop(self.world.carob(&["delete", self.kind, self.name, "--ignore-not-found"]));
    }
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// A template of one container, for the end of a manifest.
fn template(indent: &str, policy: &str, script: &str, more: &str) -> String {
    format!(
        "{indent}template:\n{indent}  metadata: {{ labels: {{ app: a }} }}\n{indent}  spec:\n{indent}    \
         restartPolicy: {policy}\n{indent}    terminationGracePeriodSeconds: 2\n{indent}    containers:\n{indent}      \
         - {{ name: main, image: \"carob-work:1\", imagePullPolicy: Never, command: [sh, -c, {script:?}]{more} }}\n"
    )
}
