//! Version 2 of the description, in the one form that kubectl before 1.29 reads: `openapi.v2.Document` of gnostic in
//! protobuf. Written by hand: it needs strings and messages, and no field but these.

use super::{PARAMETERS, paths};
use crate::api::resource::Listed;

/// The numbers of the fields, by message.
mod field {
    pub(super) const SWAGGER: u8 = 1;
    pub(super) const INFO: u8 = 2;
    pub(super) const PATHS: u8 = 8;
    pub(super) const DEFINITIONS: u8 = 9;
    pub(super) const TITLE: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    /// Of `NamedAny`, `NamedPathItem`, `NamedSchema`.
    pub(super) const NAME: u8 = 1;
    pub(super) const VALUE: u8 = 2;
    /// Of `Paths`.
    pub(super) const PATH: u8 = 2;
    /// Of `PathItem`.
    pub(super) const PATCH: u8 = 8;
    /// Of `Operation`.
    pub(super) const PARAMETERS: u8 = 8;
    pub(super) const OPERATION_EXTENSION: u8 = 13;
    /// From `ParametersItem` down to `QueryParameterSubSchema`.
    pub(super) const PARAMETER: u8 = 1;
    pub(super) const NON_BODY: u8 = 2;
    pub(super) const QUERY: u8 = 3;
    pub(super) const IN: u8 = 2;
    pub(super) const PARAMETER_NAME: u8 = 4;
    pub(super) const PARAMETER_TYPE: u8 = 6;
    /// Of `Definitions`.
    pub(super) const DEFINITION: u8 = 1;
    /// Of `Schema`.
    pub(super) const TYPE: u8 = 22;
    pub(super) const TYPE_VALUE: u8 = 1;
    pub(super) const SCHEMA_EXTENSION: u8 = 31;
    /// Of `Any`.
    pub(super) const YAML: u8 = 2;
}

pub(super) fn document(kinds: impl Iterator<Item = Listed>) -> Vec<u8> {
    let (mut described, mut definitions) = (Vec::new(), Vec::new());
    for kind in kinds {
        let [_, one] = paths(&kind);
        let item = message(field::PATCH, &operation(&kind));
        described
            .extend(message(field::PATH, &[text(field::NAME, &one), message(field::VALUE, &item)].concat()));
        let schema = [
            message(field::TYPE, &text(field::TYPE_VALUE, "object")),
            message(field::SCHEMA_EXTENSION, &extension(&kind)),
        ];
        let name = format!("io.k8s.api.{}.{}", kind.version.replace('/', "."), kind.kind);
        let named = [text(field::NAME, &name), message(field::VALUE, &schema.concat())];
        definitions.extend(message(field::DEFINITION, &named.concat()));
    }
    let info = [text(field::TITLE, "carob"), text(field::VERSION, env!("CARGO_PKG_VERSION"))];
    [
        text(field::SWAGGER, "2.0"),
        message(field::INFO, &info.concat()),
        message(field::PATHS, &described),
        message(field::DEFINITIONS, &definitions),
    ]
    .concat()
}

fn operation(kind: &Listed) -> Vec<u8> {
    let parameter = |name: &&str| {
        let parameter = [
            text(field::IN, "query"),
            text(field::PARAMETER_NAME, name),
            text(field::PARAMETER_TYPE, "string"),
        ];
        let wrapped = message(field::NON_BODY, &message(field::QUERY, &parameter.concat()));
        message(field::PARAMETERS, &message(field::PARAMETER, &wrapped))
    };
    let parameters: Vec<u8> = PARAMETERS.iter().flat_map(parameter).collect();
    [parameters, message(field::OPERATION_EXTENSION, &extension(kind))].concat()
}

fn extension(kind: &Listed) -> Vec<u8> {
    let (group, version) = kind.group_version();
    let yaml = format!("group: \"{group}\"\nkind: {}\nversion: {version}\n", kind.kind);
    let any = text(field::YAML, &yaml);
    [text(field::NAME, "x-kubernetes-group-version-kind"), message(field::VALUE, &any)].concat()
}

fn text(field: u8, text: &str) -> Vec<u8> {
    message(field, text.as_bytes())
}

/// A field of wire type 2: its number, its length, its bytes.
fn message(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    varint(&mut message, usize::from(field) << 3 | 2);
    varint(&mut message, bytes.len());
    message.extend(bytes);
    message
}

fn varint(message: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        message.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}
