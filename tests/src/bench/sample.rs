//! The agent's process at one moment, as /proc shows it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// `USER_HZ`.
const TICK: f64 = 0.01;

pub(super) struct Sample {
    /// KiB: all, the part that is no file's, and the part that is.
    pub(super) pss: u64,
    pub(super) anonymous: u64,
    pub(super) of_files: u64,
    /// The part of the files' that is mapped to be executed.
    pub(super) code: u64,
    /// Bytes for a disk, since its start.
    pub(super) written: u64,
    /// Since its start.
    ticks: u64,
    /// How often one of its threads has waited and gone on, since its start.
    pub(super) wake_ups: u64,
    pub(super) threads: usize,
}

impl Sample {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let read = |file: &str| {
            fs::read_to_string(dir.join(file)).with_context(|| format!("read the agent's {file}"))
        };
        let memory = read("smaps_rollup")?;
        let mut wake_ups = Vec::new();
        for thread in fs::read_dir(dir.join("task"))? {
            let status =
                fs::read_to_string(thread?.path().join("status")).context("read a thread's status")?;
            wake_ups.push(field(&status, "voluntary_ctxt_switches")?);
        }
        Ok(Self {
            pss: field(&memory, "Pss")?,
            anonymous: field(&memory, "Pss_Anon")?,
            of_files: field(&memory, "Pss_File")?,
            code: code(&read("smaps")?)?,
            written: field(&read("io")?, "write_bytes")?,
            ticks: ticks(&read("stat")?)?,
            wake_ups: wake_ups.iter().sum(),
            threads: wake_ups.len(),
        })
    }

    /// Seconds of processor time between an earlier sample and this one.
    pub(super) fn cpu_since(&self, earlier: &Self) -> f64 {
        (self.ticks - earlier.ticks) as f64 * TICK
    }
}

/// KiB as MB.
pub(super) fn mb(kib: u64) -> f64 {
    (kib * 1024) as f64 / 1e6
}

/// proc_pid_stat(5): utime and stime are fields 14 and 15; the name, field 2, ends with the last parenthesis.
fn ticks(stat: &str) -> Result<u64> {
    let fields = stat.rsplit_once(") ").context("the agent's stat has no name")?.1;
    Ok(fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?)
}

/// Of all ranges that are executed (proc_pid_smaps(5): a line with the range, then a line for each number).
fn code(smaps: &str) -> Result<u64> {
    let mut sum = 0;
    let mut executed = false;
    for line in smaps.lines() {
        match line.split_once(' ') {
            Some((range, rest)) if range.contains('-') => executed = rest.starts_with("r-xp"),
            Some(("Pss:", _)) if executed => sum += field(line, "Pss")?,
            _ => (),
        }
    }
    Ok(sum)
}

/// `NAME: NUMBER …` among the lines.
fn field(text: &str, name: &str) -> Result<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) =
        lines.find(|(field, _)| *field == name).with_context(|| format!("no {name} in:\n{text}"))?;
    value
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .parse()
        .with_context(|| format!("read {name} from {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "Pss_Anon:  12 kB\nPss:   7 kB\n";
        assert_eq!((field(text, "Pss").unwrap(), field(text, "Pss_Anon").unwrap()), (7, 12));
        assert!(field(text, "Ps").is_err());
    }

    #[test]
    fn what_is_executed_is_summed() {
        let range = |flags: &str, pss: u64| {
            format!(
                "7f00-7f10 {flags} 00000000 fe:00 12  /bin/carob\nSize: 99 kB\nPss: {pss} kB\nPss_Dirty: 1 kB\n"
            )
        };
        let smaps = [range("r--p", 1), range("r-xp", 20), range("rw-p", 300), range("r-xp", 4000)].concat();
        assert_eq!(code(&smaps).unwrap(), 4020);
    }

    #[test]
    fn processor_time_is_found_after_a_name_with_anything_in_it() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 5 0 0 0 40 2 0 0 20 0 1 0 9 0 0";
        assert_eq!(ticks(stat).unwrap(), 42);
    }
}
