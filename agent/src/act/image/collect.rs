//! Makes room by removing images, by the kubelet's rules (`pkg/kubelet/images/image_gc_manager.go`): from the high mark
//! down to the low one, those that were not used for the longest time first, never one that something needs.

use super::{Digest, Error, Gone, InUse, Store, disk::failed, space::Disk};
use crate::pod::{Stamp, image_gc::ImageGc};

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) gone: Vec<Gone>,
    /// Afterwards.
    pub(crate) disk: Disk,
    /// It is still fuller than allowed.
    pub(crate) pressure: bool,
    /// If too little could be freed: how much should have been, and how much was.
    pub(crate) short: Option<(u64, u64)>,
}

impl Disk {
    /// Percent in use.
    fn used(self) -> u64 {
        let free = u128::from(self.available) * 100 / u128::from(self.capacity.max(1));
        100_u64.saturating_sub(u64::try_from(free).unwrap_or(100))
    }

    fn is_too_full(self, rule: &ImageGc) -> bool {
        rule.high < 100 && self.capacity > 0 && self.used() >= rule.high.into()
    }

    /// How much must be available for the low mark.
    fn wanted(self, rule: &ImageGc) -> u64 {
        let free = u128::from(self.capacity) * u128::from(100 - rule.low.min(100)) / 100;
        u64::try_from(free).unwrap_or(u64::MAX)
    }
}

impl Store {
    /// Looks how full the disk is, and removes images if need be.
    pub(crate) fn collect(&self, rule: &ImageGc, in_use: &InUse, now: Stamp) -> Result<Collected, Error> {
        self.notice(in_use, now);
        let before = self.disk()?;
        let mut collected = Collected { gone: Vec::new(), disk: before, pressure: false, short: None };
        if !before.is_too_full(rule) {
            return Ok(collected);
        }
        let wanted = before.wanted(rule);
        for id in self.old(in_use, rule.min_age, now)? {
            if collected.disk.available >= wanted {
                break;
            }
            collected.gone.extend(self.discard(id, in_use)?);
            collected.disk = self.disk()?;
        }
        if collected.disk.available < wanted {
            let freed = collected.disk.available.saturating_sub(before.available);
            collected.short = Some((wanted.saturating_sub(before.available), freed));
        }
        collected.pressure = collected.disk.is_too_full(rule);
        Ok(collected)
    }

    /// The images that may go now.
    fn old(&self, in_use: &InUse, age: std::time::Duration, now: Stamp) -> Result<Vec<Digest>, Error> {
        let mut unused = self.unused(in_use)?;
        unused.retain(|id| self.seen(*id).is_none_or(|seen| now.since(seen) >= age));
        Ok(unused)
    }

    fn disk(&self) -> Result<Disk, Error> {
        Disk::of(&self.root).map_err(failed("look at the filesystem of", &self.root))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::fixture::{Built, Tar, Temporary, docker},
        *,
    };

    #[test]
    fn marks_are_the_kubelets() {
        let gib = |number: u64| number << 30;
        for (capacity, available, (high, low), expected) in [
            (100, 16, (85, 80), None),
            (100, 15, (85, 80), Some(20)),
            (100, 0, (85, 80), Some(20)),
            (100, 0, (100, 80), None),
            (100, 99, (0, 0), Some(100)),
            (0, 0, (85, 80), None),
        ] {
            let disk = Disk { capacity: gib(capacity), available: gib(available) };
            let rule = ImageGc { high, low, min_age: Duration::ZERO };
            let found = disk.is_too_full(&rule).then(|| disk.wanted(&rule));
            assert_eq!(found, expected.map(gib), "{available} of {capacity}, {high} {low}");
        }
    }

    #[test]
    fn what_is_old_and_unused_goes_and_nothing_else() {
        let second = |number: u64| Stamp::default().after(Duration::from_secs(number));
        let temporary = Temporary::new();
        let store = Store::open(temporary.path()).unwrap();
        let mut load = |name: &str| {
            let layer = Tar::new().file(name, name).done();
            let archive = docker(&[Built { tags: &[name], layers: &[&layer] }], <[u8]>::to_vec);
            store.load(&archive[..]).unwrap()[0].id
        };
        let [a, b, c] = ["a", "b", "c"].map(&mut load);
        // Every disk is too full, and nothing is ever enough.
        let rule = ImageGc { high: 0, low: 0, min_age: Duration::from_secs(120) };
        let mut used = InUse::default();
        used.add([b]);
        let gone = |in_use: &InUse, at: u64| {
            let collected = store.collect(&rule, in_use, second(at)).unwrap();
            assert!(collected.pressure && collected.short.is_some());
            collected.gone.iter().map(|gone| gone.id).collect::<Vec<_>>()
        };
        assert_eq!(gone(&used, 1000), [], "all of them have just come");
        store.take_up(&store.find("a").unwrap().unwrap()).unwrap();
        assert_eq!(gone(&used, 1100), []);
        assert_eq!(gone(&used, 1125), [c], "a was used again, b is in use");
        assert_eq!(gone(&used, 1300), [a]);
        // It was in use until now: it is as good as used now.
        assert_eq!(gone(&InUse::default(), 1400), []);
        assert_eq!(gone(&InUse::default(), 1520), [b]);
        let spared = ImageGc { high: 100, ..rule };
        assert_eq!(store.collect(&spared, &used, second(9999)).unwrap().gone, []);
    }
}
