//! `spec.containers`: names, ports, environment, mounts and resources of each container.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements, VolumeMount};

use super::{climbs, port, probe, require_name, security, source, unique};
use crate::manifest::{
    ephemeral,
    fault::{FaultKind, Findings, quoted},
    names,
    path::Path,
    quantity::Quantity,
};

/// How many `restartPolicyRules` a container may have, and how many codes a rule.
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;

/// The names of the pod's volumes.
type Volumes<'a> = BTreeSet<&'a str>;

pub(super) fn check_all(spec: &PodSpec, at: &Path<'_>, findings: &mut Findings) {
    let (main, init) = (at.field("containers"), at.field("initContainers"));
    if spec.containers.is_empty() {
        findings.missing(&main, "a list of at least one container");
    }
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let volumes = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let (added, list) = (ephemeral::all(spec).collect::<Vec<_>>(), at.field("ephemeralContainers"));
    ephemeral::check(spec, &list, findings);
    for (list, at) in [(inits, &init), (&*spec.containers, &main), (&*added, &list)] {
        let names: Vec<&str> = list.iter().map(|container| container.name.as_str()).collect();
        unique(&names, at, "name", findings);
        for (index, container) in list.iter().enumerate() {
            check(container, &volumes, &at.item(index), findings);
            let ports = container.ports.as_deref().unwrap_or_default();
            port::check(ports, spec, &at.item(index).field("ports"), findings);
            restart_rules(container, &at.item(index), findings);
            probe::check(container, spec, &at.item(index), findings);
            source::variables(container, spec, &at.item(index), findings);
        }
    }
    port::check_all(spec, at, findings);
    for (index, container) in inits.iter().enumerate() {
        probe::check_init(container, &init.item(index), findings);
    }
    for (index, container) in spec.containers.iter().enumerate() {
        if let Some(first) = inits.iter().position(|other| other.name == container.name) {
            let message = format!("{} is taken by {}", quoted(&container.name), init.item(first));
            findings.fault(&main.item(index).field("name"), FaultKind::Taken, message);
        }
    }
}

/// KEP-5307: rules need a policy beside them, and each an operator with its codes.
fn restart_rules(container: &Container, at: &Path<'_>, findings: &mut Findings) {
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    if !rules.is_empty() && container.restart_policy.is_none() {
        findings.missing(&at.field("restartPolicy"), "a policy for the exits that no rule is about");
    }
    let list = at.field("restartPolicyRules");
    if rules.len() > MOST_RULES {
        let message = format!("{} rules; at most {MOST_RULES} are accepted", rules.len());
        findings.fault(&list, FaultKind::Value, message);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = list.item(index);
        match &rule.exit_codes {
            None => findings.missing(&at.field("exitCodes"), "an operator and a list of exit codes"),
            Some(codes) => {
                let count = codes.values.as_ref().map_or(0, Vec::len);
                if !(1..=MOST_CODES).contains(&count) {
                    let message = format!("{count} exit codes; from 1 to {MOST_CODES} are accepted");
                    findings.fault(&at.field("exitCodes").field("values"), FaultKind::Value, message);
                }
            }
        }
    }
}

/// The names of all containers whose resources can be asked for.
pub(super) fn names(spec: &PodSpec) -> Vec<&str> {
    let early = spec.init_containers.iter().flatten();
    spec.containers.iter().chain(early).map(|container| container.name.as_str()).collect()
}

fn check(container: &Container, volumes: &Volumes<'_>, at: &Path<'_>, findings: &mut Findings) {
    require_name(&container.name, &names::LABEL, &at.field("name"), findings);
    image(container.image.as_deref().unwrap_or_default(), &at.field("image"), findings);
    if let Some(directory) =
        container.working_dir.as_deref().filter(|path| !path.is_empty() && !path.starts_with('/'))
    {
        findings.rejected(&at.field("workingDir"), directory, "an absolute path");
    }
    let variables = at.field("env");
    for (index, variable) in container.env.iter().flatten().enumerate() {
        require_name(&variable.name, &names::VARIABLE, &variables.item(index).field("name"), findings);
    }
    mounts(container, volumes, &at.field("volumeMounts"), findings);
    if let Some(context) = &container.security_context {
        security::container(context, &at.field("securityContext"), findings);
    }
    if let Some(resources) = &container.resources {
        check_resources(resources, &at.field("resources"), findings);
    }
}

/// What an image reference may look like in full is the registry client's affair.
pub(super) fn image(image: &str, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "the name of an image";
    if image.is_empty() {
        findings.missing(at, NEEDED);
    } else if image.contains(|c: char| c.is_whitespace() || c.is_control()) {
        findings.rejected(at, image, "the name of an image without white space");
    }
}

