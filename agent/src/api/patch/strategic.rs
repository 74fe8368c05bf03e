//! Kubernetes' strategic merge patch: as a merge patch, but lists in `keys` are merged entry by entry, and directives say
//! what a merge cannot (`k8s.io/apimachinery`, `strategicpatch`).
//!
//! | directive | does |
//! |---|---|
//! | `$patch: replace` in an object | the object is replaced, not merged |
//! | `$patch: delete` in an object | the object is emptied; as an entry of a list, that entry goes |
//! | `$patch: replace` as an entry of a list | the list is replaced by the other entries |
//! | `$retainKeys` | of the object only these fields stay |
//! | `$deleteFromPrimitiveList/x` | these values go from the set `x` |
//! | `$setElementOrder/x` | the entries of the list `x` get this order |

use serde_json::{Map, Value, json};

use super::{
    Fault,
    keys::{self, By},
};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

type Fields = Map<String, Value>;

/// `object` and `patch` are objects.
pub(super) fn apply(object: &mut Value, patch: &Value) -> Result<(), Fault> {
    let Some(patch) = patch.as_object() else { return Ok(()) };
    if !object.is_object() {
        *object = json!({});
    }
    match object.as_object_mut() {
        Some(fields) => merge(fields, patch),
        None => Ok(()),
    }
}

fn merge(fields: &mut Fields, patch: &Fields) -> Result<(), Fault> {
    match patch.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("delete") => {
            fields.clear();
            return Ok(());
        }
        Some("replace") => {
            *fields = patch
                .iter()
                .filter(|(name, _)| *name != PATCH)
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect();
            return Ok(());
        }
        Some(other) => return Err(unknown(other)),
    }
    if let Some(kept) = patch.get(RETAIN) {
        let kept = kept.as_array().ok_or_else(|| malformed(format!("{RETAIN} is no list")))?;
        fields.retain(|name, _| kept.iter().any(|kept| kept == name.as_str()));
    }
    let before = fields.clone();
    for (name, wanted) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        field(fields, name, wanted)?;
    }
    for (name, wanted) in patch.iter().filter(|(name, _)| name.starts_with('$')) {
        directive(fields, name, wanted, &before)?;
    }
    Ok(())
}

/// What goes for a list beside it, once it is merged.
fn directive(fields: &mut Fields, name: &str, wanted: &Value, before: &Fields) -> Result<(), Fault> {
    let of_list = name.strip_prefix(DELETE).or_else(|| name.strip_prefix(ORDER));
    let Some(list) = of_list else {
        return if [PATCH, RETAIN].contains(&name) { Ok(()) } else { Err(unknown(name)) };
    };
    let named = wanted.as_array().ok_or_else(|| malformed(format!("{name} is no list")))?;
    let Some(Value::Array(items)) = fields.get_mut(list) else { return Ok(()) };
    if name.starts_with(DELETE) {
        items.retain(|item| !named.contains(item));
    } else {
        let known = before.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        *items = in_order(items, named, known, keys::of(list).unwrap_or(By::Value));
    }
    Ok(())
}

fn field(fields: &mut Fields, name: &str, wanted: &Value) -> Result<(), Fault> {
    if wanted.is_null() {
        fields.remove(name);
        return Ok(());
    }
    let current = fields.entry(name.to_owned()).or_insert(Value::Null);
    match (current, wanted, keys::of(name)) {
        (Value::Object(current), Value::Object(wanted), _) => merge(current, wanted),
        (Value::Array(items), Value::Array(wanted), Some(by)) => merge_list(name, items, wanted, by),
        (current, Value::Array(wanted), Some(by)) => {
            let mut items = Vec::new();
            merge_list(name, &mut items, wanted, by)?;
            *current = Value::Array(items);
            Ok(())
        }
        (current, Value::Object(wanted), _) => {
            let mut new = Fields::new();
            merge(&mut new, wanted)?;
            *current = Value::Object(new);
            Ok(())
        }
        (current, wanted, _) => {
            *current = wanted.clone();
            Ok(())
        }
    }
}

fn merge_list(name: &str, items: &mut Vec<Value>, wanted: &[Value], by: By) -> Result<(), Fault> {
    let By::Key(keys) = by else {
        let new: Vec<Value> = wanted.iter().filter(|value| !items.contains(value)).cloned().collect();
        items.extend(new);
        return Ok(());
    };
    if wanted.iter().any(|entry| entry[PATCH] == "replace") {
        items.clear();
    }
    for entry in wanted {
        let patch = entry.as_object().ok_or_else(|| malformed(format!("an entry of {name} is no object")))?;
        let says = |key: &&&str| patch.get(**key).is_some_and(|value| value.is_string() || value.is_number());
        let key = keys.iter().find(says).copied();
        match (patch.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()), key) {
            (Some("replace"), _) => {}
            (_, None) => {
                let message = format!("an entry of {name} does not say its {}", keys.join(" or "));
                return Err(malformed(message));
            }
            (Some("delete"), Some(key)) => items.retain(|item| item[key] != patch[key]),
            (None | Some("merge"), Some(key)) => {
                match items.iter_mut().find(|item| item[key] == patch[key]) {
                    Some(item) => apply(item, entry)?,
                    None => {
                        let mut new = json!({});
                        apply(&mut new, entry)?;
                        items.push(new);
                    }
                }
            }
            (Some(other), _) => return Err(unknown(other)),
        }
    }
    Ok(())
}

/// Those that `order` names come in that order. Of the others each stays before those that it was before in `known`, what
/// the list was: a new one comes before them.
fn in_order(items: &[Value], order: &[Value], known: &[Value], by: By) -> Vec<Value> {
    let is_same = |item: &Value, other: &Value| match by {
        By::Key(keys) => keys.iter().any(|key| item.get(key).is_some() && item.get(key) == other.get(key)),
        By::Value => item == other,
    };
    let place = |item: &Value, list: &[Value]| list.iter().position(|other| is_same(item, other));
    let (mut named, others): (Vec<&Value>, Vec<&Value>) =
        items.iter().partition(|item| place(item, order).is_some());
    named.sort_by_key(|item| place(item, order));
    let (mut sorted, mut others) = (Vec::new(), others.into_iter().peekable());
    for item in named {
        let was = place(item, known).unwrap_or(0);
        while let Some(other) = others.next_if(|other| place(other, known).is_some_and(|place| place < was)) {
            sorted.push(other.clone());
        }
        sorted.push(item.clone());
    }
    sorted.extend(others.cloned());
    sorted
}

fn malformed(message: String) -> Fault {
    Fault::Malformed(message)
}

fn unknown(directive: &str) -> Fault {
    malformed(format!("the directive {directive:?} is not known"))
}
