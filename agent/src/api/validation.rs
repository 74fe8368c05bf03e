//! How strictly a written object is read: `fieldValidation`, and the `Warning` headers that tell what was overlooked. Pure.

use std::convert::Infallible;

use axum::{
    http::{HeaderValue, header::WARNING},
    response::{IntoResponseParts, ResponseParts},
};

use super::{objects::WriteQuery, refusal::Refusal};
use crate::manifest::{self, Fault, FaultKind};

/// More of them, or longer ones, a client need not be told.
const MOST: usize = 32;
const LONGEST: usize = 256;

/// What becomes of fields that Kubernetes does not know, and of keys given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validation {
    /// They are refused.
    Strict,
    /// They are left out, and the client is told. What an API server does unless it is asked for another.
    Warn,
    /// They are left out.
    Ignore,
}

impl Validation {
    pub(super) fn of(query: &WriteQuery) -> Result<Self, Refusal> {
        match query.field_validation.as_deref() {
            Some("Strict") => Ok(Self::Strict),
            None | Some("" | "Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some(other) => Err(Refusal::bad_request(format!(
                "fieldValidation: {other:?} is not accepted; one of Ignore, Warn, Strict is needed"
            ))),
        }
    }

    /// Whether an object with these faults may be good but for them.
    pub(super) fn forgives(self, faults: &[Fault]) -> bool {
        self != Self::Strict && faults.iter().any(manifest::is_forgivable)
    }

    /// What the client is told of them.
    pub(super) fn warnings(self, forgiven: &[Fault]) -> Warnings {
        match self {
            Self::Warn => Warnings(forgiven.iter().map(said).collect()),
            Self::Strict | Self::Ignore => Warnings::default(),
        }
    }
}

/// Such a fault in Kubernetes' words.
pub(super) fn said(fault: &Fault) -> String {
    let sort = if fault.kind == FaultKind::Duplicate { "duplicate" } else { "unknown" };
    format!("{sort} field {:?}", fault.field)
}

/// What a client reads beside an answer that is none of its business otherwise: one `Warning` header each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Warnings(Vec<String>);

impl IntoResponseParts for Warnings {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        for warning in self.0.iter().take(MOST) {
            if let Ok(value) = HeaderValue::from_bytes(header(warning).as_bytes()) {
                parts.headers_mut().append(WARNING, value);
            }
        }
        Ok(parts)
    }
}

/// Code 299: it stays true. No agent is named, as Kubernetes does not.
fn header(warning: &str) -> String {
    let plain = warning.chars().filter(|letter| !letter.is_control()).take(LONGEST);
    let text: String = plain.collect::<String>().replace('\\', "\\\\").replace('"', "\\\"");
    format!("299 - \"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_a_quoted_text_in_one_line() {
        let rows = [
            ("unknown field \"a\"", "299 - \"unknown field \\\"a\\\"\""),
            ("a\\b\nc", "299 - \"a\\\\bc\""),
            ("é", "299 - \"é\""),
        ];
        for (warning, expected) in rows {
            assert_eq!(header(warning), expected);
            assert!(HeaderValue::from_bytes(header(warning).as_bytes()).is_ok());
        }
        assert_eq!(header(&"x".repeat(1000)).len(), LONGEST + "299 - \"\"".len());
    }
}
