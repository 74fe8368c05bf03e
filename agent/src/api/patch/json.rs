//! RFC 6902: operations, one after the other, all or none.

use serde_json::{Map, Value};

use super::{DEEPEST, Fault};

/// As many as Kubernetes takes.
const MOST_OPERATIONS: usize = 10_000;
/// What all copies together may add, in units of `weight`: a patch that copies copies must not fill the memory.
const MOST_COPIED: usize = 3 << 20;

/// `target` is changed in place: after a fault it is worth nothing.
pub(super) fn apply(target: &mut Value, patch: &Value) -> Result<(), Fault> {
    let operations = patch.as_array().map(Vec::as_slice).unwrap_or_default();
    if operations.len() > MOST_OPERATIONS {
        let found = operations.len();
        let message = format!("a patch has at most {MOST_OPERATIONS} operations, not {found}");
        return Err(Fault::Malformed(message));
    }
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        step(target, operation, &mut copied).map_err(|fault| numbered(index, fault))?;
    }
    Ok(())
}

fn numbered(index: usize, fault: Fault) -> Fault {
    match fault {
        Fault::Malformed(why) => Fault::Malformed(format!("operation {index}: {why}")),
        Fault::Unfit(why) => Fault::Unfit(format!("operation {index}: {why}")),
    }
}

fn step(target: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), Fault> {
    let path = pointer(operation, "path")?;
    match operation["op"].as_str().unwrap_or_default() {
        "add" => add(target, &path, value(operation)?.clone()),
        "remove" => remove(target, &path).map(drop),
        "replace" => {
            *at(target, &path)? = value(operation)?.clone();
            Ok(())
        }
        "move" => {
            let from = pointer(operation, "from")?;
            if path.len() > from.len() && path.starts_with(&from) {
                return Err(Fault::Unfit(format!("{} cannot be moved into itself", shown(&from))));
            }
            let moved = remove(target, &from)?;
            add(target, &path, moved)
        }
        "copy" => {
            let copy = at(target, &pointer(operation, "from")?)?.clone();
            *copied += weight(&copy);
            if *copied > MOST_COPIED {
                return Err(Fault::Unfit("the copies are too large".to_owned()));
            }
            add(target, &path, copy)
        }
        "test" => {
            let (found, wanted) = (&*at(target, &path)?, value(operation)?);
            if found == wanted {
                return Ok(());
            }
            Err(Fault::Unfit(format!("the test of {} failed: it is not {wanted}", shown(&path))))
        }
        other => {
            let known = "add, remove, replace, move, copy and test are accepted";
            Err(Fault::Malformed(format!("op {other:?}; {known}")))
        }
    }
}

fn value(operation: &Value) -> Result<&Value, Fault> {
    operation.get("value").ok_or_else(|| Fault::Malformed("value is missing".to_owned()))
}

/// The steps of a JSON pointer (RFC 6901).
fn pointer(operation: &Value, field: &str) -> Result<Vec<String>, Fault> {
    let text = operation[field].as_str().ok_or_else(|| Fault::Malformed(format!("{field} is missing")))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let steps = text
        .strip_prefix('/')
        .ok_or_else(|| Fault::Malformed(format!("{field} {text:?} does not begin with a slash")))?;
    Ok(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn shown(path: &[String]) -> String {
    let steps = path.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
    steps.collect::<String>()
}

/// The value at the path.
fn at<'a>(target: &'a mut Value, path: &[String]) -> Result<&'a mut Value, Fault> {
    let mut value = target;
    for (depth, step) in path.iter().enumerate() {
        let below = match value {
            Value::Object(fields) => fields.get_mut(step),
            Value::Array(items) => index(step).and_then(|index| items.get_mut(index)),
            _ => None,
        };
        value = below.ok_or_else(|| Fault::Unfit(format!("there is no {}", shown(&path[..=depth]))))?;
    }
    Ok(value)
}

fn index(step: &str) -> Option<usize> {
    let is_plain = step == "0" || !step.starts_with(['0', '+']);
    step.parse().ok().filter(|_| is_plain)
}

/// What a path's last step is about.
enum Place<'a> {
    Field(&'a mut Map<String, Value>),
    Item(&'a mut Vec<Value>),
}

fn place<'a, 'p>(target: &'a mut Value, path: &'p [String]) -> Result<(Place<'a>, &'p str), Fault> {
    let Some((last, parent)) = path.split_last() else {
        return Err(Fault::Unfit("the whole object cannot be added or removed".to_owned()));
    };
    match at(target, parent)? {
        Value::Object(fields) => Ok((Place::Field(fields), last)),
        Value::Array(items) => Ok((Place::Item(items), last)),
        _ => Err(Fault::Unfit(format!("{} has no parts", shown(parent)))),
    }
}

fn add(target: &mut Value, path: &[String], value: Value) -> Result<(), Fault> {
    if path.len() + depth(&value) > DEEPEST {
        return Err(Fault::Unfit(format!("{} would be nested too deep", shown(path))));
    }
    match place(target, path)? {
        (Place::Field(fields), name) => drop(fields.insert(name.to_owned(), value)),
        (Place::Item(items), "-") => items.push(value),
        (Place::Item(items), step) => {
            let index = index(step).filter(|index| *index <= items.len());
            let index =
                index.ok_or_else(|| Fault::Unfit(format!("nothing can be added at {}", shown(path))))?;
            items.insert(index, value);
        }
    }
    Ok(())
}

fn remove(target: &mut Value, path: &[String]) -> Result<Value, Fault> {
    let removed = match place(target, path)? {
        (Place::Field(fields), name) => fields.remove(name),
        (Place::Item(items), step) => {
            index(step).filter(|index| *index < items.len()).map(|index| items.remove(index))
        }
    };
    removed.ok_or_else(|| Fault::Unfit(format!("there is no {}", shown(path))))
}

fn depth(value: &Value) -> usize {
    let below = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

/// Values and bytes of text.
fn weight(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
