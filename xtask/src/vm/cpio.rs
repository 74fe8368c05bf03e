//! Writes an initramfs ("newc" cpio): directories, files and links, all owned by root. Reads nothing.

/// https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
const MAGIC: &str = "070701";

#[derive(Default)]
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    pub(crate) fn dir(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    pub(crate) fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, content);
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) {
        self.entry(name, 0o120_777, target.as_bytes());
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let (inode, links, size, name_size) = (self.entries, 1, content.len(), name.len() + 1);
        let header = format!(
            "{MAGIC}{inode:08x}{mode:08x}{uid:08x}{gid:08x}{links:08x}{time:08x}{size:08x}\
             {major:08x}{minor:08x}{rmajor:08x}{rminor:08x}{name_size:08x}{check:08x}",
            uid = 0,
            gid = 0,
            time = 0,
            major = 0,
            minor = 0,
            rmajor = 0,
            rminor = 0,
            check = 0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_110_byte_header_then_name_and_content_each_padded_to_four() {
        let mut cpio = Cpio::default();
        cpio.file("init", b"x");
        let bytes = cpio.finish();
        assert_eq!(&bytes[..6], MAGIC.as_bytes());
        assert_eq!(&bytes[54..62], b"00000001", "size of the content");
        assert_eq!(&bytes[110..117], b"init\0\0x");
        assert_eq!(&bytes[120..126], MAGIC.as_bytes(), "the trailer follows");
        assert_eq!(bytes.len() % 4, 0);
    }
}
