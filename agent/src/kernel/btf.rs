//! Reads the kernel's own description of its types (BTF), as far as the programs' offsets need it.
//!
//! Pure: bytes in, answers out, every access checked. It knows no structure by name and keeps no copy of the
//! names. Format: <https://docs.kernel.org/bpf/btf.html>

use std::ops::Range;

use thiserror::Error;

/// Bytes that are not BTF, or BTF of a kind this build does not know.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BtfError {
    #[error("decode type information: it ends early, at byte {at}")]
    Truncated { at: usize },
    #[error("decode type information: magic number {found:#06x} instead of {MAGIC:#06x}")]
    Magic { found: u16 },
    #[error("decode type information: kind {kind} at byte {at} is not known")]
    Kind { kind: u8, at: usize },
}

const MAGIC: u16 = 0xeb9f;

/// Typedefs, qualifiers and anonymous members nest a handful deep; a file that nests more is not the
/// kernel's.
const DEEPEST: usize = 32;

/// The kinds asked about. The others are only stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Pointer = 2,
    Struct = 4,
    Union = 5,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    TypeTag = 18,
}

/// Number of a type in the file. 0 is `void`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeId(u32);

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Bytes from the start of the structure.
    pub(crate) offset: u32,
    pub(crate) of: TypeId,
}

/// A file of type information.
pub(crate) struct Btf {
    bytes: Vec<u8>,
    strings: Range<usize>,
    /// Where each type begins; type 1 is the first.
    types: Vec<usize>,
}

/// The head of one type.
struct Type {
    at: usize,
    name: u32,
    kind: u8,
    entries: usize,
    /// The size, or the type it refers to.
    size_or_type: u32,
    /// In a structure: members say their bit field size too.
    flag: bool,
}

