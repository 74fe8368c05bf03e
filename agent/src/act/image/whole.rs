//! Whether layers are what they were when they were unpacked: by number and size before they are used, and by their
//! digest when somebody asks.
//!
//! A layer that is not is marked, and from then on no image with it is given out; loading the image again replaces it.
//! Modes, owners, links and attributes are not looked at: the digest is that of what the tree's files and the recipe make
//! together.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use super::{
    Damage, Digest, Error, Flaw, Image, Store,
    digest::Hashing,
    disk::{self, Scratch},
    lock,
    names::Names,
    recipe::Rebuilt,
};
use crate::act::chain;

/// What was found of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) id: Digest,
    pub(crate) names: Vec<String>,
    /// What is wrong with it; nothing if it is whole.
    pub(crate) damage: Vec<String>,
    /// Layers of which only number and size of the files are known to be right.
    pub(crate) counted: Vec<Digest>,
}

/// How well a layer is known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Digest,
    /// There is no recipe.
    Count,
}

/// Layers that were looked at, each once.
type Looked = BTreeMap<Digest, Result<Proof, String>>;

impl Store {
    /// Whether every layer that is mounted still holds what it held, by number and size of its files. Each is counted once
    /// after it was unpacked, and again in the life of each store: a power cut, which loses them, ends that.
    pub(crate) fn ensure_whole(&self, image: &Image) -> Result<(), Error> {
        for layer in image.stack.iter().copied() {
            if lock(&self.counted).contains(&layer) {
                continue;
            }
            self.settled(layer, Self::count).map_err(|flaw| Error::damaged(image.id, layer, flaw))?;
            lock(&self.counted).insert(layer);
        }
        Ok(())
    }

    /// By its digest, or where there is no recipe by number and size.
    pub(super) fn ensure_digest(&self, layer: Digest) -> Result<(), Flaw> {
        self.settled(layer, Self::examine).map(drop)
    }

    /// Packs every layer of an image, or of all images, again, and compares with its digest.
    pub(crate) fn verify(&self, text: Option<&str>) -> Result<Vec<Verified>, Error> {
        let names = Names::read(&self.names_path())?;
        let ids = match text {
            None => self.ids()?,
            Some(text) => {
                let found = self.resolve(text, &names)?;
                BTreeSet::from([found.ok_or_else(|| Error::NotFound { text: text.to_owned() })?.id()])
            }
        };
        let mut looked = Looked::new();
        let verified = ids.into_iter().map(|id| self.verify_one(id, names.of(id), &mut looked));
        // What was removed meanwhile is no damage.
        Ok(verified.filter(|verified| self.config_path(verified.id).exists()).collect())
    }

    fn verify_one(&self, id: Digest, names: Vec<String>, looked: &mut Looked) -> Verified {
        let mut verified = Verified { id, names, damage: Vec::new(), counted: Vec::new() };
        let layers = match self.blob(id) {
            Ok(blob) => blob.map(|blob| blob.rootfs.diff_ids).unwrap_or_default(),
            Err(Error::Damaged { source, .. }) => {
                verified.damage.push(source.to_string());
                Vec::new()
            }
            Err(error) => {
                verified.damage.push(chain(&error));
                Vec::new()
            }
        };
        for layer in layers.into_iter().collect::<BTreeSet<_>>() {
            let proof = looked.entry(layer).or_insert_with(|| {
                self.settled(layer, Self::examine).map_err(|flaw| chain(&Damage::Layer { layer, flaw }))
            });
            match proof {
                Ok(Proof::Digest) => {}
                Ok(Proof::Count) => verified.counted.push(layer),
                Err(text) => verified.damage.push(text.clone()),
            }
        }
        verified
    }

    /// A flaw that was seen beside a load or a removal may be none: it is looked for again when nothing changes, and then
    /// written down.
    fn settled<T>(&self, layer: Digest, look: fn(&Self, Digest) -> Result<T, Flaw>) -> Result<T, Flaw> {
        if let Ok(whole) = look(self, layer) {
            return Ok(whole);
        }
        let _turn = self.turn();
        look(self, layer).inspect_err(|flaw| self.mark(layer, flaw))
    }

    fn mark(&self, layer: Digest, flaw: &Flaw) {
        let path = self.layer_path(layer);
        if !path.exists() || matches!(flaw, Flaw::Marked { .. }) {
            return;
        }
        tracing::error!(%layer, flaw = %chain(flaw), "a layer is damaged: no container is started from it");
        let marked = Scratch::new(&self.tmp())
            .and_then(|scratch| disk::replace(&path.join("damaged"), chain(flaw).as_bytes(), &scratch));
        if let Err(error) = marked {
            tracing::error!(%layer, error = %chain(&error), "the damage cannot be written down");
        }
    }

    /// By number and size. Only a layer that fails is read, to say which file it is.
    fn count(&self, layer: Digest) -> Result<Proof, Flaw> {
        let facts = self.facts(layer)?;
        let counted = disk::census(&self.layer_path(layer).join("tree"));
        let actual = counted.map_err(|source| Flaw::Uncounted { source: Box::new(source) })?;
        if actual == facts.census {
            return Ok(Proof::Count);
        }
        let read = facts.tar.map_or(Ok(0), |_| self.pack(layer, &mut io::sink()));
        Err(read.err().map(Flaw::of).unwrap_or(Flaw::Count { expected: facts.census, actual }))
    }

