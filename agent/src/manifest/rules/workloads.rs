//! The rows of the objects that make pods of a template. Data only; the template itself is judged by the rows of a Pod.

use super::{
    Plain::{Bool, Int},
    Row, Rules,
    fields::{CLAIM, METADATA, POD},
    kept, later, noted,
};
use crate::pod::workload::WorkloadKind;

const COUNT: &str = "a number of 0 or more";
const ONE_BY_ONE: &str = "pods are replaced one by one";
const READY: &str = "a pod counts as soon as it is ready";
const NO_HISTORY: &str = "no earlier template is kept";
const MANUAL: &[&str] = &["RollingUpdate", "OnDelete"];

const SET: &[Row] = &[
    kept("status"),
    kept("spec.replicas").needs(COUNT),
    noted("spec.minReadySeconds", READY).unless(&[Int(0)]),
    noted("spec.revisionHistoryLimit", NO_HISTORY),
];

const SELECTOR: &[Row] = &[
    kept("spec.selector.matchLabels"),
    kept("spec.selector.matchExpressions[].key"),
    kept("spec.selector.matchExpressions[].operator").one_of(&["In", "NotIn", "Exists", "DoesNotExist"]),
    kept("spec.selector.matchExpressions[].values"),
];

const DEPLOYMENT: &[Row] = &[
    later("spec.paused").unless(&[Bool(false)]),
    noted("spec.progressDeadlineSeconds", "a rollout has all the time it needs"),
    noted("spec.strategy.rollingUpdate", "pods are replaced one by one, the new one first"),
    kept("spec.strategy.type").one_of(&["RollingUpdate", "Recreate"]),
];

const DAEMON_SET: &[Row] = &[
    noted("spec.updateStrategy.rollingUpdate", ONE_BY_ONE),
    kept("spec.updateStrategy.type").one_of(MANUAL),
];

const STATEFUL_SET: &[Row] = &[
    kept("spec.ordinals.start").needs(COUNT),
    kept("spec.persistentVolumeClaimRetentionPolicy.whenDeleted").one_of(&["Retain"]),
    kept("spec.persistentVolumeClaimRetentionPolicy.whenScaled").one_of(&["Retain"]),
    kept("spec.podManagementPolicy").one_of(&["OrderedReady", "Parallel"]),
    kept("spec.serviceName"),
    noted("spec.updateStrategy.rollingUpdate.maxUnavailable", ONE_BY_ONE),
    later("spec.updateStrategy.rollingUpdate.partition").unless(&[Int(0)]),
    kept("spec.updateStrategy.type").one_of(MANUAL),
];

const JOB: &[Row] = &[
    kept("status"),
    kept("spec.activeDeadlineSeconds").needs("a number of 1 or more seconds"),
    kept("spec.backoffLimit").needs(COUNT),
    kept("spec.completionMode").one_of(&["NonIndexed", "Indexed"]),
    kept("spec.completions").needs(COUNT),
    later("spec.manualSelector").unless(&[Bool(false)]),
    kept("spec.parallelism").needs(COUNT),
    later("spec.podReplacementPolicy").unless(&[super::Plain::Text("TerminatingOrFailed")]),
    kept("spec.suspend").needs("true or false"),
    kept("spec.ttlSecondsAfterFinished").needs("a number of 0 or more seconds"),
];

/// A map, not a selector.
const OF_LABELS: &[Row] = &[kept("spec.selector")];

const TEMPLATE: &[(&str, &Rules)] = &[("spec.template", &POD)];
const WITH_CLAIMS: &[(&str, &Rules)] = &[("spec.template", &POD), ("spec.volumeClaimTemplates[]", &CLAIM)];

static DEPLOYMENTS: Rules = Rules { rows: &[METADATA, SET, SELECTOR, DEPLOYMENT], parts: TEMPLATE };
static REPLICA_SETS: Rules = Rules { rows: &[METADATA, SET, SELECTOR], parts: TEMPLATE };
static REPLICATION_CONTROLLERS: Rules = Rules { rows: &[METADATA, SET, OF_LABELS], parts: TEMPLATE };
static DAEMON_SETS: Rules = Rules { rows: &[METADATA, SET, SELECTOR, DAEMON_SET], parts: TEMPLATE };
static STATEFUL_SETS: Rules = Rules { rows: &[METADATA, SET, SELECTOR, STATEFUL_SET], parts: WITH_CLAIMS };
static JOBS: Rules = Rules { rows: &[METADATA, JOB], parts: TEMPLATE };

/// The rows for one of these kinds.
pub(in super::super) fn of(kind: WorkloadKind) -> &'static Rules {
    match kind {
        WorkloadKind::Deployment => &DEPLOYMENTS,
        WorkloadKind::ReplicaSet => &REPLICA_SETS,
        WorkloadKind::ReplicationController => &REPLICATION_CONTROLLERS,
        WorkloadKind::DaemonSet => &DAEMON_SETS,
        WorkloadKind::StatefulSet => &STATEFUL_SETS,
        WorkloadKind::Job => &JOBS,
    }
}
