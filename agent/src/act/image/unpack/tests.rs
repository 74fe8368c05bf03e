//! Layers as archives have them, and as they must lie on the disk.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
};

use tar::EntryType;

use super::{
    super::{
        fixture::{MODIFIED, Tar, Temporary, chain, is_root, listing},
        recipe::Rebuilt,
    },
    *,
};

/// Unpacks into `<root>/in/tree`; the directories around it are watched by the tests.
fn unpacked(root: &Path, layer: &[u8]) -> Result<Unpacked, Fault> {
    let (tree, junk) = (root.join("in/tree"), root.join("junk"));
    fs::create_dir_all(&tree).unwrap();
    fs::create_dir_all(&junk).unwrap();
    let recorder = Recorder::create(&root.join("recipe")).unwrap();
    let unpacked = unpack(layer, &tree, &junk, &recorder, &mut Budget::new(1000, 1 << 20, root))?;
    assert_eq!(recorder.finish().unwrap(), layer.len() as u64);
    if !unpacked.replaced {
        let mut again = Vec::new();
        Rebuilt::open(&root.join("recipe"), &tree).unwrap().read_to_end(&mut again).unwrap();
        assert!(again == layer, "packed again it is another layer");
    }
    Ok(unpacked)
}

/// What the tree holds after a layer that must be accepted.
fn check(layer: Tar, expected: &[&str]) {
    let temporary = Temporary::new();
    unpacked(temporary.path(), &layer.done()).unwrap();
    assert_eq!(listing(&temporary.path().join("in/tree")), expected);
}

