//! What kubectl's reader takes and YAML does not.

use std::borrow::Cow;

use serde_yaml::granit_parser::{ErrorKind, Parser};

use super::parser_options;

/// Stands for the backslash of a mended `\'` until the scalar is read. One character for one character, so that
/// no column moves. From the private use area: a text that has it already is not mended.
pub(super) const MENDED: char = '\u{E000}';

/// kubectl's reader takes `\'` in double quotes for `'`. YAML does not, and published manifests rely on it.
pub(super) fn mend(text: &str) -> Cow<'_, str> {
    const MOST_MENDED: usize = 64; // each one costs a pass over the text
    let mut text = Cow::Borrowed(text);
    if !text.contains("\\'") || text.contains(MENDED) {
        return text;
    }
    for _ in 0..MOST_MENDED {
        let Some(mended) = bad_escape(&text).and_then(|start| mend_scalar(&text, start)) else { break };
        text = Cow::Owned(mended);
    }
    text
}

/// The byte at which the first double-quoted scalar with an unknown escape begins.
fn bad_escape(text: &str) -> Option<usize> {
    let error = Parser::new_from_str_with_options(text, parser_options()).find_map(Result::err)?;
    let unknown = *error.kind() == ErrorKind::UnknownQuotedScalarEscape;
    unknown.then(|| error.marker().byte_offset()).flatten()
}

/// The text with every `\'` of that scalar mended; `None` if there is none.
fn mend_scalar(text: &str, start: usize) -> Option<String> {
    let (before, scalar) = text.split_at_checked(start)?;
    let mut mended = before.to_owned();
    let mut letters = scalar.strip_prefix('"')?.chars();
    mended.push('"');
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\' && letters.as_str().starts_with('\'')) {
            (_, true) => mended.push(MENDED),
            ('\\', false) => mended.extend([Some('\\'), letters.next()].into_iter().flatten()),
            ('"', false) => {
                mended.push('"');
                break;
            }
            (other, false) => mended.push(other),
        }
    }
    mended.push_str(letters.as_str());
    (mended != text).then_some(mended)
}
