//! The files of a projected volume, by the kubelet's rules (`configmap.MakePayload` and its like).

use std::collections::BTreeMap;

use super::{Data, Subject, fields};
use crate::pod::{
    given::{File, Found},
    source::{ConfigKind, Item, Need, Part, Projection, Reference},
};

/// A part's path, its own mode if it has one, its content.
type Files = Vec<(String, Option<u32>, Vec<u8>)>;

pub(super) fn of(subject: &Subject<'_>, projection: &Projection) -> Found<Vec<File>> {
    let mut files = BTreeMap::new();
    for part in &projection.parts {
        for (path, mode, content) in self::part(subject, part)? {
            let mode = mode.unwrap_or(projection.mode);
            files.insert(path.clone(), File { path, mode, content });
        }
    }
    Ok(files.into_values().collect())
}

fn part(subject: &Subject<'_>, part: &Part) -> Found<Files> {
    match part {
        Part::Object { object, items } => match subject.shelf.find(&subject.spec.name.namespace, object)? {
            Some(data) => of_object(object, items, data),
            None => Ok(Files::new()),
        },
        Part::Downward(files) => {
            let file = |file: &crate::pod::source::DownwardFile| {
                let content = fields::value(subject, &file.source, None).into_bytes();
                (file.path.clone(), file.mode, content)
            };
            Ok(files.iter().map(file).collect())
        }
    }
}

fn of_object(object: &Reference, items: &[Item], data: &Data) -> Found<Files> {
    if items.is_empty() {
        return Ok(data.iter().map(|(key, value)| (key.clone(), None, value.clone())).collect());
    }
    let mut files = Files::new();
    for item in items {
        match (data.get(&item.key), object.need) {
            (Some(value), _) => files.push((item.path.clone(), item.mode, value.clone())),
            (None, Need::Optional) => {}
            (None, Need::Required) => {
                let kind = match object.kind {
                    ConfigKind::ConfigMap => "config",
                    ConfigKind::Secret => "secret",
                };
                return Err(format!("references non-existent {kind} key: {}", item.key));
            }
        }
    }
    Ok(files)
}
