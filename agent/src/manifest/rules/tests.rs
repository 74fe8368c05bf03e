//! The table is whole: every field the types know has a row, and every row names a real field.

use std::{cell::RefCell, fmt};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::*;

/// Deserializes a type from nothing, writing down every field the type asks for.
struct Probe<'a> {
    pattern: String,
    leaves: &'a RefCell<Vec<String>>,
}

#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Probe<'_> {
    fn leaf(&self) {
        self.leaves.borrow_mut().push(self.pattern.clone());
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Refusal;

    /// Every scalar is a date: any string type takes one.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf();
        match self.pattern.as_str() {
            "apiVersion" => visitor.visit_str("v1"),
            _ => visitor.visit_str("1970-01-01T00:00:00Z"),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf();
        visitor.visit_i32(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf();
        visitor.visit_i64(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf();
        visitor.visit_bool(false)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_seq(OneItem(Some(self)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.leaf();
        visitor.visit_map(AllFields { probe: self, fields: [].iter(), current: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if fields.is_empty() {
            self.leaf();
        }
        visitor.visit_map(AllFields { probe: self, fields: fields.iter(), current: "" })
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct enum identifier ignored_any
    }
}

struct OneItem<'a>(Option<Probe<'a>>);

impl<'de> SeqAccess<'de> for OneItem<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        let Some(list) = self.0.take() else { return Ok(None) };
        seed.deserialize(Probe { pattern: list.pattern + "[]", leaves: list.leaves }).map(Some)
    }
}

struct AllFields<'a> {
    probe: Probe<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    current: &'static str,
}

impl<'de> MapAccess<'de> for AllFields<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        // The kind is the one field that takes a single word, each type its own.
        let is_free = |field: &&&str| !(self.probe.pattern.is_empty() && **field == "kind");
        let Some(field) = self.fields.by_ref().find(is_free) else { return Ok(None) };
        self.current = field;
        seed.deserialize(field.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let pattern = extend(&self.probe.pattern, self.current);
        seed.deserialize(Probe { pattern, leaves: self.probe.leaves })
    }
}

fn leaves<T: for<'de> Deserialize<'de>>() -> Vec<String> {
    let leaves = RefCell::new(vec!["kind".to_owned()]);
    T::deserialize(Probe { pattern: String::new(), leaves: &leaves })
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    leaves.into_inner()
}

/// Whether `field` is `pattern` or something around it.
fn holds(field: &str, pattern: &str) -> bool {
    pattern.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[test]
fn every_field_kubernetes_knows_has_a_row_and_every_row_has_a_field() {
    let check = |rules: &Rules, leaves: &[String]| {
        assert!(leaves.len() > 15, "{leaves:?}");
        let without_row: Vec<&String> = leaves
            .iter()
            .filter(|leaf| {
                let has_row =
                    |leaf: &str| rules.rows().any(|row| holds(row.field, leaf) || holds(leaf, row.field));
                !has_row(leaf) && !has_row(&as_written(leaf))
            })
            .collect();
        assert_eq!(without_row, Vec::<&String>::new(), "fields without a row");
        let without_field: Vec<&str> = rules
            .rows()
            .map(|row| row.field)
            .filter(|field| !leaves.iter().any(|leaf| holds(field, leaf) || holds(leaf, field)))
            .collect();
        assert_eq!(without_field, Vec::<&str>::new(), "rows without a field");
    };
    check(&fields::POD, &leaves::<Pod>());
    check(&fields::CLAIM, &leaves::<PersistentVolumeClaim>());
    check(&fields::CONFIG_MAP, &leaves::<ConfigMap>());
    check(&fields::SECRET, &leaves::<Secret>());
    check(&fields::NAMESPACE, &leaves::<Namespace>());
}

#[test]
fn no_field_has_two_rows() {
    for rules in [&fields::POD, &fields::CLAIM, &fields::CONFIG_MAP, &fields::SECRET, &fields::NAMESPACE] {
        let names: Vec<&str> = rules.rows().map(|row| row.field).collect();
        for (index, name) in names.iter().enumerate() {
            let twice = names[index + 1..].iter().find(|other| holds(name, other) || holds(other, name));
            assert_eq!(twice, None, "{name}");
        }
    }
}

#[test]
fn a_field_without_a_row_is_refused() {
    static RULES: Rules = Rules::of(&[&[kept("spec.known")]]);
    let check = |object: Value, wanted: &[&str]| {
        let mut findings = Findings::default();
        RULES.judge(&object, &mut findings);
        let said: Vec<String> = findings.faults.iter().map(ToString::to_string).collect();
        assert_eq!(said, wanted);
    };
    check(serde_json::json!({"spec": {"known": 1, "new": {}, "newer": null}}), &[]);
    check(
        serde_json::json!({"spec": {"new": {"a": 1}, "newer": 5}}),
        &["spec.new: this field is not supported yet", "spec.newer: 5 is not supported yet"],
    );
}
