//! What becomes of each field Kubernetes knows: kept, noted or refused. The decisions are data, in `fields`;
//! here they are only looked up. A field without a row is refused, so a new Kubernetes version hides nothing.

pub(super) mod fields;
mod probes;
pub(super) mod workloads;

use std::borrow::Cow;

use serde_json::Value;

use super::{
    fault::{FaultKind, Findings, described, quoted, suggestion},
    path::{Path, extend},
};

/// What becomes of one field, and all below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// As `Path::pattern` writes it; a last `*` stands for every key without a row of its own.
    field: &'static str,
    fate: Fate,
    /// Values that ask for what happens anyway: accepted without a word.
    same: &'static [Plain],
    /// The only values accepted, if not empty.
    choices: &'static [&'static str],
    /// What a value must be, when its type says too little.
    needed: Option<&'static str>,
    empty: Empty,
    shown: Shown,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    /// carob does what the field says, or the API server owns the field.
    Kept,
    /// Accepted without effect, and the user is told why.
    Noted(&'static str),
    /// Refused until carob does it.
    Later,
    /// Refused for good.
    Never(&'static str),
}

/// A scalar that can stand in a table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plain {
    Text(&'static str),
    Bool(bool),
    Int(i64),
}

/// Whether a fault may quote what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Quoted,
    /// It may be secret.
    Hidden,
}

/// What `{}`, `[]` and `""` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Empty {
    /// The same as nothing.
    Nothing,
    /// Something: `configMap: {}` still asks for a volume.
    Something,
}

/// What a user is told of a field before there is a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) choices: &'static [&'static str],
    pub(super) note: String,
}

impl Row {
    /// `None`: it is refused.
    fn about(&self) -> Option<About> {
        let needed = self.needed.map(|needed| format!("Needed is {}.", needed.trim_end_matches(',')));
        let note = match self.fate {
            Fate::Kept => needed.unwrap_or_default(),
            Fate::Noted(why) => format!("Accepted, but has no effect: {why}."),
            Fate::Later | Fate::Never(_) => return None,
        };
        Some(About { choices: self.choices, note })
    }

    const fn new(field: &'static str, fate: Fate) -> Self {
        Self {
            field,
            fate,
            same: &[],
            choices: &[],
            needed: None,
            empty: Empty::Nothing,
            shown: Shown::Quoted,
        }
    }

    const fn unless(self, same: &'static [Plain]) -> Self {
        Self { same, ..self }
    }

    const fn one_of(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }

    const fn needs(self, needed: &'static str) -> Self {
        Self { needed: Some(needed), ..self }
    }

    const fn even_empty(self) -> Self {
        Self { empty: Empty::Something, ..self }
    }

    const fn hidden(self) -> Self {
        Self { shown: Shown::Hidden, ..self }
    }

    fn judge(&self, value: &Value, at: &Path<'_>, findings: &mut Findings) {
        if self.same.iter().any(|same| same.is(value)) {
            return;
        }
        match self.fate {
            Fate::Kept => self.choose(value, at, findings),
            Fate::Noted(why) => findings.note(at, &format!("accepted, but has no effect: {why}")),
            Fate::Later => {
                let message = format!("{} not supported yet{}", subject(value), self.accepted());
                findings.fault(at, FaultKind::Unsupported, message);
            }
            Fate::Never(why) => {
                let message = format!("{} not supported{}: {why}", subject(value), self.accepted());
                findings.fault(at, FaultKind::Unsupported, message);
            }
        }
    }

    fn choose(&self, value: &Value, at: &Path<'_>, findings: &mut Findings) {
        match value {
            Value::String(text) if !self.choices.is_empty() && !self.choices.contains(&text.as_str()) => {
                let (needed, hint) = (self.all_choices(), suggestion(text, self.choices));
                let message = format!("{} is not accepted; {needed} is needed{hint}", quoted(text));
                findings.fault(at, FaultKind::Value, message);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.choose(item, &at.item(index), findings);
                }
            }
            _ => {}
        }
    }

    fn all_choices(&self) -> String {
        let one_of = if self.choices.len() > 1 { "one of " } else { "" };
        one_of.to_owned() + &self.choices.join(", ")
    }

    fn accepted(&self) -> String {
        let same: Vec<String> = self.same.iter().map(Plain::shown).collect();
        if same.is_empty() { String::new() } else { format!(" (accepted is {})", same.join(" or ")) }
    }
}

impl Plain {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Bool(truth) => value.as_bool() == Some(*truth),
            Self::Int(number) => value.as_i64() == Some(*number),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
        }
    }
}

/// How a refusal begins: with the value if that is short.
fn subject(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Null => "this field is".to_owned(),
        Value::String(text) => format!("{} is", quoted(text)),
        scalar => format!("{scalar} is"),
    }
}

/// The rows of one kind of object.
#[derive(Debug)]
pub(super) struct Rules {
    rows: &'static [&'static [Row]],
    /// What is judged by the rules of another kind: `spec.template` by those of a Pod.
    parts: &'static [(&'static str, &'static Rules)],
}

