//! What an API server forgives a client that does not ask for strictness: fields Kubernetes does not know, and keys given
//! twice. Files are never forgiven.

use serde_json::Value;

use super::{
    Fault, FaultKind, Faults, Kind,
    path::{field_step, item_step},
    yaml,
};

/// The one object of a text without what is forgiven, and that. What else is wrong with it is not looked for.
pub(crate) fn forgiven(kind: Kind, file: &str, bytes: &[u8]) -> Result<(Value, Vec<Fault>), Faults> {
    let (documents, mut faults) = yaml::documents(file, bytes);
    let [document] = documents.as_slice() else { return Err(Faults(faults)) };
    if faults.iter().any(|fault| !is_forgivable(fault)) {
        return Err(Faults(faults));
    }
    let mut value = document.value.clone();
    // A check stops noting faults when there are very many: then another finds the rest.
    while let Err(Faults(found)) = kind.check(&value) {
        let unknown = found.into_iter().filter(|fault| fault.kind == FaultKind::Unknown);
        let removed: Vec<Fault> = unknown.filter(|fault| remove(&mut value, &fault.field)).collect();
        if removed.is_empty() {
            break;
        }
        faults.extend(removed);
    }
    Ok((value, faults))
}

/// Whether a fault is of the sort that strictness alone refuses.
pub(crate) fn is_forgivable(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Unknown | FaultKind::Duplicate)
}

/// Takes a field away; `false` if it is not there.
fn remove(value: &mut Value, field: &str) -> bool {
    match value {
        Value::Array(items) => {
            let step = item_step(field).and_then(|(index, rest)| Some((items.get_mut(index)?, rest)));
            step.is_some_and(|(item, rest)| remove(item, rest))
        }
        Value::Object(fields) => {
            let step = fields.keys().find_map(|name| Some((name.clone(), field_step(field, name)?)));
            match step {
                Some((name, "")) => fields.remove(&name).is_some(),
                Some((name, rest)) => fields.get_mut(&name).is_some_and(|value| remove(value, rest)),
                None => false,
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_kubernetes_does_not_know_goes_and_the_rest_stays() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, nmae: q}\nspec:\n  containers:\n  - {name: c, image: i, image: j, comand: [x]}\n  volumes: [{name: v, rbd: {imagefeatures: 1}}]\n";
        let (value, faults) = forgiven(Kind::Pod, "body", text.as_bytes()).unwrap();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.containers[0].image",
                "metadata.nmae",
                "spec.containers[0].comand",
                "spec.volumes[0].rbd.imagefeatures",
            ]
        );
        assert_eq!(value["metadata"], json!({"name": "p"}));
        assert_eq!(value["spec"]["volumes"], json!([{"name": "v", "rbd": {}}]));
        assert!(value["spec"]["containers"][0].get("comand").is_none(), "{value}");
    }

    #[test]
    fn other_faults_are_left_for_the_strict() {
        let (value, faults) =
            forgiven(Kind::Pod, "body", b"{\"spec\": {\"containers\": [{\"name\": 7}]}}").unwrap();
        assert_eq!((faults.len(), &value["spec"]["containers"][0]["name"]), (0, &json!(7)));
        for text in ["{", "a: b\n---\nc: d\n", ""] {
            assert!(forgiven(Kind::Pod, "body", text.as_bytes()).is_err(), "{text}");
        }
    }
}
