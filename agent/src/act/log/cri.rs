//! The CRI log format: `<time> <stream> <F|P> <content>\n`, as kubectl, log shippers and the kubelet read it. Pure.

/// No CRI line carries more content; a longer one is cut into `P` pieces.
const LONGEST: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// What to do with bytes that no newline ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// More may follow.
    Keep,
    /// Nothing follows.
    Flush,
}

/// Rendered lines, and how many bytes of output they hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) text: Vec<u8>,
    pub(super) taken: usize,
}

/// Turns output into lines of the log.
pub(super) fn render(stream: Stream, wall: i64, bytes: &[u8], rest: Rest) -> Page {
    let head = format!("{} {} ", date(wall), stream.name());
    let mut page = Page::default();
    while page.taken < bytes.len() {
        let ahead = &bytes[page.taken..];
        let newline = ahead.iter().take(LONGEST + 1).position(|byte| *byte == b'\n');
        let (content, tag, taken) = match newline {
            Some(at) => (&ahead[..at], "F ", at + 1),
            None if ahead.len() > LONGEST => (&ahead[..LONGEST], "P ", LONGEST),
            None if rest == Rest::Flush => (ahead, "P ", ahead.len()),
            None => break,
        };
        for part in [head.as_bytes(), tag.as_bytes(), content, b"\n"] {
            page.text.extend_from_slice(part);
        }
        page.taken += taken;
    }
    page
}

/// What a stretch of log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Bytes of log up to the end of the last whole line.
    pub(super) whole: u64,
    /// Bytes of output in them, by stream.
    pub(super) out: u64,
    pub(super) err: u64,
}

/// Counts the output in whole lines.
pub(super) fn tally(log: &[u8]) -> Tally {
    let mut tally = Tally::default();
    for line in log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        tally.whole += line.len() as u64;
        let mut parts = line[..line.len() - 1].splitn(4, |byte| *byte == b' ').skip(1);
        let (stream, tag, content) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        let newline = u64::from(tag == Some(b"F"));
        match stream {
            Some(b"stdout") => tally.out += content.len() as u64 + newline,
            Some(b"stderr") => tally.err += content.len() as u64 + newline,
            _ => (),
        }
    }
    tally
}

/// RFC 3339 with nanoseconds, UTC.
fn date(wall: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(wall)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-11-23T08:00:00.000000007Z";
    const WALL: i64 = 1_795_420_800_000_000_007;

    #[test]
    fn output_becomes_lines() {
        let rows: &[(&str, Rest, &[&str], usize)] = &[
            ("", Rest::Flush, &[], 0),
            ("a\n", Rest::Keep, &["F a"], 2),
            ("a\nb", Rest::Keep, &["F a"], 2),
            ("a\nb", Rest::Flush, &["F a", "P b"], 3),
            ("\n\n", Rest::Keep, &["F ", "F "], 2),
            (" x y \n", Rest::Keep, &["F  x y "], 6),
        ];
        for (output, rest, lines, taken) in rows {
            let text = lines.iter().map(|line| format!("{AT} stdout {line}\n")).collect::<String>();
            assert_eq!(
                render(Stream::Out, WALL, output.as_bytes(), *rest),
                Page { text: text.into(), taken: *taken },
                "{output:?}"
            );
        }
    }

    #[test]
    fn a_long_line_is_cut_and_a_line_of_just_the_limit_is_not() {
        for (length, tags) in
            [(LONGEST, vec!["F"]), (LONGEST + 1, vec!["P", "F"]), (2 * LONGEST + 5, vec!["P", "P", "F"])]
        {
            let output = [vec![b'x'; length], vec![b'\n']].concat();
            let page = render(Stream::Err, WALL, &output, Rest::Keep);
            let text = String::from_utf8(page.text).unwrap();
            assert_eq!(
                text.lines().map(|line| line.split(' ').nth(2).unwrap()).collect::<Vec<_>>(),
                tags,
                "{length}"
            );
            assert_eq!(page.taken, length + 1);
        }
        let unfinished = render(Stream::Out, WALL, &vec![b'x'; LONGEST], Rest::Keep);
        assert_eq!(unfinished.taken, 0, "its newline may be next");
    }

    #[test]
    fn what_was_rendered_is_counted_back_exactly() {
        let output = [b"one\n\n two\n".to_vec(), vec![b'y'; 40_000], b"\ntail".to_vec()].concat();
        for rest in [Rest::Keep, Rest::Flush] {
            let out = render(Stream::Out, WALL, &output, rest);
            let err = render(Stream::Err, WALL, b"e\n", rest);
            let log = [out.text.clone(), err.text].concat();
            let expected = Tally { whole: log.len() as u64, out: out.taken as u64, err: 2 };
            assert_eq!(tally(&log), expected);
            for torn in 1..60 {
                let cut = tally(&log[..log.len() - torn]);
                assert!(cut.whole <= (log.len() - torn) as u64 && log[..cut.whole as usize].ends_with(b"\n"));
            }
        }
    }
}
