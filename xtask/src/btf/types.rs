//! Kernel type information (BTF) as a list of types that can be taken apart and written again. What a type means is
//! not known here. It shares no code with the agent's reader: one checks the other.
//!
//! Format: <https://docs.kernel.org/bpf/btf.html>

use std::{collections::BTreeMap, iter};

use anyhow::{Context, Result, ensure};

/// Magic number, version 1, no flags, and the header's length.
pub(super) const START: [u8; 8] = [0x9f, 0xeb, 1, 0, HEADER as u8, 0, 0, 0];
pub(super) const HEADER: usize = 24;

pub(super) const POINTER: u32 = 2;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const FUNC: u32 = 12;
pub(super) const FUNC_PROTO: u32 = 13;
pub(super) const DATA_SECTION: u32 = 15;
/// Typedef, volatile, const, restrict, type tag: they stand for what they refer to.
pub(super) const WRAPPERS: [u32; 5] = [TYPEDEF, 9, 10, 11, 18];

/// What a word after the head of a type is.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    Name,
    /// Another type's number.
    Id,
    Value,
}

use Word::{Id, Name, Value};

/// The words after the head of a kind: those that come once, and those that come with each entry.
fn words(kind: u32) -> Result<(&'static [Word], &'static [Word])> {
    Ok(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => (&[], &[]),
        // Integer, variable, declaration tag.
        1 | 14 | 17 => (&[Value], &[]),
        // Array.
        3 => (&[Id, Id, Value], &[]),
        // Structure, union.
        4 | 5 => (&[], &[Name, Id, Value]),
        // Enumeration.
        6 => (&[], &[Name, Value]),
        // Function prototype.
        13 => (&[], &[Name, Id]),
        // Data section.
        15 => (&[], &[Id, Value, Value]),
        // 64-bit enumeration.
        19 => (&[], &[Name, Value, Value]),
        _ => anyhow::bail!("type information has the kind {kind}, which is not known"),
    })
}