impl Rules {
    const fn of(rows: &'static [&'static [Row]]) -> Self {
        Self { rows, parts: &[] }
    }

    /// Judges every field of an object.
    pub(super) fn judge(&self, object: &Value, findings: &mut Findings) {
        self.walk(object, &Path::Root, "", findings);
    }

    /// What a field must be, if that is more than its type.
    pub(super) fn wanted(&self, pattern: &str) -> Option<String> {
        let row = self.row(pattern).or_else(|| self.hidden(pattern))?;
        let choices = || (!row.choices.is_empty()).then(|| row.all_choices());
        row.needed.map(str::to_owned).or_else(choices)
    }

    /// What is said of a field that is taken; `None` if it is not, or is not known.
    pub(super) fn about(&self, pattern: &str) -> Option<About> {
        let mut at = Some(pattern);
        while let Some(here) = at {
            if let Some(row) = self.row(here) {
                let of_row = |about| if here == pattern { about } else { About::default() };
                return row.about().map(of_row);
            }
            at = here.strip_suffix("[]").or_else(|| here.rsplit_once('.').map(|(parent, _)| parent));
        }
        self.has_rows_below(pattern).then(About::default)
    }

    /// A value as a fault shows it.
    pub(super) fn described(&self, value: &Value, pattern: &str) -> String {
        match self.hidden(pattern) {
            Some(_) => "this value (not shown) is of the wrong type or form".to_owned(),
            None => described(value),
        }
    }

    /// The row of values that may be secret, if this is one of them.
    fn hidden(&self, pattern: &str) -> Option<&'static Row> {
        let (rules, pattern) = self.ruling(pattern);
        let holds = |row: &&Row| {
            pattern.strip_prefix(row.field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        rules.rows().filter(|row| row.shown == Shown::Hidden).find(holds)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        self.rows.iter().flat_map(|rows| rows.iter())
    }

    /// The rules a field falls under, and its name there.
    fn ruling<'a>(&self, pattern: &'a str) -> (&Self, &'a str) {
        let part = self.parts.iter().find_map(|(start, rules)| {
            let rest = pattern.strip_prefix(start)?;
            (rest.is_empty() || rest.starts_with('.')).then_some((*rules, rest.trim_start_matches('.')))
        });
        part.unwrap_or((self, pattern))
    }

    fn row(&self, pattern: &str) -> Option<&'static Row> {
        let (rules, own) = self.ruling(pattern);
        let pattern = &*as_written(own);
        let any = pattern.rsplit_once('.').map(|(parent, _)| extend(parent, "*"));
        rules
            .rows()
            .find(|row| row.field == own)
            .or_else(|| rules.rows().find(|row| row.field == pattern))
            .or_else(|| rules.rows().find(|row| any.as_deref() == Some(row.field)))
    }

    fn has_rows_below(&self, pattern: &str) -> bool {
        let (rules, pattern) = self.ruling(pattern);
        let pattern = &*as_written(pattern);
        let is_below =
            |field: &str| field.strip_prefix(pattern).is_some_and(|rest| rest.starts_with(['.', '[']));
        pattern.is_empty()
            || rules.rows().any(|row| is_below(row.field))
            || rules.parts.iter().any(|(start, _)| is_below(start))
    }

    fn walk(&self, value: &Value, at: &Path<'_>, pattern: &str, findings: &mut Findings) {
        let row = self.row(pattern);
        let counts_if_empty = row.is_some_and(|row| row.empty == Empty::Something);
        if value.is_null() || (is_empty(value) && !counts_if_empty) {
            return;
        }
        match (row, value) {
            (Some(row), _) => {
                check_text(value, at, findings);
                row.judge(value, at, findings);
            }
            (None, Value::Object(fields)) if self.has_rows_below(pattern) => {
                for (name, value) in fields {
                    self.walk(value, &at.field(name), &extend(pattern, name), findings);
                }
            }
            (None, Value::Array(items)) if self.has_rows_below(pattern) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, &at.item(index), &format!("{pattern}[]"), findings);
                }
            }
            (None, _) if self.has_rows_below(pattern) => {
                findings.fault(at, FaultKind::Type, format!("{}; an object is needed", described(value)));
            }
            (None, _) => Row::new("", Fate::Later).judge(value, at, findings),
        }
    }
}

/// The table has one set of rows for all lists of containers, but for what one of them has of its own.
fn as_written(pattern: &str) -> Cow<'_, str> {
    let lists = ["spec.initContainers", "spec.ephemeralContainers"];
    match lists.into_iter().find_map(|list| pattern.strip_prefix(list)) {
        Some(rest) => format!("spec.containers{rest}").into(),
        None => pattern.into(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// No text may hold a zero byte: neither paths nor arguments nor the environment can carry it.
fn check_text(value: &Value, at: &Path<'_>, findings: &mut Findings) {
    match value {
        Value::String(text) if text.contains('\0') => {
            findings.rejected(at, text, "text without a zero byte");
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_text(item, &at.item(index), findings);
            }
        }
        _ => {}
    }
}

const fn kept(field: &'static str) -> Row {
    Row::new(field, Fate::Kept)
}

const fn noted(field: &'static str, why: &'static str) -> Row {
    Row::new(field, Fate::Noted(why))
}

const fn later(field: &'static str) -> Row {
    Row::new(field, Fate::Later)
}

const fn never(field: &'static str, why: &'static str) -> Row {
    Row::new(field, Fate::Never(why))
}

#[cfg(test)]
mod tests;
