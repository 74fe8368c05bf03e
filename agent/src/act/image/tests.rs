//! Archives in, trees out, and what is left when something goes wrong on the way.

use serde_json::json;

use super::{
    fixture::{Built, Tar, Temporary, chain, config, docker, gzip, is_root, listing, oci, with_manifest},
    *,
};

fn no_one() -> InUse {
    InUse::default()
}

fn plain(layer: &[u8]) -> Vec<u8> {
    layer.to_vec()
}

fn base() -> Vec<u8> {
    Tar::new().file("etc/os", "carob").dir("bin").file("bin/sh", "#!").symlink("bin/ash", "sh").done()
}

fn extra(text: &str) -> Vec<u8> {
    Tar::new().file("srv/data", text).hard_link("srv/again", "srv/data").done()
}

fn names_of(images: &[Image]) -> Vec<Vec<String>> {
    images.iter().map(|image| image.names.clone()).collect()
}

#[test]
fn an_archive_is_kept_as_it_was_saved_however_it_is_packed() {
    let (base, extra) = (base(), extra("1"));
    let built = [Built { tags: &["box:1", "localhost/box"], layers: &[&base, &extra] }];
    let check = |archive: Vec<u8>| {
        let temporary = Temporary::new();
        let store = Store::open(temporary.path()).unwrap();
        let loaded = store.load(&archive[..]).unwrap();
        let names = ["docker.io/library/box:1", "localhost/box:latest"].map(str::to_owned).to_vec();
        assert_eq!(loaded, [Loaded { id: built[0].id(), names: names.clone(), devices: 0 }]);
        let image = store.find("box:1").unwrap().unwrap();
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&image));
        assert_eq!((image.id, image.size, &image.names), (built[0].id(), 5 + 2 + 1, &names));
        assert_eq!(image.created.as_deref(), Some("2026-01-01T00:00:00Z"));
        let layers = store.layers(&image);
        assert_eq!(fs::read_to_string(layers[0].join("bin/ash")).unwrap(), "#!");
        assert_eq!(fs::read_to_string(layers[1].join("srv/again")).unwrap(), "1");
        store.ensure_whole(&image).unwrap();
        let before = listing(temporary.path());
        assert_eq!(store.load(&archive[..]).unwrap(), loaded);
        assert_eq!(listing(temporary.path()), before);
        assert_eq!(Store::open(temporary.path()).unwrap().list().unwrap(), [image]);
        assert_eq!(listing(temporary.path()), before);
    };
    check(docker(&built, plain));
    check(docker(&built, gzip));
    check(gzip(&docker(&built, plain)));
    check(gzip(&docker(&built, gzip)));
}

#[test]
fn the_config_is_decoded() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    store.load(&docker(&[Built { tags: &["x"], layers: &[&base()] }], plain)[..]).unwrap();
    let env = [("PATH", "/bin"), ("EMPTY", ""), ("EQ", "a=b")];
    let expected = Config {
        entrypoint: vec!["/bin/tini".to_owned(), "--".to_owned()],
        cmd: vec!["serve".to_owned()],
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
        working_dir: Some("/srv".to_owned()),
        user: None,
        stop_signal: Some("SIGINT".to_owned()),
    };
    assert_eq!(store.find("x").unwrap().unwrap().config, expected);
}

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

#[test]
fn other_forms_of_archives_are_read() {
    let (base, extra) = (base(), extra("1"));
    let built = Built { tags: &["old"], layers: &[&base, &extra] };
    let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    let tar = Tar::new().dir("1/").symlink("1/layer.tar", "../0/layer.tar").file("0/layer.tar", &base);
    let tar = tar.file("here", &extra).hard_link("2/layer.tar", "/here").file("c.json", built.config());
    let linked = with_manifest(tar, &manifest);
    let (containerd, manifest) = oci(&built, ("io.containerd.image.name", "quay.io/a/b:2"));
    let pinned = format!("quay.io/a/b@{manifest}");
    let check = |archive: &[u8], names: &[&str], find: &str| {
        let temporary = Temporary::new();
        let store = Store::open(temporary.path()).unwrap();
        assert_eq!(store.load(archive).unwrap()[0].names, names);
        let image = store.find(find).unwrap().unwrap();
        assert_eq!((image.id, store.layers(&image).len()), (built.id(), 2));
    };
    check(&linked, &[], &built.id().to_string());
    check(&containerd, &["quay.io/a/b:2"], "quay.io/a/b:2");
    check(&containerd, &["quay.io/a/b:2"], &pinned);
    check(&containerd, &["quay.io/a/b:2"], &format!("quay.io/a/b:9@{}", built.id()));
    check(
        &oci(&built, ("org.opencontainers.image.ref.name", "localhost/b:3")).0,
        &["localhost/b:3"],
        "localhost/b:3",
    );
    check(&oci(&built, ("org.opencontainers.image.ref.name", "latest")).0, &[], &built.id().hex());
}

