//! What the notes say: what is there for sure, what is gone for sure, and what was in between when the power went.
//!
//! ```text
//!   <work>:begun:<thing> ─► is:<thing> | no:<thing>       await:begun:<pod> ─► ended:<pod>:<code>       hit:<work>
//! ```

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    There,
    Gone,
    /// This work on it had begun.
    Between(String),
}

#[derive(Debug, Default)]
pub(super) struct Known {
    things: BTreeMap<String, Standing>,
    /// Pods whose end somebody was told, with the exit code.
    pub(super) ends: BTreeMap<String, u64>,
    /// Pods whose end somebody waited for.
    awaited: BTreeSet<String>,
    hits: BTreeMap<String, usize>,
}

impl Known {
    pub(super) fn read(notes: &[String]) -> Self {
        let mut known = Self::default();
        for note in notes {
            match note.split(':').collect::<Vec<_>>()[..] {
                ["await", "begun", pod] => known.awaited = BTreeSet::from([pod.to_owned()]),
                ["ended", pod, code] => {
                    known.awaited.remove(pod);
                    known.ends.extend(code.parse().ok().map(|code| (pod.to_owned(), code)));
                }
                [work, "begun", thing] => known.set(thing, Standing::Between(work.to_owned())),
                ["is", thing] => known.set(thing, Standing::There),
                ["no", thing] => known.set(thing, Standing::Gone),
                ["hit", work] => *known.hits.entry(work.to_owned()).or_default() += 1,
                _ => {}
            }
        }
        known
    }

    pub(super) fn set(&mut self, thing: &str, standing: Standing) {
        self.things.insert(thing.to_owned(), standing);
    }

    /// Those whose names begin so.
    pub(super) fn things<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Standing)> {
        self.things
            .iter()
            .map(|(thing, standing)| (thing.as_str(), standing))
            .filter(move |(thing, _)| thing.starts_with(kind))
    }

    /// Those of them that are there for sure.
    pub(super) fn there(&self, kind: &str) -> Vec<String> {
        let there = self.things(kind).filter(|(_, standing)| **standing == Standing::There);
        there.map(|(thing, _)| thing.to_owned()).collect()
    }

    /// The kinds of work that had begun and were not said to be done.
    pub(super) fn met(&self) -> Vec<String> {
        let mut met: Vec<String> = self
            .things
            .values()
            .filter_map(|standing| match standing {
                Standing::Between(work) => Some(work.clone()),
                _ => None,
            })
            .collect();
        met.extend(self.awaited.iter().map(|_| "await".to_owned()));
        if met.is_empty() { vec!["nothing".to_owned()] } else { met }
    }

    /// All that earlier cuts met.
    pub(super) fn all_hits(&self) -> String {
        let hits: Vec<String> = self.hits.iter().map(|(work, count)| format!("{work} {count}×")).collect();
        hits.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(notes: &[&str]) -> Known {
        Known::read(&notes.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_thing_stands_as_its_last_note_says() {
        let rows: [(&[&str], Option<Standing>, &[&str]); 5] = [
            (&[], None, &["nothing"]),
            (&["apply:begun:p1"], Some(Standing::Between("apply".to_owned())), &["apply"]),
            (&["apply:begun:p1", "is:p1"], Some(Standing::There), &["nothing"]),
            (&["is:p1", "delete:begun:p1"], Some(Standing::Between("delete".to_owned())), &["delete"]),
            (&["delete:begun:p1", "no:p1", "hit:delete"], Some(Standing::Gone), &["nothing"]),
        ];
        for (notes, standing, met) in rows {
            let known = known(notes);
            assert_eq!(known.things("p").next().map(|(_, standing)| standing.clone()), standing, "{notes:?}");
            assert_eq!(known.met(), met, "{notes:?}");
        }
    }

    #[test]
    fn an_end_that_was_told_is_no_longer_awaited() {
        let waiting = known(&["is:e1", "await:begun:e1"]);
        assert_eq!((waiting.met(), waiting.ends.len()), (vec!["await".to_owned()], 0));
        let told = known(&["is:e1", "await:begun:e1", "ended:e1:7", "hit:await", "hit:await"]);
        assert_eq!((told.met(), told.ends["e1"]), (vec!["nothing".to_owned()], 7));
        assert_eq!((told.there("e"), told.all_hits()), (vec!["e1".to_owned()], "await 2×".to_owned()));
    }
}