fn mounts(container: &Container, volumes: &Volumes<'_>, at: &Path<'_>, findings: &mut Findings) {
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    for (index, mount) in mounts.iter().enumerate() {
        let at = at.item(index);
        mount_volume(&mount.name, volumes, &at.field("name"), findings);
        mount_path(&mount.mount_path, &at.field("mountPath"), findings);
        if let Some(path) = mount.sub_path.as_deref().filter(|path| path.starts_with('/') || climbs(path)) {
            findings.rejected(&at.field("subPath"), path, "a relative path without \"..\"");
        }
        recursive(mount, &at, findings);
        propagation(mount, container, &at.field("mountPropagation"), findings);
        let expression = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty());
        if let Some(path) = expression.filter(|path| path.starts_with('/') || climbs(path)) {
            findings.rejected(&at.field("subPathExpr"), path, "a relative path without \"..\"");
        }
        if expression.is_some() && mount.sub_path.as_deref().is_some_and(|path| !path.is_empty()) {
            findings.fault(
                &at.field("subPathExpr"),
                FaultKind::Value,
                "a mount has subPath or subPathExpr, not both",
            );
        }
    }
    let paths: Vec<&str> = mounts.iter().map(|mount| mount.mount_path.trim_matches('/')).collect();
    unique(&paths, at, "mountPath", findings);
}

/// `recursiveReadOnly`, in Kubernetes' words.
fn recursive(mount: &VolumeMount, at: &Path<'_>, findings: &mut Findings) {
    if !matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")) {
        return;
    }
    let at = at.field("recursiveReadOnly");
    if mount.read_only != Some(true) {
        findings.fault(&at, FaultKind::Value, "may only be specified when readOnly is true");
    }
    if !matches!(mount.mount_propagation.as_deref(), None | Some("" | "None")) {
        let message = "may only be specified when mountPropagation is None or not specified";
        findings.fault(&at, FaultKind::Value, message);
    }
}

/// In Kubernetes' words.
fn propagation(mount: &VolumeMount, container: &Container, at: &Path<'_>, findings: &mut Findings) {
    let privileged = container.security_context.as_ref().and_then(|context| context.privileged);
    if mount.mount_propagation.as_deref() == Some("Bidirectional") && privileged != Some(true) {
        let message = "Bidirectional mount propagation is available only to privileged containers";
        findings.fault(at, FaultKind::Value, message);
    }
}

fn mount_volume(name: &str, known: &Volumes<'_>, at: &Path<'_>, findings: &mut Findings) {
    const NEEDED: &str = "the name of a volume";
    if name.is_empty() {
        findings.missing(at, NEEDED);
    } else if !known.contains(name) {
        let known: Vec<&str> = known.iter().copied().collect();
        let declared = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("{} is not declared in spec.volumes; declared: {declared}", quoted(name));
        findings.fault(at, FaultKind::Value, message);
    }
}

fn mount_path(path: &str, at: &Path<'_>, findings: &mut Findings) {
    if path.is_empty() {
        findings.missing(at, "a path in the container");
    } else if climbs(path) || path.trim_matches('/').is_empty() {
        findings.rejected(at, path, "a path below / without \"..\"");
    }
}

pub(super) fn check_resources(resources: &ResourceRequirements, at: &Path<'_>, findings: &mut Findings) {
    let (limits_at, requests_at) = (at.field("limits"), at.field("requests"));
    for (name, amount) in resources.limits.iter().flatten() {
        quantity(name, &amount.0, &limits_at.field(name), findings);
    }
    for (name, amount) in resources.requests.iter().flatten() {
        let request = quantity(name, &amount.0, &requests_at.field(name), findings);
        let limit = resources.limits.as_ref().and_then(|limits| limits.get(name));
        let (Some(request), Some(limit)) = (request, limit) else { continue };
        if Quantity::parse(&limit.0).is_some_and(|limit| limit.signed() < request.signed()) {
            let message = format!("{} is more than the limit {}", quoted(&amount.0), quoted(&limit.0));
            findings.fault(&requests_at.field(name), FaultKind::Value, message);
        }
    }
}

fn quantity(resource: &str, text: &str, at: &Path<'_>, findings: &mut Findings) -> Option<Quantity> {
    let parsed = check_quantity(text, at, findings)?;
    if resource == "memory" && parsed.is_fraction_by_suffix() {
        findings.rejected(at, text, "a whole number of bytes like 128Mi or 128M (m means thousandths)");
    }
    Some(parsed)
}

/// A quantity of anything: not negative.
pub(super) fn check_quantity(text: &str, at: &Path<'_>, findings: &mut Findings) -> Option<Quantity> {
    let parsed = Quantity::parse(text).filter(|quantity| !quantity.is_negative());
    if parsed.is_none() {
        findings.rejected(at, text, "a quantity like 250m, 0.5, 64Mi or 1G, not negative,");
    }
    parsed
}
