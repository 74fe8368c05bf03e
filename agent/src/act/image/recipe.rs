//! How to make a layer's tar again, byte for byte, from the tree it was unpacked into: so no packed copy is kept.
//!
//! While the tar is read, all of it that is not the content of a file goes to the recipe; of a content only which file
//! holds it.
//!
//! ```text
//! recipe   pieces in the order of the stream, packed with gzip
//! piece    0  length: u32                       bytes…   as they stood in the stream
//!          1  length: u64  crc: u32  name: u16  bytes…   the whole of that file below the tree
//! ```
//! Numbers are little-endian. Whether what is made again is the layer, its digest says: callers hash it.

use std::{
    cell::RefCell,
    ffi::OsStr,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use flate2::{Compression, Crc, bufread::GzDecoder, write::GzEncoder};
use rustix::fs::{Mode, OFlags, open};

use super::{entries::Name, error::Flaw, rooted::open_within};

const LITERAL: u8 = 0;
const CONTENT: u8 = 1;
/// Bytes of a stream that are kept in memory until they become a piece.
const PIECE: usize = 64 << 10;

/// Writes down a stream that is read through `listen`. What cannot be written is told at the end: to whoever reads, a
/// full disk is no broken archive.
pub(super) struct Recorder(RefCell<Tape>);

struct Tape {
    out: GzEncoder<BufWriter<File>>,
    literal: Vec<u8>,
    /// Set while a content goes by.
    content: Option<Crc>,
    /// Bytes that went by.
    size: u64,
    fault: Option<io::Error>,
}

impl Recorder {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let out = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::fast());
        Ok(Self(RefCell::new(Tape { out, literal: Vec::new(), content: None, size: 0, fault: None })))
    }

    /// The same stream, written down as it is read.
    pub(super) fn listen<R: Read>(&self, from: R) -> Listened<'_, R> {
        Listened { from, recorder: self }
    }

    /// What is read from here on is the content of one file.
    pub(super) fn begin_content(&self) {
        self.0.borrow_mut().content = Some(Crc::new());
    }

    /// That content is now the file of that name in the tree.
    pub(super) fn end_content(&self, name: &Name, length: u64) {
        let mut tape = self.0.borrow_mut();
        if let Some(crc) = tape.content.take() {
            tape.attempt(|tape| tape.content(name.path(), length, crc.sum()));
        }
    }

    /// How many bytes the stream had.
    pub(super) fn finish(self) -> io::Result<u64> {
        let mut tape = self.0.into_inner();
        tape.attempt(Tape::flush);
        let Tape { out, size, fault, .. } = tape;
        fault.map_or(Ok(()), Err)?;
        out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(size)
    }
}

impl Tape {
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.fault.is_none() {
            self.fault = write(self).err();
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.content {
            Some(crc) => crc.update(bytes),
            None => {
                self.literal.extend_from_slice(bytes);
                if self.literal.len() >= PIECE {
                    self.attempt(Self::flush);
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let literal = std::mem::take(&mut self.literal);
        if literal.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(literal.len()).map_err(io::Error::other)?;
        self.out.write_all(&[LITERAL])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&literal)
    }

    fn content(&mut self, name: &Path, length: u64, crc: u32) -> io::Result<()> {
        self.flush()?;
        let name = name.as_os_str().as_bytes();
        let name_length = u16::try_from(name.len()).map_err(io::Error::other)?;
        self.out.write_all(&[CONTENT])?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(&name_length.to_le_bytes())?;
        self.out.write_all(name)
    }
}

/// Writes down all of a stream, for a layer whose tree does not hold all that was in it. Gives back its size.
pub(super) fn record_whole(mut stream: impl Read, path: &Path) -> io::Result<u64> {
    let recorder = Recorder::create(path)?;
    io::copy(&mut recorder.listen(&mut stream), &mut io::sink())?;
    recorder.finish()
}

/// A stream that a recorder listens to.
pub(super) struct Listened<'a, R> {
    from: R,
    recorder: &'a Recorder,
}

impl<R: Read> Read for Listened<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(into)?;
        self.recorder.0.borrow_mut().heard(&into[..length]);
        Ok(length)
    }
}