    /// By digest, where there is a recipe, and by number: a file too many is in no recipe.
    fn examine(&self, layer: Digest) -> Result<Proof, Flaw> {
        let by_count = self.count(layer)?;
        if self.facts(layer)?.tar.is_none() {
            return Ok(by_count);
        }
        let mut hash = Hashing::new(io::sink());
        self.pack(layer, &mut hash).map_err(Flaw::of)?;
        match hash.digest() {
            same if same == layer => Ok(Proof::Digest),
            actual => Err(Flaw::Digest { actual }),
        }
    }

    /// Whether a load need not unpack the layer.
    pub(super) fn is_kept(&self, layer: Digest) -> bool {
        self.count(layer).is_ok() && self.facts(layer).is_ok_and(|facts| facts.tar.is_some())
    }

    /// Writes the layer's tar. Gives back its size. A flaw is inside the error, where it is not `to` that failed.
    pub(super) fn pack(&self, layer: Digest, to: &mut impl io::Write) -> io::Result<u64> {
        let path = self.layer_path(layer);
        let mut tar = Rebuilt::open(&path.join("recipe"), &path.join("tree"))?;
        io::copy(&mut tar, to)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{
        super::fixture::{Built, Tar, Temporary, docker},
        *,
    };

    fn layers() -> [Vec<u8>; 2] {
        let low = Tar::new().file("etc/os", "carob").dir("bin").file("bin/sh", "#!").done();
        [low, Tar::new().file("srv/data", "1234").hard_link("srv/again", "srv/data").done()]
    }

    /// The store of one image `x`, its archive, and where its upper layer lies.
    fn stocked(root: &Path) -> (Store, Vec<u8>, std::path::PathBuf) {
        let [low, high] = layers();
        let archive = docker(&[Built { tags: &["x"], layers: &[&low, &high] }], <[u8]>::to_vec);
        let store = Store::open(root).unwrap();
        store.load(&archive[..]).unwrap();
        let layer = store.layer_path(Digest::of(&high));
        (store, archive, layer)
    }

    #[test]
    fn a_damaged_layer_is_named_not_used_and_replaced() {
        type Spoil = fn(&Path);
        let rows: [(Spoil, &str, bool); 6] = [
            (
                |layer| fs::write(layer.join("tree/srv/data"), "").unwrap(),
                "\"srv/data\" has 0 bytes, not 4",
                true,
            ),
            (|layer| fs::remove_file(layer.join("tree/srv/data")).unwrap(), "cannot read \"srv/data\"", true),
            (
                |layer| fs::write(layer.join("tree/more"), "").unwrap(),
                "it holds 4 files and directories",
                true,
            ),
            (|layer| fs::write(layer.join("facts.json"), "").unwrap(), "it is not known what it held", true),
            (
                |layer| fs::write(layer.join("tree/srv/data"), "12E4").unwrap(),
                "the content of \"srv/data\"",
                false,
            ),
            (|layer| fs::write(layer.join("recipe"), "").unwrap(), "its recipe cannot be read", false),
        ];
        for (spoil, expected, seen_by_count) in rows {
            let temporary = Temporary::new();
            let (store, archive, layer) = stocked(temporary.path());
            spoil(&layer);
            let before_use = || store.ensure_whole(&store.find("x")?.unwrap());
            let counted = if seen_by_count { before_use() } else { Ok(()) };
            if let Err(error) = &counted {
                assert!(chain(error).contains(expected), "{}", chain(error));
            }
            assert_eq!(counted.is_err(), seen_by_count, "{expected}");
            let verified = store.verify(Some("x")).unwrap();
            let [Verified { damage, .. }] = &verified[..] else { panic!("{verified:?}") };
            assert!(damage.len() == 1 && damage[0].contains(expected), "{damage:?} without {expected:?}");
            let Err(Error::Damaged { source, .. }) = before_use() else {
                panic!("{expected}: it is still given out");
            };
            assert!(
                matches!(*source, Damage::Layer { layer: named, .. } if layer == store.layer_path(named))
            );
            store.load(&archive[..]).unwrap();
            before_use().unwrap();
            assert_eq!(store.verify(None).unwrap()[0].damage, [""; 0], "{expected}");
        }
    }

    #[test]
    fn a_layer_without_a_recipe_is_counted_until_it_is_loaded_again() {
        let temporary = Temporary::new();
        let (store, archive, layer) = stocked(temporary.path());
        assert_eq!(store.verify(None).unwrap()[0].counted, []);
        // As a carob left it that knew no recipes.
        fs::remove_file(layer.join("recipe")).unwrap();
        let facts = fs::read_to_string(layer.join("facts.json")).unwrap();
        let older = facts.split(",\"tar\"").next().unwrap().to_owned() + "}";
        fs::write(layer.join("facts.json"), older).unwrap();
        store.ensure_whole(&store.find("x").unwrap().unwrap()).unwrap();
        let verified = store.verify(None).unwrap();
        assert_eq!(verified[0].counted, [Digest::of(&layers()[1])]);
        assert_eq!(verified[0].damage, [""; 0]);
        store.load(&archive[..]).unwrap();
        assert_eq!(store.verify(None).unwrap()[0].counted, []);
    }

    #[test]
    fn a_config_that_is_another_is_damage() {
        let temporary = Temporary::new();
        let (store, ..) = stocked(temporary.path());
        let id = store.find("x").unwrap().unwrap().id;
        fs::write(store.config_path(id), "{}").unwrap();
        assert_eq!(store.verify(None).unwrap()[0].damage, ["its config is not what its id says"]);
        assert!(matches!(store.verify(Some("y")), Err(Error::NotFound { .. })));
    }
}
