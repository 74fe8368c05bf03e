//! Whose a certificate is: common name and organization, read out of its DER. For certificates that were verified to be an
//! authority's of ours; others are answered with `None` at worst. Checks no signature and no date.

/// Kubernetes' reading of a certificate's subject: the common name is the user, the organization a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) user: String,
    pub(crate) group: String,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
/// `[0]`: the version, which comes first.
const VERSION: u8 = 0xa0;
/// 2.5.4.3 and 2.5.4.10 as they are encoded.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// The subject of a certificate; `None` if it lacks one of the names, or is no certificate.
pub(crate) fn subject(certificate: &[u8]) -> Option<Subject> {
    let mut certificate = Der(certificate).within(SEQUENCE)?;
    let mut signed = certificate.within(SEQUENCE)?;
    signed.within(VERSION)?;
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        signed.next()?;
    }
    let mut names = signed.within(SEQUENCE)?;
    let (mut user, mut group) = (None, None);
    while let Some(mut name) = names.within(SET) {
        let mut pair = name.within(SEQUENCE)?;
        let kind = pair.within(OID)?;
        let (_, text) = pair.next()?;
        let text = str::from_utf8(text).ok().map(str::to_owned);
        match kind.0 {
            COMMON_NAME => user = text,
            ORGANIZATION => group = text,
            _ => {}
        }
    }
    Some(Subject { user: user?, group: group? })
}

/// What is still to be read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element, if it is of that kind: what is in it.
    fn within(&mut self, kind: u8) -> Option<Self> {
        let (found, content) = self.next()?;
        (found == kind).then_some(Self(content))
    }

    /// Kind and content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [kind, length, rest @ ..] = self.0 else { return None };
        // A length below 128 stands for itself, else it says how many bytes hold it.
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*kind, content))
    }
}
