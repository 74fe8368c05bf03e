//! A value against the Kubernetes type it should have: unknown fields and wrong types, all of them at once.
//! Does not look at what the values say.
//!
//! `k8s_openapi` tells a deserializer each struct's field names and each field's type, so ours can be the judge:
//! where a value does not fit it notes a fault and hands out an empty one instead of stopping at the first.

use std::{cell::RefCell, fmt, mem, slice};

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess,
        Visitor,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Number, Value, map};

use super::{
    fault::{FaultKind, Findings, suggestion},
    path::Path,
    rules::Rules,
};

/// The typed object; `None` if a fault leaves none. With any fault the object is good for further checks only.
pub(super) fn read<T: DeserializeOwned>(value: &Value, rules: &Rules, findings: &mut Findings) -> Option<T> {
    let shared = RefCell::new(mem::take(findings));
    let object = T::deserialize(Node { of: Of::Value(value), at: Path::Root, rules, findings: &shared });
    *findings = shared.into_inner();
    object.ok()
}

/// The fields of a type with theirs below them, each before those inside of it: no value is needed to know them.
pub(super) fn fields<T: DeserializeOwned>(rules: &Rules) -> Vec<(String, Type)> {
    let (told, shared) = (RefCell::default(), RefCell::default());
    let node = Node { of: Of::Type(&told), at: Path::Root, rules, findings: &shared };
    let made = T::deserialize(node);
    debug_assert!(made.is_ok(), "a type does not take its own sample");
    drop(made);
    told.into_inner()
}

/// What a value must be to become a field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    Integer,
    Text,
    /// A text or a number.
    Either,
    List,
    /// Of texts, by keys that are the user's own.
    Map,
    Object,
}

/// What a node is asked.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// To become its type.
    Value(&'a Value),
    /// Which type that would be.
    Type(&'a RefCell<Vec<(String, Type)>>),
}

/// A type's own refusal of a value: its reason, until a node has noted it.
#[derive(Debug)]
struct Misfit(Option<String>);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("already noted"))
    }
}

impl std::error::Error for Misfit {}

impl Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Some(message.to_string()))
    }
}

/// One value of the object, about to become its type.
#[derive(Clone, Copy)]
struct Node<'a> {
    of: Of<'a>,
    at: Path<'a>,
    rules: &'a Rules,
    findings: &'a RefCell<Findings>,
}

const A_STRING: &str = "a string";
/// A text that every type of texts takes, dates too.
const SAMPLE: &str = "1970-01-01T00:00:00Z";
static NOTHING: Value = Value::Null;

impl<'a> Node<'a> {
    /// The value that is to be of this type; `None` if only that is asked.
    fn value(&self, kind: Type) -> Option<&'a Value> {
        match self.of {
            Of::Value(value) => Some(value),
            Of::Type(told) => {
                told.borrow_mut().push((self.at.pattern(), kind));
                None
            }
        }
    }

    /// The same node for a value below.
    fn below(&self, value: &'a Value, at: Path<'a>) -> Self {
        let of = match self.of {
            Of::Value(_) => Of::Value(value),
            told @ Of::Type(_) => told,
        };
        Node { of, at, ..*self }
    }

    fn found(&self) -> &'a Value {
        match self.of {
            Of::Value(value) => value,
            Of::Type(_) => &NOTHING,
        }
    }

    /// Notes that the value is not `needed`, or the narrower thing the rules know of this field.
    fn misfit(&self, needed: &str) {
        let wanted = self.rules.wanted(&self.at.pattern()).unwrap_or_else(|| needed.to_owned());
        let is_scalar = matches!(self.found(), Value::Bool(_) | Value::Number(_));
        let hint = if needed == A_STRING && is_scalar { " (put it in quotes)" } else { "" };
        self.fault(FaultKind::Type, format!("{}; {wanted} is needed{hint}", self.described()));
    }

    fn described(&self) -> String {
        self.rules.described(self.found(), &self.at.pattern())
    }

    fn fault(&self, kind: FaultKind, message: String) {
        self.findings.borrow_mut().fault(&self.at, kind, message);
    }

    /// Notes what a type itself has against the value.
    fn judged<T>(&self, verdict: Result<T, Misfit>) -> Result<T, Misfit> {
        verdict.map_err(|Misfit(reason)| {
            if let Some(reason) = reason {
                let wanted =
                    self.rules.wanted(&self.at.pattern()).map(|wanted| format!("{wanted} is needed"));
                let message = format!("{}; {}", self.described(), wanted.unwrap_or(reason));
                self.fault(FaultKind::Type, message);
            }
            Misfit(None)
        })
    }

    /// The integer, or 0 with a fault.
    fn integer(&self) -> i64 {
        let Some(value) = self.value(Type::Integer) else { return 0 };
        value.as_i64().unwrap_or_else(|| {
            self.misfit("an integer");
            0
        })
    }

    /// The fields whose types are to be told. An object takes no sample for the two that say what it is.
    fn asked(&self, known: &'static [&'static str]) -> &'static [&'static str] {
        let (["apiVersion", "kind", rest @ ..], Of::Type(told)) = (known, self.of) else { return known };
        if !rest.contains(&"metadata") {
            return known;
        }
        let title = known[..2].iter().map(|name| (self.at.field(name).pattern(), Type::Text));
        told.borrow_mut().extend(title);
        rest
    }

    fn fields(self, known: Option<&'static [&'static str]>) -> Fields<'a> {
        let kind = if known.is_some() { Type::Object } else { Type::Map };
        let rest = match self.value(kind) {
            Some(value) => Rest::Found(
                value
                    .as_object()
                    .unwrap_or_else(|| {
                        self.misfit("an object");
                        no_fields()
                    })
                    .iter(),
            ),
            None => Rest::Known(self.asked(known.unwrap_or_default()).iter()),
        };
        Fields { node: self, known, rest, value: None }
    }
}

