//! Rotates a log as the kubelet does: `0.log` becomes `0.log.20260101-120000`, older ones are compressed, the oldest go.
//! When, and what is in the log, is the pump's business.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use flate2::{Compression, write::GzEncoder};

use crate::config::LogLimits;

const COMPRESSED: &str = ".gz";
const UNFINISHED: &str = ".tmp";

/// Puts a new, empty file in the log's place. `None` if a log was rotated in this very second already: the names are all
/// there is to tell them apart.
pub(super) fn swap(log: &Path, wall: i64) -> io::Result<Option<File>> {
    let old = beside(log, &format!(".{}", stamp(wall)));
    if old.exists() || beside(&old, COMPRESSED).exists() {
        return Ok(None);
    }
    let new = beside(log, ".new");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
    fs::rename(log, &old)?;
    fs::rename(&new, log)?;
    Ok(Some(file))
}

/// Removes the oldest rotated logs beyond the limit and compresses all but the newest, which a reader may still be at.
/// One log at a time: a small box has better things to do, and two must not compress the same file.
pub(super) fn tidy(log: &Path, limits: LogLimits) -> io::Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for path in rotated(log)? {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(path)?;
        }
    }
    let all = rotated(log)?;
    // The log itself is one of the files.
    let excess = all.len().saturating_sub(limits.files.saturating_sub(1));
    for path in &all[..excess] {
        fs::remove_file(path)?;
    }
    let Some((_newest, older)) = all[excess..].split_last() else { return Ok(()) };
    older.iter().filter(|path| !is_compressed(path)).try_for_each(|path| compress(path))
}

/// All rotated logs, the oldest first.
pub(super) fn rotated(log: &Path) -> io::Result<Vec<PathBuf>> {
    let prefix = format!("{}.", log.file_name().unwrap_or_default().display());
    let dir = log.parent().unwrap_or(log);
    let names = fs::read_dir(dir)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
    names.sort();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// The old file stays until the compressed one is whole.
fn compress(path: &Path) -> io::Result<()> {
    let (unfinished, finished) = (beside(path, UNFINISHED), beside(path, COMPRESSED));
    let mut encoder = GzEncoder::new(File::create(&unfinished)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(unfinished, finished)?;
    fs::remove_file(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The kubelet's time stamp, in UTC.
fn stamp(wall: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(wall)).unwrap_or_default();
    time.strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    const SECOND: i64 = 1_000_000_000;
    /// 2026-11-23T08:00:00Z.
    const WALL: i64 = 1_795_420_800 * SECOND;

    #[test]
    fn old_logs_are_named_compressed_and_removed_as_the_kubelet_does() {
        let dir = std::env::temp_dir().join(format!("carob-rotate-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let log = dir.join("1.log");
        // Another attempt's, which must not be touched.
        fs::write(dir.join("11.log.20200101-000000"), "other").unwrap();
        for n in 0..5 {
            fs::write(&log, format!("content {n}")).unwrap();
            assert!(swap(&log, WALL + n * SECOND).unwrap().is_some());
            assert_eq!(fs::read(&log).unwrap(), b"");
            tidy(&log, LogLimits { size: 1, files: 4 }).unwrap();
        }
        assert!(swap(&log, WALL + 4 * SECOND).unwrap().is_none(), "that name is taken");
        assert!(swap(&log, WALL + 3 * SECOND).unwrap().is_none(), "that one as well, compressed");
        let names: Vec<String> = rotated(&log)
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().display().to_string())
            .collect();
        let expected = ["1.log.20261123-080002.gz", "1.log.20261123-080003.gz", "1.log.20261123-080004"];
        assert_eq!(names, expected);
        let mut text = String::new();
        GzDecoder::new(File::open(dir.join(expected[0])).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content 2");
        assert_eq!(fs::read(dir.join(expected[2])).unwrap(), b"content 4");
        assert!(dir.join("11.log.20200101-000000").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
