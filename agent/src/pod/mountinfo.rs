//! A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)), read. No I/O.

use std::path::PathBuf;

/// One mount of a mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Not used twice as long as it is mounted.
    pub(crate) id: u64,
    pub(crate) point: PathBuf,
    /// It passes on what is mounted below it, to the other members of its group.
    pub(crate) shared: bool,
    /// It is passed what is mounted below its master.
    pub(crate) slave: bool,
}

/// The mounts of a whole table, in its order: of two at one place the later lies above.
pub(crate) fn table(text: &str) -> Vec<Mounted> {
    text.lines().filter_map(line).collect()
}

/// A line has six fields, then tags up to a `-`.
fn line(line: &str) -> Option<Mounted> {
    let mut fields = line.split(' ');
    let id = fields.next()?.parse().ok()?;
    let point = unescaped(fields.nth(3)?);
    let tags: Vec<&str> = fields.skip(1).take_while(|tag| *tag != "-").collect();
    let tagged = |start: &str| tags.iter().any(|tag| tag.starts_with(start));
    Some(Mounted { id, point, shared: tagged("shared:"), slave: tagged("master:") })
}

/// Undoes the octal escapes of blanks and backslashes.
fn unescaped(field: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let field = field.as_bytes();
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\').then(|| tail.get(..3)).flatten();
        let escaped = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|text| u8::from_str_radix(text, 8).ok());
        path.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_a_mount_is_and_with_whom_it_shares() {
        let rows = [
            (
                "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw",
                Some((36, "/mnt2", false, true)),
            ),
            (r"37 35 98:0 / /a\040b\134c rw - tmpfs shared:9 rw", Some((37, r"/a b\c", false, false))),
            ("38 1 8:1 / / rw shared:1 master:2 propagate_from:3 - ext4 d rw", Some((38, "/", true, true))),
            ("36 35", None),
        ];
        for (text, wanted) in rows {
            let wanted =
                wanted.map(|(id, point, shared, slave)| Mounted { id, point: point.into(), shared, slave });
            assert_eq!(line(text), wanted, "{text}");
        }
    }
}
