//! Ways to change an object by saying only what is to be different. Pure: from values to values; what may change is not
//! judged here.

mod json;
mod keys;
mod merge;
mod strategic;

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;

use super::refusal::Refusal;

/// No patched object is nested deeper: it is read again, and recursion over it must end.
const DEEPEST: usize = 64;

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: lists are merged by their entries' keys.
    Strategic,
}

const WAYS: [(&str, Way); 3] = [
    ("application/strategic-merge-patch+json", Way::Strategic),
    ("application/merge-patch+json", Way::Merge),
    ("application/json-patch+json", Way::Json),
];
const APPLY: [&str; 2] = ["application/apply-patch+yaml", "application/apply-patch+cbor"];

/// Why a patch changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It is not written as patches of its kind are.
    #[error("{0}")]
    Malformed(String),
    /// It is, but the object is not as it assumes.
    #[error("{0}")]
    Unfit(String),
}

impl Way {
    /// By the content type.
    pub(super) fn asked(headers: &HeaderMap) -> Result<Self, Refusal> {
        let found = headers.get(CONTENT_TYPE).map(|found| String::from_utf8_lossy(found.as_bytes()));
        let found = found.unwrap_or_default();
        let media = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if APPLY.contains(&media.as_str()) {
            return Err(Refusal::server_side_apply(&WAYS.map(|(media, _)| media)));
        }
        let way = WAYS.iter().find(|(known, _)| *known == media).map(|(_, way)| *way);
        way.ok_or_else(|| Refusal::patch_type(&found, &WAYS.map(|(media, _)| media)))
    }

    /// The object as the patch wants it.
    pub(super) fn apply(self, object: &Value, patch: &Value) -> Result<Value, Fault> {
        let form = match self {
            Self::Json => "a list of operations",
            Self::Merge | Self::Strategic => "an object",
        };
        if patch.is_array() != (self == Self::Json) || !(patch.is_array() || patch.is_object()) {
            return Err(Fault::Malformed(format!("the patch is not {form}")));
        }
        let mut object = object.clone();
        match self {
            Self::Json => json::apply(&mut object, patch)?,
            Self::Merge => merge::apply(&mut object, patch),
            Self::Strategic => strategic::apply(&mut object, patch)?,
        }
        Ok(object)
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
