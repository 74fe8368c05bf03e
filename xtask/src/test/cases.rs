//! The cases that run in guests: which there are, which guest each gets, and what came of it. What a case does is
//! written in `tests/cases`; a guest that dies under one case costs that case only.

use std::{
    fs, mem,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

use super::{
    clients::{self, Clients, Reach},
    prometheus,
    tally::Tally,
};
use crate::{
    place::{HOST, Place},
    progress::{Stage, quiet_stage, took},
    tool::tool,
    vm::{
        guest::{Guest, Heard as Said},
        machine::{Machine, Saved, copy_sparse},
        qemu::Console,
        rundir::RunDir,
        x86::{Disk, TRUE_CLOCK},
    },
    wire::{Listed, Mode, Next, Record, Told},
};

/// What the host grants beyond a case's own limit, which the guest enforces.
const GRACE: Duration = Duration::from_secs(60);
/// More boots than any case asks for.
const BOOTS: u32 = 100;

/// All cases, in the order of their areas.
pub(crate) fn listed(place: &Place) -> Result<Vec<Listed>> {
    let list = tool(place.binaries(HOST).join("carob-tests")).arg("list").output()?;
    let parse =
        |line: &str| serde_json::from_str(line).with_context(|| format!("read the listed case {line}"));
    list.lines().map(parse).collect()
}

/// Where cases run.
pub(crate) struct Guests<'a> {
    pub(crate) place: &'a Place,
    pub(crate) machine: &'a Machine,
    pub(crate) saved: &'a Saved,
    pub(crate) payload: &'a Path,
    pub(crate) run: &'a RunDir,
    pub(crate) full: bool,
    /// For what is left to chance.
    pub(crate) seed: u64,
}

impl Guests<'_> {
    fn told(&self) -> Told {
        Told { full: self.full, seed: self.seed, ..Told::default() }
    }

    pub(crate) fn run_all(&self, cases: &[Listed], tally: &mut Tally) -> Result<()> {
        for (area, cases) in by_area(cases) {
            let stage = quiet_stage(&format!("vm: {area}, {} cases", cases.len()));
            let (shared, own): (Vec<&Listed>, Vec<&Listed>) =
                cases.into_iter().partition(|case| case.mode == Mode::Shared);
            let mut runs: Vec<Vec<&Listed>> = own.into_iter().map(|case| vec![case]).collect();
            runs.insert(0, shared);
            for run in runs {
                self.run_together(&run, &stage, tally)?;
            }
            stage.done();
        }
        Ok(())
    }

    /// Runs cases in one guest, and what is left of them in another one if that guest dies.
    fn run_together(&self, cases: &[&Listed], stage: &Stage, tally: &mut Tally) -> Result<()> {
        let mut left = cases;
        while let [first, ..] = *left {
            let mut heard = Heard::new(self.place, self.run.path(), left, stage, tally);
            let fault = match first.mode {
                Mode::Shared | Mode::Alone => self.restored(&mut heard).err(),
                Mode::Client => self.with_clients(&mut heard).err(),
                Mode::Reboot => self.rebooted(&mut heard).err(),
                Mode::Arm64 => Some(anyhow!("the case runs in the arm64 guest only")),
            };
            let mut ended = heard.ended;
            if let Some(fault) = fault
                && let Some(case) = left.get(ended)
            {
                report(stage, tally, &case.case, None, &format!("{fault:#}"));
                ended += 1;
            }
            left = &left[ended..];
        }
        Ok(())
    }

    fn with_clients(&self, heard: &mut Heard<'_, '_>) -> Result<()> {
        let clients = Clients::made(self.place)?;
        let dir = self.run.path();
        let mut guest = Guest::restore(self.machine, self.saved, self.payload, Console::Logged, dir)?;
        heard.clients = Some(Reach { clients, port: guest.lead(clients::AGENT)? });
        match heard.follow(&mut guest, &self.told())? {
            None => Ok(()),
            Some(next) => bail!("the case asks for a {next:?}, but has a client that waits"),
        }
    }

    fn restored(&self, heard: &mut Heard<'_, '_>) -> Result<()> {
        let (machine, dir) = (self.machine, self.run.path());
        let mut guest = Guest::restore(machine, self.saved, self.payload, Console::Logged, dir)?;
        match heard.follow(&mut guest, &self.told())? {
            None => Ok(()),
            Some(next) => bail!("the case asks for a {next:?}, but is not listed as one that reboots"),
        }
    }

    fn rebooted(&self, heard: &mut Heard<'_, '_>) -> Result<()> {
        let disk = self.run.path().join("disk.img");
        copy_sparse(&self.machine.disk, &disk)?;
        for boot in 0..BOOTS {
            let kept = Disk::Kept(&disk);
            let dir = self.run.path();
            let mut guest = Guest::boot(self.machine, kept, self.payload, TRUE_CLOCK, Console::Logged, dir)?;
            let told = Told { boot, notes: heard.notes.clone(), ..self.told() };
            match heard.follow(&mut guest, &told)? {
                None => return Ok(()),
                Some(Next::Cut) => drop(guest),
                Some(Next::Reboot) => match guest.next(Instant::now() + GRACE)? {
                    None => guest.wait()?,
                    Some(record) => bail!("the guest goes on in spite of its shutdown: {record:?}"),
                },
            }
        }
        bail!("the case asked for more than {BOOTS} boots")
    }
}

