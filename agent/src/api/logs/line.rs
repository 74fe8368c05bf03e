//! Lines of a CRI log file, and what of them a reader of the log gets to see. Pure.
//!
//! `<RFC 3339> <stdout|stderr> <F|P> <content>`: `P` is a piece of a line that goes on in the stream's next entry.

use jiff::Timestamp;

/// One entry of the file, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// As it is written.
    stamp: &'a str,
    stream: Stream,
    tag: Tag,
    content: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Full,
    Partial,
}

impl<'a> Entry<'a> {
    /// `None` if the line is not of that form.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let stamp = str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Out,
            b"stderr" => Stream::Err,
            _ => return None,
        };
        // The runtime may add further tags after a colon.
        let tag = match parts.next()?.split(|byte| *byte == b':').next()? {
            b"F" => Tag::Full,
            b"P" => Tag::Partial,
            _ => return None,
        };
        Some(Self { stamp, stream, tag, content: parts.next()? })
    }

    /// Whether a line of output ends here.
    pub(super) fn ends_line(&self) -> bool {
        self.tag == Tag::Full
    }
}

/// Whether lines are shown with the time they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stamps {
    #[default]
    Hidden,
    Shown,
}

/// Turns entries into what is shown. Remembers which stream is in the middle of a line.
#[derive(Debug, Default)]
pub(super) struct Print {
    pub(super) stamps: Stamps,
    /// Nothing older is shown.
    pub(super) since: Option<Timestamp>,
    out: Middle,
    err: Middle,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Middle {
    #[default]
    No,
    Yes,
}

impl Print {
    pub(super) fn new(stamps: Stamps, since: Option<Timestamp>) -> Self {
        Self { stamps, since, ..Self::default() }
    }

    /// Adds what is to be seen of one line of the file. A line that is no entry is shown as it stands.
    pub(super) fn line(&mut self, line: &[u8], page: &mut Vec<u8>) {
        let Some(entry) = Entry::parse(line) else {
            page.extend_from_slice(line);
            page.push(b'\n');
            return;
        };
        if self.since.is_some_and(|since| entry.stamp.parse().is_ok_and(|stamp: Timestamp| stamp < since)) {
            return;
        }
        let middle = match entry.stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        if self.stamps == Stamps::Shown && *middle == Middle::No {
            page.extend_from_slice(entry.stamp.as_bytes());
            page.push(b' ');
        }
        page.extend_from_slice(entry.content);
        *middle = match entry.tag {
            Tag::Full => Middle::No,
            Tag::Partial => Middle::Yes,
        };
        if entry.tag == Tag::Full {
            page.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stamps: Stamps, since: Option<&str>, lines: &[&str], expected: &str) {
        let since = since.map(|since| since.parse().unwrap());
        let (mut print, mut page) = (Print::new(stamps, since), Vec::new());
        for line in lines {
            print.line(line.as_bytes(), &mut page);
        }
        assert_eq!(String::from_utf8_lossy(&page), expected, "{lines:?}");
    }

    #[test]
    fn entries_become_the_output_they_were() {
        let one = "2026-11-23T10:00:00.123456789Z stdout F hello world";
        let empty = "2026-11-23T10:00:01Z stderr F ";
        let piece = "2026-11-23T10:00:02Z stdout P pie";
        let rest = "2026-11-23T10:00:03Z stdout F ce";
        let tagged = "2026-11-23T10:00:04Z stdout F:x y";
        check(Stamps::Hidden, None, &[one], "hello world\n");
        check(Stamps::Hidden, None, &[empty], "\n");
        check(Stamps::Hidden, None, &[piece, rest], "piece\n");
        check(Stamps::Hidden, None, &[tagged], "y\n");
        check(Stamps::Shown, None, &[one], "2026-11-23T10:00:00.123456789Z hello world\n");
        check(
            Stamps::Shown,
            None,
            &[piece, rest, rest],
            "2026-11-23T10:00:02Z piece\n2026-11-23T10:00:03Z ce\n",
        );
        check(
            Stamps::Shown,
            None,
            &[piece, empty, rest],
            "2026-11-23T10:00:02Z pie2026-11-23T10:00:01Z \nce\n",
        );
        check(Stamps::Hidden, Some("2026-11-23T10:00:01Z"), &[one, empty, rest], "\nce\n");
        check(Stamps::Hidden, Some("2026-11-23T11:00:00+01:00"), &[one], "hello world\n");
    }

    #[test]
    fn what_is_no_entry_is_shown_as_it_stands() {
        for line in
            ["", "torn", "2026-11-23T10:00:00Z stdout", "2026-11-23T10:00:00Z stdin F x", "a stdout X b"]
        {
            check(Stamps::Shown, Some("2026-11-23T10:00:00Z"), &[line], &format!("{line}\n"));
        }
    }
}
