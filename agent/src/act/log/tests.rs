//! The pump against real pipes: nothing lost, nothing doubled, however often it is cut off.

use std::{
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    sync::atomic::AtomicI64,
};

use super::*;

/// A clock that goes on by a second each time somebody looks: rotated logs are told apart by the second.
static WALL_NOW: AtomicI64 = AtomicI64::new(1_795_420_800_000_000_000);

struct Scene {
    dir: PathBuf,
    limits: LogLimits,
}

impl Scene {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("carob-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self { dir, limits: LogLimits::default() }
    }

    fn writers(&self) -> Writers {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        make(&self.dir, (uid, gid)).unwrap()
    }

    fn pump(&self) -> Pump {
        let around = Surroundings {
            wall: || WALL_NOW.fetch_add(1_000_000_000, Ordering::Relaxed),
            pause: |_| Box::pin(std::future::pending()),
            limits: self.limits,
            dropped: Arc::default(),
            keeper: Keeper::new(None),
        };
        Pump::start(&self.dir, &self.dir.join("logs/0.log"), &self.dir.join("links/l.log"), around).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("logs/0.log")).unwrap()
    }

    /// The content of all lines of a stream, joined as they were written.
    fn content(&self, stream: &str) -> String {
        let lines = self.log();
        let of = lines.lines().filter(|line| line.split(' ').nth(1) == Some(stream));
        of.map(|line| {
            let mut parts = line.splitn(4, ' ').skip(2);
            let end = if parts.next() == Some("F") { "\n" } else { "" };
            format!("{}{end}", parts.next().unwrap_or_default())
        })
        .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[tokio::test]
async fn both_streams_end_up_in_the_log() {
    let scene = Scene::new("both");
    let writers = scene.writers();
    let pump = scene.pump();
    File::from(writers.out).write_all(b"hello\nworld\nno end").unwrap();
    File::from(writers.err).write_all(b"oh\n").unwrap();
    pump.finish().await;
    assert_eq!(
        (scene.content("stdout").as_str(), scene.content("stderr").as_str()),
        ("hello\nworld\nno end", "oh\n")
    );
    assert_eq!(fs::read_link(scene.dir.join("links/l.log")).unwrap(), scene.dir.join("logs/0.log"));
}

#[tokio::test]
async fn what_is_written_between_two_pumps_is_there_once() {
    let scene = Scene::new("between");
    let mut out = File::from(scene.writers().out);
    for round in 0..20 {
        let pump = scene.pump();
        out.write_all(format!("seen {round}\nbroken {round} ").as_bytes()).unwrap();
        tokio::task::yield_now().await;
        pump.task.abort();
        let _ = pump.task.await;
        // As a kill would leave it: a line half written.
        if round % 3 == 0 {
            OpenOptions::new()
                .append(true)
                .open(scene.dir.join("logs/0.log"))
                .unwrap()
                .write_all(b"2026-1")
                .unwrap();
        }
        out.write_all(b"unseen\n").unwrap();
    }
    scene.pump().finish().await;
    let expected: String = (0..20).map(|n| format!("seen {n}\nbroken {n} unseen\n")).collect();
    assert_eq!(scene.content("stdout"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_survives_pumps_that_are_cut_off() {
    let scene = Scene::new("flood");
    // Somebody must hold a pipe that its writer has left, or what is in it is gone.
    let keeper = scene.writers();
    let mut out = File::from(scene.writers().out);
    let total = 60_000_u32;
    let writer = std::thread::spawn(move || {
        for n in 0..total {
            writeln!(out, "{n:08} {}", "x".repeat((n % 90) as usize)).unwrap();
        }
    });
    while !writer.is_finished() {
        let pump = scene.pump();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        pump.task.abort();
        let _ = pump.task.await;
    }
    writer.join().unwrap();
    scene.pump().finish().await;
    drop(keeper);
    let expected: String =
        (0..total).map(|n| format!("{n:08} {}\n", "x".repeat((n % 90) as usize))).collect();
    assert!(
        scene.content("stdout") == expected,
        "lost or doubled: {} of {} bytes",
        scene.content("stdout").len(),
        expected.len()
    );
    let spool = fs::metadata(scene.dir.join("stdout.spool")).unwrap();
    assert!(spool.blocks() * 512 <= 2 * CHECKPOINT_EVERY, "consumed blocks are given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_whole_across_rotations_and_pumps_that_are_cut_off() {
    let mut scene = Scene::new("rotated");
    scene.limits = LogLimits { size: 50_000, files: 1000 };
    let keeper = scene.writers();
    let mut out = File::from(scene.writers().out);
    let total = 30_000_u32;
    let writer = std::thread::spawn(move || {
        for n in 0..total {
            writeln!(out, "{n:08} {}", "x".repeat((n % 90) as usize)).unwrap();
        }
    });
    while !writer.is_finished() {
        let pump = scene.pump();
        for _ in 0..30 {
            tokio::task::yield_now().await;
        }
        pump.task.abort();
        let _ = pump.task.await;
    }
    writer.join().unwrap();
    scene.pump().finish().await;
    drop(keeper);
    let log = scene.dir.join("logs/0.log");
    rotate::tidy(&log, scene.limits).unwrap();
    let mut old = rotate::rotated(&log).unwrap();
    assert!(old.len() > 5, "it was rotated: {old:?}");
    old.push(log);
    let mut text = String::new();
    for path in &old {
        let file = File::open(path).unwrap();
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        let mut read: Box<dyn Read> =
            if compressed { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
        read.read_to_string(&mut text).unwrap();
    }
    let found: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)?.get(..8)).collect();
    let expected: Vec<String> = (0..total).map(|n| format!("{n:08}")).collect();
    assert!(found == expected, "lost or doubled: {} of {total}", found.len());
}

#[tokio::test]
async fn a_rotation_that_was_cut_off_loses_and_doubles_nothing() {
    // By where it was cut off: before the new log was there, after it was, and after the first line in it.
    for (step, content) in [(1, None), (2, Some("")), (3, Some("T stdout F b\n"))] {
        let scene = Scene::new(&format!("cut-{step}"));
        let mut out = File::from(scene.writers().out);
        out.write_all(b"a\n").unwrap();
        scene.pump().finish().await;
        let (log, old) = (scene.dir.join("logs/0.log"), scene.dir.join("logs/0.log.old"));
        let length = fs::metadata(&log).unwrap().len();
        let file = inode(&File::open(&log).unwrap()).unwrap();
        checkpoint::write(&scene.dir, Checkpoint { file, log: length, out: 2, err: 0 }).unwrap();
        fs::rename(&log, &old).unwrap();
        if let Some(content) = content {
            fs::write(&log, content).unwrap();
        }
        // What is in the log has been in the spool before.
        let mut spool = OpenOptions::new().append(true).open(scene.dir.join("stdout.spool")).unwrap();
        spool.write_all(b"b\n").unwrap();
        out.write_all(b"c\n").unwrap();
        scene.pump().finish().await;
        assert_eq!(scene.content("stdout"), "b\nc\n", "step {step}");
    }
}
