//! The fields of each kind as an OpenAPI schema: names and types from Kubernetes' own types, what is taken of them from the
//! rules. For `kubectl explain`.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, ReplicationController, Secret},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Kind,
    rules::{Rules, fields, workloads},
    shape::{self, Type},
};
use crate::pod::workload::WorkloadKind;

/// The schema of a kind, in one piece.
pub(crate) fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Pod => of::<Pod>(&fields::POD),
        Kind::PersistentVolumeClaim => of::<PersistentVolumeClaim>(&fields::CLAIM),
        Kind::ConfigMap => of::<ConfigMap>(&fields::CONFIG_MAP),
        Kind::Secret => of::<Secret>(&fields::SECRET),
        Kind::Namespace => of::<Namespace>(&fields::NAMESPACE),
        Kind::Workload(kind) => {
            let rules = workloads::of(kind);
            match kind {
                WorkloadKind::Deployment => of::<Deployment>(rules),
                WorkloadKind::ReplicaSet => of::<ReplicaSet>(rules),
                WorkloadKind::ReplicationController => of::<ReplicationController>(rules),
                WorkloadKind::DaemonSet => of::<DaemonSet>(rules),
                WorkloadKind::StatefulSet => of::<StatefulSet>(rules),
                WorkloadKind::Job => of::<Job>(rules),
            }
        }
    }
}

fn of<T: DeserializeOwned>(rules: &Rules) -> Value {
    let mut schema = json!({"type": "object"});
    for (pattern, kind) in shape::fields::<T>(rules) {
        let Some(about) = rules.about(&pattern).filter(|_| !pattern.is_empty()) else { continue };
        let place = place(&mut schema, &pattern);
        *place = written(kind);
        if !about.note.is_empty() {
            place["description"] = json!(about.note);
        }
        if !about.choices.is_empty() && kind == Type::Text {
            place["enum"] = json!(about.choices);
        }
    }
    schema
}

/// Where a pattern's schema belongs: `spec.containers[].name` below `properties` and `items`.
fn place<'a>(schema: &'a mut Value, pattern: &str) -> &'a mut Value {
    pattern.split('.').fold(schema, |schema, step| {
        let name = step.trim_end_matches("[]");
        let field = &mut schema["properties"][name];
        (0..step.matches("[]").count()).fold(field, |field, _| &mut field["items"])
    })
}

fn written(kind: Type) -> Value {
    match kind {
        Type::Boolean => json!({"type": "boolean"}),
        Type::Integer => json!({"type": "integer"}),
        Type::Text => json!({"type": "string"}),
        Type::Either => json!({"type": "string", "format": "int-or-string"}),
        Type::List => json!({"type": "array"}),
        Type::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Type::Object => json!({"type": "object"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
        path.split('.').fold(schema, |schema, step| match step.strip_suffix("[]") {
            Some(name) => &schema["properties"][name]["items"],
            None => &schema["properties"][step],
        })
    }

    #[test]
    fn fields_have_kubernetes_types_and_carobs_word_on_them() {
        let pod = schema(Kind::Pod);
        for (path, kind) in [
            ("metadata.labels", "object"),
            ("metadata.creationTimestamp", "string"),
            ("spec.containers", "array"),
            ("spec.containers[]", "object"),
            ("spec.containers[].ports[].containerPort", "integer"),
            ("spec.containers[].resources.limits", "object"),
            ("spec.containers[].livenessProbe.httpGet.port", "string"),
            ("spec.initContainers[].env[].valueFrom.secretKeyRef.key", "string"),
            ("spec.hostNetwork", "boolean"),
            ("spec.volumes[].emptyDir.sizeLimit", "string"),
            ("status.containerStatuses[].restartCount", "integer"),
        ] {
            assert_eq!(at(&pod, path)["type"], kind, "{path}");
        }
        assert_eq!(at(&pod, "spec.restartPolicy")["enum"], json!(["Always", "OnFailure", "Never"]));
        let note = "Accepted, but has no effect: this box is the only node.";
        assert_eq!(at(&pod, "spec.tolerations")["description"], note);
        for refused in ["spec.hostnameOverride", "spec.volumes[].rbd", "spec.runtimeClassName"] {
            assert_eq!(*at(&pod, refused), Value::Null, "{refused}");
        }
        let template = "spec.template.spec.containers[].image";
        for kind in WorkloadKind::ALL {
            let schema = schema(Kind::Workload(kind));
            assert_eq!(at(&schema, template)["type"], "string", "{kind:?}");
        }
        assert_eq!(at(&schema(Kind::Secret), "stringData")["additionalProperties"]["type"], "string");
        assert_eq!(at(&schema(Kind::ConfigMap), "immutable")["type"], "boolean");
        assert_eq!(at(&schema(Kind::PersistentVolumeClaim), "spec.accessModes[]")["type"], "string");
    }
}