fn check_refused(layer: Vec<u8>, expected: &str) {
    let temporary = Temporary::new();
    let text = chain(&unpacked(temporary.path(), &layer).unwrap_err());
    assert!(text.contains(expected), "{text:?} does not say {expected:?}");
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[test]
fn names_lead_into_the_layer_only() {
    check(Tar::new().file("/etc/x", "1").file("./a//b/./c", "2"), &["a", "a/b", "a/b/c", "etc", "etc/x"]);
    for name in ["../x", "a/../../x", "a/..", "..", "/../x"] {
        check_refused(Tar::new().file(name, "").done(), "leads out of the archive's root");
        check_refused(
            Tar::new().file("a", "").hard_link("b", name).done(),
            "leads out of the archive's root",
        );
        check_refused(Tar::new().pax("path", name.as_bytes()).file("x", "").done(), "leads out");
    }
    check_refused(Tar::new().pax("path", b"a\0b").file("x", "").done(), "leads out");
    check_refused(Tar::new().pax("path", &b"a/".repeat(3000)).file("x", "").done(), "too long");
}

#[test]
fn a_link_on_the_way_is_followed_inside_the_layer() {
    let temporary = Temporary::new();
    let outside = temporary.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = outside.to_str().unwrap();
    let layer = Tar::new()
        .dir("usr/lib")
        .symlink("lib", "/usr/lib")
        .file("lib/x", "1")
        .symlink("up", "../../../../usr")
        .file("up/y", "2")
        .dir(absolute)
        .symlink("abs", absolute)
        .file("abs/z", "3")
        .hard_link("w", "lib/x");
    unpacked(temporary.path(), &layer.done()).unwrap();
    let tree = temporary.path().join("in/tree");
    assert_eq!(listing(&outside), [""; 0]);
    assert_eq!(fs::read_to_string(tree.join("usr/lib/x")).unwrap(), "1");
    assert_eq!(fs::read_to_string(tree.join("usr/y")).unwrap(), "2");
    assert_eq!(fs::read_to_string(tree.join(absolute.trim_start_matches('/')).join("z")).unwrap(), "3");
    assert_eq!(fs::metadata(tree.join("w")).unwrap().nlink(), 2);
    assert_eq!(listing(temporary.path()).iter().filter(|path| !path.starts_with("in/tree")).count(), 4);
}

#[test]
fn no_link_reaches_a_file_outside() {
    let temporary = Temporary::new();
    let secret = temporary.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let path = secret.to_str().unwrap();
    for layer in [
        Tar::new().symlink("s", path).file("s", "x"),
        Tar::new().symlink("s", "../../secret").file("s", "x"),
        Tar::new().symlink("s", path).hard_link("h", "s").file("h", "x"),
        Tar::new().symlink("d", "../..").file("d/secret", "x"),
        Tar::new().symlink("d", "/").file("d/secret", "x"),
    ] {
        unpacked(temporary.path(), &layer.done()).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
        let tree = temporary.path().join("in/tree");
        rustix::fs::rename(&tree, temporary.path().join(uuid::Uuid::new_v4().to_string())).unwrap();
    }
    check_refused(Tar::new().hard_link("h", path).done(), "cannot link \"h\"");
    check_refused(Tar::new().symlink("s", path).hard_link("h", "s/x").done(), "not a directory");
    check_refused(Tar::new().symlink("l", "l").file("l/x", "").done(), "cannot open");
    check_refused(Tar::new().symlink("p", "/proc/self/fd/0").file("p/x", "").done(), "not a directory");
}

#[test]
fn a_later_entry_replaces_an_earlier_one() {
    check(Tar::new().file("a", "1").dir("a").file("a/b", "2"), &["a", "a/b"]);
    check(Tar::new().dir("a").file("a/b/c", "1").file("a", "2"), &["a"]);
    check(Tar::new().dir("a").file("a/b", "1").dir("a"), &["a", "a/b"]);
    check(Tar::new().dir("a").symlink("a", "b").dir("a"), &["a"]);
    check(Tar::new().file("a", "1").hard_link("b", "a").file("a", "2"), &["a", "b"]);
    check_refused(Tar::new().file("a", "1").file("a/b", "2").done(), "\"a\" is not a directory");
    check_refused(Tar::new().file("a", "1").hard_link("a", "a").done(), "cannot link \"a\" to \"a\"");
}

#[test]
fn modes_times_and_attributes_are_kept() {
    let temporary = Temporary::new();
    let layer = Tar::new()
        .entry(EntryType::Directory, ".", "", 0o751, b"")
        .entry(EntryType::Directory, "d", "", 0o1777, b"")
        .pax("mtime", b"1600000000.25")
        .pax("SCHILY.xattr.user.note", b"two\nlines=1")
        .entry(EntryType::Regular, "d/f", "", 0o4711, b"x")
        .of(EntryType::Fifo, "d/p")
        .symlink("d/l", "nowhere")
        .of(EntryType::Char, "null")
        .of(EntryType::Block, "sda");
    let found = unpacked(temporary.path(), &layer.done()).unwrap();
    assert_eq!(found, Unpacked { devices: 2, ..Unpacked::default() });
    let tree = temporary.path().join("in/tree");
    let at = |name: &str| fs::symlink_metadata(tree.join(name)).unwrap();
    assert_eq!(listing(&tree), ["d", "d/f", "d/l", "d/p"]);
    for (name, mode, time) in [
        ("", 0o751, None),
        ("d", 0o1777, Some(MODIFIED)),
        ("d/f", 0o4711, Some(1_600_000_000)),
        ("d/p", 0o600, Some(MODIFIED)),
        ("d/l", 0o777, Some(MODIFIED)),
    ] {
        assert_eq!(at(name).mode() & 0o7777, mode, "{name}");
        assert!(time.is_none_or(|time| at(name).mtime() == time.cast_signed()), "{name}");
    }
    assert_eq!(at("d/f").mtime_nsec(), 250_000_000);
    assert!(at("d/p").file_type().is_fifo());
    assert_eq!(attribute(&tree.join("d/f"), "user.note").unwrap(), b"two\nlines=1");
}

#[test]
fn owners_and_capabilities_are_kept_and_overlay_attributes_are_not() {
    if !is_root("owners_and_capabilities_are_kept_and_overlay_attributes_are_not") {
        return;
    }
    let temporary = Temporary::new();
    // cap_dac_override,cap_fowner: a value with a newline in it.
    let capability = [1, 0, 0, 2, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let layer = Tar::new()
        .pax("SCHILY.xattr.security.capability", &capability)
        .owned("f", 0o6755, 1000, 2000)
        .pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
        .dir("d")
        .pax("uid", b"3000000")
        .file("big", "");
    unpacked(temporary.path(), &layer.done()).unwrap();
    let tree = temporary.path().join("in/tree");
    let file = fs::metadata(tree.join("f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (1000, 2000, 0o6755));
    assert_eq!(attribute(&tree.join("f"), "security.capability").unwrap(), capability);
    assert_eq!(attribute(&tree.join("d"), "trusted.overlay.redirect"), None);
    assert_eq!(fs::metadata(tree.join("big")).unwrap().uid(), 3_000_000);
    check_refused(Tar::new().pax("uid", b"4294967295").file("x", "").done(), "not a user and group id");
}

#[test]
fn whiteouts_become_those_of_overlayfs() {
    if !is_root("whiteouts_become_those_of_overlayfs") {
        return;
    }
    let temporary = Temporary::new();
    let layer = Tar::new()
        .file("gone/.wh.x", "")
        .file("early/.wh..wh..opq", "")
        .file("early/kept", "1")
        .file(".wh.again", "")
        .file("again/kept", "2")
        .dir("after")
        .file(".wh.after", "")
        .file("file", "3")
        .file(".wh.file", "")
        .file(".wh..wh.plnk", "");
    assert_eq!(unpacked(temporary.path(), &layer.done()).unwrap(), Unpacked::default());
    let tree = temporary.path().join("in/tree");
    assert_eq!(
        listing(&tree),
        ["after", "again", "again/kept", "early", "early/kept", "file", "gone", "gone/x"]
    );
    let hidden = fs::symlink_metadata(tree.join("gone/x")).unwrap();
    assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
    for (name, opaque) in
        [("early", true), ("again", true), ("after", true), ("gone", false), ("file", false)]
    {
        assert_eq!(attribute(&tree.join(name), OPAQUE_XATTR).is_some(), opaque, "{name}");
    }
    for name in [".wh.", ".wh..", "a/.wh..."] {
        check_refused(Tar::new().file(name, "").done(), "whiteout of nothing");
    }
}

#[test]
fn the_root_can_be_opaque() {
    let temporary = Temporary::new();
    let layer = Tar::new().file(".wh..wh..opq", "").done();
    assert_eq!(unpacked(temporary.path(), &layer).unwrap(), Unpacked { opaque: true, ..Unpacked::default() });
}

#[test]
fn a_stream_that_lies_is_refused() {
    let whole = Tar::new().file("a", "x".repeat(2000)).done();
    check_refused(whole[..1500].to_vec(), "\"a\" is cut short");
    check_refused(whole[..700].to_vec(), "\"a\" is cut short");
    check_refused([&whole[..100], &b"?"[..], &whole[101..]].concat(), "checksum mismatch");
    check_refused(vec![7; 2048], "cannot read the tar stream");
    check_refused(
        Tar::new().sized(EntryType::Regular, "a", "", 0o644, b"", 2 << 20).done(),
        "more than 1048576 bytes",
    );
    check_refused(
        Tar::new().sized(EntryType::XHeader, "a", "", 0, b"", 1 << 20).done(),
        "more than 1048576 bytes",
    );
    check_refused(Tar::new().pax("size", b"5").file("a", "x").done(), "the size of \"a\"");
    check_refused(Tar::new().pax("mtime", b"today").file("a", "x").done(), "pax record is malformed");
    check_refused(
        Tar::new().entry(EntryType::XHeader, "a", "", 0, b"99 a=b\n").file("a", "").done(),
        "malformed",
    );
    check_refused(Tar::new().of(EntryType::GNUSparse, "a").done(), "sparse");
    check_refused(Tar::new().pax("GNU.sparse.major", b"1").file("a", "").done(), "sparse");
    check_refused(Tar::new().of(EntryType::new(b'V'), "a").done(), "unknown type 'V'");
    let many = (0..1001).fold(Tar::new(), |tar, _| tar.file("a", ""));
    check_refused(many.done(), "more than 1000 entries");
    // One entry whose name asks for as many directories.
    let deep = [&b"a/".repeat(1001)[..], b"x"].concat();
    check_refused(Tar::new().pax("path", &deep).file("x", "").done(), "more than 1000 entries");
}

#[test]
fn the_deepest_name_needs_no_deep_stack() {
    let deep = [&b"a/".repeat(2000)[..], b"x"].concat();
    let layer = Tar::new().pax("path", &deep).file("x", "1").done();
    let unpacks = move || {
        let temporary = Temporary::new();
        let (tree, junk) = (temporary.path().join("tree"), temporary.path().join("junk"));
        for dir in [&tree, &junk] {
            fs::create_dir(dir).unwrap();
        }
        let recorder = Recorder::create(&temporary.path().join("recipe")).unwrap();
        unpack(&layer[..], &tree, &junk, &recorder, &mut Budget::new(3000, 1 << 20, temporary.path()))
            .unwrap();
        assert!(tree.join("a/a/a/a").is_dir());
    };
    std::thread::Builder::new().stack_size(crate::config::STACK / 4).spawn(unpacks).unwrap().join().unwrap();
}

#[test]
fn an_extension_that_would_fill_the_memory_is_refused() {
    let layer = Tar::new().sized(EntryType::GNULongName, "a", "", 0, b"", 3 << 20).done();
    let temporary = Temporary::new();
    let mut budget = Budget::new(10, 1 << 40, temporary.path());
    let recorder = Recorder::create(&temporary.path().join("recipe")).unwrap();
    let refused = unpack(&layer[..], temporary.path(), temporary.path(), &recorder, &mut budget);
    assert!(matches!(refused, Err(Fault::Extension { size: 3_145_728 })));
}
