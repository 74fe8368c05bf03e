//! What a volume is like, seen by a process in the container: Kubernetes' own `mounttest`, in its words.

use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, statfs};

/// linux/magic.h
const TMPFS: u64 = 0x0102_1994;

/// Each word is `VERB:PATH`, or `new:MODE:PATH`; they are done in their order.
pub(super) fn look(words: &[&str]) -> Result<ExitCode> {
    rustix::process::umask(Mode::empty());
    for word in words {
        let (verb, path) = word.split_once(':').with_context(|| format!("{word:?} has no path"))?;
        one(verb, path).with_context(|| word.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn one(verb: &str, path: &str) -> Result<()> {
    match verb {
        "fs" if statfs(path)?.f_type.cast_unsigned() == TMPFS => println!("mount type of {path:?}: tmpfs"),
        "fs" => println!("mount type of {path:?}: another"),
        "new" => {
            let (mode, path) = path.split_once(':').context("there is no mode")?;
            let mode = u32::from_str_radix(mode, 8)?;
            let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(path)?;
            file.write_all(b"mount-tester new file\n")?;
        }
        "mode" => println!("mode of file {path:?}: {}", in_letters(fs::metadata(path)?.permissions().mode())),
        "perms" => {
            println!("perms of file {path:?}: -{}", permissions(fs::metadata(path)?.permissions().mode()));
        }
        "content" => print!("content of file {path:?}: {}", fs::read_to_string(path)?),
        _ => bail!("{verb:?} is none of fs, new, mode, perms and content"),
    }
    Ok(())
}

/// As Go prints a directory's mode.
fn in_letters(mode: u32) -> String {
    let flag = |bit: u32, letter: &'static str| if mode & bit == 0 { "" } else { letter };
    format!("{}{}{}", flag(0o040_000, "d"), flag(0o1000, "t"), permissions(mode))
}

fn permissions(mode: u32) -> String {
    let letter = |bit: u32| if mode & (1 << bit) == 0 { '-' } else { ['x', 'w', 'r'][bit as usize % 3] };
    (0..9).rev().map(letter).collect()
}
