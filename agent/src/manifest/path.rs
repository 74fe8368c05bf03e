//! Where in an object a value stands: `spec.containers[0].image`. Lines and columns are `yaml`'s affair.

use std::fmt;

/// A place in an object, linked to its parent on the stack: free to extend, written out only for a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self::Field(self, name)
    }

    pub(super) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }

    /// The path without its indices, as `rules::fields` spells it: `spec.containers[].image`.
    pub(super) fn pattern(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, name) => extend(&parent.pattern(), name),
            Self::Item(parent, _) => parent.pattern() + "[]",
        }
    }
}

/// `parent.name`, or just `name` at the top. A key that is no field's name becomes `*`.
pub(super) fn extend(parent: &str, name: &str) -> String {
    let name = if is_plain(name) { name } else { "*" };
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// A label's key may hold dots and slashes: such a step is written in brackets.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Of a path as it is written, from an item on: its index, and the rest.
pub(super) fn item_step(field: &str) -> Option<(usize, &str)> {
    let (index, rest) = field.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}

/// Of a path as it is written, from a field on: the rest, if the field has that name.
pub(super) fn field_step<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    let rest = if is_plain(name) {
        field.strip_prefix('.').unwrap_or(field).strip_prefix(name)?
    } else {
        field.strip_prefix('[')?.strip_prefix(name)?.strip_prefix(']')?
    };
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) if is_plain(name) => f.write_str(name),
            Self::Field(parent, name) if is_plain(name) => write!(f, "{parent}.{name}"),
            Self::Field(parent, name) => write!(f, "{parent}[{name}]"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
