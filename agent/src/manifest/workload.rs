//! Objects that make pods of a template: their defaults, what they ask for, and the pods they make. Values in, values out.

use k8s_openapi::{
    Resource,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{Pod, ReplicationController},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Checked, Faults, check, defaults, examine, rules::workloads};
use crate::pod::workload::WorkloadKind;

/// Checks one of them and fills in the defaults.
pub(super) fn checked(kind: WorkloadKind, value: &Value) -> Result<Checked, Faults> {
    match kind {
        WorkloadKind::Deployment => of::<Deployment>(kind, value),
        WorkloadKind::ReplicaSet => of::<ReplicaSet>(kind, value),
        WorkloadKind::ReplicationController => of::<ReplicationController>(kind, value),
        WorkloadKind::DaemonSet => of::<DaemonSet>(kind, value),
        WorkloadKind::StatefulSet => of::<StatefulSet>(kind, value),
        WorkloadKind::Job => of::<Job>(kind, value),
    }
}

fn of<T>(kind: WorkloadKind, value: &Value) -> Result<Checked, Faults>
where
    T: Resource + Serialize + DeserializeOwned,
{
    let rules = workloads::of(kind);
    let (object, notes) =
        examine(value, rules, |object: &T, findings| check::workload::check(object, kind, findings))?;
    let Checked { mut object, notes } = super::checked(&object, notes)?;
    fill(kind, &mut object);
    Ok(Checked { object, notes })
}

/// Source: Kubernetes 1.37, `pkg/apis/{apps,batch,core}/v1/defaults.go`.
fn fill(kind: WorkloadKind, object: &mut Value) {
    set(&mut object["metadata"]["namespace"], json!(defaults::NAMESPACE));
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    fill_template(&mut object["spec"]["template"]);
    if kind == WorkloadKind::ReplicationController && labels.is_object() {
        set(&mut object["spec"]["selector"], labels.clone());
        set(&mut object["metadata"]["labels"], labels);
    }
    let spec = &mut object["spec"];
    match kind {
        WorkloadKind::Job => {
            set(&mut spec["backoffLimit"], json!(6));
            set(&mut spec["completionMode"], json!("NonIndexed"));
            set(&mut spec["suspend"], json!(false));
            if spec["completions"].is_null() && spec["parallelism"].is_null() {
                spec["completions"] = json!(1);
            }
            set(&mut spec["parallelism"], json!(1));
        }
        WorkloadKind::DaemonSet => set(&mut spec["updateStrategy"]["type"], json!("RollingUpdate")),
        WorkloadKind::StatefulSet => {
            set(&mut spec["replicas"], json!(1));
            set(&mut spec["podManagementPolicy"], json!("OrderedReady"));
            set(&mut spec["updateStrategy"]["type"], json!("RollingUpdate"));
        }
        WorkloadKind::Deployment => {
            set(&mut spec["replicas"], json!(1));
            set(&mut spec["strategy"]["type"], json!("RollingUpdate"));
        }
        WorkloadKind::ReplicaSet | WorkloadKind::ReplicationController => {
            set(&mut spec["replicas"], json!(1));
        }
    }
    drop_nulls(object);
}

fn set(field: &mut Value, default: Value) {
    if field.is_null() || field == "" {
        *field = default;
    }
}

/// Asking for a field that is not there leaves a null.
fn drop_nulls(object: &mut Value) {
    for part in ["metadata", "spec"] {
        if let Some(fields) = object[part].as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
}

/// A template has the defaults of the pod that is made of it.
fn fill_template(template: &mut Value) {
    let pod = json!({"metadata": {}, "spec": template["spec"]});
    let Ok(mut pod) = serde_json::from_value::<Pod>(pod) else { return };
    defaults::fill_pod(&mut pod);
    if let Ok(spec) = serde_json::to_value(pod.spec) {
        template["spec"] = spec;
    }
}
