//! The JSON of image archives: docker's manifest.json, OCI's index and manifest, and the image config both share.
//!
//! Own shapes, not oci-spec's: only what is used is decoded, so an image with an odd history or label still runs.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Digest;

/// One element of docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Vec<String>,
}

/// An OCI `index.json`, an image index, or an image manifest: told apart by what they hold.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Listed {
    Index { manifests: Vec<Descriptor> },
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
}

/// A pointer to a blob.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Descriptor {
    pub(super) digest: Digest,
    pub(super) size: Option<u64>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) platform: Option<Platform>,
}

/// What an image was built for, in Go's words.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
    pub(super) variant: Option<String>,
}

/// An image's config blob.
#[derive(Debug, Deserialize)]
pub(super) struct Blob {
    pub(super) created: Option<String>,
    pub(super) architecture: Option<String>,
    pub(super) config: Option<Defaults>,
    pub(super) rootfs: RootFs,
}

/// The `config` of the config.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Defaults {
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) working_dir: Option<String>,
    pub(super) user: Option<String>,
    pub(super) stop_signal: Option<String>,
}

/// The layers, lowest first, by the digest of their uncompressed tar.
#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    pub(super) diff_ids: Vec<Digest>,
}

impl Platform {
    /// Whether this box runs it. What needs more than the first of a family can do is for others.
    pub(super) fn is_ours(&self) -> bool {
        let variant = self.variant.as_deref().unwrap_or(BASE_VARIANT);
        self.os == "linux" && self.architecture == architecture() && [BASE_VARIANT, ""].contains(&variant)
    }
}

/// The member of this box's family that every other one understands.
const BASE_VARIANT: &str = if cfg!(target_arch = "aarch64") { "v8" } else { "v1" };

/// This box's architecture in Go's words.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_runs_the_first_of_its_family() {
        let rows = [
            ("linux", architecture(), None, true),
            ("linux", architecture(), Some(""), true),
            ("linux", architecture(), Some(BASE_VARIANT), true),
            ("linux", architecture(), Some("v9"), false),
            ("linux", "s390x", None, false),
            ("windows", architecture(), None, false),
        ];
        for (os, architecture, variant, expected) in rows {
            let platform = Platform {
                architecture: architecture.to_owned(),
                os: os.to_owned(),
                variant: variant.map(str::to_owned),
            };
            assert_eq!(platform.is_ours(), expected, "{platform:?}");
        }
    }
}
