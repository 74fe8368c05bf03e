//! `pods/resize`: the CPU and memory of containers that run (KEP-1287). What may change, by Kubernetes' rules
//! (`ValidatePodResize`); what comes of it is the loop's affair.

use serde_json::{Map, Value};

use super::update::Bar;
use crate::{
    manifest::{self, allocation},
    pod::{PodUid, qos},
};

const LISTS: [&str; 2] = ["containers", "initContainers"];
const ONLY: &str = "only cpu and memory resources are mutable";

/// Why the pod `old` cannot become `new`, if so.
pub(super) fn barred(old: &Value, new: &Value) -> Option<Bar> {
    let (before, after) = (&old["spec"], &new["spec"]);
    let count = |spec: &Value, list: &str| spec[list].as_array().map_or(0, Vec::len);
    if let Some(list) = LISTS.into_iter().find(|list| count(before, list) != count(after, list)) {
        return Some(Bar::forbidden(
            format!("spec.{list}"),
            "containers may not be added or removed on resize",
        ));
    }
    let mut rest = after.clone();
    for list in LISTS {
        let both =
            before[list].as_array().into_iter().flatten().zip(after[list].as_array().into_iter().flatten());
        for (index, (one, other)) in both.enumerate() {
            let at = format!("spec.{list}[{index}].resources");
            if let Some(bar) = of_container(list, &at, one, other) {
                return Some(bar);
            }
            rest[list][index]["resources"] = one["resources"].clone();
        }
    }
    // Reading what is not there has made nulls of it.
    prune(&mut rest);
    let mut before = before.clone();
    prune(&mut before);
    if rest != before {
        return Some(Bar::forbidden("spec", ONLY));
    }
    let class = |object: &Value| {
        let spec = manifest::spec(&allocation::in_force(object), PodUid::default());
        spec.ok().map(|spec| qos::class(&spec))
    };
    (class(old) != class(new)).then(|| {
        let class = class(new).map(|class| Value::from(class.name())).unwrap_or_default();
        Bar::invalid("spec", &class, "Pod QOS Class may not change as a result of resizing")
    })
}

fn of_container(list: &str, at: &str, old: &Value, new: &Value) -> Option<Bar> {
    if old["resources"] == new["resources"] {
        return None;
    }
    if list == "initContainers" && old["restartPolicy"] != "Always" {
        return Some(Bar::forbidden(at, "resources for non-sidecar init containers are immutable"));
    }
    for kind in ["limits", "requests"] {
        let of = |container: &Value| container["resources"][kind].as_object().cloned().unwrap_or_default();
        let (before, after) = (of(old), of(new));
        if before.keys().any(|name| is_resizable(name) && !after.contains_key(name)) {
            return Some(Bar::forbidden(
                format!("{at}.{kind}"),
                format!("resource {kind} cannot be removed"),
            ));
        }
        if others(&before) != others(&after) {
            return Some(Bar::forbidden(format!("{at}.{kind}"), ONLY));
        }
    }
    None
}

fn is_resizable(name: &str) -> bool {
    ["cpu", "memory"].contains(&name)
}

fn others(all: &Map<String, Value>) -> Vec<(&String, &Value)> {
    all.iter().filter(|(name, _)| !is_resizable(name)).collect()
}

/// Takes away nulls, in the spec and in its containers.
fn prune(spec: &mut Value) {
    let drop_nulls = |object: &mut Value| {
        if let Some(fields) = object.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    };
    for list in LISTS {
        spec[list].as_array_mut().into_iter().flatten().for_each(drop_nulls);
    }
    drop_nulls(spec);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cpu_and_memory_may_change_and_nothing_else() {
        let pod = |init: &str, resources: Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
                "containers": [{"name": "a", "image": "x", "resources": resources}],
                "initContainers": [{"name": "i", "image": "x", "resources": {"limits": {"cpu": init}}}],
            }})
        };
        let asks = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu}, "limits": {"memory": memory}});
        let old = pod("1", asks("100m", "64Mi"));
        let only_cpu = json!({"requests": {"cpu": "100m"}});
        let with_disk =
            json!({"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi", "ephemeral-storage": "1Gi"}});
        let mut image = old.clone();
        image["spec"]["containers"][0]["image"] = json!("y");
        let at = "spec.containers[0].resources.limits";
        let rows = [
            (old.clone(), None),
            (pod("1", asks("200m", "64Mi")), None),
            (pod("1", asks("100m", "32Mi")), None),
            (pod("1", only_cpu), Some((at, "resource limits cannot be removed"))),
            (pod("1", with_disk), Some((at, ONLY))),
            (image, Some(("spec", ONLY))),
            (pod("2", asks("100m", "64Mi")), Some(("spec.initContainers[0].resources", "non-sidecar"))),
        ];
        for (new, expected) in rows {
            let found = barred(&old, &new);
            let right = match (&found, expected) {
                (None, None) => true,
                (Some(bar), Some((field, why))) => bar.field == field && bar.message.contains(why),
                _ => false,
            };
            assert!(right, "{new}: {found:?}");
        }
        let guaranteed = |cpu: &str| json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": cpu, "memory": "1Gi"}});
        let whole = |cpu: &str| {
            let mut pod = pod("1", guaranteed(cpu));
            drop(pod["spec"].as_object_mut().unwrap().remove("initContainers"));
            pod
        };
        let bar = barred(&whole("1"), &whole("2")).unwrap();
        assert!(bar.message.contains("QOS Class may not change"), "{bar:?}");
    }
}
