//! What a pod was given, while it asks for something else (KEP-1287, `pods/resize`). The stored pod then has both: the wish
//! in its spec, what it has in its status, under a word that nobody else writes. Values in, values out.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// In the stored status. Not shown.
const ALLOCATED: &str = "allocated";
const LISTS: [&str; 2] = ["initContainers", "containers"];

/// Keeps in `next` what `current` was given.
pub(crate) fn keep(next: &mut Value, current: &Value) {
    let given = match &current["status"][ALLOCATED] {
        Value::Object(given) => given.clone(),
        _ => resources(&current["spec"]),
    };
    next["status"][ALLOCATED] = Value::Object(given);
}

/// A change of something else leaves that as it is.
pub(crate) fn hand_on(next: &mut Value, current: &Value) {
    if is_waiting(current) {
        next["status"][ALLOCATED] = current["status"][ALLOCATED].clone();
    }
}

/// The pod as it asks to be, if it was not given all of that.
pub(crate) fn wish(object: &Value) -> Option<Value> {
    is_waiting(object).then(|| {
        let mut object = object.clone();
        settle(&mut object);
        object
    })
}

/// Whether the pod asks for something that it was not given.
fn is_waiting(object: &Value) -> bool {
    object["status"][ALLOCATED].is_object()
}

/// It was given what it asks for.
pub(crate) fn settle(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else { return };
    status.remove(ALLOCATED);
    if status.is_empty() {
        object.remove("status");
    }
}

/// The pod as if it asked for no more than it was given.
pub(crate) fn in_force(object: &Value) -> Cow<'_, Value> {
    let Some(given) = object["status"][ALLOCATED].as_object() else { return Cow::Borrowed(object) };
    let mut object = object.clone();
    for list in LISTS {
        for container in object["spec"][list].as_array_mut().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if let Some(resources) = given.get(name).cloned() {
                container["resources"] = resources;
            }
        }
    }
    drop_absent_lists(&mut object);
    settle(&mut object);
    Cow::Owned(object)
}

/// Asking for a list that is not there leaves a null.
fn drop_absent_lists(object: &mut Value) {
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.retain(|_, value| !value.is_null());
    }
}

/// By container.
fn resources(spec: &Value) -> Map<String, Value> {
    let all = LISTS.into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten());
    let one =
        |container: &Value| Some((container["name"].as_str()?.to_owned(), container["resources"].clone()));
    all.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_first_stays_until_the_last_wish_is_granted() {
        let pod = |memory: &str| json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"memory": memory}}}]}});
        let memory =
            |object: &Value| object["spec"]["containers"][0]["resources"]["limits"]["memory"].clone();
        let first = pod("1Gi");
        assert!(!is_waiting(&first));
        let mut second = pod("2Gi");
        keep(&mut second, &first);
        let mut third = pod("3Gi");
        keep(&mut third, &second);
        assert!(is_waiting(&third));
        assert_eq!((memory(&third), memory(&in_force(&third))), (json!("3Gi"), json!("1Gi")));
        assert_eq!(in_force(&third)["spec"].get("initContainers"), None);
        let wish = wish(&third).unwrap();
        assert_eq!((memory(&wish), wish.get("status")), (json!("3Gi"), None));
        let condition = json!([{"type": "x/y"}]);
        third["status"]["conditions"] = condition.clone();
        let mut fourth = pod("4Gi");
        hand_on(&mut fourth, &third);
        assert_eq!((memory(&in_force(&fourth)), fourth["status"].get("conditions")), (json!("1Gi"), None));
        settle(&mut third);
        assert_eq!(third["status"], json!({"conditions": condition}));
        assert_eq!(memory(&in_force(&third)), json!("3Gi"));
    }
}
