//! Which image was used later than which, and which may not go because something needs it.
//!
//! A use is a number that only grows, not a date: the order is right where the clock is not. It is kept in
//! `configs/<hex>.used`, without haste; a power cut may take the last ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Digest, Error, Image, Store,
    disk::{self, Scratch},
    lock,
    names::Names,
};
use crate::pod::Stamp;

const ENDING: &str = ".used";

/// The images that something needs, as of one moment. One that is given to a container later is needed as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InUse {
    ids: BTreeSet<Digest>,
    /// The last use when it was asked what is needed; none if nothing starts meanwhile.
    as_of: Option<u64>,
}

impl InUse {
    pub(crate) fn add(&mut self, ids: impl IntoIterator<Item = Digest>) {
        self.ids.extend(ids);
    }
}

/// What the store knows of uses since it was opened.
#[derive(Debug, Default)]
pub(super) struct Uses {
    last: u64,
    images: BTreeMap<Digest, Use>,
}

/// How an image was used.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    number: u64,
    /// When somebody first looked after that; none if nobody has.
    seen: Option<Stamp>,
    /// Something needed it when somebody last looked.
    held: bool,
}

impl Uses {
    /// What cannot be read was never used.
    pub(super) fn read(configs: &Path) -> Self {
        let names = disk::names(configs).unwrap_or_default();
        let found = names.iter().filter_map(|name| {
            let id = Digest::from_hex(name.strip_suffix(ENDING)?)?;
            let number = fs::read_to_string(configs.join(name)).ok()?.trim().parse().ok()?;
            Some((id, Use { number, seen: Some(Stamp::default()), held: false }))
        });
        let images: BTreeMap<_, _> = found.collect();
        Self { last: images.values().map(|used| used.number).max().unwrap_or(0), images }
    }

    fn of(&self, id: Digest) -> Use {
        self.images.get(&id).copied().unwrap_or_default()
    }

    /// What is needed is held from here on. Those that were and are no longer.
    fn hold(&mut self, in_use: &InUse) -> Vec<Digest> {
        for id in &in_use.ids {
            self.images.entry(*id).or_default();
        }
        let mut released = Vec::new();
        for (id, used) in &mut self.images {
            let held = in_use.ids.contains(id);
            if used.held && !held {
                released.push(*id);
            }
            used.held = held;
        }
        released
    }

    fn needs(&self, in_use: &InUse, id: Digest) -> bool {
        in_use.ids.contains(&id) || in_use.as_of.is_some_and(|as_of| self.of(id).number > as_of)
    }
}

/// The files of images that are gone.
pub(super) fn of_others(configs: &Path, ids: &BTreeSet<Digest>) -> Result<Vec<PathBuf>, Error> {
    let whose = |name: &str| Digest::from_hex(name.strip_suffix(ENDING)?);
    let names = disk::names(configs)?.into_iter();
    let others = names.filter(|name| whose(name).is_some_and(|id| !ids.contains(&id)));
    Ok(others.map(|name| configs.join(name)).collect())
}

impl Store {
    /// What is needed now, for a removal later: `ids`, and whatever is given to a container meanwhile.
    pub(crate) fn in_use(&self, ids: BTreeSet<Digest>) -> InUse {
        InUse { ids, as_of: Some(lock(&self.uses).last) }
    }

    /// For a container: makes sure that the image is whole, and that it stays.
    pub(crate) fn take_up(&self, image: &Image) -> Result<(), Error> {
        self.used(image.id)?;
        self.ensure_whole(image)
    }

    /// A container is about to be made of the image, or it has just come. From here on no removal that was decided before
    /// takes it.
    pub(super) fn used(&self, id: Digest) -> Result<(), Error> {
        let mut uses = lock(&self.uses);
        if !self.config_path(id).exists() {
            return Err(Error::NotFound { text: id.to_string() });
        }
        uses.last += 1;
        let number = uses.last;
        uses.images.insert(id, Use { number, seen: None, held: false });
        if let Err(error) = fs::write(self.used_path(id), number.to_string()) {
            tracing::warn!(image = %id, %error, "when it was used is not written down");
        }
        Ok(())
    }