/// The cases of one guest, and how far it is.
pub(super) struct Heard<'a, 'b> {
    place: &'b Place,
    /// For what the cases hand over.
    dir: &'b Path,
    cases: &'a [&'a Listed],
    stage: &'b Stage,
    tally: &'b mut Tally,
    /// How many cases have ended: they do so in order.
    ended: usize,
    /// What the running case has handed over.
    texts: Vec<PathBuf>,
    /// What it is told again in its next boot.
    notes: Vec<String>,
    /// Who goes on with the case on this machine.
    clients: Option<Reach>,
}

impl<'a, 'b> Heard<'a, 'b> {
    pub(super) fn new(
        place: &'b Place,
        dir: &'b Path,
        cases: &'a [&'a Listed],
        stage: &'b Stage,
        tally: &'b mut Tally,
    ) -> Self {
        Self {
            place,
            dir,
            cases,
            stage,
            tally,
            ended: 0,
            texts: Vec::new(),
            notes: Vec::new(),
            clients: None,
        }
    }

    /// How many cases have ended.
    pub(super) fn ended(&self) -> usize {
        self.ended
    }

    /// Lets the guest run the cases and listens until all is done or it wants another boot.
    pub(super) fn follow(&mut self, guest: &mut Guest, told: &Told) -> Result<Option<Next>> {
        let told_words = told.words();
        let mut words = vec!["guest"];
        words.extend(told_words.iter().map(String::as_str));
        words.extend(self.cases.iter().map(|case| case.case.as_str()));
        guest.go(&words)?;
        let mut cut = None;
        loop {
            if cut.is_some_and(|moment| Instant::now() >= moment) {
                return Ok(Some(Next::Cut));
            }
            let late = Instant::now() + self.limit() + GRACE;
            let record = match guest.hear(cut.unwrap_or(late))? {
                Said::Record(record) => record,
                Said::Silence if cut.is_some() => continue,
                Said::Silence => bail!("the guest said nothing in its time\n{}", guest.console_tail()),
                Said::End => bail!("the guest ended before it was done\n{}", guest.console_tail()),
            };
            match record {
                Record::Done { .. } if self.ended == self.cases.len() => return Ok(None),
                Record::Done { .. } => bail!("the guest was done before all cases had ended"),
                Record::Boot { boot } => return Ok(Some(boot)),
                Record::Cut { cut_within_ms } => cut = Some(self.cut(told, cut_within_ms)),
                record => self.take(record)?,
            }
            // Its guest waits until it is ended.
            if self.clients.is_some() && self.ended == self.cases.len() {
                return Ok(None);
            }
        }
    }

    /// When the plug is pulled.
    fn cut(&self, told: &Told, within_ms: u64) -> Instant {
        let after = Duration::from_millis(lot(told.seed, told.boot) % within_ms.max(1));
        self.stage.say(&format!(
            "      boot {}: the plug is pulled {} ms from here (--seed {})",
            told.boot,
            after.as_millis(),
            told.seed
        ));
        Instant::now() + after
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.cases.get(self.ended).map_or(0, |case| case.limit))
    }

    fn take(&mut self, record: Record) -> Result<()> {
        match record {
            Record::Start { start } => self.stage.now(&start),
            Record::Say { say } => self.stage.say(&format!("      {say}")),
            Record::Text { name, text } => self.keep(&name, &text)?,
            Record::Note { note } => self.notes.push(note),
            Record::Case { case, ok, seconds, note } => {
                if self.cases.get(self.ended).is_none_or(|expected| expected.case != case) {
                    bail!("the guest ran {case}, which was not its turn");
                }
                self.ended += 1;
                let seconds = Some(seconds);
                match self.judge(&case, ok, note) {
                    Ok(()) => pass(self.stage, self.tally, &case, seconds),
                    Err(note) => report(self.stage, self.tally, &case, seconds, &note),
                }
            }
            Record::Ready { .. }
            | Record::Boot { .. }
            | Record::Cut { .. }
            | Record::Done { .. }
            | Record::Figure { .. } => bail!("unexpected {record:?}"),
        }
        Ok(())
    }

    /// Beside the console's log, for this run's judge and for a person's look.
    fn keep(&mut self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        self.texts.push(path);
        Ok(())
    }

    /// A case has passed if the guest says so and what it handed over stands up to what only the host can check.
    fn judge(&mut self, case: &str, ok: bool, note: String) -> Result<(), String> {
        let texts = mem::take(&mut self.texts);
        if !ok {
            return Err(note);
        }
        let mut pages = texts.iter().filter(|text| text.extension().is_some_and(|end| end == "prom"));
        let mut judged = pages.try_for_each(|page| prometheus::check_page(self.place, page));
        if let Some(reach) = &self.clients {
            judged = judged.and_then(|()| reach.go_on(self.place, case, self.dir, self.stage));
        }
        judged.map_err(|fault| format!("{fault:#}"))
    }
}