/// Whether the third word of the head is another type's number, not a size.
fn is_reference(kind: u32) -> bool {
    matches!(kind, 2 | 8..=14 | 17 | 18)
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Type {
    name: u32,
    info: u32,
    pub(super) size_or_type: u32,
    tail: Vec<u32>,
}

impl Type {
    pub(super) fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// In a structure: a member's place has the size of its bit field in the upper eight bits.
    pub(super) fn has_bit_sizes(&self) -> bool {
        self.info >> 31 == 1
    }

    pub(super) fn length(&self) -> usize {
        self.tail.len()
    }

    /// The words of each entry: members, arguments, variables.
    pub(super) fn entries(&self) -> Result<Vec<&[u32]>> {
        let (once, each) = words(self.kind())?;
        Ok(if each.is_empty() { Vec::new() } else { self.tail[once.len()..].chunks(each.len()).collect() })
    }

    /// The same with only those entries for which `keep` is true of their place in the list.
    pub(super) fn with_entries(&self, keep: impl Fn(usize) -> bool) -> Result<Self> {
        let kept: Vec<&[u32]> = self
            .entries()?
            .into_iter()
            .enumerate()
            .filter_map(|(at, entry)| keep(at).then_some(entry))
            .collect();
        let info = self.info & !0xffff | u32::try_from(kept.len())?;
        Ok(Self { info, tail: kept.concat(), ..self.clone() })
    }

    /// The types it refers to.
    pub(super) fn references(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        self.clone().replace(|word, value| {
            found.extend((word == Id && value != 0).then_some(value));
            Ok(value)
        })?;
        Ok(found)
    }

    /// Puts another value for each word.
    fn replace(&mut self, mut by: impl FnMut(Word, u32) -> Result<u32>) -> Result<()> {
        let (once, each) = words(self.kind())?;
        self.name = by(Name, self.name)?;
        if is_reference(self.kind()) {
            self.size_or_type = by(Id, self.size_or_type)?;
        }
        for (value, word) in self.tail.iter_mut().zip(once.iter().chain(each.iter().cycle())) {
            *value = by(*word, *value)?;
        }
        Ok(())
    }
}

/// The types of a kernel; the first has number 1.
pub(super) struct Types {
    types: Vec<Type>,
    strings: Vec<u8>,
}

impl Types {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let (types, strings) = sections(bytes).context("this is no type information")?;
        let mut rest =
            types.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let mut types = Vec::new();
        while let Some(name) = rest.next() {
            let (info, size_or_type) = rest.next().zip(rest.next()).context("a type is cut off")?;
            let (once, each) = words(info >> 24 & 0x1f)?;
            let length = once.len() + each.len() * (info & 0xffff) as usize;
            let tail: Vec<u32> = rest.by_ref().take(length).collect();
            ensure!(tail.len() == length, "type {} is cut off", types.len() + 1);
            types.push(Type { name, info, size_or_type, tail });
        }
        Ok(Self { types, strings: strings.to_vec() })
    }

    pub(super) fn at(&self, id: u32) -> Result<&Type> {
        let found = (id as usize).checked_sub(1).and_then(|at| self.types.get(at));
        found.with_context(|| format!("there is no type {id}"))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Type)> {
        iter::successors(Some(1), |id| Some(id + 1)).zip(&self.types)
    }

    /// Names begin at a place in the strings and end with a zero.
    pub(super) fn text(&self, at: u32) -> &[u8] {
        let from = self.strings.get(at as usize..).unwrap_or_default();
        from.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    pub(super) fn name(&self, of: &Type) -> &[u8] {
        self.text(of.name)
    }

    /// The file of `kept` types, in this order and numbered anew, with no names but theirs.
    pub(super) fn written(&self, kept: &BTreeMap<u32, Type>) -> Result<Vec<u8>> {
        let numbers: BTreeMap<u32, u32> = kept.keys().copied().zip(1..).collect();
        let mut names = Names { strings: vec![0], places: BTreeMap::from([(&[][..], 0)]) };
        let mut types = Vec::new();
        for ty in kept.values() {
            let mut ty = ty.clone();
            ty.replace(|word, value| match word {
                Name => names.place(self.text(value)),
                Id if value != 0 => numbers.get(&value).copied().context("a type was left behind"),
                Id | Value => Ok(value),
            })?;
            let head = [ty.name, ty.info, ty.size_or_type];
            types.extend(head.iter().chain(&ty.tail).flat_map(|word| word.to_le_bytes()));
        }
        let (length, names) = (u32::try_from(types.len())?, names.strings);
        let mut bytes = START.to_vec();
        for word in [0, length, length, u32::try_from(names.len())?] {
            bytes.extend(word.to_le_bytes());
        }
        Ok([bytes, types, names].concat())
    }
}

/// The strings of a new file, each once.
struct Names<'a> {
    strings: Vec<u8>,
    places: BTreeMap<&'a [u8], u32>,
}

impl<'a> Names<'a> {
    fn place(&mut self, text: &'a [u8]) -> Result<u32> {
        let end = u32::try_from(self.strings.len())?;
        let place = *self.places.entry(text).or_insert(end);
        if place == end {
            self.strings.extend(text);
            self.strings.push(0);
        }
        Ok(place)
    }
}

/// The types and the strings at the start of `bytes`, if it starts with type information.
pub(super) fn sections(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let (types_at, types, strings_at, strings) = (word(8)?, word(12)?, word(16)?, word(20)?);
    if !bytes.starts_with(&START) || types_at != 0 || strings_at != types || types % 4 != 0 {
        return None;
    }
    let (types, rest) = bytes.get(HEADER..)?.split_at_checked(types)?;
    let strings = rest.get(..strings)?;
    (strings.first() == Some(&0) && strings.last() == Some(&0)).then_some((types, strings))
}
