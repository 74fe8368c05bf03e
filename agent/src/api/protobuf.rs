//! Protobuf, where clients insist on it: kubectl sends its questions about itself that way, and the ConfigMaps, Secrets
//! and Namespaces that it makes of words. Reads just those, by the numbers of their fields (Kubernetes' `generated.proto`), into what JSON
//! has; everything else that is in them is passed over. Nothing is answered in protobuf.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

/// The content type.
pub(super) const MEDIA: &str = "application/vnd.kubernetes.protobuf";
/// What Kubernetes puts before each message.
const MAGIC: &[u8] = b"k8s\0";
/// `runtime.Unknown`: the message itself.
const RAW: u64 = 2;

/// What a field holds.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Flag,
    Fields(&'static [Field]),
    /// By name.
    Texts,
    /// By name; JSON has them in base64.
    Bytes,
}

/// Its number, its name in JSON.
type Field = (u64, &'static str, Shape);

/// The messages that are known, by their kinds.
const KINDS: [(&str, &[Field]); 6] = [
    ("SelfSubjectAccessReview", &[(2, "spec", Shape::Fields(SPEC))]),
    ("SelfSubjectReview", &[]),
    ("SelfSubjectRulesReview", &[(2, "spec", Shape::Fields(&[(1, "namespace", Shape::Text)]))]),
    ("Namespace", &[(1, "metadata", Shape::Fields(METADATA))]),
    (
        "ConfigMap",
        &[
            (1, "metadata", Shape::Fields(METADATA)),
            (2, "data", Shape::Texts),
            (3, "binaryData", Shape::Bytes),
            (4, "immutable", Shape::Flag),
        ],
    ),
    (
        "Secret",
        &[
            (1, "metadata", Shape::Fields(METADATA)),
            (2, "data", Shape::Bytes),
            (3, "type", Shape::Text),
            (4, "stringData", Shape::Texts),
            (5, "immutable", Shape::Flag),
        ],
    ),
];
const METADATA: &[Field] = &[
    (1, "name", Shape::Text),
    (2, "generateName", Shape::Text),
    (3, "namespace", Shape::Text),
    (5, "uid", Shape::Text),
    (6, "resourceVersion", Shape::Text),
    (11, "labels", Shape::Texts),
    (12, "annotations", Shape::Texts),
];
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
/// An entry of a map.
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// An object of that kind as JSON has it; `None` if these bytes are none, or the kind is not known here.
pub(super) fn object(kind: &str, bytes: &[u8]) -> Option<Value> {
    let (_, shape) = KINDS.iter().find(|(known, _)| *known == kind)?;
    let envelope = Message(bytes.strip_prefix(MAGIC)?).fields()?;
    let raw = envelope.into_iter().find(|(number, _)| *number == RAW)?.1;
    message(raw.bytes()?, shape)
}

fn message(bytes: &[u8], shape: &[Field]) -> Option<Value> {
    let mut object = Map::new();
    for (number, content) in Message(bytes).fields()? {
        let Some((_, name, shape)) = shape.iter().find(|(known, ..)| *known == number) else { continue };
        let value = match shape {
            Shape::Flag => Value::from(content.number()? != 0),
            Shape::Text => text(content)?,
            Shape::Fields(fields) => message(content.bytes()?, fields)?,
            Shape::Texts | Shape::Bytes => {
                let mut entries = match object.remove(*name) {
                    Some(Value::Object(entries)) => entries,
                    _ => Map::new(),
                };
                let (key, value) = entry(content.bytes()?, *shape)?;
                entries.insert(key, value);
                Value::Object(entries)
            }
        };
        // What is not set is sent as empty text.
        if value != "" {
            object.insert((*name).to_owned(), value);
        }
    }
    Some(Value::Object(object))
}

fn entry(bytes: &[u8], shape: Shape) -> Option<(String, Value)> {
    let fields = Message(bytes).fields()?;
    let of = |wanted: u64| {
        let found = fields.iter().find(|(number, _)| *number == wanted).map(|(_, content)| *content);
        found.map_or(Some(&[][..]), Content::bytes)
    };
    let key = str::from_utf8(of(KEY)?).ok()?.to_owned();
    let value = match shape {
        Shape::Bytes => Value::from(BASE64_STANDARD.encode(of(VALUE)?)),
        _ => Value::from(str::from_utf8(of(VALUE)?).ok()?),
    };
    Some((key, value))
}

fn text(content: Content<'_>) -> Option<Value> {
    str::from_utf8(content.bytes()?).ok().map(Value::from)
}

/// What stands behind a tag.
#[derive(Clone, Copy)]
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }

    fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Bytes(_) => None,
        }
    }
}