#[test]
fn an_image_is_found_by_every_way_to_name_it() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let base = base();
    let built = [Built { tags: &["box:1", "quay.io/a/b:2"], layers: &[&base] }];
    store.load(&docker(&built, plain)[..]).unwrap();
    let hex = built[0].id().hex();
    let known = ["box:1", "library/box:1", "docker.io/box:1", "quay.io/a/b:2", &hex, &hex[..12], &hex[..40]];
    for text in known.map(str::to_owned).into_iter().chain([
        format!("sha256:{hex}"),
        format!("sha256:{}", &hex[..12]),
        format!("box@sha256:{hex}"),
    ]) {
        assert_eq!(store.find(&text).unwrap().map(|image| image.id), Some(built[0].id()), "{text}");
    }
    for text in [
        "box",
        "box:2",
        "quay.io/a/b",
        &hex[..11],
        &format!("other@sha256:{hex}"),
        &Digest::of(b"").to_string(),
    ] {
        assert_eq!(store.find(text).unwrap(), None, "{text}");
    }
    assert!(matches!(store.find("Box"), Err(Error::Reference { .. })));
}

#[test]
fn a_name_moves_to_the_newer_image() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let (old, new) = (extra("old"), extra("new"));
    let load = |layer: &[u8]| {
        store.load(&docker(&[Built { tags: &["x"], layers: &[layer] }], plain)[..]).unwrap()[0].id
    };
    let (old, new) = (load(&old), load(&new));
    assert_eq!(store.find("x").unwrap().unwrap().id, new);
    assert_eq!(store.find(&old.hex()).unwrap().unwrap().names, [""; 0]);
    assert_eq!(store.remove(&old.hex(), &no_one()).unwrap(), Removed::Image(old));
    assert_eq!(names_of(&store.list().unwrap()), [["docker.io/library/x:latest"]]);
}

#[test]
fn removal_keeps_what_others_share() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let empty = listing(temporary.path());
    let (base, one, two) = (base(), extra("1"), extra("2"));
    let built = [
        Built { tags: &["one", "uno"], layers: &[&base, &one] },
        Built { tags: &["two"], layers: &[&base, &two] },
    ];
    store.load(&docker(&built, gzip)[..]).unwrap();
    let layers = || fs::read_dir(temporary.path().join("layers")).unwrap().count();
    assert_eq!(layers(), 3);
    let mut running = InUse::default();
    running.add([built[0].id()]);
    assert_eq!(
        store.remove("one", &running).unwrap(),
        Removed::Name("docker.io/library/one:latest".to_owned())
    );
    assert!(matches!(store.remove("uno", &running), Err(Error::InUse { image }) if image == built[0].id()));
    assert!(matches!(store.remove(&built[0].id().hex(), &running), Err(Error::InUse { .. })));
    assert_eq!(store.remove("uno", &no_one()).unwrap(), Removed::Image(built[0].id()));
    assert!(matches!(store.remove("uno", &no_one()), Err(Error::NotFound { .. })));
    assert_eq!(layers(), 2);
    store.ensure_whole(&store.find("two").unwrap().unwrap()).unwrap();
    assert_eq!(store.remove(&built[1].id().to_string(), &running).unwrap(), Removed::Image(built[1].id()));
    assert_eq!(store.list().unwrap(), []);
    fs::remove_file(temporary.path().join("names.json")).unwrap();
    assert_eq!(listing(temporary.path()), empty);
}

#[test]
fn loading_again_repairs_what_a_power_cut_damaged() {
    let temporary = Temporary::new();
    let base = base();
    let built = [Built { tags: &["x"], layers: &[&base] }];
    let layer = temporary.path().join("layers").join(Digest::of(&base).hex());
    let config = temporary.path().join("configs").join(built[0].id().hex());
    for damaged in [layer.join("tree/bin/sh"), layer.join("facts.json"), config] {
        let store = Store::open(temporary.path()).unwrap();
        store.load(&docker(&built, plain)[..]).unwrap();
        fs::write(&damaged, "").unwrap();
        let found = store.find("x").and_then(|image| store.ensure_whole(&image.unwrap()));
        assert!(
            matches!(found, Err(Error::Damaged { image, .. }) if image == built[0].id()),
            "{}",
            damaged.display()
        );
        let store = Store::open(temporary.path()).unwrap();
        assert!(layer.exists());
        store.load(&docker(&built, plain)[..]).unwrap();
        let image = store.find("x").unwrap().unwrap();
        store.ensure_whole(&image).unwrap();
        assert_eq!(store.list().unwrap(), [image]);
    }
}

