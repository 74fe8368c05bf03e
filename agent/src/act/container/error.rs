//! Why an attempt did not come to run, and what Kubernetes calls that.

use std::io;

use crate::{
    act::{image, log, mounts, pause, rootfs, security, volume},
    cgroup,
    kernel::{pidfd::ProcessError, probes::ProbeError},
};

/// Why an attempt did not come to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It has to be pulled first.
    #[error("image {image:?} is not present")]
    NotHere { image: String },
    #[error("image {image:?}")]
    Image {
        image: String,
        #[source]
        source: image::Error,
    },
    #[error(transparent)]
    Security(security::Error),
    /// In the kubelet's words: what the container's variables need is not there.
    #[error("{missing}")]
    Missing { missing: String },
    #[error("the root filesystem cannot be set up")]
    Rootfs {
        #[source]
        source: rootfs::Error,
    },
    #[error("the container's directories cannot be set up")]
    Mounts {
        #[source]
        source: mounts::Error,
    },
    #[error("the working directory {dir:?} cannot be made in the root filesystem")]
    WorkingDir {
        dir: String,
        #[source]
        source: io::Error,
    },
    #[error("volumes cannot be mounted")]
    Volume {
        #[source]
        source: volume::Error,
    },
    #[error("the pod's namespace of processes cannot be set up")]
    Pause {
        #[source]
        source: pause::Error,
    },
    #[error("the container's cgroup cannot be set up")]
    Cgroup {
        #[source]
        source: cgroup::Error,
    },
    #[error("the kernel programs cannot be told of the container")]
    Owner {
        #[source]
        source: ProbeError,
    },
    #[error("the container's main process cannot be held")]
    Process {
        #[source]
        source: ProcessError,
    },
    #[error("the container's output cannot be collected")]
    Log {
        #[source]
        source: log::Error,
    },
    #[error("cannot {step}")]
    Child {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("unable to find target container {target:?}: it does not run")]
    Target { target: String },
    #[error("the attempt cannot be recorded: {0}")]
    Unrecorded(String),
    /// The runtime's own words: there was an attempt, and it failed.
    #[error("{0}")]
    Start(String),
}

impl Error {
    /// Kubernetes' waiting reason; `None` if there was an attempt that counts.
    pub(crate) fn waiting_reason(&self) -> Option<&'static str> {
        match self {
            Self::NotHere { .. } => Some("ErrImagePull"),
            Self::Image { source: image::Error::Reference { .. }, .. } => Some("InvalidImageName"),
            Self::Image { .. } => Some("ImageInspectError"),
            Self::Security(fault) => Some(fault.waiting_reason()),
            Self::Missing { .. }
            | Self::Volume { source: volume::Error::Variable { .. } | volume::Error::Expanded { .. } } => {
                Some("CreateContainerConfigError")
            }
            Self::Start(_) => None,
            Self::Rootfs { .. }
            | Self::Mounts { .. }
            | Self::WorkingDir { .. }
            | Self::Volume { .. }
            | Self::Pause { .. }
            | Self::Cgroup { .. }
            | Self::Owner { .. }
            | Self::Process { .. }
            | Self::Log { .. }
            | Self::Target { .. }
            | Self::Child { .. }
            | Self::Unrecorded(_) => Some("CreateContainerError"),
        }
    }
}
