//! Manifests of public projects, whole and damaged.

use super::*;

/// The manifests of public projects, if this tree has them beside it.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus"));
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("SKIPPED: there is no corpus of manifests at {}", folder.display());
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let manifests = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "json"));
    manifests.map(|path| (path.display().to_string(), fs::read(&path).expect("a manifest"))).collect()
}

#[test]
fn every_public_manifest_is_accepted_or_refused_with_a_field_or_a_line() {
    let mut counts = BTreeMap::new();
    for (file, bytes) in corpus() {
        let outcome = match read(&file, &bytes) {
            Ok(objects) => {
                for object in objects.iter().filter(|object| object.kind == Kind::Pod) {
                    let stored =
                        pod(&object.value).unwrap_or_else(|faults| panic!("{file}: {faults}")).object;
                    assert_eq!(spec(&object.value, uid()), spec(&stored, uid()), "{file}");
                    assert_eq!(pod(&stored).expect(&file).object, stored, "{file}");
                }
                "accepted"
            }
            Err(Faults(faults)) => {
                assert!(!faults.is_empty(), "{file}");
                assert!(faults.iter().all(|fault| fault.place.is_some()), "{file}: {faults:?}");
                "refused"
            }
        };
        *counts.entry(outcome).or_insert(0_usize) += 1;
    }
    eprintln!("corpus: {counts:?}");
}

/// A sequence that looks random and is always the same (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

#[test]
fn no_damage_to_a_manifest_makes_the_reader_fall_over() {
    const PIECES: [&[u8]; 12] =
        [b"&a ", b"*a", b"<<: ", b"!!int ", b"\\'", b"\"", b"{", b"]", b"\n---\n", b"\xff", b"~", b"1e99"];
    let (mut dice, mut refused) = (Dice(7), 0);
    for _ in 0..1000 {
        let mut bytes = FULL.as_bytes().to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = u8::try_from(dice.roll(256)).expect("a byte"),
                2 => drop(bytes.drain(at..(at + dice.roll(20)).min(bytes.len()))),
                _ => drop(bytes.splice(at..at, PIECES[dice.roll(PIECES.len())].iter().copied())),
            }
            bytes.push(b'\n');
        }
        if let Err(Faults(faults)) = read("f", &bytes) {
            refused += 1;
            assert!(!faults.is_empty() && faults.iter().all(|fault| fault.place.is_some()), "{faults:?}");
        }
    }
    assert!(refused > 300, "{refused}: the damage should be noticed");
}
