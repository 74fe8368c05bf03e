//! The one place where clients insist on protobuf: kubectl sends its questions about itself that way. Reads just those, by
//! the numbers of their fields (Kubernetes' `generated.proto`); everything else that is in them is passed over.

use serde_json::{Map, Value};

/// What Kubernetes puts before each message.
const MAGIC: &[u8] = b"k8s\0";
/// `runtime.Unknown`: the message itself.
const RAW: u64 = 2;

/// What a field holds.
enum Shape {
    Text,
    Fields(&'static [Field]),
}

/// Its number, its name in JSON.
type Field = (u64, &'static str, Shape);

/// A `SelfSubjectAccessReview`; the other questions say nothing that matters here.
const REVIEW: &[Field] = &[(2, "spec", Shape::Fields(SPEC))];
const SPEC: &[Field] =
    &[(1, "resourceAttributes", Shape::Fields(RESOURCE)), (2, "nonResourceAttributes", Shape::Fields(PATH))];
const RESOURCE: &[Field] = &[
    (1, "namespace", Shape::Text),
    (2, "verb", Shape::Text),
    (3, "group", Shape::Text),
    (5, "resource", Shape::Text),
    (6, "subresource", Shape::Text),
    (7, "name", Shape::Text),
];
const PATH: &[Field] = &[(1, "path", Shape::Text), (2, "verb", Shape::Text)];

/// The question as JSON has it; `None` if these bytes are none.
pub(super) fn review(bytes: &[u8]) -> Option<Value> {
    let envelope = Message(bytes.strip_prefix(MAGIC)?).fields()?;
    let raw = envelope.into_iter().find(|(number, _)| *number == RAW)?.1;
    object(raw, REVIEW)
}

fn object(bytes: &[u8], shape: &[Field]) -> Option<Value> {
    let mut object = Map::new();
    for (number, content) in Message(bytes).fields()? {
        let Some((_, name, shape)) = shape.iter().find(|(known, ..)| *known == number) else { continue };
        let value = match shape {
            Shape::Text => Value::from(str::from_utf8(content).ok()?),
            Shape::Fields(fields) => self::object(content, fields)?,
        };
        object.insert((*name).to_owned(), value);
    }
    Some(Value::Object(object))
}

/// What is still to be read.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The fields that have a length, with their contents; `None` if the message is damaged.
    fn fields(mut self) -> Option<Vec<(u64, &'a [u8])>> {
        let mut fields = Vec::new();
        while !self.0.is_empty() {
            let tag = self.varint()?;
            match tag & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    fields.push((tag >> 3, self.take(length)?));
                }
                5 => drop(self.take(4)?),
                _ => return None,
            }
        }
        Some(fields)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return None };
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A field with a length.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    #[test]
    fn a_question_is_read_and_damage_is_none() {
        let resource = [field(1, b"shop"), field(2, b"create"), field(5, b"pods"), field(4, b"v1")].concat();
        let spec = field(2, &field(1, &resource));
        let metadata = field(1, &[0x08, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 1, 2, 3, 4]);
        let whole = [MAGIC, &field(1, b"meta"), &field(2, &[metadata, spec].concat())].concat();
        let expected = json!({"namespace": "shop", "verb": "create", "resource": "pods"});
        assert_eq!(review(&whole), Some(json!({"spec": {"resourceAttributes": expected}})));
        let path = field(2, &field(2, &[field(1, b"/metrics"), field(2, b"get")].concat()));
        let path = [MAGIC, &field(2, &path)].concat();
        let expected = json!({"path": "/metrics", "verb": "get"});
        assert_eq!(review(&path), Some(json!({"spec": {"nonResourceAttributes": expected}})));
        for length in 0..whole.len() {
            assert_eq!(review(&whole[..length]), None, "{length}");
        }
        for garbage in [&b"k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"k8s\0\x13\x00", b"{}"] {
            assert_eq!(review(garbage), None, "{garbage:?}");
        }
    }
}