    /// Takes an image and its names out of sight, unless something needs it.
    pub(super) fn hide(&self, id: Digest, in_use: &InUse) -> Result<(), Error> {
        let mut uses = lock(&self.uses);
        if uses.needs(in_use, id) {
            return Err(Error::InUse { image: id });
        }
        let scratch = Scratch::new(&self.tmp())?;
        scratch.swallow(&self.config_path(id))?;
        scratch.swallow(&self.used_path(id))?;
        uses.images.remove(&id);
        disk::sync_directory(&self.root.join("configs"))?;
        // A power cut before this is written leaves names of an image that is gone: the next start sweeps them up.
        let mut names = Names::read(&self.names_path())?;
        names.drop_image(id);
        names.write(&self.names_path(), &scratch)
    }

    /// The images that texts name, of those that are here.
    pub(crate) fn named(&self, texts: &BTreeSet<String>) -> BTreeSet<Digest> {
        let names = Names::read(&self.names_path()).unwrap_or_default();
        let ids = texts.iter().filter_map(|text| self.resolve(text, &names).ok().flatten());
        ids.map(|found| found.id()).collect()
    }

    /// The images that may go, the one that has not been used for the longest time first.
    pub(super) fn unused(&self, in_use: &InUse) -> Result<Vec<Digest>, Error> {
        let ids = self.ids()?;
        let uses = lock(&self.uses);
        let mut unused: Vec<_> = ids.into_iter().filter(|id| !uses.needs(in_use, *id)).collect();
        unused.sort_by_key(|id| uses.of(*id).number);
        Ok(unused)
    }

    /// Somebody looks: what nothing needs any more counts as used until now.
    pub(super) fn notice(&self, in_use: &InUse, now: Stamp) {
        let released = lock(&self.uses).hold(in_use);
        for id in released {
            // One that went meanwhile was not used.
            drop(self.used(id));
        }
        for used in lock(&self.uses).images.values_mut() {
            used.seen.get_or_insert(now);
        }
    }

    /// When somebody first looked after it was last used.
    pub(super) fn seen(&self, id: Digest) -> Option<Stamp> {
        lock(&self.uses).of(id).seen
    }

    /// When it was last used, by the clock of that time; none if it never was.
    pub(crate) fn last_used(&self, id: Digest) -> Option<SystemTime> {
        fs::metadata(self.used_path(id)).and_then(|about| about.modified()).ok()
    }

