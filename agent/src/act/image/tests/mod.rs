//! Archives in, trees out, and what is left when something goes wrong on the way.

mod broken;

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
