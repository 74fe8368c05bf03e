//! The cases that run in the arm64 guest: they show that the other machine's binaries work there. What cannot be built
//! on this machine is skipped and said so; what fails to build is a failure.

use anyhow::Result;

use super::{
    Words,
    cases::{Heard, report},
    tally::Tally,
};
use crate::{
    build,
    place::Place,
    progress::quiet_stage,
    vm::{arm64::Arm64, payload::Payload, rundir::RunDir, series::Series},
    wire::{Listed, Told},
};

pub(super) fn run(place: &Place, words: &Words, cases: &[Listed], tally: &mut Tally) -> Result<()> {
    if let Some(obstacle) = build::arm64_obstacle()? {
        cases.iter().for_each(|case| tally.skipped(&case.case, &obstacle));
        return Ok(());
    }
    let bench = Bench::made(place, words.kernel.kernel);
    let told = Told { full: words.full, ..Told::default() };
    let stage = quiet_stage(&format!("vm: arm64, {} cases", cases.len()));
    for case in cases {
        let picked = [case];
        let (fault, ended) = match &bench {
            Err(fault) => (Some(format!("{fault:#}")), 0),
            Ok(bench) => {
                let mut heard = Heard::new(place, bench.run.path(), &picked, &stage, tally);
                let fault = bench.boot(&told, &mut heard).err();
                (fault.map(|fault| format!("{fault:#}")), heard.ended())
            }
        };
        if let (Some(fault), 0) = (fault, ended) {
            report(&stage, tally, &case.case, None, &fault);
        }
    }
    stage.done();
    Ok(())
}

/// All it takes to boot.
struct Bench {
    machine: Arm64,
    payload: Payload,
    run: RunDir,
}

impl Bench {
    fn made(place: &Place, kernel: Series) -> Result<Self> {
        build::arm64(place)?;
        let machine = Arm64::prepared(place, kernel)?;
        let run = RunDir::new(place, "arm64")?;
        let payload = Payload::for_arm64(place, &machine.busybox(), run.path())?;
        Ok(Self { machine, payload, run })
    }

    fn boot(&self, told: &Told, heard: &mut Heard<'_, '_>) -> Result<()> {
        let mut guest = self.machine.boot(&self.payload, self.run.path())?;
        match heard.follow(&mut guest, told)? {
            None => Ok(()),
            Some(next) => anyhow::bail!("the case asks for a {next:?}, but has no disk to boot from again"),
        }
    }
}
