//! Messages of the packet filter's part of netlink, as bytes. No I/O.
//!
//! ```text
//! nlmsghdr: length u32, kind u16, flags u16, sequence u32, port u32 │ nfgenmsg: family u8, version u8, 0 u16 │ attributes
//! nlattr:   length u16, kind u16 │ value, padded to four
//! ```

/// Of both headers.
const HEADERS: usize = 16 + 4;
const ATTRIBUTE: usize = 4;
/// Says of an attribute that others are in it (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`); no part of its kind.
const MARKS: u16 = 0xc000;

/// A message's kind, and its attributes. What is cut off is no message.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        // Some that end a list are no more than a header.
        let body = rest.get(HEADERS.min(length)..length)?;
        rest = behind(rest, length)?;
        Some((kind, body))
    })
}

/// An attribute's kind and its value.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & !MARKS;
        let value = rest.get(ATTRIBUTE..length)?;
        rest = behind(rest, length)?;
        Some((kind, value))
    })
}

fn behind(bytes: &[u8], length: usize) -> Option<&[u8]> {
    // Nothing moves on by nothing.
    (length > 0).then(|| bytes.get(length.next_multiple_of(4)..).unwrap_or_default())
}

/// The first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}

/// A whole message.
pub(crate) fn message(kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADERS + attributes.len()).unwrap_or(u32::MAX);
    let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8]].concat();
    [&header, &[family, 0, 0, 0][..], attributes].concat()
}

/// An attribute in which others are.
pub(crate) fn nest(kind: u16, value: &[u8]) -> Vec<u8> {
    /// `NLA_F_NESTED`
    const NESTED: u16 = 0x8000;
    plain(kind | NESTED, value)
}

pub(crate) fn plain(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_attributes_read_as_they_are_written() {
        let attributes_of = |value: &[u8]| [plain(1, value), nest(2, &plain(3, &[4]))].concat();
        let bytes = [message(7, 1, 2, &attributes_of(b"odd")), message(8, 1, 2, &[])].concat();
        let read: Vec<_> = messages(&bytes).collect();
        assert_eq!(read, [(7, &attributes_of(b"odd")[..]), (8, &[][..])]);
        assert_eq!(attribute(read[0].1, 1), Some(&b"odd"[..]));
        assert_eq!(attribute(read[0].1, 2).and_then(|nested| attribute(nested, 3)), Some(&[4][..]));
        assert_eq!(attribute(read[0].1, 9), None);
    }

    #[test]
    fn what_is_cut_off_or_makes_no_sense_ends_the_reading() {
        let whole = message(7, 1, 2, &plain(1, b"x"));
        for length in 0..whole.len() {
            assert_eq!(messages(&whole[..length]).count(), 0, "{length}");
        }
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[1, 0, 1, 0]).count(), 0);
        // NLMSG_DONE with its four bytes.
        let end = [&20_u32.to_ne_bytes()[..], &3_u16.to_ne_bytes(), &[0; 14]].concat();
        assert_eq!(messages(&end).collect::<Vec<_>>(), [(3, &[][..])]);
    }
}
