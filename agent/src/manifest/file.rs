//! A whole manifest file: which objects are in it, and where in the file their faults stand.

use serde_json::{Map, Value};

use super::{
    Kind, Object, ObjectName, defaults,
    fault::{self, Fault, FaultKind, Faults, described, quoted, suggestion},
    path::Path,
    yaml::{self, Document, Mark, Parts, Spot},
};

/// All objects of a file, lists taken apart. One fault anywhere refuses the whole file.
pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<Vec<Object>, Faults> {
    let (documents, mut faults) = yaml::documents(file, bytes);
    let mut objects: Vec<Object> = Vec::new();
    let entries: Vec<Entry> =
        documents.into_iter().flat_map(|document| entries(document, file, &mut faults)).collect();
    for entry in entries {
        match entry.object(file) {
            Ok(object) => match twin(&objects, &object) {
                Some(first) => fault::push(&mut faults, entry.repeats(first, file)),
                None => objects.push(object),
            },
            Err(found) => found.into_iter().for_each(|fault| fault::push(&mut faults, fault)),
        }
    }
    if faults.is_empty() {
        return Ok(objects);
    }
    let order =
        |fault: &Fault| fault.place.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column));
    faults.sort_by_key(order);
    Err(Faults(faults))
}

/// What should be one object.
struct Entry {
    value: Value,
    spot: Spot,
    /// The path to it: empty, or `items[0]`.
    prefix: String,
}

/// The fields of a `List`.
const LIST_FIELDS: [&str; 4] = ["apiVersion", "items", "kind", "metadata"];

/// A document is an object, or a list of objects.
fn entries(document: Document, file: &str, faults: &mut Vec<Fault>) -> Vec<Entry> {
    let whole = Entry { value: document.value, spot: document.spot, prefix: String::new() };
    let kind = whole.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !kind.ends_with("List") {
        return vec![whole];
    }
    let strange = whole
        .value
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .filter(|name| !LIST_FIELDS.contains(&name.as_str()));
    for name in strange {
        let message = format!("Kubernetes knows no such field{}", suggestion(name, &LIST_FIELDS));
        fault::push(
            faults,
            whole.located(Fault::new(&Path::Root.field(name), FaultKind::Unknown, message), file),
        );
    }
    whole.items().unwrap_or_else(|fault| {
        fault::push(faults, whole.located(fault, file));
        Vec::new()
    })
}

/// An object of the same kind, namespace and name. Names still to be made differ.
fn twin<'a>(objects: &'a [Object], new: &Object) -> Option<&'a Object> {
    let same = |old: &&Object| (old.kind, &old.namespace, &old.name) == (new.kind, &new.namespace, &new.name);
    objects.iter().find(same).filter(|old| matches!(old.name, ObjectName::Given(_)))
}

impl Entry {
    /// The objects of a list.
    fn items(&self) -> Result<Vec<Self>, Fault> {
        const NEEDED: &str = "a list of objects";
        let root = Path::Root;
        let at = root.field("items");
        match (self.value.get("items"), &self.spot.find("items").parts) {
            (Some(Value::Array(items)), Parts::Items(spots)) => {
                let entry = |(index, (value, spot)): (usize, (&Value, &Spot))| Self {
                    value: value.clone(),
                    spot: spot.clone(),
                    prefix: at.item(index).to_string(),
                };
                Ok(items.iter().zip(spots).enumerate().map(entry).collect())
            }
            (None | Some(Value::Null), _) => Err(missing(&at, NEEDED)),
            (Some(other), _) => Err(mistyped(&at, other, NEEDED)),
        }
    }

    fn object(&self, file: &str) -> Result<Object, Vec<Fault>> {
        let located = |fault: Fault| self.located(fault, file);
        let kind = self.kind().map_err(|fault| vec![located(fault)])?;
        if let Err(Faults(faults)) = kind.check(&self.value) {
            return Err(faults.into_iter().map(located).collect());
        }
        Ok(Object {
            kind,
            namespace: match kind.is_namespaced() {
                true => self.metadata("namespace").unwrap_or(defaults::NAMESPACE).to_owned(),
                false => String::new(),
            },
            name: match self.metadata("name") {
                Some(name) => ObjectName::Given(name.to_owned()),
                None => ObjectName::Generated(self.metadata("generateName").unwrap_or_default().to_owned()),
            },
            at: yaml::place(file, self.spot.value),
            value: self.value.clone(),
        })
    }

    fn metadata(&self, field: &str) -> Option<&str> {
        self.value.get("metadata")?.get(field)?.as_str().filter(|text| !text.is_empty())
    }

    fn kind(&self) -> Result<Kind, Fault> {
        let Some(object) = self.value.as_object() else {
            return Err(mistyped(&Path::Root, &self.value, "an object"));
        };
        let names: Vec<&str> = Kind::all().map(Kind::name).collect();
        let name = required(object, "kind", &format!("one of {}", names.join(", ")))?;
        let Some(kind) = Kind::all().find(|kind| kind.name() == name) else {
            let hint = suggestion(name, &names);
            let message =
                format!("{} is not supported yet; accepted are {}{hint}", quoted(name), names.join(", "));
            return Err(Fault::new(&Path::Root.field("kind"), FaultKind::Unsupported, message));
        };
        required(object, "apiVersion", kind.api_version())?;
        Ok(kind)
    }

    /// The fault with its path from the top of the document, and its place in the file.
    fn located(&self, fault: Fault, file: &str) -> Fault {
        if fault.field.is_empty() && fault.kind != FaultKind::Type {
            return fault;
        }
        let spot = self.spot.find(&fault.field);
        let mark: Mark = match fault.kind {
            FaultKind::Unknown | FaultKind::Unsupported => spot.key,
            _ => spot.value,
        };
        let dot = if self.prefix.is_empty() || fault.field.is_empty() { "" } else { "." };
        let field = format!("{}{dot}{}", self.prefix, fault.field);
        Fault { place: Some(yaml::place(file, mark)), field, ..fault }
    }

    fn repeats(&self, first: &Object, file: &str) -> Fault {
        let message = format!("the file has this {} already, in line {}", first.kind.name(), first.at.line);
        let metadata = Path::Root.field("metadata");
        self.located(Fault::new(&metadata.field("name"), FaultKind::Duplicate, message), file)
    }
}

fn required<'a>(object: &'a Map<String, Value>, field: &str, needed: &str) -> Result<&'a str, Fault> {
    let root = Path::Root;
    let at = root.field(field);
    match object.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None | Some(Value::Null | Value::String(_)) => Err(missing(&at, needed)),
        Some(other) => Err(mistyped(&at, other, needed)),
    }
}

fn missing(at: &Path<'_>, needed: &str) -> Fault {
    Fault::new(at, FaultKind::Missing, format!("missing; {needed} is needed"))
}

fn mistyped(at: &Path<'_>, found: &Value, needed: &str) -> Fault {
    Fault::new(at, FaultKind::Type, format!("{}; {needed} is needed", described(found)))
}
