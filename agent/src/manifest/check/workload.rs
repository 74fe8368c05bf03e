//! Objects that make pods of a template: the template is checked as the pod it will be, and must be found again by its
//! object's selector.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{claim, metadata, pod_of};
use crate::{
    manifest::{
        defaults::NAMESPACE,
        fault::{FaultKind, Findings, quoted},
        path::Path,
    },
    pod::workload::WorkloadKind,
};

/// Checks one of them, all kinds by the same rules.
pub(in crate::manifest) fn check(object: &impl Serialize, kind: WorkloadKind, findings: &mut Findings) {
    let object = serde_json::to_value(object).unwrap_or_default();
    let root = Path::Root;
    let own: ObjectMeta = part(&object["metadata"]);
    metadata::check(&own, &root.field("metadata"), findings);
    let (at, spec) = (root.field("spec"), &object["spec"]);
    counts(spec, &at, findings);
    let template: PodTemplateSpec = part(&spec["template"]);
    if spec["template"]["spec"].get("ephemeralContainers").is_some() {
        let (template, said) = (at.field("template"), "ephemeralContainers");
        findings.fault(
            &template.field("spec").field(said),
            FaultKind::Unsupported,
            "these are added to a pod that runs",
        );
    }
    selector(kind, spec, template.metadata.as_ref(), &at, findings);
    let claims: Vec<PersistentVolumeClaim> = part(&spec["volumeClaimTemplates"]);
    let list = at.field("volumeClaimTemplates");
    for (index, one) in claims.iter().enumerate() {
        claim::check_at(one, &list.item(index), findings);
    }
    self::template(kind, template, &claims, &own, &at.field("template"), findings);
}

/// The object is of the right type already.
fn part<T: DeserializeOwned + Default>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn counts(spec: &Value, at: &Path<'_>, findings: &mut Findings) {
    const NUMBERS: [&str; 5] =
        ["replicas", "completions", "parallelism", "backoffLimit", "ttlSecondsAfterFinished"];
    for field in NUMBERS {
        if let Some(number) = spec[field].as_i64().filter(|number| *number < 0) {
            let text = format!("{number} is negative; a number of 0 or more is needed");
            findings.fault(&at.field(field), FaultKind::Value, text);
        }
    }
    if spec["ordinals"]["start"].as_i64().is_some_and(|start| start < 0) {
        let at = at.field("ordinals");
        findings.fault(&at.field("start"), FaultKind::Value, "negative; a number of 0 or more is needed");
    }
    if spec["completionMode"] == "Indexed" && spec["completions"].is_null() {
        findings.missing(&at.field("completions"), "how many places an indexed Job has");
    }
    if let Some(deadline) = spec["activeDeadlineSeconds"].as_i64().filter(|deadline| *deadline < 1) {
        let text = format!("{deadline} is too short; a number of 1 or more seconds is needed");
        findings.fault(&at.field("activeDeadlineSeconds"), FaultKind::Value, text);
    }
}

/// What a selector does not match would be made again and again.
fn selector(
    kind: WorkloadKind,
    spec: &Value,
    template: Option<&ObjectMeta>,
    at: &Path<'_>,
    findings: &mut Findings,
) {
    let labels = template.and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
    let matches = match kind {
        WorkloadKind::Job => return,
        WorkloadKind::ReplicationController => {
            let wanted: BTreeMap<String, String> = part(&spec["selector"]);
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        }
        _ => {
            let wanted: LabelSelector = part(&spec["selector"]);
            let pairs = wanted.match_labels.unwrap_or_default();
            let terms = wanted.match_expressions.unwrap_or_default();
            if pairs.is_empty() && terms.is_empty() {
                findings.missing(&at.field("selector"), "a selector that matches the template's labels");
            }
            pairs.iter().all(|(key, value)| labels.get(key) == Some(value))
                && terms.iter().all(|term| holds(term, &labels))
        }
    };
    if !matches {
        let at = at.field("template");
        let at = at.field("metadata");
        let text = "`selector` does not match template `labels`";
        findings.fault(&at.field("labels"), FaultKind::Value, text);
    }
}

fn holds(term: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let found = labels.get(&term.key);
    let listed = found.is_some_and(|found| term.values.iter().flatten().any(|value| value == found));
    match term.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => found.is_some(),
        _ => found.is_none(),
    }
}

fn template(
    kind: WorkloadKind,
    template: PodTemplateSpec,
    claims: &[PersistentVolumeClaim],
    own: &ObjectMeta,
    at: &Path<'_>,
    findings: &mut Findings,
) {
    let meta = template.metadata.unwrap_or_default();
    metadata::check_labels(&meta, &at.field("metadata"), findings);
    let at_spec = at.field("spec");
    let Some(mut spec) = template.spec else {
        findings.missing(&at_spec, "a pod's spec");
        return;
    };
    restart_policy(kind, spec.restart_policy.as_deref(), &at_spec, findings);
    if kind != WorkloadKind::Job && spec.active_deadline_seconds.is_some() {
        let text = format!("a {} is to run for good", kind.name());
        findings.fault(&at_spec.field("activeDeadlineSeconds"), FaultKind::Unsupported, text);
    }
    let volumes = spec.volumes.get_or_insert_default();
    for claim in claims {
        let name = claim.metadata.name.clone().unwrap_or_default();
        volumes.retain(|volume| volume.name != name);
        let source = PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: None };
        volumes.push(Volume { name, persistent_volume_claim: Some(source), ..Volume::default() });
    }
    let meta = ObjectMeta {
        name: own.name.clone(),
        namespace: Some(own.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned())),
        ..meta
    };
    pod_of(&meta, &spec, at, findings);
}

fn restart_policy(kind: WorkloadKind, policy: Option<&str>, at: &Path<'_>, findings: &mut Findings) {
    let at = at.field("restartPolicy");
    let policy = policy.filter(|policy| !policy.is_empty());
    match (kind, policy) {
        (WorkloadKind::Job, None) => findings.missing(&at, "OnFailure or Never"),
        (WorkloadKind::Job, Some("Always")) => findings.rejected(&at, "Always", "OnFailure or Never"),
        (WorkloadKind::Job, _) | (_, None | Some("Always")) => (),
        (_, Some(other)) => {
            let text = format!("{} is not accepted in a {}; Always is needed", quoted(other), kind.name());
            findings.fault(&at, FaultKind::Value, text);
        }
    }
}
