//! The program's own code, as far as it lies in memory. What the start alone needed is let go when that is over: the kernel
//! had mapped 64 kB around each page that ran, and maps again from its page cache what runs again.

use std::{fs, io, time::Duration};

use rustix::mm::{Advice, madvise};

/// After this the pods that were to start with the agent do run.
const START: Duration = Duration::from_secs(60);

/// Lets go of it once, when the start is over.
pub(super) async fn let_go_of_the_start() {
    tokio::time::sleep(START).await;
    if let Err(error) = let_go() {
        tracing::debug!(%error, "the code of the start stays in memory");
    }
}

/// Unmaps what is mapped of the program's code: no page is written or read for that, and nothing is lost.
#[expect(clippy::disallowed_methods, reason = "looks at this process alone")]
fn let_go() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let program = program.to_string_lossy();
    for (start, length) in maps.lines().filter_map(|line| code(line, &program)) {
        let start = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the kernel has just listed the range as mapped from the program's file, to be read and executed, never
        // written: each of its pages is as the file has it, and is mapped again from there at its next use.
        #[expect(unsafe_code, reason = "madvise takes an address")]
        unsafe { madvise(start, length, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// Start and length of a line's range, if it is code of that program (proc_pid_maps(5)).
fn code(line: &str, program: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    if !rest.starts_with("r-xp ") || !rest.ends_with(&format!(" {program}")) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16));
    let (start, end) = (start.ok()?, end.ok()?);
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_code_is_let_go() {
        let rows = [
            ("7f00-9f00 r-xp 00001000 fe:00 12   /bin/carob", Some((0x7f00, 0x2000))),
            ("7f00-9f00 r--p 00001000 fe:00 12   /bin/carob", None),
            ("7f00-9f00 rw-p 00001000 fe:00 12   /bin/carob", None),
            ("7f00-9f00 r-xp 00001000 fe:00 12   /lib/libc.so", None),
            ("7f00-9f00 r-xp 00000000 00:00 0    [vdso]", None),
            ("7f00-9f00 r-xp 00001000 fe:00 12   /old/bin/carob", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(code(line, "/bin/carob"), expected, "{line}");
        }
    }

    #[test]
    fn what_was_let_go_runs_on() {
        let_go().unwrap();
        let_go().unwrap();
    }
}
