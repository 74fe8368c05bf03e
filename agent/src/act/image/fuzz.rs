//! Layers that nobody would write in good faith: nothing outside the tree is touched, no more is made than the budget
//! allows, and what was unpacked can be packed again. `cargo xtask fuzz` lets it run for a minute.

use std::{fs, io::Read, os::unix::fs::MetadataExt, path::Path};

use tar::EntryType;

use super::{
    budget::Budget,
    fixture::{Tar, Temporary},
    recipe::{Rebuilt, Recorder},
    unpack::unpack,
};

/// What an entry is, its name and what it links to, each as a few words, and how much is in it.
type Piece = (u8, [u8; 3], [u8; 3], u8);

const WORDS: [&str; 16] = [
    "",
    "a",
    "b",
    "c",
    "..",
    ".",
    "/",
    "a/b",
    "b/a/c",
    "../..",
    "/a",
    ".wh.a",
    ".wh..wh..opq",
    ".wh.",
    "outside",
    "../../outside/file",
];
const ENTRIES: u64 = 40;
const BYTES: u64 = 64 << 10;

fn words(chosen: [u8; 3]) -> String {
    let words = chosen.map(|word| WORDS[usize::from(word) % WORDS.len()]);
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join("/")
}

fn added(tar: Tar, &(kind, name, target, size): &Piece) -> Tar {
    let (name, target) = (words(name), words(target));
    match kind % 9 {
        0 | 1 => tar.dir(&name),
        2 | 3 => tar.symlink(&name, &target),
        4 => tar.hard_link(&name, &target),
        5 => tar.of(EntryType::Fifo, &name),
        6 => tar.of(EntryType::Char, &name),
        _ => tar.file(&name, vec![b'x'; usize::from(size) * 64]),
    }
}

/// All that is below, and how much is in it.
fn made(dir: &Path) -> (u64, u64) {
    let (mut entries, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        entries += 1;
        if about.is_file() {
            bytes += about.len();
        }
        if about.is_dir() {
            let below = made(&path);
            entries += below.0;
            bytes += below.1;
        }
    }
    (entries, bytes)
}

#[test]
fn fuzz_layers() {
    bolero::check!().with_type::<Vec<Piece>>().for_each(|pieces| {
        let temporary = Temporary::new();
        let root = temporary.path();
        let (tree, junk, outside) = (root.join("in/tree"), root.join("junk"), root.join("outside"));
        for dir in [&tree, &junk, &outside] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(outside.join("file"), "as it was").unwrap();
        let layer = pieces.iter().fold(Tar::new(), added).done();
        // Refused or not: what it has made by then counts.
        let recorder = Recorder::create(&root.join("recipe")).unwrap();
        let unpacked = unpack(&layer[..], &tree, &junk, &recorder, &mut Budget::new(ENTRIES, BYTES, root));
        recorder.finish().unwrap();
        if unpacked.is_ok_and(|unpacked| !unpacked.replaced) {
            let mut again = Vec::new();
            Rebuilt::open(&root.join("recipe"), &tree).unwrap().read_to_end(&mut again).unwrap();
            assert!(again == layer);
        }
        let about = fs::metadata(outside.join("file")).unwrap();
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"as it was");
        assert_eq!((about.nlink(), made(&outside).0, fs::read_dir(root).unwrap().count()), (1, 1, 4));
        assert_eq!(fs::read_dir(root.join("in")).unwrap().count(), 1);
        let (tree, junk) = (made(&tree), made(&junk));
        // The last name may have gone beyond it before it was counted.
        let most = ENTRIES + 16;
        assert!(tree.0 + junk.0 <= most && tree.1 + junk.1 <= BYTES, "{tree:?} {junk:?}");
    });
}
