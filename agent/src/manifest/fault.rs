//! What is wrong with a manifest, and where: the words a user reads. Finds nothing by itself.

use std::{error, fmt};

use serde_json::Value;

use super::path::Path;

/// After so many faults the rest is not worth reading, nor the memory.
const MOST: usize = 100;
/// A value is quoted up to this many characters.
const QUOTED: usize = 48;

/// A position in a file; the first line and the first column are 1. Columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What sort of mistake a fault is. An API server answers 400 to the first four, 422 to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Not YAML at all.
    Syntax,
    /// A key given twice, an object given twice.
    Duplicate,
    /// What must be different in each entry of a list is not.
    Taken,
    /// A field Kubernetes does not know.
    Unknown,
    /// A string where a number belongs.
    Type,
    /// A required field is not there.
    Missing,
    /// The right type, a wrong value.
    Value,
    /// Good Kubernetes, but not something carob does.
    Unsupported,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// `None`: the object did not come from a file.
    pub(crate) place: Option<Place>,
    /// `spec.containers[0].image`; empty for the document as a whole.
    pub(crate) field: String,
    /// What was found and what is accepted.
    pub(crate) message: String,
}

impl Fault {
    pub(super) fn new(at: &Path<'_>, kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, place: None, field: at.to_string(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, one line each. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

impl error::Error for Faults {}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// Collects what the checks of one object find.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<String>,
}

impl Findings {
    /// Adds a fault, unless it only repeats one: the first word on a field stands, and below a value of the
    /// wrong type everything is wrong.
    pub(super) fn fault(&mut self, at: &Path<'_>, kind: FaultKind, message: impl Into<String>) {
        let fault = Fault::new(at, kind, message);
        if !self.faults.iter().any(|known| covers(known, &fault)) {
            push(&mut self.faults, fault);
        }
    }

    pub(super) fn note(&mut self, at: &Path<'_>, text: &str) {
        self.notes.push(format!("{at}: {text}"));
    }

    /// A required field that is not there.
    pub(super) fn missing(&mut self, at: &Path<'_>, needed: &str) {
        self.fault(at, FaultKind::Missing, format!("missing; {needed} is needed"));
    }

    /// A value of the right type that is not accepted.
    pub(super) fn rejected(&mut self, at: &Path<'_>, found: &str, needed: &str) {
        self.fault(at, FaultKind::Value, format!("{} is not accepted; {needed} is needed", quoted(found)));
    }
}

/// Adds a fault while there is room; the last one says that there are more.
pub(super) fn push(faults: &mut Vec<Fault>, fault: Fault) {
    if faults.len() < MOST {
        faults.push(fault);
    } else if faults.len() == MOST {
        let message = format!("there are more faults; these are the first {MOST}");
        faults.push(Fault { field: String::new(), message, ..fault });
    }
}

fn covers(known: &Fault, new: &Fault) -> bool {
    match new.field.strip_prefix(&known.field) {
        Some("") => true,
        Some(rest) => {
            known.kind == FaultKind::Type && (known.field.is_empty() || rest.starts_with(['.', '[']))
        }
        None => false,
    }
}

/// A string as a message shows it.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A value as a message shows it: `"80" is a string`.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null stands here".to_owned(),
        Value::Bool(truth) => format!("{truth} is a boolean"),
        Value::Number(number) => format!("{number} is a number"),
        Value::String(text) => format!("{} is a string", quoted(text)),
        Value::Array(_) => "a list stands here".to_owned(),
        Value::Object(_) => "an object stands here".to_owned(),
    }
}

/// `, did you mean "image"?`, or nothing if no known name is near.
pub(super) fn suggestion(found: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (distance(&found.to_lowercase(), &name.to_lowercase()), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len().min(found.len()) / 5);
    near.map_or_else(String::new, |(_, name)| format!(", did you mean {name:?}?"))
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().take(64).collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let changed = above[column] + usize::from(letter != other);
            let mut least = changed.min(above[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && from[row - 1] == *other && to[column - 1] == *letter {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_suggested_and_a_far_one_is_not() {
        let known = ["image", "imagePullPolicy", "command", "args", "env", "envFrom", "name"];
        let check = |found: &str, wanted: Option<&str>| {
            let wanted = wanted.map_or_else(String::new, |name| format!(", did you mean {name:?}?"));
            assert_eq!(suggestion(found, &known), wanted, "{found}");
        };
        check("comand", Some("command"));
        check("imagePullPolcy", Some("imagePullPolicy"));
        check("IMAGE", Some("image"));
        check("nmae", Some("name"));
        check("arg", Some("args"));
        check("envfrom", Some("envFrom"));
        check("replicas", None);
        check("", None);
    }

    #[test]
    fn below_a_value_of_the_wrong_type_nothing_more_is_said() {
        let mut findings = Findings::default();
        let (ports, port) = (Path::Root.field("ports"), Path::Root.field("portsmouth"));
        findings.fault(&ports, FaultKind::Type, "first");
        findings.fault(&ports, FaultKind::Value, "the same field");
        findings.fault(&ports.item(0), FaultKind::Value, "inside it");
        findings.fault(&port, FaultKind::Value, "another field");
        let said: Vec<&str> = findings.faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(said, ["first", "another field"]);
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_says_so() {
        let mut findings = Findings::default();
        for index in 0..MOST * 2 {
            findings.fault(&Path::Root.item(index), FaultKind::Value, "wrong");
        }
        assert_eq!(findings.faults.len(), MOST + 1);
        assert!(findings.faults[MOST].message.contains("more faults"));
    }
}
