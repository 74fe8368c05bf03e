//! A container's own variables, by the kubelet's rules (`makeEnvironmentVariables`): `envFrom` in its order, then `env` in
//! its order. What stands in files is read later.

use super::{Subject, fields, title};
use crate::pod::{
    given::{Found, Setting},
    source::{Need, Reference, ValueSource, Variable},
};

pub(super) fn of(subject: &Subject<'_>, container: usize) -> Found<Vec<Setting>> {
    let container = &subject.spec.containers[container];
    let mut settings = Vec::new();
    for variable in &container.env {
        match variable {
            Variable::Written { name, value } => {
                settings.push(Setting::Written { name: name.clone(), value: value.clone() });
            }
            Variable::From { name, source } => {
                let known = |value| Setting::Known { name: name.clone(), value };
                settings.extend(match source {
                    ValueSource::Pod(source) => Some(known(fields::value(subject, source, Some(container)))),
                    ValueSource::Key { object, key } => self::key(subject, object, key)?.map(known),
                    ValueSource::File(key) => Some(Setting::File { name: name.clone(), key: key.clone() }),
                });
            }
            Variable::All { prefix, object } => {
                let data = subject.shelf.find(&subject.spec.name.namespace, object)?;
                for (key, value) in data.into_iter().flatten() {
                    // A configMap's binaryData is no text and no variable.
                    if let Ok(value) = std::str::from_utf8(value) {
                        let name = format!("{prefix}{key}");
                        settings.push(Setting::Known { name, value: value.to_owned() });
                    }
                }
            }
        }
    }
    Ok(settings)
}

fn key(subject: &Subject<'_>, object: &Reference, key: &str) -> Found<Option<String>> {
    let namespace = &subject.spec.name.namespace;
    let Some(data) = subject.shelf.find(namespace, object)? else { return Ok(None) };
    match (data.get(key), object.need) {
        (Some(value), _) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        (None, Need::Optional) => Ok(None),
        (None, Need::Required) => {
            Err(format!("couldn't find key {key} in {} {namespace}/{}", title(object.kind), object.name))
        }
    }
}
