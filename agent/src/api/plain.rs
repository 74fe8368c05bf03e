//! Objects that no file holds and that mean nothing to the loop: they are kept as clients write them, and judged by their
//! form alone. Pure.

use serde_json::{Map, Value, json};

use super::{
    admission::Submitted, refusal::Refusal, resource::Resource, update::Bar, validation::Validation,
};
use crate::manifest::{self, Fault, FaultKind, Faults};

/// Bytes of one object: there may be a thousand of them.
const LIMIT: usize = 16 << 10;

/// A field, and what it must be.
type Rule = (&'static str, fn(&Value) -> bool, &'static str);

const TITLE: [Rule; 3] = [
    ("apiVersion", Value::is_string, "a string"),
    ("kind", Value::is_string, "a string"),
    ("metadata", Value::is_object, "an object"),
];

const EVENT: [Rule; 14] = [
    ("action", Value::is_string, "a string"),
    ("count", Value::is_i64, "an integer"),
    ("eventTime", Value::is_string, "a string"),
    ("firstTimestamp", Value::is_string, "a string"),
    ("involvedObject", Value::is_object, "an object"),
    ("lastTimestamp", Value::is_string, "a string"),
    ("message", Value::is_string, "a string"),
    ("reason", Value::is_string, "a string"),
    ("related", Value::is_object, "an object"),
    ("reportingComponent", Value::is_string, "a string"),
    ("reportingInstance", Value::is_string, "a string"),
    ("series", Value::is_object, "an object"),
    ("source", Value::is_object, "an object"),
    ("type", Value::is_string, "a string"),
];

/// The one object in a request's body.
pub(super) fn submitted(
    resource: Resource,
    namespace: &str,
    body: &[u8],
    validation: Validation,
) -> Result<Submitted, Refusal> {
    if body.len() > LIMIT {
        return Err(Refusal::too_large(LIMIT));
    }
    let unreadable =
        |fault| Refusal::bad_request(format!("the body of the request is no JSON object: {fault}"));
    let mut object: Map<String, Value> = serde_json::from_slice(body).map_err(unreadable)?;
    object.retain(|_, value| !value.is_null());
    let (kind, version) = (resource.kind.name(), resource.api_version());
    for (field, wanted) in [("kind", kind), ("apiVersion", version)] {
        if object.entry(field).or_insert_with(|| json!(wanted)) != wanted {
            let found = &object[field];
            return Err(Refusal::bad_request(format!("{field} is {found} where {wanted:?} belongs")));
        }
    }
    let unknown = unfit(resource, &mut object, validation)?;
    let mut object = Value::Object(object);
    let metadata = &mut object["metadata"];
    if metadata["namespace"].as_str().is_some_and(|other| !["", namespace].contains(&other)) {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata["namespace"] = json!(namespace);
    if let Some(bar) = misnamed(metadata).or_else(|| elsewhere(&object["involvedObject"], namespace)) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Refusal::barred(resource, name, &bar));
    }
    Ok(Submitted { object, warnings: validation.warnings(&unknown) })
}

/// Takes away what no rule knows, unless that is refused, and refuses what is of another type.
fn unfit(
    resource: Resource,
    object: &mut Map<String, Value>,
    validation: Validation,
) -> Result<Vec<Fault>, Refusal> {
    let (mut unknown, mut faults) = (Vec::new(), Vec::new());
    object.retain(|field, value| {
        let fault = |kind, message: String| Fault { kind, place: None, field: field.clone(), message };
        let rule = TITLE.iter().chain(&EVENT).find(|(name, ..)| name == field);
        match rule {
            None => unknown.push(fault(FaultKind::Unknown, "this field is not known".to_owned())),
            Some((_, fits, _)) if fits(value) => (),
            Some((.., needed)) => faults.push(fault(FaultKind::Type, format!("{needed} is needed"))),
        }
        rule.is_some()
    });
    if validation == Validation::Strict {
        faults.extend(std::mem::take(&mut unknown));
    }
    let name = object.get("metadata").and_then(|metadata| metadata["name"].as_str()).unwrap_or_default();
    if faults.is_empty() { Ok(unknown) } else { Err(Refusal::faulty(resource, name, &Faults(faults))) }
}

/// What of the metadata is not as Kubernetes wants it.
fn misnamed(metadata: &Value) -> Option<Bar> {
    if let Some(name) =
        metadata["name"].as_str().filter(|name| !name.is_empty() && !manifest::is_subdomain(name))
    {
        let why =
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'";
        return Some(Bar::invalid("metadata.name", &json!(name), why));
    }
    ["labels", "annotations"].into_iter().find_map(|field| {
        let texts = |map: &Map<String, Value>| map.values().all(Value::is_string);
        let found = &metadata[field];
        let fits = found.is_null() || found.as_object().is_some_and(texts);
        (!fits).then(|| Bar::invalid(format!("metadata.{field}"), found, "texts by their keys are needed"))
    })
}

/// An event is kept where its object is.
fn elsewhere(involved: &Value, namespace: &str) -> Option<Bar> {
    let of = involved["namespace"].as_str().unwrap_or_default();
    let fits = of == namespace || of.is_empty() && namespace == "default";
    let why = "does not match event.namespace";
    (!fits).then(|| Bar::invalid("involvedObject.namespace", &json!(of), why))
}
