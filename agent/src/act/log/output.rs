//! The last output that a log holds, without what the log says about it. Reads; writes nothing.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// No CRI line is longer than this, with its head.
const LINE: u64 = (16 << 10) + 64;

/// The end of the last `lines` lines of output, at most `bytes` of it.
pub(in crate::act) fn last_output(log: &Path, lines: usize, bytes: usize) -> io::Result<Vec<u8>> {
    let mut file = match File::open(log) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    // Enough for `bytes` of output even if each line had one byte of it, and for one longest line.
    let reach = LINE + 64 * bytes as u64;
    let start = file.metadata()?.len().saturating_sub(reach);
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(last_of(&text, lines, bytes))
}

fn last_of(text: &[u8], lines: usize, bytes: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let mut ends = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        // A line whose beginning was not read does not look like one.
        let mut parts = line.splitn(4, |byte| *byte == b' ').skip(2);
        let (Some(tag @ (b"F" | b"P")), Some(content)) = (parts.next(), parts.next()) else { continue };
        output.extend_from_slice(content);
        if tag == b"F" {
            output.push(b'\n');
            ends.push(output.len());
        }
    }
    // A line without an end is the last one.
    let whole = if ends.last() == Some(&output.len()) { lines } else { lines.saturating_sub(1) };
    let first = ends.len().checked_sub(whole + 1).map_or(0, |before| ends[before]);
    let from = first.max(output.len().saturating_sub(bytes));
    output.split_off(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_that_fit() {
        let log = "cut off F x\nT stdout F one\nT stdout P tw\nT stdout F o\nT stderr F three\n";
        let rows: [(&str, usize, usize, &str); 7] = [
            (log, 80, 2048, "one\ntwo\nthree\n"),
            (log, 2, 2048, "two\nthree\n"),
            (log, 1, 2048, "three\n"),
            (log, 80, 5, "hree\n"),
            ("", 80, 2048, ""),
            ("T stdout F a\nT stdout P b\n", 1, 9, "b"),
            ("T stdout F a\nT stdout P b\n", 2, 9, "a\nb"),
        ];
        for (text, lines, bytes, expected) in rows {
            let found = last_of(text.replace("cut off F x\n", "off\n").as_bytes(), lines, bytes);
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{lines} {bytes}");
        }
    }
}
