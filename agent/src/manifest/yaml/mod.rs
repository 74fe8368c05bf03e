//! Text → documents: JSON values, each with the line and column of all its parts. JSON is read the same way,
//! being YAML. Knows nothing of Kubernetes.

mod mend;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde_json::{Map, Value};
use serde_yaml::granit_parser::{
    ErrorKind, Event, Marker, Options, Parser, ScalarStyle, StrInput, Tag, options,
};

use self::mend::{MENDED, mend};
use super::{
    fault::{Fault, FaultKind, Place, described, push, quoted},
    path::{Path, field_step, item_step},
    scalar,
};

/// As much as an API server takes.
const MOST_BYTES: usize = 3 << 20;
/// Deeper than any Kubernetes object by far, shallow enough for every recursion over a value.
const DEEPEST: usize = 64;
/// What one file may grow to when aliases are expanded, in units of `weight`.
const MOST_WEIGHT: usize = 1 << 20;

/// The first line and the first column are 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl From<Marker> for Mark {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// Where a value and its parts stand. Has the shape of the value.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The key the value stands under; the value itself if it has none.
    pub(super) key: Mark,
    pub(super) value: Mark,
    pub(super) parts: Parts,
}

#[derive(Clone, Debug)]
pub(super) enum Parts {
    None,
    Items(Vec<Spot>),
    Fields(BTreeMap<String, Spot>),
}

impl Spot {
    /// The spot of a field as `Path` writes it, or of the nearest thing around it that is there.
    pub(super) fn find(&self, field: &str) -> &Self {
        let below = match &self.parts {
            Parts::None => None,
            Parts::Items(items) => item_step(field).and_then(|(index, rest)| Some((items.get(index)?, rest))),
            Parts::Fields(fields) => {
                fields.iter().find_map(|(name, spot)| Some((spot, field_step(field, name)?)))
            }
        };
        below.map_or(self, |(spot, rest)| spot.find(rest))
    }
}

/// One document of a file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) spot: Spot,
}

/// All documents of a file that are not empty, up to the first that is no YAML; and what is wrong with them.
pub(super) fn documents(file: &str, bytes: &[u8]) -> (Vec<Document>, Vec<Fault>) {
    let text = match text(bytes) {
        Ok(text) => mend(text),
        Err((mark, message)) => return (Vec::new(), vec![syntax(file, mark, message)]),
    };
    let mut reader = Reader {
        file,
        mended: matches!(text, Cow::Owned(_)),
        events: Parser::new_from_str_with_options(&text, parser_options()),
        anchors: HashMap::new(),
        weight: 0,
        documents: Vec::new(),
        faults: Vec::new(),
    };
    if let Err(fault) = reader.stream() {
        push(&mut reader.faults, fault);
    }
    (reader.documents, reader.faults)
}

fn parser_options() -> Options {
    options! { emit_comments: false, flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST }
}

fn text(bytes: &[u8]) -> Result<&str, (Mark, String)> {
    let start = Mark { line: 1, column: 1 };
    if bytes.len() > MOST_BYTES {
        let message = format!("{} bytes are too many; at most {MOST_BYTES} are accepted", bytes.len());
        return Err((start, message));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = good.lines().count().max(1);
        let column = good.lines().last().map_or(0, |line| line.chars().count()) + 1;
        (Mark { line, column }, "this byte is not UTF-8; UTF-8 text is needed".to_owned())
    })
}

fn syntax(file: &str, mark: Mark, message: impl Into<String>) -> Fault {
    let mut fault = Fault::new(&Path::Root, FaultKind::Syntax, message);
    fault.place = Some(place(file, mark));
    fault
}

pub(super) fn place(file: &str, mark: Mark) -> Place {
    Place { file: file.to_owned(), line: mark.line, column: mark.column }
}

/// What an anchor stands for, and what each use of it costs.
#[derive(Clone)]
struct Anchored {
    value: Value,
    spot: Spot,
    weight: usize,
}

/// What a tag asks of a value.
type Asked<'t> = Option<Cow<'t, Tag>>;

