//! Archives that are none, or ask for too much.

use super::*;

/// Archives that must be refused, and what the message must name.
fn broken() -> Vec<(Vec<u8>, String)> {
    let (base, other) = (base(), extra("other"));
    let built = Built { tags: &["x"], layers: &[&base, &other] };
    let whole = docker(&[Built { tags: &["x"], layers: &[&base, &other] }], plain);
    let both = config(vec![Digest::of(&base), Digest::of(&other)]);
    let entry = |layers: &[&str]| json!([{"Config": "c.json", "RepoTags": ["x"], "Layers": layers}]);
    let with = |config: &[u8], layers: &[&str]| {
        let tar = Tar::new().file("c.json", config).file("1.tar", &base).file("2.tar", &other);
        with_manifest(tar, &entry(layers))
    };
    let escape = Tar::new().file("../../x", "1").done();
    let climb = Tar::new().hard_link("x", "/etc/passwd").done();
    let mut oci = oci(&Built { tags: &[], layers: &[&base] }, ("a", "b")).0;
    let flipped = oci.windows(4).rposition(|bytes| bytes == b"tini").unwrap();
    oci[flipped] ^= 1;
    let first = format!("not {}", Digest::of(&base));
    let row = |archive: Vec<u8>, text: &str| (archive, text.to_owned());
    vec![
        row(with(&both, &["2.tar", "1.tar"]), &first),
        row(with(&both, &["1.tar", "3.tar"]), "names \"3.tar\" but does not have it"),
        row(with(&both, &["1.tar"]), "lists 1 layers, its config 2"),
        row(with(&both, &["1.tar", "../2.tar"]), "leads out of the archive's root"),
        row(with(b"{}", &["1.tar"]), "cannot decode \"c.json\""),
        row(with(b"{", &["1.tar"]), "cannot decode \"c.json\""),
        row(with_manifest(Tar::new(), &entry(&["1.tar"])), "names \"c.json\" but does not have it"),
        row(with_manifest(Tar::new(), &json!([])), "no image for linux/"),
        row(with_manifest(Tar::new(), &json!({"a": 1})), "cannot decode \"manifest.json\""),
        row(Tar::new().file("a", "").done(), "no image archive"),
        row(Tar::new().file("a", "").file("./a", "").done(), "\"a\" is in it twice"),
        row(Tar::new().symlink("a", "../../b").done(), "leads out"),
        row(whole[..whole.len() / 2].to_vec(), "cut short"),
        row(gzip(&whole)[..400].to_vec(), "cannot read the tar stream"),
        row(b"not an archive at all".to_vec(), "cannot read the tar stream"),
        row(Vec::new(), "no image archive"),
        row(vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0], "cannot read the tar stream"),
        row(b"BZh91AY&SY".to_vec(), "compressed with bzip2"),
        row(
            docker(&[Built { tags: &["x"], layers: &[&base] }], |l| gzip(l)[..60].to_vec()),
            "cannot decompress",
        ),
        row(docker(&[Built { tags: &["x"], layers: &[&base] }], |l| gzip(&l[1..])), &first),
        row(
            docker(&[Built { tags: &["X Y"], layers: &[&base] }], plain),
            "\"X Y\" is not an image reference",
        ),
        row(
            docker(&[Built { tags: &["x"], layers: &[&base, &escape] }], plain),
            "\"../../x\" is too long or leads",
        ),
        row(
            docker(&[Built { tags: &["x"], layers: &[&base, &climb] }], gzip),
            "cannot link \"x\" to \"etc/passwd\"",
        ),
        row(
            docker(
                &[Built { tags: &["y"], layers: &[&base] }, Built { tags: &["x"], layers: &[&climb] }],
                plain,
            ),
            "cannot link",
        ),
        row(oci, "the content of \"blobs/sha256/"),
        row(
            with_manifest(
                Tar::new().symlink("l", "k").symlink("k", "l").file("c.json", both),
                &entry(&["l", "k"]),
            ),
            "more than 8 links to one file",
        ),
        row(
            with_manifest(
                Tar::new().file(&format!("{}.json", Digest::of(b"").hex()), built.config()),
                &json!([{"Config": format!("{}.json", Digest::of(b"").hex()), "RepoTags": null, "Layers": []}]),
            ),
            "not sha256:e3b0c442",
        ),
    ]
}

#[test]
fn a_broken_archive_is_refused_and_leaves_nothing_behind() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let kept = extra("kept");
    for round in 0..2 {
        let before = listing(temporary.path());
        for (archive, expected) in broken() {
            let text = chain(&store.load(&archive[..]).unwrap_err());
            assert!(text.contains(&expected), "{text:?} does not say {expected:?}");
            assert_eq!(listing(temporary.path()), before, "after {text}");
        }
        // Once more with an image there that must stay.
        store.load(&docker(&[Built { tags: &["kept"], layers: &[&kept] }], plain)[..]).unwrap();
        assert_eq!(store.list().unwrap().len(), 1, "{round}");
    }
}

#[test]
fn an_archive_that_asks_for_too_much_is_refused() {
    let zeros = Tar::new().file("zeros", vec![0; 3 << 20]).done();
    let many = (0..600).fold(Tar::new(), |tar, n| tar.file(&n.to_string(), "")).done();
    let deep = "d/".repeat(200);
    // Each name is short enough; the link makes the tree twice as deep.
    let nested = Tar::new()
        .pax("path", deep.as_bytes())
        .dir("x")
        .pax("linkpath", deep.as_bytes())
        .symlink("l", "x")
        .pax("path", format!("l/{deep}").as_bytes())
        .dir("x")
        .done();
    let limits = Limits {
        archive_bytes: 1 << 20,
        archive_entries: 8,
        json_bytes: 4096,
        unpacked_bytes: 2 << 20,
        unpacked_entries: 500,
        layers: 3,
    };
    let check = |archive: Vec<u8>, expected: &str| {
        let temporary = Temporary::new();
        let store = Store { limits: limits.clone(), ..Store::open(temporary.path()).unwrap() };
        let before = listing(temporary.path());
        let text = chain(&store.load(&archive[..]).unwrap_err());
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        assert_eq!(listing(temporary.path()), before);
    };
    let (a, b, c, d) = (extra("a"), extra("b"), extra("c"), extra("d"));
    check(
        docker(&[Built { tags: &["x"], layers: &[&zeros] }], gzip),
        "layer.tar\" has more than 2097152 bytes",
    );
    check(
        gzip(&docker(&[Built { tags: &["x"], layers: &[&zeros] }], plain)),
        "holds more than 1048576 bytes",
    );
    check(docker(&[Built { tags: &["x"], layers: &[&many] }], gzip), "more than 500 entries");
    check(many, "more than 8 entries");
    check(docker(&[Built { tags: &["x"], layers: &[&a, &b, &c, &d] }], gzip), "more than 3 layers");
    check(
        Tar::new().file("manifest.json", vec![b' '; 5000]).done(),
        "\"manifest.json\" has more than 4096 bytes",
    );
    check(docker(&[Built { tags: &["x"], layers: &[&nested] }], gzip), "nested deeper than 256");
}
