//! Variables from files in a pod's volumes (`fileKeyRef`, KEP-3721). What a file may hold is a small part of what a shell
//! takes: `NAME='any text, over several lines too' # a comment`.

use std::{collections::BTreeMap, fs::File, io::Read};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use super::{Tools, container::Order, volume};
use crate::pod::{
    given::{Found, Setting, environment},
    source::{FileKey, Need},
};

/// A longer file is none of variables.
const LONGEST: u64 = 1 << 20;

/// The variables of the container that is to start, in the kubelet's words if they cannot be had.
pub(super) fn variables(
    tools: &Tools,
    order: &Order,
    settings: &[Setting],
) -> Found<BTreeMap<String, String>> {
    environment(settings, |key| value(tools, order, key))
}

fn value(tools: &Tools, order: &Order, key: &FileKey) -> Found<Option<String>> {
    let volume = order.spec.volumes.iter().find(|volume| volume.name == key.volume);
    let volume =
        volume.ok_or_else(|| format!("cannot find the volume {:?} referenced by FileKeyRef", key.volume))?;
    let pod = tools.places.pod(&order.spec.uid);
    let root = volume::path_of(&tools.places, &pod, &order.spec.name, volume);
    let fault = |why: &dyn std::fmt::Display| format!("couldn't parse env file {:?}: {why}", key.path);
    let found = match read(&root, &key.path) {
        Ok(text) => find(&text, &key.key).map_err(|e| fault(&e))?,
        // The kubelet refuses this as well, against what the API says of `optional`; here it is as the API says.
        Err(Errno::NOENT) if key.need == Need::Optional => None,
        Err(e) => return Err(fault(&e)),
    };
    match (found, key.need) {
        (None, Need::Required) => {
            Err(format!("environment variable key {:?} not found in file {:?}", key.key, key.path))
        }
        (found, _) => Ok(found),
    }
}

/// A container wrote it: it must not lead out of its volume, nor be anything that never ends.
fn read(root: &std::path::Path, path: &str) -> Result<String, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, path, flags, Mode::empty(), within)?);
    let fault = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    let about = file.metadata().map_err(fault)?;
    if !about.is_file() {
        return Err(Errno::INVAL);
    }
    if about.len() > LONGEST {
        return Err(Errno::FBIG);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(fault)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first value of a name, by the rules of the kubelet's `ParseEnv` (1.35). What comes after it is not looked at.
fn find(text: &str, wanted: &str) -> Result<Option<String>, String> {
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault =
            |number: u32, what: &str| format!("invalid environment variable format at line {number}: {what}");
        let (name, value) = line.split_once('=').ok_or_else(|| fault(number, "missing '='"))?;
        if name.trim_end_matches([' ', '\t']).is_empty() {
            return Err(fault(number, "empty variable name"));
        }
        if name.ends_with([' ', '\t']) {
            return Err(fault(number, "whitespace before '=' is not allowed"));
        }
        // As in a shell, white space ends the value before it has begun.
        if value.starts_with([' ', '\t']) {
            if name == wanted {
                return Ok(Some(String::new()));
            }
            continue;
        }
        let Some(mut rest) = value.strip_prefix('\'') else {
            return Err(fault(number, "value must be enclosed in single quotes"));
        };
        let (mut value, mut at) = (String::new(), number);
        let after = loop {
            if let Some((last, after)) = rest.split_once('\'') {
                value.push_str(last);
                break after;
            }
            value.push_str(rest);
            value.push('\n');
            (rest, at) = lines.next().ok_or_else(|| {
                format!(
                    "invalid environment variable format starting at line {number}: unclosed single quote"
                )
            })?;
        };
        let after = after.trim_start_matches([' ', '\t']);
        if !after.is_empty() && !after.starts_with('#') {
            return Err(fault(at, "unexpected content after closing quote"));
        }
        if name == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_in_single_quotes_and_is_taken_as_it_is() {
        let rows: [(&str, Result<Option<&str>, &str>); 16] = [
            ("# a comment\n\n \tA='1'\nK='v'\nK='later'\n", Ok(Some("v"))),
            ("K='a=b # \"$c\" \\n'  # said\n", Ok(Some("a=b # \"$c\" \\n"))),
            ("K='one\n\n  two'\nL='x'\n", Ok(Some("one\n\n  two"))),
            ("A='one\nK=two'\nK=''\n", Ok(Some(""))),
            ("K= 'v'\n", Ok(Some(""))),
            ("A= 'v'\nK='w'\n", Ok(Some("w"))),
            ("A='1'\n", Ok(None)),
            ("", Ok(None)),
            ("K='v'\nnonsense", Ok(Some("v"))),
            ("nonsense\nK='v'", Err("at line 1: missing '='")),
            ("='v'\n", Err("at line 1: empty variable name")),
            ("\nK ='v'\n", Err("at line 2: whitespace before '=' is not allowed")),
            ("K=v\n", Err("at line 1: value must be enclosed in single quotes")),
            ("K='v'w\n", Err("at line 1: unexpected content after closing quote")),
            ("A='1\n2' 3\nK='v'\n", Err("at line 2: unexpected content after closing quote")),
            ("A='1\nK=v\n", Err("starting at line 1: unclosed single quote")),
        ];
        for (text, expected) in rows {
            let found = find(text, "K");
            match expected {
                Ok(value) => assert_eq!(found, Ok(value.map(str::to_owned)), "{text:?}"),
                Err(part) => assert!(found.as_ref().is_err_and(|e| e.ends_with(part)), "{text:?}: {found:?}"),
            }
        }
    }
}
