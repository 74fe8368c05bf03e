//! Reads one attempt's log file from where a reader wants to begin, as far as it goes now, and later further.
//!
//! Blocks on the disk; waits for nothing.
#![expect(clippy::disallowed_methods, reason = "reads log files")]

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use axum::body::Bytes;

use super::line::{Entry, Print};

/// How much of the file one step reads.
const STEP: u64 = 64 << 10;

/// Which part of the log is wanted.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Only so many lines at the end.
    pub(super) lines: Option<u64>,
    /// Only so many bytes of output.
    pub(super) bytes: Option<u64>,
}

/// A reader of one log file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    /// `None` until there is one.
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
    print: Print,
    /// Bytes of output that may still be shown.
    allowance: u64,
}

impl Tail {
    /// Finds the first line that is wanted. A file that does not exist is one with nothing in it yet.
    pub(super) fn open(path: PathBuf, window: &Window, print: Print) -> io::Result<Self> {
        let mut file = existing(&path)?;
        if let (Some(file), Some(lines)) = (&mut file, window.lines) {
            let start = start_of_last(lines, file)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self { path, file, begun: Vec::new(), print, allowance: window.bytes.unwrap_or(u64::MAX) })
    }

    /// The next piece of output; `None` when there is no more for now.
    pub(super) fn read(&mut self) -> io::Result<Option<Bytes>> {
        while self.allowance > 0 {
            if self.file.is_none() {
                self.file = existing(&self.path)?;
            }
            let Some(file) = &mut self.file else { return Ok(None) };
            if file.take(STEP).read_to_end(&mut self.begun)? == 0 {
                if !self.rotated() {
                    return Ok(None);
                }
                self.file = None;
                continue;
            }
            if let Some(page) = self.whole_lines() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// What is left when nothing more will be written: a line without an end.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let (line, mut page) = (std::mem::take(&mut self.begun), Vec::new());
        if !line.is_empty() {
            self.print.line(&line, &mut page);
        }
        self.allowed(page)
    }

    /// Whether all that may be shown has been.
    pub(super) fn is_full(&self) -> bool {
        self.allowance == 0
    }

    fn whole_lines(&mut self) -> Option<Bytes> {
        let end = self.begun.iter().rposition(|byte| *byte == b'\n')?;
        let after = self.begun.split_off(end + 1);
        let (lines, mut page) = (std::mem::replace(&mut self.begun, after), Vec::new());
        for line in lines[..end].split(|byte| *byte == b'\n') {
            self.print.line(line, &mut page);
        }
        self.allowed(page)
    }

    fn allowed(&mut self, mut page: Vec<u8>) -> Option<Bytes> {
        page.truncate(usize::try_from(self.allowance).unwrap_or(usize::MAX));
        self.allowance -= page.len() as u64;
        (!page.is_empty()).then(|| page.into())
    }

    /// Whether the path now leads to another file than the one that has been read to its end.
    fn rotated(&self) -> bool {
        let now = fs::metadata(&self.path);
        let read = self.file.as_ref().map(File::metadata);
        matches!((now, read), (Ok(now), Some(Ok(read))) if (now.dev(), now.ino()) != (read.dev(), read.ino()))
    }
}

fn existing(path: &PathBuf) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Where the last `lines` lines of output begin. A line that has no end yet is one of them.
fn start_of_last(lines: u64, file: &mut File) -> io::Result<u64> {
    let keep = usize::try_from(lines).unwrap_or(usize::MAX).saturating_add(1);
    let (mut ends, mut offset, mut line) = (VecDeque::from([0]), 0, Vec::new());
    let mut reader = BufReader::new(file);
    while reader.read_until(b'\n', &mut line)? > 0 {
        offset += line.len() as u64;
        let entry = Entry::parse(line.strip_suffix(b"\n").unwrap_or(&line));
        if entry.is_none_or(|entry| entry.ends_line()) {
            ends.push_back(offset);
        }
        line.clear();
        if ends.len() > keep {
            ends.pop_front();
        }
    }
    let dangling = ends.back() != Some(&offset);
    if dangling {
        ends.push_back(offset);
    }
    // Each line lies between two ends.
    let first = ends.len().saturating_sub(keep);
    Ok(ends.get(first).copied().unwrap_or(offset))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::OpenOptions,
        io::Write,
        path::{Path, PathBuf},
    };

    use super::{super::line::Stamps, *};

    const LOG: &str = "2026-01-01T00:00:00Z stdout F one\n\
                       2026-01-01T00:00:01Z stdout P tw\n\
                       2026-01-01T00:00:02Z stdout F o\n\
                       2026-01-01T00:00:03Z stderr F three\n";

    struct Scene(PathBuf);

    impl Scene {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("carob-tail-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn log(&self) -> PathBuf {
            self.0.join("0.log")
        }

        fn append(&self, text: &str) {
            let mut file = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all(tail: &mut Tail) -> String {
        let mut seen = Vec::new();
        while let Some(page) = tail.read().unwrap() {
            seen.extend_from_slice(&page);
        }
        String::from_utf8(seen).unwrap()
    }

    fn open(path: &Path, lines: Option<u64>, bytes: Option<u64>) -> Tail {
        Tail::open(path.to_owned(), &Window { lines, bytes }, Print::new(Stamps::Hidden, None)).unwrap()
    }

    #[test]
    fn a_window_shows_the_end_of_the_log_in_whole_lines() {
        let scene = Scene::new("window");
        scene.append(LOG);
        let rows = [
            (None, None, "one\ntwo\nthree\n"),
            (Some(0), None, ""),
            (Some(1), None, "three\n"),
            (Some(2), None, "two\nthree\n"),
            (Some(3), None, "one\ntwo\nthree\n"),
            (Some(9), None, "one\ntwo\nthree\n"),
            (Some(u64::MAX), None, "one\ntwo\nthree\n"),
            (None, Some(5), "one\nt"),
            (Some(1), Some(2), "th"),
            (None, Some(0), ""),
        ];
        for (lines, bytes, expected) in rows {
            assert_eq!(all(&mut open(&scene.log(), lines, bytes)), expected, "{lines:?} {bytes:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_counts_as_one() {
        let scene = Scene::new("dangling");
        scene.append(LOG);
        scene.append("2026-01-01T00:00:04Z stdout P no end\n");
        for (lines, expected) in
            [(0, ""), (1, "no end"), (2, "three\nno end"), (4, "one\ntwo\nthree\nno end")]
        {
            assert_eq!(all(&mut open(&scene.log(), Some(lines), None)), expected, "{lines}");
        }
    }

    #[test]
    fn a_reader_goes_on_where_the_writer_does() {
        let scene = Scene::new("follow");
        let mut tail = open(&scene.log(), None, None);
        assert_eq!(all(&mut tail), "", "there is no file yet");
        scene.append("2026-01-01T00:00:00Z stdout F a\n2026-01-01T00:00:01Z std");
        assert_eq!(all(&mut tail), "a\n");
        scene.append("out F b\n");
        assert_eq!(all(&mut tail), "b\n");
        fs::rename(scene.log(), scene.0.join("0.log.1")).unwrap();
        assert_eq!(all(&mut tail), "", "moved away, no new file yet");
        scene.append("2026-01-01T00:00:02Z stdout F c\ntorn");
        assert_eq!(all(&mut tail), "c\n");
        assert_eq!(tail.rest().as_deref(), Some(b"torn\n".as_slice()));
        assert_eq!(tail.rest(), None);
    }
}