    fn used_path(&self, id: Digest) -> PathBuf {
        self.root.join("configs").join(format!("{}{ENDING}", id.hex()))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Gone, Room, Which,
            fixture::{Built, Tar, Temporary, docker},
            room::Amount,
        },
        *,
    };

    const MIB: usize = 1 << 20;

    /// Three images, used in the order a, b, c: a and b share a layer of 1 MiB, and each has one of 2 MiB of its own.
    fn stocked(root: &Path) -> (Store, [Digest; 3]) {
        let store = Store::open(root).unwrap();
        let base = Tar::new().file("base", vec![0; MIB]).done();
        let own = ["a", "b", "c"].map(|name| Tar::new().file(name, vec![1; 2 * MIB]).done());
        let [a, b, c] = &own;
        let stacks: [(&str, &[&[u8]]); 3] = [("a", &[&base, a]), ("b", &[&base, b]), ("c", &[c])];
        let ids = stacks.map(|(name, layers)| {
            let archive = docker(&[Built { tags: &[name], layers }], <[u8]>::to_vec);
            store.load(&archive[..]).unwrap()[0].id
        });
        (store, ids)
    }

    fn needs(ids: impl IntoIterator<Item = Digest>) -> InUse {
        let mut in_use = InUse::default();
        in_use.add(ids);
        in_use
    }

    #[test]
    fn the_order_of_uses_outlives_the_store() {
        let temporary = Temporary::new();
        let (store, [a, b, c]) = stocked(temporary.path());
        assert_eq!(store.unused(&InUse::default()).unwrap(), [a, b, c]);
        store.take_up(&store.find("a").unwrap().unwrap()).unwrap();
        assert_eq!(store.unused(&InUse::default()).unwrap(), [b, c, a]);
        // As a carob left it that counted no uses: it goes first.
        fs::remove_file(store.used_path(c)).unwrap();
        let store = Store::open(temporary.path()).unwrap();
        assert_eq!(store.unused(&needs([b])).unwrap(), [c, a]);
        assert!(store.last_used(a).is_some() && store.last_used(c).is_none());
        store.take_up(&store.find("c").unwrap().unwrap()).unwrap();
        assert_eq!(store.unused(&InUse::default()).unwrap(), [b, a, c]);
    }

    #[test]
    fn what_is_taken_up_after_the_question_stays() {
        let temporary = Temporary::new();
        let (store, [a, b, c]) = stocked(temporary.path());
        let in_use = store.in_use(BTreeSet::from([b]));
        store.take_up(&store.find("c").unwrap().unwrap()).unwrap();
        assert_eq!(store.unused(&in_use).unwrap(), [a]);
        assert!(matches!(store.hide(c, &in_use), Err(Error::InUse { .. })));
        let gone = store.prune(Which::All, &in_use).unwrap();
        assert_eq!(gone.iter().map(|gone| gone.id).collect::<Vec<_>>(), [a]);
        // What is gone cannot be taken up.
        assert!(matches!(store.used(a), Err(Error::NotFound { .. })));
    }

    #[test]
    fn pruning_takes_what_nobody_needs_and_says_how_much() {
        let temporary = Temporary::new();
        let (store, [a, b, c]) = stocked(temporary.path());
        let mib = |count, mib: usize| Amount { count, bytes: (mib * MIB) as u64 };
        let expected = Room {
            images: mib(3, 7),
            reclaimable: mib(1, 2),
            layers: mib(4, 7),
            shared: mib(1, 1),
            leftovers: mib(0, 0),
        };
        assert_eq!(store.room(&needs([b, c])).unwrap(), expected);
        assert_eq!(store.room(&needs([c])).unwrap().reclaimable, mib(2, 5));
        fs::write(temporary.path().join("partial/blob"), "12345").unwrap();
        fs::create_dir(temporary.path().join("tmp/work")).unwrap();
        fs::write(temporary.path().join("tmp/work/file"), "123").unwrap();
        assert_eq!(store.room(&InUse::default()).unwrap().leftovers, Amount { count: 2, bytes: 8 });
        assert_eq!(store.prune(Which::Nameless, &InUse::default()).unwrap(), []);
        // Its name goes to another image.
        let other = Tar::new().file("other", "").done();
        store.load(&docker(&[Built { tags: &["a"], layers: &[&other] }], <[u8]>::to_vec)[..]).unwrap();
        let gone = store.prune(Which::Nameless, &needs([c])).unwrap();
        assert_eq!(gone, [Gone { id: a, names: Vec::new(), bytes: mib(0, 2).bytes }]);
        let gone = store.prune(Which::All, &needs([c])).unwrap();
        assert_eq!(gone.iter().map(|gone| gone.bytes).sum::<u64>(), mib(0, 3).bytes);
        assert_eq!(store.list().unwrap().iter().map(|image| image.id).collect::<Vec<_>>(), [c]);
        assert_eq!(store.named(&["c", "a", "no name at all"].map(str::to_owned).into()), BTreeSet::from([c]));
        assert_eq!(disk::names(&temporary.path().join("layers")).unwrap().len(), 1);
        assert_eq!(disk::names(&temporary.path().join("configs")).unwrap().len(), 2);
    }
}