/// A layer's tar, made again while it is read.
pub(super) struct Rebuilt {
    recipe: BufReader<GzDecoder<BufReader<File>>>,
    tree: OwnedFd,
    piece: Piece,
}

/// What is left of the piece at hand.
enum Piece {
    Literal(u64),
    Content(Content),
}

struct Content {
    file: File,
    name: PathBuf,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl Rebuilt {
    pub(super) fn open(recipe: &Path, tree: &Path) -> Result<Self, Flaw> {
        let read = |e| Flaw::Recipe { source: e };
        let recipe = BufReader::new(GzDecoder::new(BufReader::new(File::open(recipe).map_err(read)?)));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tree = open(tree, flags, Mode::empty())
            .map_err(|e| Flaw::Unreadable { name: tree.to_owned(), source: e.into() })?;
        Ok(Self { recipe, tree, piece: Piece::Literal(0) })
    }

    /// Goes on to the next piece; none at the end.
    fn advance(&mut self) -> Result<Option<()>, Flaw> {
        let mut kind = [0];
        let read = |e| Flaw::Recipe { source: e };
        if self.recipe.read(&mut kind).map_err(read)? == 0 {
            return Ok(None);
        }
        self.piece = match kind {
            [LITERAL] => Piece::Literal(u32::from_le_bytes(self.number()?).into()),
            [CONTENT] => Piece::Content(self.content()?),
            _ => return Err(read(io::ErrorKind::InvalidData.into())),
        };
        Ok(Some(()))
    }

    fn content(&mut self) -> Result<Content, Flaw> {
        let (length, expected) = (u64::from_le_bytes(self.number()?), u32::from_le_bytes(self.number()?));
        let mut name = vec![0; u16::from_le_bytes(self.number()?).into()];
        self.recipe.read_exact(&mut name).map_err(|source| Flaw::Recipe { source })?;
        let name = PathBuf::from(OsStr::from_bytes(&name));
        let file = self.file(&name, length)?;
        Ok(Content { file, name, left: length, crc: Crc::new(), expected })
    }

    fn file(&self, name: &Path, expected: u64) -> Result<File, Flaw> {
        let unreadable = |source| Flaw::Unreadable { name: name.to_owned(), source };
        // A fifo in its place would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(open_within(&self.tree, name, flags).map_err(|e| unreadable(e.into()))?);
        let about = file.metadata().map_err(unreadable)?;
        match about.len() {
            _ if !about.is_file() => Err(Flaw::NoFile { name: name.to_owned() }),
            actual if actual != expected => Err(Flaw::Size { name: name.to_owned(), expected, actual }),
            _ => Ok(file),
        }
    }

    fn number<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], Flaw> {
        let mut bytes = [0; BYTES];
        self.recipe.read_exact(&mut bytes).map_err(|source| Flaw::Recipe { source })?;
        Ok(bytes)
    }
}

impl Content {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Flaw> {
        let room = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut into[..room]);
        let length = read.map_err(|source| Flaw::Unreadable { name: self.name.clone(), source })?;
        self.crc.update(&into[..length]);
        self.left -= length as u64;
        let spoilt = (length == 0 && self.left > 0) || (self.left == 0 && self.crc.sum() != self.expected);
        if spoilt { Err(Flaw::Content { name: self.name.clone() }) } else { Ok(length) }
    }
}

impl Read for Rebuilt {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.piece {
                Piece::Literal(left) => literal(&mut self.recipe, left, into)?,
                Piece::Content(content) => content.read(into)?,
            };
            if read > 0 || into.is_empty() || self.advance()?.is_none() {
                return Ok(read);
            }
        }
    }
}

