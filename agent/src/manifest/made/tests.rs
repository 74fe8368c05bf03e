//! Pods as their makers make them.

use super::*;
use crate::manifest::Kind;

fn stored(text: &str) -> (WorkloadKind, Value) {
    let object = &crate::manifest::read("a.yaml", text.as_bytes()).unwrap()[0];
    let Kind::Workload(kind) = object.kind else { panic!("{text}") };
    let mut stored = object.kind.check(&object.value).unwrap().object;
    stored["metadata"]["uid"] = json!("u-1");
    (kind, stored)
}

const POD: &str = "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}";

#[test]
fn a_pod_of_a_template_says_whose_it_is_and_is_a_good_pod() {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {{selector: {{matchLabels: {{a: b}}}}, {POD}}}"
    );
    let (kind, object) = stored(&text);
    let uid = PodUid("0a1b2c3d-4e5f-4000-8000-000000000000".to_owned());
    let pod = pod(kind, &object, None, &uid, "2026-11-26T10:00:00Z");
    let hash = template(kind, &object);
    let name = pod["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with(&format!("web-{hash}-")) && name.len() == 3 + 1 + 10 + 1 + 5, "{name}");
    assert_eq!((owner(&pod), revision(kind, &pod)), (Some("u-1"), hash));
    assert!(crate::manifest::spec(&pod, uid).is_ok(), "{pod}");
}

#[test]
fn a_changed_template_is_another_one_and_a_changed_number_is_not() {
    let of = |replicas: u32, image: &str| {
        let pod = POD.replace("image: i", &format!("image: {image}"));
        let text = format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db}}\nspec: {{replicas: {replicas}, selector: {{matchLabels: {{a: b}}}}, {pod}}}"
        );
        let (kind, object) = stored(&text);
        workload(kind, &object)
    };
    assert_eq!(of(1, "i").template, of(3, "i").template);
    assert_ne!(of(1, "i").template, of(1, "j").template);
    let shape = Shape::Ordered { replicas: 3, start: 0, pace: Pace::InOrder, renewal: Renewal::After };
    assert_eq!(of(3, "i").shape, shape);
}

#[test]
fn a_place_of_a_stateful_set_has_its_claims() {
    let text = format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db}}\nspec: {{serviceName: s, selector: {{matchLabels: {{a: b}}}}, {POD},\n  volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}]}}"
    );
    let (kind, object) = stored(&text);
    let pod = pod(kind, &object, Some(2), &PodUid("u-2".to_owned()), "2026-11-26T10:00:00Z");
    let claim = &claims(&object, 2)[0];
    assert_eq!(claim["metadata"]["name"], "data-db-2");
    assert!(Kind::PersistentVolumeClaim.check(claim).is_ok(), "{claim}");
    assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-2");
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("db-2"), &json!("s")));
}

#[test]
fn a_pod_of_an_indexed_job_knows_its_place() {
    let text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {completions: 5, completionMode: Indexed, template: {spec: {restartPolicy: Never, initContainers: [{name: a, image: i, env: [{name: JOB_COMPLETION_INDEX, value: mine}]}], containers: [{name: c, image: i}]}}}";
    let (kind, object) = stored(text);
    let uid = PodUid("0a1b2c3d-4e5f-4000-8000-000000000000".to_owned());
    let pod = pod(kind, &object, Some(3), &uid, "2026-11-26T10:00:00Z");
    let meta = &pod["metadata"];
    assert!(meta["name"].as_str().is_some_and(|name| name.starts_with("j-3-") && name.len() == 9), "{meta}");
    assert_eq!((&meta["labels"][INDEX], place(&pod)), (&json!("3"), Some(3)));
    assert_eq!((&meta["generateName"], &pod["spec"]["hostname"]), (&json!("j-3-"), &json!("j-3")));
    let variables = |list: &str| pod["spec"][list][0]["env"].as_array().unwrap().clone();
    assert_eq!(variables("containers")[0]["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(
        (variables("initContainers").len(), &variables("initContainers")[0]["value"]),
        (1, &json!("mine"))
    );
    assert!(crate::manifest::spec(&pod, uid).is_ok(), "{pod}");
}

#[test]
fn places_are_told_in_ranges() {
    let rows: [(&[u32], &str); 5] =
        [(&[], ""), (&[0], "0"), (&[0, 1], "0,1"), (&[1, 3, 4, 5, 7], "1,3-5,7"), (&[0, 1, 2, 9], "0-2,9")];
    for (places, text) in rows {
        assert_eq!(in_ranges(&places.iter().copied().collect()), text);
    }
}

#[test]
fn a_job_runs_once_unless_it_says_otherwise() {
    let of = |more: &str| {
        let text = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec: {{{more}template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}"
        );
        let (kind, object) = stored(&text);
        match workload(kind, &object).shape {
            Shape::Job(job) => (job.completions, job.parallelism, job.retries),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of(""), (Some(1), 1, 6));
    assert_eq!(of("completions: 3, parallelism: 2, backoffLimit: 0, "), (Some(3), 2, 0));
    assert_eq!(of("parallelism: 2, "), (None, 2, 6));
    assert_eq!(of("completions: 3, suspend: true, "), (Some(3), 0, 6));
}
