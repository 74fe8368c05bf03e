//! Images that come and go: four archives that share one layer, each with one of its own. Every file of every image
//! that is listed after a cut is compared with what went into its archive.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::known::{Known, Standing};
use crate::{lots::Lots, world::World};

/// Where carob keeps images. Only here is its disk looked into: a file that is empty is seen by nobody who lists images.
const STORE: &str = "/var/lib/carob/images";
/// On the disk from before the first cut.
const ARCHIVES: &str = "/var/lib/carob-tests";
const COUNT: u64 = 4;
const SHARED: &str = "shared";
const FILES: [(&str, u32); 2] = [(SHARED, 120), ("own", 60)];
const FILE_BYTES: u64 = 9000;

/// Makes the archives.
pub(super) fn make(world: &World) -> Result<()> {
    let mut lots = Lots::new(1);
    let [(_, shared), (_, own)] = FILES;
    let base = layer(world, SHARED, shared, &mut lots)?;
    for number in 0..COUNT {
        let name = format!("image-{number}");
        let top = layer(world, &name, own, &mut lots)?;
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/x"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{base}","sha256:{top}"]}}}}"#
        );
        let manifest = format!(
            r#"[{{"Config":"{name}.json","RepoTags":["{name}:1"],"Layers":["{SHARED}.tar","{name}.tar"]}}]"#
        );
        fs::write(at(&format!("{name}.json")), config)?;
        fs::write(at("manifest.json"), manifest)?;
        let parts = [format!("{name}.json"), format!("{SHARED}.tar"), format!("{name}.tar")];
        let archive = format!("{name}.archive");
        let mut words = vec!["-C", ARCHIVES, "-cf", &archive, "manifest.json"];
        words.extend(parts.iter().map(String::as_str));
        let archive = at(&archive).display().to_string();
        words[3] = &archive;
        world.command("tar", &words)?;
    }
    Ok(())
}

fn at(name: &str) -> PathBuf {
    Path::new(ARCHIVES).join(name)
}

/// A layer of files of noise, its digest, and the digest of each of its files.
fn layer(world: &World, name: &str, files: u32, lots: &mut Lots) -> Result<String> {
    let root = at(name);
    for number in 0..files {
        let dir = root.join(format!("d{}", number % 6));
        fs::create_dir_all(&dir)?;
        let length = usize::try_from(1 + lots.below(FILE_BYTES))?;
        let bytes: Vec<u8> = (0..length).map(|_| lots.below(256) as u8).collect();
        fs::write(dir.join(format!("{name}-{number}")), bytes)?;
    }
    let script = "cd \"$1\" && find . -type f | xargs sha256sum > \"$1.sums\" && tar --owner=0 --group=0 -cf \"$1.tar\" * \
                  && sha256sum \"$1.tar\" | cut -d' ' -f1 > \"$1.digest\"";
    world.command("sh", &["-c", script, "sh", &root.display().to_string()])?;
    digest(name)
}

fn digest(name: &str) -> Result<String> {
    let path = at(&format!("{name}.digest"));
    let digest = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(digest.trim().to_owned())
}

/// What a load had left when the power went, as far as it had reached the disk: asked before an agent clears it away.
pub(super) fn found() -> Result<String> {
    let tmp: Vec<PathBuf> =
        fs::read_dir(format!("{STORE}/tmp"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let unpacking = |work: &PathBuf| {
        let parts = fs::read_dir(work).into_iter().flatten().flatten();
        parts.filter(|part| part.path().join("tree").is_dir()).count()
    };
    let trees: usize = tmp.iter().map(unpacking).sum();
    Ok(format!("{} pieces of work, {trees} layers half unpacked", tmp.len()))
}

/// Compares what is listed with the notes, and every file of it with its archive.
pub(super) fn check(world: &World, known: &mut Known) -> Result<()> {
    let list = world.carob_ok(&["image", "ls"])?;
    let mut expected = BTreeSet::new();
    for number in 0..COUNT {
        let name = format!("image-{number}");
        let mut listed = list.contains(&format!("docker.io/library/{name}:1"));
        let standing = known.things(&name).next().map(|(_, standing)| standing.clone());
        match standing.unwrap_or(Standing::Gone) {
            Standing::There => ensure!(listed, "{name} was loaded and is lost:\n{list}"),
            Standing::Gone => ensure!(!listed, "{name} was removed and is back:\n{list}"),
            // It may be there without its name, which is written last: the next load finishes what this one began.
            Standing::Between(work) if work == "load" && !listed => {
                load(world, &name)?;
                listed = true;
                world.note(format!("is:{name}"))?;
            }
            Standing::Between(_) => world.note(format!("{}:{name}", if listed { "is" } else { "no" }))?,
        }
        known.set(&name, if listed { Standing::There } else { Standing::Gone });
        if listed {
            expected.extend([digest(SHARED)?, digest(&name)?]);
            for layer in [SHARED, &name] {
                whole(world, layer)
                    .with_context(|| format!("the layer {layer} of {name}, which is listed"))?;
            }
        }
    }
    let ours = (0..COUNT).map(|number| format!("image-{number}")).chain([SHARED.to_owned()]);
    let ours = ours.map(|name| digest(&name)).collect::<Result<BTreeSet<_>>>()?;
    let kept: BTreeSet<String> = names(&format!("{STORE}/layers"))?.intersection(&ours).cloned().collect();
    ensure!(kept == expected, "the layers {kept:?} are kept, not {expected:?}");
    let left = names(&format!("{STORE}/tmp"))?;
    ensure!(left.is_empty(), "of unfinished work this is left: {left:?}");
    Ok(())
}

fn load(world: &World, name: &str) -> Result<()> {
    let archive = at(&format!("{name}.archive")).display().to_string();
    let said = world.carob_ok(&["image", "load", &archive])?;
    ensure!(said.contains(name), "load said {said:?}");
    Ok(())
}

fn whole(world: &World, layer: &str) -> Result<()> {
    let tree = format!("{STORE}/layers/{}/tree", digest(layer)?);
    let sums = at(&format!("{layer}.sums")).display().to_string();
    let script = "cd \"$1\" && sha256sum --check --quiet --strict \"$2\" && find . -type f | wc -l";
    let count = world.command("sh", &["-c", script, "sh", &tree, &sums])?;
    let wanted = fs::read_to_string(&sums)?.lines().count();
    ensure!(count.trim() == wanted.to_string(), "{} files instead of {wanted}", count.trim());
    Ok(())
}

fn names(dir: &str) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("read {dir}"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Loads what is not there and removes what is, as the lots fall.
pub(super) struct Work<'w> {
    world: &'w World,
    lots: Lots,
    there: BTreeSet<String>,
}

impl<'w> Work<'w> {
    pub(super) fn new(world: &'w World, known: &Known, lots: Lots) -> Self {
        Self { world, lots, there: known.there("image-").into_iter().collect() }
    }

    pub(super) fn step(&mut self) -> Result<()> {
        let name = format!("image-{}", self.lots.below(COUNT));
        if self.there.remove(&name) {
            self.world.note(format!("remove:begun:{name}"))?;
            self.world.carob_ok(&["image", "rm", &format!("{name}:1")])?;
            return self.world.note(format!("no:{name}"));
        }
        self.world.note(format!("load:begun:{name}"))?;
        load(self.world, &name)?;
        self.there.insert(name.clone());
        self.world.note(format!("is:{name}"))
    }
}
