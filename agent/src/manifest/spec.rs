//! A checked Pod → `pod::Spec`, the words the rest of the agent speaks. Checks nothing that is checked already.

use std::{collections::BTreeMap, mem, time::Duration};

use k8s_openapi::{
    api::core::v1::{self, PodSecurityContext, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Written,
};

use super::{
    annotations::{self, Annotations},
    defaults::NAMESPACE,
    ephemeral,
    fault::{Fault, FaultKind},
    path::Path,
    port, probe,
    quantity::Quantity,
    security, sources, storage, surroundings,
};
use crate::pod::{
    Access, Container, Deaf, HostPathKind, MemoryQos, OomScope, PodName, PodUid, Propagation, PullPolicy,
    ResizePolicy, Resizing, Resources, Restart, RestartPolicy, Role, Spec, Stdin, Streams, Volume,
    VolumeMount, VolumeSource, annotation,
    restart::{Action, Codes, ExitRule},
    source::SubPath,
    termination::{Policy, Termination},
};

/// Longest name the kernel takes for a host.
const LONGEST_HOSTNAME: usize = 63;

/// A fault here means that the Pod was not checked before.
pub(super) fn from(pod: v1::Pod, uid: PodUid) -> Result<Spec, Fault> {
    let mut spec = pod.spec.unwrap_or_default();
    let annotations = pod.metadata.annotations.unwrap_or_default();
    let name = pod.metadata.name.unwrap_or_default();
    let namespace = pod.metadata.namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    let hostname = cut(spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(&name));
    let root = Path::Root;
    let at = root.field("spec");
    let grace = spec.termination_grace_period_seconds.unwrap_or_default();
    let context = spec.security_context.clone().unwrap_or_default();
    Ok(Spec {
        uid,
        labels: pod.metadata.labels.unwrap_or_default(),
        hostname: surroundings::kernel_name(&spec, hostname, &namespace),
        surroundings: surroundings::from(&spec, &namespace),
        restart: restart_policy(spec.restart_policy.as_deref(), &at)?,
        grace: Duration::from_secs(u64::try_from(grace).unwrap_or_default()),
        deadline: spec.active_deadline_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
        host_ports: port::all(&spec),
        readiness_gates: spec
            .readiness_gates
            .iter()
            .flatten()
            .map(|gate| gate.condition_type.clone())
            .collect(),
        scheduling_gates: spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect(),
        pull_secrets: spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()).collect(),
        pids: pids(spec.resources.as_ref()),
        resources: resources(&spec.resources.take().unwrap_or_default(), &at.field("resources"))?,
        memory_qos: if annotations::is_set(&annotations, annotation::MEMORY_QOS) {
            MemoryQos::On
        } else {
            MemoryQos::Off
        },
        storage: storage::of_pod(&spec),
        containers: containers(&mut spec, &context, &annotations, &at)?,
        security: security::of_pod(&context),
        volumes: each(spec.volumes.unwrap_or_default(), &at.field("volumes"), volume)?,
        name: PodName { namespace, name },
        annotations,
    })
}