/// What is still to be read.
struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The fields with their contents, but for numbers of a fixed length; `None` if the message is damaged.
    fn fields(mut self) -> Option<Vec<(u64, Content<'a>)>> {
        let mut fields = Vec::new();
        while !self.0.is_empty() {
            let tag = self.varint()?;
            match tag & 7 {
                0 => fields.push((tag >> 3, Content::Number(self.varint()?))),
                1 => drop(self.take(8)?),
                2 => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    fields.push((tag >> 3, Content::Bytes(self.take(length)?)));
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
    fn a_map_of_words_and_one_of_secrets_are_as_json_has_them() {
        let pair = |key: &[u8], value: &[u8]| [field(1, key), field(2, value)].concat();
        let metadata = [field(1, b"s"), field(2, b""), field(11, &pair(b"app", b"web"))].concat();
        let parts =
            [field(1, &metadata), field(2, &pair(b"a", b"b")), field(2, &pair(b"c", b"")), vec![5 << 3, 1]];
        let secret = [MAGIC, &field(2, &[parts.concat(), field(3, b"Opaque")].concat())].concat();
        let expected = json!({
            "metadata": {"name": "s", "labels": {"app": "web"}},
            "data": {"a": "Yg==", "c": ""},
            "type": "Opaque",
            "immutable": true,
        });
        assert_eq!(object("Secret", &secret), Some(expected));
        let map =
            [MAGIC, &field(2, &[field(1, &field(1, b"m")), field(2, &pair(b"a", b"b"))].concat())].concat();
        let expected = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
        assert_eq!(object("ConfigMap", &map), Some(expected));
        assert_eq!(object("Pod", &map), None, "not that way");
    }

    #[test]
    fn a_question_is_read_and_damage_is_none() {
        let resource = [field(1, b"shop"), field(2, b"create"), field(5, b"pods"), field(4, b"v1")].concat();
        let spec = field(2, &field(1, &resource));
        let metadata = field(1, &[0x08, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 1, 2, 3, 4]);
        let whole = [MAGIC, &field(1, b"meta"), &field(2, &[metadata, spec].concat())].concat();
        let expected = json!({"namespace": "shop", "verb": "create", "resource": "pods"});
        assert_eq!(
            object("SelfSubjectAccessReview", &whole),
            Some(json!({"spec": {"resourceAttributes": expected}}))
        );
        let path = field(2, &field(2, &[field(1, b"/metrics"), field(2, b"get")].concat()));
        let path = [MAGIC, &field(2, &path)].concat();
        let expected = json!({"path": "/metrics", "verb": "get"});
        assert_eq!(
            object("SelfSubjectAccessReview", &path),
            Some(json!({"spec": {"nonResourceAttributes": expected}}))
        );
        let rules = [MAGIC, &field(2, &[field(1, b""), field(2, &field(1, b"shop"))].concat())].concat();
        let expected = json!({"spec": {"namespace": "shop"}});
        assert_eq!(object("SelfSubjectRulesReview", &rules), Some(expected));
        assert_eq!(object("SelfSubjectReview", &rules), Some(json!({})));
        for length in 0..whole.len() {
            assert_eq!(object("SelfSubjectAccessReview", &whole[..length]), None, "{length}");
        }
        for garbage in [&b"k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"k8s\0\x13\x00", b"{}"] {
            assert_eq!(object("SelfSubjectAccessReview", garbage), None, "{garbage:?}");
        }
    }
}