fn no_fields() -> &'static Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    &EMPTY
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Misfit;

    /// Types that take more than one kind: quantities, ports by number or name, free JSON.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Some(value) = self.value(Type::Either) else { return visitor.visit_str(SAMPLE) };
        let verdict = match value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { node: self, rest: items.iter(), index: 0 }),
            Value::Object(_) => visitor.visit_map(self.fields(None)),
        };
        self.judged(verdict)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Some(value) = self.value(Type::Boolean) else { return visitor.visit_bool(false) };
        let truth = value.as_bool().unwrap_or_else(|| {
            self.misfit("true or false");
            false
        });
        self.judged(visitor.visit_bool(truth))
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let small = i32::try_from(self.integer()).unwrap_or_else(|_| {
            self.misfit("a 32-bit integer");
            0
        });
        self.judged(visitor.visit_i32(small))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.judged(visitor.visit_i64(self.integer()))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Some(value) = self.value(Type::Text) else { return visitor.visit_str(SAMPLE) };
        let text = value.as_str().unwrap_or_else(|| {
            self.misfit(A_STRING);
            ""
        });
        self.judged(visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.of {
            Of::Value(Value::Null) => visitor.visit_none(),
            Of::Value(_) | Of::Type(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        static EMPTY: Value = Value::String(String::new());
        let is_amount = matches!(self.of, Of::Type(_) | Of::Value(Value::String(_) | Value::Number(_)));
        if name == "Quantity" && !is_amount {
            self.misfit("a quantity like 500m or 64Mi");
            return visitor.visit_newtype_struct(Node { of: Of::Value(&EMPTY), ..self });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Some(value) = self.value(Type::List) else {
            return visitor.visit_seq(Items { node: self, rest: slice::from_ref(&NOTHING).iter(), index: 0 });
        };
        let items = value.as_array().map_or_else(
            || {
                self.misfit("a list");
                [].iter()
            },
            |items| items.iter(),
        );
        self.judged(visitor.visit_seq(Items { node: self, rest: items, index: 0 }))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.judged(visitor.visit_map(self.fields(None)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.judged(visitor.visit_map(self.fields(Some(fields))))
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct enum identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Misfit> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => visitor.visit_i64(number),
        (None, Some(number), _) => visitor.visit_u64(number),
        (None, None, number) => visitor.visit_f64(number.unwrap_or_default()),
    }
}

/// The fields of an object; those its type does not know are noted and left out.
struct Fields<'a> {
    node: Node<'a>,
    known: Option<&'static [&'static str]>,
    rest: Rest<'a>,
    value: Option<(&'a str, &'a Value)>,
}

/// The fields that are still to come.
enum Rest<'a> {
    Found(map::Iter<'a>),
    Known(slice::Iter<'static, &'static str>),
}

impl<'a> Iterator for Rest<'a> {
    type Item = (&'a str, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Found(fields) => fields.next().map(|(name, value)| (name.as_str(), value)),
            Self::Known(names) => names.next().map(|name| (*name, &NOTHING)),
        }
    }
}

impl Fields<'_> {
    fn is_known(&self, name: &str) -> bool {
        let Some(known) = self.known else { return true };
        if !known.contains(&name) {
            let hint = suggestion(name, known);
            let message = format!("Kubernetes knows no such field{hint}");
            self.node.findings.borrow_mut().fault(&self.node.at.field(name), FaultKind::Unknown, message);
        }
        known.contains(&name)
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        while let Some((name, value)) = self.rest.next() {
            if self.is_known(name) {
                self.value = Some((name, value));
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        let Some((name, value)) = self.value.take() else {
            return Err(Misfit::custom("a value was asked for before its key"));
        };
        seed.deserialize(self.node.below(value, self.node.at.field(name)))
    }
}

struct Items<'a> {
    node: Node<'a>,
    rest: slice::Iter<'a, Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let at = self.node.at.item(self.index);
        self.index += 1;
        seed.deserialize(self.node.below(value, at)).map(Some)
    }
}
