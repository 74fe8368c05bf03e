//! ConfigMaps, secrets and what pods make of them: variables and files, at the start and when the objects change. Each
//! case re-enacts tests of Kubernetes' conformance list and has objects and pods of its own.

mod files;
mod objects;
mod sealed;
mod variables;
mod waiting;

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Case;
use crate::{
    pods::{apply, ready},
    wire::Mode,
    world::World,
};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(240), run };
    let alone = |name, run| Case { name, mode: Mode::Alone, limit: Duration::from_secs(240), run };
    vec![
        case("variables_come_from_objects_and_from_the_pod", variables::all_sources),
        case("a_container_waits_for_the_object_it_needs_and_the_other_runs", waiting::for_variables),
        case("a_pod_waits_for_the_object_of_its_volume", waiting::for_volumes),
        case("files_have_the_content_mode_and_place_of_the_manifest", files::at_the_start),
        case("files_change_while_the_pod_runs", files::live),
        case("objects_are_changed_in_place_or_refused", objects::changed),
        case("objects_of_a_file_follow_the_file", objects::of_the_folder),
        alone("a_secret_is_not_to_be_read_on_the_disk", sealed::without_trace),
    ]
}

/// An object that a case made. It is taken away when it is dropped.
pub(super) struct Object<'w> {
    world: &'w World,
    kind: &'static str,
    name: &'static str,
}

impl<'w> Object<'w> {
    pub(super) fn apply(
        world: &'w World,
        kind: &'static str,
        name: &'static str,
        data: &str,
    ) -> Result<Self> {
        ready(world)?;
        let said = apply(world, name, &object(kind, name, data))?;
        ensure!(said.code == Some(0), "apply {kind} {name}: {said:?}");
        Ok(Self { world, kind, name })
    }

    fn change(&self, data: &str) -> Result<()> {
        let said = apply(self.world, self.name, &object(self.kind, self.name, data))?;
        ensure!(said.code == Some(0) && said.stdout.contains("configured"), "apply again: {said:?}");
        Ok(())
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        // Best effort: a case that has failed is not made better by a second complaint.
        drop(self.world.carob(&["delete", self.kind, self.name, "--ignore-not-found"]));
    }
}

/// `data`: the rest of the manifest, from the first column on.
fn object(kind: &str, name: &str, data: &str) -> String {
    let kind = if kind == "secret" { "Secret" } else { "ConfigMap" };
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{ name: {name} }}\n{data}")
}