fn each<T, U>(
    items: Vec<T>,
    at: &Path<'_>,
    convert: impl Fn(T, &Path<'_>) -> Result<U, Fault>,
) -> Result<Vec<U>, Fault> {
    items.into_iter().enumerate().map(|(index, item)| convert(item, &at.item(index))).collect()
}

/// As the kubelet cuts it.
fn cut(hostname: &str) -> String {
    match hostname.get(..LONGEST_HOSTNAME) {
        Some(start) if hostname.len() > LONGEST_HOSTNAME => start.trim_end_matches(['-', '.']).to_owned(),
        _ => hostname.to_owned(),
    }
}

fn restart_policy(policy: Option<&str>, at: &Path<'_>) -> Result<RestartPolicy, Fault> {
    match policy {
        None | Some("" | "Always") => Ok(RestartPolicy::Always),
        Some("OnFailure") => Ok(RestartPolicy::OnFailure),
        Some("Never") => Ok(RestartPolicy::Never),
        Some(_) => Err(unchecked(&at.field("restartPolicy"))),
    }
}

/// Init containers, then the main ones, which is the order of their start, then what was added.
fn containers(
    spec: &mut PodSpec,
    context: &PodSecurityContext,
    annotations: &Annotations,
    at: &Path<'_>,
) -> Result<Vec<Container>, Fault> {
    let policy = restart_policy(spec.restart_policy.as_deref(), at)?;
    let inits = spec.init_containers.take().unwrap_or_default();
    let mut all = each(inits, &at.field("initContainers"), |container, at| {
        let role = match container.restart_policy.as_deref() {
            Some("Always") => Role::Sidecar,
            _ => Role::Init,
        };
        self::container(container, role, policy, context, annotations, at)
    })?;
    all.extend(each(mem::take(&mut spec.containers), &at.field("containers"), |container, at| {
        self::container(container, Role::Main, policy, context, annotations, at)
    })?);
    let added = spec.ephemeral_containers.take().unwrap_or_default();
    all.extend(each(added, &at.field("ephemeralContainers"), |one, at| {
        let like = ephemeral::as_container(&one);
        let container = container(like, Role::Ephemeral, policy, context, annotations, at)?;
        let target = one.target_container_name.filter(|target| !target.is_empty());
        Ok(Container { target, ..container })
    })?);
    Ok(all)
}

/// The container's own policy goes before the pod's, which lets no init container that has succeeded run again.
fn restart(
    container: &v1::Container,
    role: Role,
    pod: RestartPolicy,
    at: &Path<'_>,
) -> Result<Restart, Fault> {
    let policy = match (container.restart_policy.as_deref(), role, pod) {
        (Some(own), _, _) => restart_policy(Some(own), at)?,
        (None, Role::Init, RestartPolicy::Always) => RestartPolicy::OnFailure,
        (None, Role::Ephemeral, _) => RestartPolicy::Never,
        (None, _, pod) => pod,
    };
    let rules = container.restart_policy_rules.iter().flatten();
    let rule = |rule: &v1::ContainerRestartRule| {
        let exit = rule.exit_codes.as_ref()?;
        let codes = exit.values.clone().unwrap_or_default();
        let codes = if exit.operator == "NotIn" { Codes::NotIn(codes) } else { Codes::In(codes) };
        let action = match rule.action.as_str() {
            "RestartAllContainers" => Action::RestartAllContainers,
            _ => Action::Restart,
        };
        Some(ExitRule { codes, action })
    };
    Ok(Restart { rules: rules.filter_map(rule).collect(), policy, on_failing: BTreeMap::new() })
}

fn container(
    container: v1::Container,
    role: Role,
    policy: RestartPolicy,
    context: &PodSecurityContext,
    annotations: &Annotations,
    at: &Path<'_>,
) -> Result<Container, Fault> {
    let pull = pull_policy(container.image_pull_policy.as_deref(), &at.field("imagePullPolicy"))?;
    let mut restart = restart(&container, role, policy, at)?;
    restart.on_failing = annotations::on_failing(annotations, &container.name);
    let (probes, lifecycle) = (probe::probes(&container, at)?, probe::lifecycle(&container, at)?);
    let env = sources::variables(&container).ok_or_else(|| unchecked(&at.field("env")))?;
    Ok(Container {
        role,
        restart,
        probes,
        lifecycle,
        oom: oom_scope(&container.name, annotations),
        deaf: match annotations::of_container(annotations, annotation::KILL_DEAF, &container.name) {
            Some("true") => Deaf::IsKilled,
            _ => Deaf::HasTime,
        },
        termination: termination(
            container.termination_message_path,
            container.termination_message_policy,
            at,
        )?,
        name: container.name,
        image: container.image.unwrap_or_default(),
        pull,
        command: container.command.unwrap_or_default(),
        args: container.args.unwrap_or_default(),
        env,
        stdin: match (container.stdin, container.stdin_once) {
            (Some(true), Some(true)) => Stdin::OpenOnce,
            (Some(true), _) => Stdin::Open,
            _ => Stdin::Empty,
        },
        streams: if container.tty == Some(true) { Streams::Terminal } else { Streams::Pipes },
        target: None,
        working_dir: container.working_dir.filter(|path| !path.is_empty()),
        mounts: container.volume_mounts.unwrap_or_default().into_iter().map(mount).collect(),
        storage: storage::of_container(container.resources.as_ref()),
        resize: resize_policy(container.resize_policy.as_deref().unwrap_or_default()),
        resources: resources(&container.resources.unwrap_or_default(), &at.field("resources"))?,
        security: security::of_container(container.security_context.as_ref(), context),
    })
}

fn resize_policy(rules: &[v1::ContainerResizePolicy]) -> ResizePolicy {
    let of = |name: &str| match rules.iter().find(|rule| rule.resource_name == name) {
        Some(rule) if rule.restart_policy == "RestartContainer" => Resizing::RestartContainer,
        _ => Resizing::NotRequired,
    };
    ResizePolicy { cpu: of("cpu"), memory: of("memory") }
}

fn pull_policy(policy: Option<&str>, at: &Path<'_>) -> Result<PullPolicy, Fault> {
    match policy {
        Some("Always") => Ok(PullPolicy::Always),
        Some("IfNotPresent") => Ok(PullPolicy::IfNotPresent),
        Some("Never") => Ok(PullPolicy::Never),
        _ => Err(unchecked(at)),
    }
}

fn termination(path: Option<String>, policy: Option<String>, at: &Path<'_>) -> Result<Termination, Fault> {
    let default = Termination::default();
    Ok(Termination {
        path: path.map_or(default.path, |path| if path.is_empty() { path } else { absolute(&path) }),
        policy: match policy.as_deref() {
            None | Some("" | "File") => Policy::File,
            Some("FallbackToLogsOnError") => Policy::FallbackToLogsOnError,
            Some(_) => return Err(unchecked(&at.field("terminationMessagePolicy"))),
        },
    })
}

fn oom_scope(container: &str, annotations: &Annotations) -> OomScope {
    match annotations::of_container(annotations, annotation::OOM_GROUP, container) {
        Some("false") => OomScope::Process,
        _ => OomScope::Container,
    }
}

fn mount(mount: v1::VolumeMount) -> VolumeMount {
    VolumeMount {
        volume: mount.name,
        path: absolute(&mount.mount_path),
        sub_path: match (mount.sub_path, mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => Some(SubPath::Written(path)),
            (_, Some(path)) if !path.is_empty() => Some(SubPath::Expanded(path)),
            _ => None,
        },
        access: match (mount.read_only, mount.recursive_read_only.as_deref()) {
            // Where the runtime can bind at all (mount_setattr, Linux 5.12), this is possible.
            (Some(true), Some("Enabled" | "IfPossible")) => Access::AllReadOnly,
            (Some(true), _) => Access::ReadOnly,
            _ => Access::ReadWrite,
        },
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::None,
        },
    }
}

