//! The forms an answer can have: the object itself, or a Table of `meta.k8s.io` that a client prints as it is. Which one,
//! `Accept` and the query say.

use axum::{
    extract::{FromRequestParts, Query},
    http::{HeaderMap, request::Parts},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{media, objects::options, refusal::Refusal};
use crate::columns::{self, Breadth, Column};

/// In which form a client wants objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Object,
    Table(Include),
}

/// What goes with each row of a Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    Nothing,
    Metadata,
    Object,
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<FormQuery>::from_request_parts(parts, state).await;
        Self::asked(&parts.headers, &options(query)?.include_object)
    }
}

/// The query's part of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FormQuery {
    include_object: String,
}

impl Form {
    /// The first form in `Accept` that there is here; `include` is `includeObject` of the query.
    fn asked(headers: &HeaderMap, include: &str) -> Result<Self, Refusal> {
        let include = match include {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::Nothing,
            "Object" => Include::Object,
            other => {
                let accepted = "None, Metadata and Object are accepted";
                return Err(Refusal::bad_request(format!("includeObject: {other:?}; {accepted}")));
            }
        };
        let accept = media::accept(headers);
        let form = |media: &str| match ["as", "g", "v"].map(|name| media::parameter(media, name)) {
            [Some("Table"), Some("meta.k8s.io"), Some("v1")] => Some(Self::Table(include)),
            [None, ..] => media::is_json(media).then_some(Self::Object),
            _ => None,
        };
        accept.split(',').find_map(form).ok_or_else(|| Refusal::not_acceptable(accept))
    }

    /// One object in that form.
    pub(super) fn one(self, kind: &str, object: Value, now: Timestamp) -> Value {
        let Self::Table(include) = self else { return object };
        let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
        table(kind, std::slice::from_ref(&object), metadata, include, now)
    }

    /// A list in that form: objects of `kind` under the list's own `metadata`.
    pub(super) fn list(
        self,
        (kind, version): (&str, &str),
        items: &[Value],
        metadata: Value,
        now: Timestamp,
    ) -> Value {
        match self {
            Self::Table(include) => table(kind, items, metadata, include, now),
            Self::Object => {
                json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": metadata, "items": items})
            }
        }
    }
}

/// A Table of objects of `kind`.
pub(super) fn table(kind: &str, items: &[Value], metadata: Value, include: Include, now: Timestamp) -> Value {
    let columns = columns::of(kind);
    let row = |object: &Value| {
        let cells: Vec<Value> = columns.iter().map(|column| column.cell(object, now)).collect();
        match include {
            Include::Nothing => json!({"cells": cells}),
            Include::Object => json!({"cells": cells, "object": object}),
            Include::Metadata => {
                let of_row = partial(object);
                json!({"cells": cells, "object": of_row})
            }
        }
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns.iter().map(definition).collect::<Vec<_>>(),
        "rows": items.iter().map(row).collect::<Vec<_>>(),
    })
}

fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

fn definition(column: &Column) -> Value {
    let (form, format) = match column.form {
        columns::Form::Name => ("string", "name"),
        columns::Form::Text => ("string", ""),
        columns::Form::Number => ("integer", ""),
    };
    let priority = u8::from(column.breadth == Breadth::Wide);
    json!({"name": column.name, "type": form, "format": format, "description": "", "priority": priority})
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn the_first_form_that_there_is_here_is_taken() {
        let table = |include| Some(Form::Table(include));
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let rows = [
            ("", "", Some(Form::Object)),
            ("*/*", "", Some(Form::Object)),
            ("application/json", "Object", Some(Form::Object)),
            ("application/vnd.kubernetes.protobuf,application/json", "", Some(Form::Object)),
            (kubectl, "", table(Include::Metadata)),
            (kubectl, "None", table(Include::Nothing)),
            (kubectl, "Object", table(Include::Object)),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "", Some(Form::Object)),
            ("application/json;q=0.9", "", Some(Form::Object)),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", "", None),
            ("application/vnd.kubernetes.protobuf", "", None),
            (kubectl, "Some", None),
        ];
        for (accept, include, expected) in rows {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Form::asked(&headers, include).ok(), expected, "{accept} {include}");
        }
    }

    #[test]
    fn a_row_comes_with_as_much_of_the_object_as_is_wanted() {
        let map = json!({"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}});
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "m"}});
        let rows =
            [(Include::Nothing, Value::Null), (Include::Metadata, partial), (Include::Object, map.clone())];
        for (include, object) in rows {
            let table = Form::Table(include).one("ConfigMap", map.clone(), now);
            assert_eq!(table["rows"][0]["cells"], json!(["m", 1, "<unknown>"]));
            assert_eq!(table["rows"][0]["object"], object, "{include:?}");
            let name =
                json!({"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0});
            assert_eq!((&table["columnDefinitions"][0], &table["kind"]), (&name, &json!("Table")));
        }
        let list = Form::Object.list(("ConfigMap", "v1"), &[map], json!({"resourceVersion": "7"}), now);
        assert_eq!((&list["kind"], &list["items"][0]["data"]["a"]), (&json!("ConfigMapList"), &json!("b")));
    }
}
