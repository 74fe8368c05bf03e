//! `spec.ephemeralContainers`: containers that are added to a pod that is there, to look at it from inside (KEP-277). A
//! container like others, but for what it lacks; this is the one place that says so.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, PodSpec};

use super::{
    defaults,
    fault::{FaultKind, Findings, quoted},
    path::Path,
};

/// All that it shares with other containers. What it may not have, the rules have refused.
pub(super) fn as_container(ephemeral: &EphemeralContainer) -> Container {
    let one = ephemeral.clone();
    Container {
        args: one.args,
        command: one.command,
        env: one.env,
        env_from: one.env_from,
        image: one.image,
        image_pull_policy: one.image_pull_policy,
        name: one.name,
        security_context: one.security_context,
        stdin: one.stdin,
        stdin_once: one.stdin_once,
        termination_message_path: one.termination_message_path,
        termination_message_policy: one.termination_message_policy,
        tty: one.tty,
        volume_devices: one.volume_devices,
        volume_mounts: one.volume_mounts,
        working_dir: one.working_dir,
        ..Container::default()
    }
}

pub(super) fn all(spec: &PodSpec) -> impl Iterator<Item = Container> {
    spec.ephemeral_containers.iter().flatten().map(as_container)
}

pub(super) fn fill(ephemeral: &mut EphemeralContainer) {
    let mut filled = as_container(ephemeral);
    defaults::fill_container(&mut filled);
    ephemeral.image_pull_policy = filled.image_pull_policy;
    ephemeral.termination_message_path = filled.termination_message_path;
    ephemeral.termination_message_policy = filled.termination_message_policy;
    // Always there, and always empty: it lives on what the pod has to spare.
    ephemeral.resources.get_or_insert_default();
}

/// What concerns it alone: a name that no other container has, and a target that is there.
pub(super) fn check(spec: &PodSpec, list: &Path<'_>, findings: &mut Findings) {
    let named = |container: &Container, name: &str| container.name == name;
    for (index, one) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let at = list.item(index);
        let mut others = spec.init_containers.iter().flatten().chain(&spec.containers);
        if others.any(|other| named(other, &one.name)) {
            let message = format!("{} is taken by another container of the pod", quoted(&one.name));
            findings.fault(&at.field("name"), FaultKind::Taken, message);
        }
        let target = one.target_container_name.as_deref().filter(|target| !target.is_empty());
        if let Some(target) = target.filter(|target| !spec.containers.iter().any(|main| named(main, target)))
        {
            let message = format!("there is no container {}", quoted(target));
            findings.fault(&at.field("targetContainerName"), FaultKind::Value, message);
        }
    }
}
