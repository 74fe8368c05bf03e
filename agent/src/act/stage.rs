//! What a container is built from: its image, its user, its binds, its working directory. Builds nothing itself.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    Tools,
    container::{Error, Order},
    etc, image,
    oci::{self, Bind, ImageDefaults},
    security::{self, Whose},
    volume,
};
use crate::pod::{Access, Propagation, surroundings};

/// What is damaged is not here either, nor what was removed a moment ago.
pub(super) fn find_image(tools: &Tools, image: &str) -> Result<image::Image, Error> {
    let image = image.to_owned();
    let found = tools.images.find(&image).and_then(|found| match found {
        Some(found) => tools.images.take_up(&found).map(|()| Some(found)),
        None => Ok(None),
    });
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) | Err(image::Error::Damaged { .. } | image::Error::NotFound { .. }) => {
            Err(Error::NotHere { image })
        }
        Err(source) => Err(Error::Image { image, source }),
    }
}

pub(super) fn defaults(image: &image::Image) -> ImageDefaults {
    let config = image.config.clone();
    ImageDefaults {
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        env: config.env,
        working_dir: config.working_dir,
        user: config.user.unwrap_or_default(),
        stop_signal: config.stop_signal.unwrap_or_default(),
    }
}

/// Who the container's process is to be. The image's user database is read in the container's own root filesystem.
pub(super) fn identity(
    order: &Order,
    image: &ImageDefaults,
    rootfs: &std::path::Path,
) -> Result<oci::Identity, Error> {
    let wanted = order.wanted();
    let whose = Whose::of(&order.spec, &wanted.name);
    security::identity(&wanted.security, &image.user, rootfs, &whose).map_err(Error::Security)
}

/// Volumes, and what every container of a pod gets.
pub(super) fn binds(
    tools: &Tools,
    order: &Order,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Bind>, Error> {
    let spec = &order.spec;
    let pod = tools.places.pod(&spec.uid);
    let own = |source: PathBuf, target: &str| Bind {
        source,
        target: target.to_owned(),
        access: Access::ReadWrite,
        propagation: Propagation::None,
    };
    let mut binds = volume::binds(&tools.places, &pod, &spec.name, &spec.volumes, order.wanted(), env)
        .map_err(|source| Error::Volume { source })?;
    let shm = match spec.surroundings.ipc {
        surroundings::Whose::Pods => pod.shm(),
        surroundings::Whose::Box => PathBuf::from("/dev/shm"),
    };
    let files = etc::FILES.map(|name| own(pod.etc(name), &format!("/etc/{name}")));
    let common = [own(shm, "/dev/shm")].into_iter().chain(files);
    binds.extend(common.filter(|bind| !order.wanted().mounts.iter().any(|mount| mount.path == bind.target)));
    Ok(binds)
}

/// The runtime refuses a working directory that is not there; Kubernetes makes it.
pub(super) fn make_working_dir(rootfs: &std::path::Path, dir: &str) -> Result<(), rustix::io::Errno> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let root = rustix::fs::open(rootfs, flags, Mode::empty())?;
    let mut at = rustix::io::dup(&root)?;
    let mut path = String::new();
    for part in dir.split('/').filter(|part| !part.is_empty()) {
        path = format!("{path}/{part}");
        at = match openat2(&root, path.as_str(), flags, Mode::empty(), within) {
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
                openat2(&root, path.as_str(), flags, Mode::empty(), within)?
            }
            other => other?,
        };
    }
    Ok(())
}
