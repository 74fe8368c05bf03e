//! What goes wrong while loading.

use std::{io, path::PathBuf};

use aya::{
    EbpfError,
    pin::PinError,
    programs::{ProgramError, links::LinkError},
};
use rustix::io::Errno;
use thiserror::Error;

use super::KERNEL_TYPES;
use crate::kernel::{btf::BtfError, inherit::InheritError, offsets::OffsetError};

/// What went wrong while loading.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("load the kernel programs: this carob was built without them")]
    NoPrograms,
    #[error("read {KERNEL_TYPES}")]
    Types(#[source] io::Error),
    #[error("decode {KERNEL_TYPES}")]
    Btf(#[source] BtfError),
    #[error("decode {KERNEL_TYPES} for the loader")]
    LoaderBtf(#[source] aya::BtfError),
    #[error("fit the kernel programs to this kernel")]
    Offsets(#[source] OffsetError),
    #[error("mount bpffs on {}", path.display())]
    Mount {
        path: PathBuf,
        #[source]
        source: Errno,
    },
    #[error("make directory {}", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("list directory {}", path.display())]
    List {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("remove pins {}", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("rename {} to its final name", path.display())]
    Rename {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("lock {}", path.display())]
    Lock {
        path: PathBuf,
        #[source]
        source: Errno,
    },
    #[error("load the object of the kernel programs")]
    Object(#[source] Box<EbpfError>),
    #[error("find {name} in the object of the kernel programs")]
    Missing { name: &'static str },
    #[error("load or attach kernel program {name}")]
    Program {
        name: &'static str,
        #[source]
        source: Box<ProgramError>,
    },
    #[error("take the link of kernel program {name}")]
    Link {
        name: &'static str,
        #[source]
        source: Box<LinkError>,
    },
    #[error("pin {name} under {}", path.display())]
    Pin {
        name: &'static str,
        path: PathBuf,
        #[source]
        source: Box<PinError>,
    },
    #[error("take over the maps of {}", from.display())]
    Inherit {
        from: PathBuf,
        #[source]
        source: Box<InheritError>,
    },
}