struct Reader<'t> {
    file: &'t str,
    mended: bool,
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Anchored>,
    weight: usize,
    documents: Vec<Document>,
    /// What is wrong without keeping us from reading on.
    faults: Vec<Fault>,
}

impl<'t> Reader<'t> {
    fn stream(&mut self) -> Result<(), Fault> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::StreamStart | Event::DocumentEnd, _) => {}
                (Event::DocumentStart(..), _) => {
                    self.anchors.clear();
                    let (event, mark) = self.next()?;
                    let (value, spot) = self.node(event, mark, &Path::Root, 0)?;
                    if !value.is_null() {
                        self.documents.push(Document { value, spot });
                    }
                }
                (other, mark) => return Err(self.wrong(mark, format!("{other:?} is out of place"))),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Mark), Fault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.into())),
            Some(Err(error)) if *error.kind() == ErrorKind::RecursionLimitExceeded => {
                Err(self.too_deep((*error.marker()).into()))
            }
            Some(Err(error)) => Err(self.wrong((*error.marker()).into(), error.info())),
            None => Err(self.wrong(Mark { line: 1, column: 1 }, "the text ends too early")),
        }
    }

    fn wrong(&self, mark: Mark, message: impl Into<String>) -> Fault {
        syntax(self.file, mark, message)
    }

    fn too_deep(&self, mark: Mark) -> Fault {
        self.wrong(mark, format!("nested too deeply; at most {DEEPEST} levels are accepted"))
    }

    /// Counts what is kept in memory, so that aliases of aliases cannot grow without end.
    fn spend(&mut self, weight: usize, mark: Mark) -> Result<(), Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MOST_WEIGHT {
            return Err(self.wrong(mark, "the file is too large once its aliases are expanded"));
        }
        Ok(())
    }

    fn node(
        &mut self,
        event: Event<'t>,
        mark: Mark,
        at: &Path<'_>,
        depth: usize,
    ) -> Result<(Value, Spot), Fault> {
        if depth > DEEPEST {
            return Err(self.too_deep(mark));
        }
        let before = self.weight;
        let (anchor, value, parts) = match event {
            Event::Alias(id) => return self.alias(id, mark),
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1 + text.len() / 16, mark)?;
                (anchor, self.scalar(&text, style, tag, mark)?, Parts::None)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.spend(1, mark)?;
                self.expect_tag(tag, "seq", mark)?;
                let (value, parts) = self.list(at, depth)?;
                (anchor, value, parts)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.spend(1, mark)?;
                self.expect_tag(tag, "map", mark)?;
                let (value, parts) = self.map(at, depth)?;
                (anchor, value, parts)
            }
            other => return Err(self.wrong(mark, format!("{other:?} is out of place"))),
        };
        let spot = Spot { key: mark, value: mark, parts };
        if anchor > 0 {
            let weight = self.weight - before;
            self.spend(weight, mark)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), spot: spot.clone(), weight });
        }
        Ok((value, spot))
    }

    fn alias(&mut self, id: usize, mark: Mark) -> Result<(Value, Spot), Fault> {
        let Some(weight) = self.anchors.get(&id).map(|anchored| anchored.weight) else {
            return Err(self.wrong(mark, "the alias stands inside its own anchor"));
        };
        self.spend(weight, mark)?;
        let Anchored { value, spot, .. } = self.anchors[&id].clone();
        Ok((value, spot))
    }

    fn list(&mut self, at: &Path<'_>, depth: usize) -> Result<(Value, Parts), Fault> {
        let (mut values, mut spots) = (Vec::new(), Vec::new());
        loop {
            let (event, mark) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok((Value::Array(values), Parts::Items(spots)));
            }
            let (value, spot) = self.node(event, mark, &at.item(values.len()), depth + 1)?;
            values.push(value);
            spots.push(spot);
        }
    }

    fn map(&mut self, at: &Path<'_>, depth: usize) -> Result<(Value, Parts), Fault> {
        let (mut values, mut spots) = (Map::new(), BTreeMap::<String, Spot>::new());
        let mut merged = Vec::new();
        loop {
            let (event, key_mark) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let name = self.key(event, key_mark, at, depth)?;
            let (event, mark) = self.next()?;
            let (value, mut spot) = self.node(event, mark, &at.field(&name), depth + 1)?;
            spot.key = key_mark;
            if is_merge {
                merged.push((value, spot));
            } else if let Some(first) = spots.get(&name) {
                self.duplicate(&at.field(&name), key_mark, first.key);
            } else {
                values.insert(name.clone(), value);
                spots.insert(name, spot);
            }
        }
        for (value, spot) in merged {
            self.merge(value, &spot, (&mut values, &mut spots))?;
        }
        Ok((Value::Object(values), Parts::Fields(spots)))
    }

    fn duplicate(&mut self, at: &Path<'_>, mark: Mark, first: Mark) {
        let message = format!("given twice; the first is in line {}, column {}", first.line, first.column);
        let fault = Fault::new(at, FaultKind::Duplicate, message);
        push(&mut self.faults, Fault { place: Some(place(self.file, mark)), ..fault });
    }

    /// A JSON key is a string: numbers and booleans become one as kubectl makes them one.
    fn key(&mut self, event: Event<'t>, mark: Mark, at: &Path<'_>, depth: usize) -> Result<String, Fault> {
        match self.node(event, mark, at, depth + 1)?.0 {
            Value::String(text) => Ok(text),
            scalar @ (Value::Number(_) | Value::Bool(_)) => Ok(scalar.to_string()),
            other => {
                let message = format!("{}; a string is needed as a key", described(&other));
                Err(self.wrong(mark, message))
            }
        }
    }

    /// `<<`: what the mapping does not say itself.
    fn merge(
        &mut self,
        value: Value,
        spot: &Spot,
        (values, spots): (&mut Map<String, Value>, &mut BTreeMap<String, Spot>),
    ) -> Result<(), Fault> {
        match (value, &spot.parts) {
            (Value::Object(fields), Parts::Fields(places)) => {
                for (name, value) in fields {
                    if let (false, Some(place)) = (values.contains_key(&name), places.get(&name)) {
                        spots.insert(name.clone(), place.clone());
                        values.insert(name, value);
                    }
                }
                Ok(())
            }
            (Value::Array(items), Parts::Items(places)) => items
                .into_iter()
                .zip(places)
                .try_for_each(|(item, place)| self.merge(item, place, (&mut *values, &mut *spots))),
            (other, _) => {
                let message = format!("{}; << needs a mapping or a list of mappings", described(&other));
                Err(self.wrong(spot.key, message))
            }
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Asked<'t>, mark: Mark) -> Result<Value, Fault> {
        let text = if self.mended { Cow::Owned(text.replace(MENDED, "")) } else { Cow::Borrowed(text) };
        let asked = match &tag {
            None if style == ScalarStyle::Plain => return Ok(scalar::plain(&text)),
            None => return Ok(Value::String(text.into_owned())),
            Some(tag) if tag.handle().is_empty() && tag.suffix() == "!" => "str",
            Some(tag) => tag.core_suffix().unwrap_or_default(),
        };
        let value = scalar::plain(&text);
        match (asked, &value) {
            ("str", _) => Ok(Value::String(text.into_owned())),
            ("null", Value::Null) | ("bool", Value::Bool(_)) | ("float", Value::Number(_)) => Ok(value),
            ("int", Value::Number(number)) if !number.is_f64() => Ok(value),
            _ => Err(self.bad_tag(tag, &format!("the value {}", quoted(&text)), mark)),
        }
    }

    fn expect_tag(&self, tag: Asked<'t>, accepted: &str, mark: Mark) -> Result<(), Fault> {
        if tag.as_ref().is_none_or(|tag| tag.core_suffix() == Some(accepted)) {
            return Ok(());
        }
        Err(self.bad_tag(tag, "this value", mark))
    }

    fn bad_tag(&self, tag: Asked<'t>, on: &str, mark: Mark) -> Fault {
        let tag = tag.map(|tag| tag.original()).unwrap_or_default();
        self.wrong(mark, format!("the tag {tag} does not fit {on}; no tag is needed here"))
    }
}

#[cfg(test)]
mod tests;