/// The same number of the same seed and boot (SplitMix64: Steele, Lea and Flood 2014).
fn lot(seed: u64, boot: u32) -> u64 {
    let mut mixed = seed.wrapping_add((u64::from(boot) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn pass(stage: &Stage, tally: &mut Tally, case: &str, seconds: Option<f64>) {
    tally.passed(1);
    stage.say(&format!("ok    {case}{}", time(seconds)));
}

pub(super) fn report(stage: &Stage, tally: &mut Tally, case: &str, seconds: Option<f64>, note: &str) {
    tally.failed(case);
    stage.say(&format!("FAIL  {case}{}", time(seconds)));
    note.lines().for_each(|line| stage.say(&format!("      {line}")));
}

fn time(seconds: Option<f64>) -> String {
    seconds
        .map_or_else(String::new, |seconds| format!("  {}", took(Duration::from_secs_f64(seconds.max(0.0)))))
}

/// Neighbouring cases with the same area.
fn by_area(cases: &[Listed]) -> Vec<(&str, Vec<&Listed>)> {
    let area = |case: &Listed| case.case.split("::").next().unwrap_or_default().len();
    let mut areas: Vec<(&str, Vec<&Listed>)> = Vec::new();
    for case in cases {
        let name = &case.case[..area(case)];
        match areas.last_mut() {
            Some((last, cases)) if *last == name => cases.push(case),
            _ => areas.push((name, vec![case])),
        }
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plug_is_pulled_at_the_same_moments_for_the_same_seed() {
        // The algorithm's published first outputs for the seed 1234567.
        assert_eq!(
            [0, 1].map(|boot| lot(1_234_567, boot)),
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn cases_are_grouped_by_area_in_their_order() {
        let case = |case: &str| Listed { case: case.to_owned(), mode: Mode::Shared, limit: 1 };
        let cases = ["a::x", "a::y", "b::x"].map(case);
        let names: Vec<_> = by_area(&cases).into_iter().map(|(area, cases)| (area, cases.len())).collect();
        assert_eq!(names, [("a", 2), ("b", 1)]);
    }
}