fn literal(recipe: &mut impl Read, left: &mut u64, into: &mut [u8]) -> Result<usize, Flaw> {
    let room = into.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    let length = recipe.read(&mut into[..room]).map_err(|source| Flaw::Recipe { source })?;
    if length == 0 && room > 0 {
        return Err(Flaw::Recipe { source: io::ErrorKind::UnexpectedEof.into() });
    }
    *left -= length as u64;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{
            budget::Budget,
            fixture::{Tar, Temporary, chain},
            unpack::unpack,
        },
        *,
    };

    /// A layer of every kind of entry, with a content longer than any buffer, and bytes after its end.
    fn layer() -> Vec<u8> {
        let long: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let tar = Tar::new()
            .dir("usr/lib")
            .symlink("lib", "usr/lib")
            .file("lib/long", &long)
            .hard_link("again", "lib/long")
            .pax("path", &[&b"d/".repeat(120)[..], b"deep"].concat())
            .file("short", "deep down")
            .pax("SCHILY.xattr.user.note", b"two\nlines")
            .file("empty", "")
            .file("one-block", [7; 512])
            .file(".wh..wh.plnk", "left out");
        [tar.done(), vec![0; 9000], b"a tool's own".to_vec()].concat()
    }

    fn unpacked(layer: &[u8], root: &Path) {
        let (tree, junk) = (root.join("tree"), root.join("junk"));
        for dir in [&tree, &junk] {
            fs::create_dir(dir).unwrap();
        }
        let recorder = Recorder::create(&root.join("recipe")).unwrap();
        unpack(layer, &tree, &junk, &recorder, &mut Budget::new(1000, 1 << 20, root)).unwrap();
        assert_eq!(recorder.finish().unwrap(), layer.len() as u64);
    }

    fn rebuilt(root: &Path) -> Result<Vec<u8>, Flaw> {
        let mut bytes = Vec::new();
        let mut tar = Rebuilt::open(&root.join("recipe"), &root.join("tree"))?;
        tar.read_to_end(&mut bytes).map_err(Flaw::of)?;
        Ok(bytes)
    }

    #[test]
    fn a_layer_is_packed_again_byte_for_byte() {
        let temporary = Temporary::new();
        let layer = layer();
        unpacked(&layer, temporary.path());
        assert!(rebuilt(temporary.path()).unwrap() == layer);
        let recipe = fs::metadata(temporary.path().join("recipe")).unwrap().len();
        assert!(recipe < 2000, "contents are in the recipe: it has {recipe} bytes");
    }

    #[test]
    fn what_the_tree_does_not_hold_is_in_the_recipe() {
        let temporary = Temporary::new();
        let layer = Tar::new().file("a", "1").file("a", "2").done();
        fs::create_dir(temporary.path().join("tree")).unwrap();
        assert_eq!(record_whole(&layer[..], &temporary.path().join("recipe")).unwrap(), layer.len() as u64);
        assert!(rebuilt(temporary.path()).unwrap() == layer);
    }

    #[test]
    fn what_is_not_as_it_was_is_named() {
        type Spoil = fn(&Path);
        let rows: [(Spoil, &str); 8] = [
            (
                |root| fs::write(root.join("tree/usr/lib/long"), "").unwrap(),
                "\"lib/long\" has 0 bytes, not 200000",
            ),
            (|root| fs::remove_file(root.join("tree/empty")).unwrap(), "cannot read \"empty\""),
            (
                |root| fs::write(root.join("tree/one-block"), [8; 512]).unwrap(),
                "the content of \"one-block\"",
            ),
            (
                |root| {
                    fs::remove_file(root.join("tree/empty")).unwrap();
                    fs::create_dir(root.join("tree/empty")).unwrap();
                },
                "\"empty\" is no file any more",
            ),
            (
                |root| {
                    fs::remove_file(root.join("tree/one-block")).unwrap();
                    rustix::fs::symlink("/etc/passwd", root.join("tree/one-block")).unwrap();
                },
                "cannot read \"one-block\"",
            ),
            (|root| fs::write(root.join("recipe"), "").unwrap(), "its recipe cannot be read"),
            (|root| fs::remove_file(root.join("recipe")).unwrap(), "its recipe cannot be read"),
            (
                |root| {
                    let recipe = fs::read(root.join("recipe")).unwrap();
                    fs::write(root.join("recipe"), &recipe[..recipe.len() - 20]).unwrap();
                },
                "its recipe cannot be read",
            ),
        ];
        for (spoil, expected) in rows {
            let temporary = Temporary::new();
            unpacked(&layer(), temporary.path());
            spoil(temporary.path());
            let text = chain(&rebuilt(temporary.path()).unwrap_err());
            assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        }
    }
}
