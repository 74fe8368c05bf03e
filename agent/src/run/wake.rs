//! How long what wakes the loop waits for it: from the moment that its alarm was set to, or that a task had something to
//! tell, until it plans with that. Reads no clock.

use std::sync::Arc;

use crate::{picture::counted::Delays, pod::Stamp};

#[derive(Debug, Default)]
pub(super) struct Wake {
    pub(super) delays: Arc<Delays>,
    /// What the alarm is set to.
    alarm: Option<Stamp>,
    /// Since when the oldest of what has come waits.
    since: Option<Stamp>,
}

impl Wake {
    /// The alarm is set. One in the past rings at once, and nobody has waited longer than from now on.
    pub(super) fn set(&mut self, alarm: Option<Stamp>, now: Stamp) {
        self.alarm = alarm.map(|at| at.max(now));
    }

    pub(super) fn rang(&mut self) {
        if let Some(at) = self.alarm.take() {
            self.came(at);
        }
    }

    /// Something has come that waits since then.
    pub(super) fn came(&mut self, since: Stamp) {
        self.since = Some(self.since.map_or(since, |other| other.min(since)));
    }

    /// The loop plans, with all that has come.
    pub(super) fn planned(&mut self, now: Stamp) {
        if let Some(since) = self.since.take() {
            self.delays.add(now.since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Stamp {
        Stamp(seconds * SECOND)
    }

    #[test]
    fn the_oldest_of_what_has_come_is_counted_once() {
        let mut wake = Wake::default();
        wake.planned(at(1));
        wake.set(Some(at(4)), at(1));
        wake.came(at(5));
        wake.rang();
        wake.planned(at(6));
        wake.planned(at(9));
        // Set to what is over already.
        wake.set(Some(at(2)), at(10));
        wake.rang();
        wake.planned(at(11));
        // It was heard before: an alarm rings once.
        wake.rang();
        wake.planned(at(20));
        let delays = wake.delays.now();
        assert_eq!((delays.count(), delays.sum()), (2, 3.0));
    }
}