impl Btf {
    /// Indexes the types.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let magic = u16::from_ne_bytes(array(&bytes, 0)?);
        if magic != MAGIC {
            return Err(BtfError::Magic { found: magic });
        }
        let header = word(&bytes, 4)? as usize;
        let section = |at: usize| -> Result<Range<usize>, BtfError> {
            let start = header.saturating_add(word(&bytes, at)? as usize);
            let end = start.saturating_add(word(&bytes, at + 4)? as usize);
            if end > bytes.len() { Err(BtfError::Truncated { at: bytes.len() }) } else { Ok(start..end) }
        };
        let (types, strings) = (section(8)?, section(16)?);
        let types = index(&bytes, types)?;
        Ok(Self { bytes, strings, types })
    }

    /// The type of that kind and name.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        let found = self.types.iter().position(|at| {
            head(&self.bytes, *at).is_ok_and(|ty| ty.kind == kind as u8 && self.is_named(ty.name, name))
        })?;
        u32::try_from(found + 1).ok().map(TypeId)
    }

    /// A field by its path, `structure.member.member`. Members of anonymous structures count as the outer
    /// one's.
    pub(crate) fn field(&self, path: &str) -> Option<Field> {
        let mut names = path.split('.');
        let start = Field { offset: 0, of: self.find(Kind::Struct, names.next()?)? };
        names.try_fold(start, |outer, name| {
            let inner = self.member(outer.of, name, DEEPEST)?;
            Some(Field { offset: outer.offset.checked_add(inner.offset)?, of: inner.of })
        })
    }

    /// The types of a tracepoint's arguments, from `typedef void (*btf_trace_NAME)(void *, …)`.
    pub(crate) fn tracepoint(&self, name: &str) -> Option<Vec<TypeId>> {
        let typedef = self.find(Kind::Typedef, &format!("btf_trace_{name}"))?;
        let pointer = self.plain(typedef)?;
        let proto = self.plain(TypeId(pointer.size_or_type))?;
        if pointer.kind != Kind::Pointer as u8 || proto.kind != Kind::FuncProto as u8 {
            return None;
        }
        // The first argument is the tracer's own.
        (1..proto.entries)
            .map(|entry| word(&self.bytes, proto.at + 12 + 8 * entry + 4).ok().map(TypeId))
            .collect()
    }

    /// Whether a type is a pointer to the structure of that name.
    pub(crate) fn points_to(&self, id: TypeId, name: &str) -> bool {
        let target = self.plain(id).filter(|ty| ty.kind == Kind::Pointer as u8);
        let target = target.and_then(|pointer| self.plain(TypeId(pointer.size_or_type)));
        target.is_some_and(|ty| ty.kind == Kind::Struct as u8 && self.is_named(ty.name, name))
    }

    fn member(&self, id: TypeId, name: &str, deepest: usize) -> Option<Field> {
        let outer = self.plain(id)?;
        if deepest == 0 || ![Kind::Struct as u8, Kind::Union as u8].contains(&outer.kind) {
            return None;
        }
        (0..outer.entries).find_map(|entry| {
            let at = outer.at + 12 + 12 * entry;
            let (member_name, of) = (word(&self.bytes, at).ok()?, TypeId(word(&self.bytes, at + 4).ok()?));
            let bits = word(&self.bytes, at + 8).ok()?;
            let (bits, is_bit_field) =
                if outer.flag { (bits & 0xff_ffff, bits >> 24 != 0) } else { (bits, false) };
            if member_name == 0 {
                let inner = self.member(of, name, deepest - 1)?;
                return Some(Field { offset: inner.offset.checked_add(bits / 8)?, of: inner.of });
            }
            (!is_bit_field && self.is_named(member_name, name)).then_some(Field { offset: bits / 8, of })
        })
    }

    /// The type behind typedefs, qualifiers and tags.
    fn plain(&self, id: TypeId) -> Option<Type> {
        const WRAPPERS: [u8; 5] = [
            Kind::Typedef as u8,
            Kind::Volatile as u8,
            Kind::Const as u8,
            Kind::Restrict as u8,
            Kind::TypeTag as u8,
        ];
        let mut ty = self.at(id)?;
        for _ in 0..DEEPEST {
            if !WRAPPERS.contains(&ty.kind) {
                return Some(ty);
            }
            ty = self.at(TypeId(ty.size_or_type))?;
        }
        None
    }

    fn at(&self, id: TypeId) -> Option<Type> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        head(&self.bytes, *self.types.get(index)?).ok()
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let text = self.bytes.get(self.strings.clone()).and_then(|all| all.get(offset as usize..));
        text.and_then(|text| text.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Steps from type to type.
fn index(bytes: &[u8], section: Range<usize>) -> Result<Vec<usize>, BtfError> {
    let mut types = Vec::new();
    let mut at = section.start;
    while at < section.end {
        let ty = head(bytes, at)?;
        types.push(at);
        at += 12 + tail(&ty)?;
    }
    if at == section.end { Ok(types) } else { Err(BtfError::Truncated { at: section.end }) }
}

fn head(bytes: &[u8], at: usize) -> Result<Type, BtfError> {
    let info = word(bytes, at + 4)?;
    Ok(Type {
        at,
        name: word(bytes, at)?,
        kind: (info >> 24 & 0x1f) as u8,
        entries: (info & 0xffff) as usize,
        size_or_type: word(bytes, at + 8)?,
        flag: info >> 31 == 1,
    })
}

/// How many bytes follow the head of a type.
fn tail(ty: &Type) -> Result<usize, BtfError> {
    match ty.kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => Ok(0),
        // Integer, variable, declaration tag.
        1 | 14 | 17 => Ok(4),
        // Array.
        3 => Ok(12),
        // Structure, union, data section, 64-bit enumeration.
        4 | 5 | 15 | 19 => Ok(12 * ty.entries),
        // Enumeration, function prototype.
        6 | 13 => Ok(8 * ty.entries),
        kind => Err(BtfError::Kind { kind, at: ty.at }),
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    array(bytes, at).map(u32::from_ne_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BtfError> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or(BtfError::Truncated { at: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file under construction.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Builder {
        fn new() -> Self {
            Self { strings: vec![0], ..Self::default() }
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            let at = u32::try_from(self.strings.len()).unwrap();
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn words(&mut self, words: &[u32]) {
            self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        }

        fn plain(mut self, kind: u32, name: &str, of: u32) -> Self {
            let name = self.name(name);
            self.words(&[name, kind << 24, of]);
            self
        }

        /// Members are (name, type, bit offset).
        fn group(mut self, kind: u32, flag: u32, name: &str, members: &[(&str, u32, u32)]) -> Self {
            let name = self.name(name);
            self.words(&[name, flag << 31 | kind << 24 | u32::try_from(members.len()).unwrap(), 64]);
            for (member, of, bits) in members {
                let member = self.name(member);
                self.words(&[member, *of, *bits]);
            }
            self
        }

        fn proto(mut self, arguments: &[u32]) -> Self {
            self.words(&[0, 13 << 24 | u32::try_from(arguments.len()).unwrap(), 0]);
            for of in arguments {
                self.words(&[0, *of]);
            }
            self
        }

        fn finish(self) -> Vec<u8> {
            let (types, strings) =
                (u32::try_from(self.types.len()).unwrap(), u32::try_from(self.strings.len()).unwrap());
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            bytes.extend([24, 0, types, types, strings].iter().flat_map(|word| word.to_ne_bytes()));
            bytes.extend(self.types);
            bytes.extend(self.strings);
            bytes
        }
    }

    /// 1 int, 2 const int, 3 union in which `deep` is, 4 task, 5 pointer to task, 6 prototype, 7 pointer to
    /// it, 8 its name.
    fn sample() -> Vec<u8> {
        let mut builder = Builder::new().plain(1, "int", 4);
        builder.words(&[32]);
        builder
            .plain(10, "", 1)
            .group(5, 0, "", &[("shallow", 1, 0), ("deep", 2, 0)])
            .group(
                4,
                1,
                "task",
                &[("first", 1, 0), ("narrow", 1, 3 << 24 | 32), ("", 3, 64), ("last", 2, 128)],
            )
            .plain(2, "", 4)
            .proto(&[5, 5, 1])
            .plain(2, "", 6)
            .plain(8, "btf_trace_end", 7)
            .finish()
    }

    #[test]
    fn a_field_is_found_through_anonymous_members_but_not_in_bits() {
        #[track_caller]
        fn check(path: &str, offset: Option<u32>) {
            let btf = Btf::parse(sample()).unwrap();
            assert_eq!(btf.field(path).map(|field| field.offset), offset, "{path}");
        }
        check("task.first", Some(0));
        check("task.deep", Some(8));
        check("task.last", Some(16));
        check("task.narrow", None);
        check("task.las", None);
        check("task.first.more", None);
        check("nothing.first", None);
        check("", None);
    }

    #[test]
    fn a_tracepoint_has_the_arguments_after_the_tracers_own() {
        let btf = Btf::parse(sample()).unwrap();
        let arguments = btf.tracepoint("end").unwrap();
        assert_eq!(arguments, [TypeId(5), TypeId(1)]);
        assert!(btf.points_to(arguments[0], "task"));
        assert!(!btf.points_to(arguments[1], "task"));
        assert!(!btf.points_to(arguments[0], "cgroup"));
        assert_eq!(btf.tracepoint("start"), None);
    }

    #[test]
    fn a_file_that_is_damaged_anywhere_is_refused_or_answers_something() {
        let good = sample();
        for end in 0..good.len() {
            assert!(Btf::parse(good[..end].to_vec()).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(btf) = Btf::parse(bad) {
                    let _any = (btf.field("task.deep"), btf.tracepoint("end"));
                }
            }
        }
    }

    #[test]
    fn a_kind_of_the_future_and_a_wrong_magic_are_named() {
        let unknown = Builder::new().plain(20, "", 0).finish();
        assert_eq!(Btf::parse(unknown).err(), Some(BtfError::Kind { kind: 20, at: 24 }));
        assert_eq!(Btf::parse(vec![0; 64]).err(), Some(BtfError::Magic { found: 0 }));
    }

    #[test]
    fn types_that_refer_to_each_other_end_the_search() {
        let typedefs = Builder::new().plain(8, "btf_trace_a", 2).plain(8, "b", 1).finish();
        assert_eq!(Btf::parse(typedefs).unwrap().tracepoint("a"), None);
        let nested = Builder::new().group(4, 0, "s", &[("", 1, 0)]).finish();
        assert_eq!(Btf::parse(nested).unwrap().field("s.x"), None);
    }
}
