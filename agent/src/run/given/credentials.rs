//! What a pod's `imagePullSecrets` say of registries. One that is missing or unreadable is passed over, as by the kubelet:
//! the image may be anybody's, and if not, the registry says so.

use super::Subject;
use crate::pod::{
    registry::{self, Credential},
    source::{ConfigKind, Need, Reference},
};

/// Docker's configuration files, of now and of before.
const KEYS: [&str; 2] = [".dockerconfigjson", ".dockercfg"];

pub(super) fn of(subject: &Subject<'_>) -> Vec<Credential> {
    let names = subject.spec.pull_secrets.iter();
    let secrets = names.filter_map(|name| {
        let wanted = Reference { kind: ConfigKind::Secret, name: name.clone(), need: Need::Optional };
        subject.shelf.find(&subject.spec.name.namespace, &wanted).ok().flatten()
    });
    let files = secrets.flat_map(|data| KEYS.iter().filter_map(|key| data.get(*key)));
    files.flat_map(|bytes| registry::credentials(bytes).unwrap_or_default()).collect()
}
