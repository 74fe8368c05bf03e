//! What must be looked up on this box or in the image before a container's security is known: who its user is, which
//! profiles confine it, which devices there are. Decides nothing: the pod says what is wanted.

mod devices;
pub(super) mod ownership;
mod profiles;
mod users;

use std::{
    io,
    path::{Path, PathBuf},
};

use super::oci::{Confinement, Filter, Identity};
use crate::pod::{
    Spec,
    security::{Privilege, RootUser, Seccomp, Security},
};
use users::Databases;

/// Why a container cannot be as safe, or as powerful, as it is wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    // The words of the first three are the kubelet's (`pkg/kubelet/kuberuntime/security_context.go`).
    #[error("container's runAsUser breaks non-root policy ({whose})")]
    RunAsRoot { whose: Whose },
    #[error("container has runAsNonRoot and image will run as root ({whose})")]
    ImageOfRoot { whose: Whose },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root ({whose})"
    )]
    ImageOfUnknown { user: String, whose: Whose },
    #[error("unable to find user {user}: no matching entries in passwd file")]
    NoUser { user: String },
    #[error("unable to find group {group}: no matching entries in group file")]
    NoGroup { group: String },
    #[error("cannot read /{file} of the image")]
    Database {
        file: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot load seccomp profile {:?}", path)]
    Profile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot enforce AppArmor: it is not enabled on this box")]
    NoAppArmor,
    #[error("cannot enforce AppArmor profile {profile:?}: the kernel has not loaded it")]
    NotLoaded { profile: String },
    #[error("cannot list the devices of {}", dir.display())]
    Devices {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Kubernetes' waiting reason.
    pub(crate) fn waiting_reason(&self) -> &'static str {
        match self {
            Self::RunAsRoot { .. } | Self::ImageOfRoot { .. } | Self::ImageOfUnknown { .. } => {
                "CreateContainerConfigError"
            }
            _ => "CreateContainerError",
        }
    }
}

/// Pod and container as the kubelet's messages have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pod: String,
    container: String,
}

impl Whose {
    pub(super) fn of(spec: &Spec, container: &str) -> Self {
        let pod = format!("{}_{}({})", spec.name.name, spec.name.namespace, spec.uid);
        Self { pod, container: container.to_owned() }
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod: {:?}, container: {}", self.pod, self.container)
    }
}

/// Who the container's process is. `rootfs` is mounted; nothing outside of it is read.
pub(super) fn identity(
    wanted: &Security,
    image_user: &str,
    rootfs: &Path,
    whose: &Whose,
) -> Result<Identity, Error> {
    non_root(wanted, image_user, whose)?;
    users::resolve(wanted, image_user, &Databases::read(rootfs)?)
}

/// As the kubelet does it: by what the image says, without a look into it.
fn non_root(wanted: &Security, image_user: &str, whose: &Whose) -> Result<(), Error> {
    let whose = || whose.clone();
    let name = image_user.split(':').next().unwrap_or_default();
    match (wanted.root, wanted.user) {
        (RootUser::Allowed, _) => Ok(()),
        (RootUser::Refused, Some(0)) => Err(Error::RunAsRoot { whose: whose() }),
        (RootUser::Refused, Some(_)) => Ok(()),
        (RootUser::Refused, None) if name.is_empty() => Err(Error::ImageOfRoot { whose: whose() }),
        (RootUser::Refused, None) => match name.parse::<u32>() {
            Ok(0) => Err(Error::ImageOfRoot { whose: whose() }),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::ImageOfUnknown { user: name.to_owned(), whose: whose() }),
        },
    }
}

/// What confines the container. `seccomp` is the directory of this box's own profiles.
pub(super) fn confinement(wanted: &Security, seccomp: &Path) -> Result<Confinement, Error> {
    let app_armor = profiles::app_armor(wanted)?;
    match wanted.privilege {
        Privilege::Full => {
            Ok(Confinement { filter: Filter::None, app_armor, devices: devices::all(Path::new("/dev"))? })
        }
        Privilege::Limited { .. } => {
            Ok(Confinement { filter: filter(wanted, seccomp)?, app_armor, devices: Vec::new() })
        }
    }
}

fn filter(wanted: &Security, dir: &Path) -> Result<Filter, Error> {
    match &wanted.seccomp {
        Seccomp::RuntimeDefault => Ok(Filter::RuntimeDefault),
        Seccomp::Unconfined => Ok(Filter::None),
        Seccomp::Localhost(file) => profiles::seccomp(dir, file).map(Filter::Own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_may_not_be_root_is_refused_in_the_kubelets_words() {
        let whose = Whose { pod: "p_default(u)".to_owned(), container: "c".to_owned() };
        let check = |root: RootUser, user: Option<u32>, image: &str, wanted: Option<&str>| {
            let security = Security { root, user, ..Security::default() };
            let found = non_root(&security, image, &whose).map_err(|e| (e.waiting_reason(), e.to_string()));
            let wanted = wanted.map(|text| {
                ("CreateContainerConfigError", format!("{text} (pod: \"p_default(u)\", container: c)"))
            });
            assert_eq!(found.err(), wanted, "{root:?} {user:?} {image:?}");
        };
        let (breaks, root) = (
            "container's runAsUser breaks non-root policy",
            "container has runAsNonRoot and image will run as root",
        );
        let unknown =
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root";
        check(RootUser::Allowed, Some(0), "", None);
        check(RootUser::Allowed, None, "www", None);
        check(RootUser::Refused, Some(0), "5", Some(breaks));
        check(RootUser::Refused, Some(7), "", None);
        check(RootUser::Refused, None, "", Some(root));
        check(RootUser::Refused, None, "0", Some(root));
        check(RootUser::Refused, None, "0:7", Some(root));
        check(RootUser::Refused, None, "7:0", None);
        check(RootUser::Refused, None, "www", Some(unknown));
        check(RootUser::Refused, None, "www:7", Some(unknown));
    }
}