#[test]
fn opening_removes_what_a_killed_run_left() {
    let temporary = Temporary::new();
    let base = base();
    let store = Store::open(temporary.path()).unwrap();
    store.load(&docker(&[Built { tags: &["x"], layers: &[&base] }], plain)[..]).unwrap();
    let clean = listing(temporary.path());
    fs::create_dir_all(temporary.path().join("tmp/0/a/b/c")).unwrap();
    fs::write(temporary.path().join("tmp/0/a/file"), "x").unwrap();
    fs::create_dir_all(temporary.path().join("layers").join(Digest::of(b"").hex()).join("tree")).unwrap();
    Store::open(temporary.path()).unwrap();
    assert_eq!(listing(temporary.path()), clean);
}

/// The image goes in one step, with its config. What a cut leaves behind it neither stays nor comes back.
#[test]
fn an_image_whose_removal_was_cut_off_is_gone_with_its_names_and_layers() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let (one, two) = (extra("1"), extra("2"));
    let cut = Built { tags: &["cut", "cut-too"], layers: &[&one] };
    store.load(&docker(&[Built { tags: &["kept"], layers: &[&two] }], plain)[..]).unwrap();
    let kept = listing(temporary.path());
    store.load(&docker(&[Built { tags: cut.tags, layers: cut.layers }], plain)[..]).unwrap();
    fs::remove_file(temporary.path().join("configs").join(cut.id().hex())).unwrap();
    assert_eq!(names_of(&store.list().unwrap()), [["docker.io/library/kept:latest"]]);
    let store = Store::open(temporary.path()).unwrap();
    assert_eq!(listing(temporary.path()), kept);
    store.load(&docker(&[Built { tags: &["cut"], layers: &[&one] }], plain)[..]).unwrap();
    assert_eq!(store.find("cut-too").unwrap(), None);
}

#[test]
fn a_layer_that_hides_all_below_cuts_the_stack() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let (base, cut) = (base(), Tar::new().file(".wh..wh..opq", "").file("only", "1").done());
    store.load(&docker(&[Built { tags: &["x"], layers: &[&base, &cut] }], plain)[..]).unwrap();
    let image = store.find("x").unwrap().unwrap();
    let layers = store.layers(&image);
    assert_eq!(layers.len(), 1);
    assert_eq!(listing(&layers[0]), ["only"]);
    assert_eq!(image.size, 8);
}

#[test]
fn loads_and_removals_at_once_leave_whole_images() {
    let temporary = Temporary::new();
    let store = Store::open(temporary.path()).unwrap();
    let base = base();
    let layers: Vec<_> = (0..4).map(|n| extra(&n.to_string())).collect();
    std::thread::scope(|scope| {
        for (n, layer) in layers.iter().enumerate() {
            let (store, base) = (&store, &base);
            scope.spawn(move || {
                let tag = format!("x:{n}");
                let archive = docker(&[Built { tags: &[&tag], layers: &[base, layer] }], plain);
                for _ in 0..10 {
                    let id = store.load(&archive[..]).unwrap()[0].id;
                    store.ensure_whole(&store.find(&tag).unwrap().unwrap()).unwrap();
                    assert_eq!(store.remove(&tag, &no_one()).unwrap(), Removed::Image(id));
                }
            });
        }
    });
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(fs::read_dir(temporary.path().join("layers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(temporary.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_container_sees_the_image_as_its_layers_left_it() {
    use super::super::rootfs;
    if !is_root("a_container_sees_the_image_as_its_layers_left_it") {
        return;
    }
    let temporary = Temporary::new();
    let store = Store::open(&temporary.path().join("images")).unwrap();
    let low = Tar::new().file("a/gone", "1").file("a/kept", "2").file("b/hidden", "3").file("c", "4").done();
    let high = Tar::new().file("a/.wh.gone", "").file("b/.wh..wh..opq", "").file("b/new", "5").done();
    let archive = docker(&[Built { tags: &["x"], layers: &[&low, &high, &low, &high] }], gzip);
    store.load(&archive[..]).unwrap();
    let layers = store.layers(&store.find("x").unwrap().unwrap());
    let target = temporary.path().join("rootfs");
    rootfs::mount(&layers, &temporary.path().join("run"), &target).unwrap();
    let seen = listing(&target);
    crate::act::mounts::unmount_below(&target).unwrap();
    assert_eq!(seen, ["a", "a/kept", "b", "b/new", "c"]);
}