/// The kubelet takes a relative path from the root.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

fn resources(resources: &ResourceRequirements, at: &Path<'_>) -> Result<Resources, Fault> {
    let amount = |amounts: &Option<BTreeMap<String, Written>>, name: &str, measure: fn(&Quantity) -> u64| {
        amounts
            .as_ref()
            .and_then(|amounts| amounts.get(name))
            .map_or(Ok(None), |written| size(written, measure, at))
    };
    Ok(Resources {
        memory_limit: amount(&resources.limits, "memory", Quantity::units)?,
        memory_request: amount(&resources.requests, "memory", Quantity::units)?,
        cpu_limit: amount(&resources.limits, "cpu", Quantity::thousandths)?,
        cpu_request: amount(&resources.requests, "cpu", Quantity::thousandths)?,
    })
}

fn pids(pod: Option<&ResourceRequirements>) -> Option<u64> {
    let written = pod?.limits.as_ref()?.get("pids")?;
    Some(Quantity::parse(&written.0)?.units()).filter(|count| *count > 0)
}

/// Kubernetes takes an amount of 0 for none.
fn size(written: &Written, measure: fn(&Quantity) -> u64, at: &Path<'_>) -> Result<Option<u64>, Fault> {
    let quantity = Quantity::parse(&written.0).ok_or_else(|| unchecked(at))?;
    Ok(Some(measure(&quantity)).filter(|size| *size > 0))
}

fn volume(volume: v1::Volume, at: &Path<'_>) -> Result<Volume, Fault> {
    let source = if let Some(projection) = sources::projection(&volume) {
        VolumeSource::Projected(projection)
    } else if let Some(host) = volume.host_path {
        let kind = host_path_kind(host.type_.as_deref().unwrap_or_default()).ok_or_else(|| unchecked(at))?;
        VolumeSource::HostPath { path: host.path, kind }
    } else if let Some(claim) = volume.persistent_volume_claim {
        VolumeSource::Claim { name: claim.claim_name, read_only: claim.read_only == Some(true) }
    } else if let Some(image) = volume.image {
        let pull = pull_policy(image.pull_policy.as_deref(), &at.field("image").field("pullPolicy"))?;
        VolumeSource::Image { reference: image.reference.unwrap_or_default(), pull }
    } else {
        empty_dir(volume.empty_dir.unwrap_or_default(), at)?
    };
    Ok(Volume { name: volume.name, source })
}

fn empty_dir(source: v1::EmptyDirVolumeSource, at: &Path<'_>) -> Result<VolumeSource, Fault> {
    if source.medium.as_deref() != Some("Memory") {
        return Ok(VolumeSource::EmptyDir { limit: source.size_limit.as_ref().and_then(storage::limit) });
    }
    let size = source.size_limit.map_or(Ok(None), |limit| size(&limit, Quantity::units, at))?;
    Ok(VolumeSource::EmptyDirInMemory { size })
}

fn host_path_kind(kind: &str) -> Option<HostPathKind> {
    Some(match kind {
        "" => HostPathKind::Unchecked,
        "DirectoryOrCreate" => HostPathKind::DirectoryOrCreate,
        "Directory" => HostPathKind::Directory,
        "FileOrCreate" => HostPathKind::FileOrCreate,
        "File" => HostPathKind::File,
        "Socket" => HostPathKind::Socket,
        "CharDevice" => HostPathKind::CharDevice,
        "BlockDevice" => HostPathKind::BlockDevice,
        _ => return None,
    })
}

pub(super) fn unchecked(at: &Path<'_>) -> Fault {
    Fault::new(at, FaultKind::Value, "a value that a check should have refused")
}
