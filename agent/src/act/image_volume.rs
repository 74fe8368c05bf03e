//! Volumes made of an image (KEP-4639): its layers on top of each other, read-only and without execution, once a pod.
//!
//! Which image it is, is decided when the first container of the pod needs it, and stays so until the pod is gone: a name
//! that goes to a newer image changes nothing under a running pod.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    Tools,
    container::Error,
    image::Digest,
    lock, mounts,
    places::{Places, PodPlaces},
    rootfs, stage,
};
use crate::pod::{Container, Spec, VolumeSource};

/// Mounts the images that a container's volumes are made of. Idempotent.
pub(super) fn mount(tools: &Tools, spec: &Spec, container: &Container) -> Result<(), Error> {
    let pod = tools.places.pod(&spec.uid);
    for volume in &spec.volumes {
        let VolumeSource::Image { reference, .. } = &volume.source else { continue };
        if !container.mounts.iter().any(|mount| mount.volume == volume.name) {
            continue;
        }
        // Two containers of a pod may start at once.
        let _turn = lock(&tools.image_mounts);
        let target = pod.volume_in_memory(&volume.name);
        if mounts::is_mounted(&target).map_err(|source| Error::Mounts { source })? {
            continue;
        }
        let image = stage::find_image(tools, reference)?;
        note(&pod, &volume.name, &image.id.to_string())?;
        let layers = tools.images.layers(&image);
        rootfs::mount_read_only(&layers, &pod.empty(), &target).map_err(|source| Error::Rootfs { source })?;
    }
    Ok(())
}

/// Said before it is mounted: an image in use is not removed, whichever agent is asked.
fn note(pod: &PodPlaces, volume: &str, image: &str) -> Result<(), Error> {
    let path = pod.volume_image(volume);
    mounts::make_dir(path.parent().unwrap_or(&path)).map_err(|source| Error::Mounts { source })?;
    fs::write(&path, image).map_err(|source| Error::Child { step: "note the image of a volume", source })
}

/// The images of all volumes of this boot's pods.
pub(crate) fn in_use(places: &Places) -> BTreeSet<Digest> {
    let mut found = BTreeSet::new();
    let [pods, _] = places.pod_dirs();
    for pod in names(&pods) {
        let images = pods.join(pod).join("images");
        let texts = names(&images).into_iter().filter_map(|name| fs::read_to_string(images.join(name)).ok());
        found.extend(texts.filter_map(|text| Digest::parse(&text)));
    }
    found
}

/// What is in a directory; nothing if there is none.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
