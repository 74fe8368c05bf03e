//! What was found for a pod's sources at one moment: plain data for an effect, which looks up nothing itself.

use std::{collections::BTreeMap, fmt};

use super::{expand::expand, registry::Credential, source::FileKey};

/// What a step needs beside the spec.
#[derive(Clone)]
pub(crate) struct Given {
    /// The container's own variables in the order they are set; or what is missing. Empty for a step that starts nothing.
    pub(crate) env: Found<Vec<Setting>>,
    /// The files of each projected volume; or what is missing.
    pub(crate) volumes: BTreeMap<String, Found<Vec<File>>>,
    /// What the pod's secrets say of registries.
    pub(crate) credentials: Vec<Credential>,
    /// Nanoseconds since 1970: names the directory that new files are written to.
    pub(crate) at: i64,
}

impl Default for Given {
    fn default() -> Self {
        Self { env: Ok(Vec::new()), volumes: BTreeMap::new(), credentials: Vec::new(), at: 0 }
    }
}

/// What was looked up, or the kubelet's words for what is not there.
pub(crate) type Found<T> = Result<T, String>;

/// One variable of a container.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Setting {
    /// `$(NAME)` in it stands for an earlier one.
    Written { name: String, value: String },
    /// Taken as it is.
    Known { name: String, value: String },
    /// In a file of the pod's, which is read when the container starts.
    File { name: String, key: FileKey },
}

impl Setting {
    fn name(&self) -> &str {
        let (Self::Written { name, .. } | Self::Known { name, .. } | Self::File { name, .. }) = self;
        name
    }
}

/// The variables that come of the settings, each taking the place of an earlier one of the same name.
pub(crate) fn environment(
    settings: &[Setting],
    mut read: impl FnMut(&FileKey) -> Found<Option<String>>,
) -> Found<BTreeMap<String, String>> {
    let mut known = BTreeMap::new();
    for setting in settings {
        let value = match setting {
            Setting::Written { value, .. } => Some(expand(value, &known)),
            Setting::Known { value, .. } => Some(value.clone()),
            Setting::File { key, .. } => read(key)?,
        };
        if let Some(value) = value {
            known.insert(setting.name().to_owned(), value);
        }
    }
    Ok(known)
}

/// One file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Relative to the volume, without `..`.
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
}

/// Values may be secret: only what they are called is shown.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env = self.env.as_ref().map(|env| env.iter().map(Setting::name).collect::<Vec<_>>());
        f.debug_struct("Given").field("env", &env).field("volumes", &self.volumes).finish_non_exhaustive()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:o}, {} bytes)", self.path, self.mode, self.content.len())
    }
}
