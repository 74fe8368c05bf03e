//! `metrics.k8s.io/v1beta1`: what is used, for `kubectl top`. Pure: from one look at the cgroups.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::date,
    metrics::{Use, Used},
    picture::Picture,
};

const VERSION: &str = "metrics.k8s.io/v1beta1";

pub(super) fn nodes(used: &Used, picture: &Picture, now: Timestamp) -> Vec<Value> {
    let node = |used: &Use| {
        json!({
            "kind": "NodeMetrics",
            "apiVersion": VERSION,
            "metadata": {"name": picture.node, "creationTimestamp": date::seconds(now)},
            "timestamp": date::seconds(now),
            "window": window(used),
            "usage": usage(used),
        })
    };
    used.node.iter().map(node).collect()
}

pub(super) fn pods(used: &Used, now: Timestamp) -> Vec<Value> {
    let pods = used.pods.iter().map(|(pod, containers)| {
        let shown = |(name, used): &(String, Use)| json!({"name": name, "usage": usage(used)});
        let mut metadata = json!({
            "name": pod.spec.name.name,
            "namespace": pod.spec.name.namespace,
            "creationTimestamp": date::seconds(now),
        });
        if pod.object["metadata"]["labels"].is_object() {
            metadata["labels"] = pod.object["metadata"]["labels"].clone();
        }
        json!({
            "kind": "PodMetrics",
            "apiVersion": VERSION,
            "metadata": metadata,
            "timestamp": date::seconds(now),
            "window": containers.first().map(|(_, used)| window(used)),
            "containers": containers.iter().map(shown).collect::<Vec<_>>(),
        })
    });
    pods.collect()
}

fn usage(used: &Use) -> Value {
    json!({"cpu": format!("{}n", used.cpu), "memory": format!("{}Ki", used.memory / 1024)})
}

/// A duration as Go writes it.
fn window(used: &Use) -> String {
    format!("{}s", f64::from(u32::try_from(used.window.as_millis()).unwrap_or(u32::MAX)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::api::tests::scene::{object, picture, pod_picture};

    #[test]
    fn amounts_are_quantities() {
        let used = |cpu: u64| Use { cpu, window: Duration::from_millis(1500), memory: 3 << 20 };
        let pod = Arc::new(pod_picture(&object("web", &["c"]), Vec::new()));
        let all = Used { node: Some(used(9)), pods: vec![(pod, vec![("c".to_owned(), used(123_456))])] };
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let pod = &pods(&all, now)[0];
        assert_eq!(
            (&pod["containers"], &pod["window"], &pod["metadata"]["name"]),
            (
                &json!([{"name": "c", "usage": {"cpu": "123456n", "memory": "3072Ki"}}]),
                &json!("1.5s"),
                &json!("web")
            )
        );
        assert_eq!(nodes(&all, &picture(), now)[0]["usage"]["cpu"], "9n");
        assert!(nodes(&Used::default(), &picture(), now).is_empty());
    }
}
