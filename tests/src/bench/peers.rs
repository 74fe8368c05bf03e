//! carob beside others, in one run of one machine: an image of 100 MB pulled and unpacked, and a pod of two containers
//! from its manifest until both run. Wall time and processor time are emulated: only the ratios say something, and of
//! those too much, for emulation is hard on large programs that run once.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Figure,
    sample::{Sample, mb},
    send_all,
};
use crate::{channel::say, world::World};

const DIR: &str = "/var/tmp/carob-peers";
const REGISTRY: &str = "127.0.0.1:5055";
const IMAGE: &str = "127.0.0.1:5055/bench/large:1";
const ROUNDS: usize = 3;
const STARTS: usize = 5;
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(600);
/// Four layers of 25 MB, half of each not to be compressed, as `docker save` would write them.
const MAKE: &str = r#"
set -e
rm -rf "$1"; mkdir -p "$1/storage"; cd "$1"
diffs=; layers=
for n in 1 2 3 4; do
    mkdir -p l$n/data$n
    for part in 1 2 3 4 5; do
        { head -c 2500000 /dev/urandom; yes "carob $n $part" | head -c 2500000; } > l$n/data$n/$part
    done
    tar --owner=0 --group=0 -C l$n -cf l$n.tar .
    sum=$(sha256sum l$n.tar | cut -d' ' -f1)
    diffs="$diffs${diffs:+,}\"sha256:$sum\""; layers="$layers${layers:+,}\"l$n.tar\""
    rm -rf l$n
done
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/none"]},"rootfs":{"type":"layers","diff_ids":[%s]}}' "$diffs" > config.json
printf '[{"Config":"config.json","RepoTags":["large:1"],"Layers":[%s]}]' "$layers" > manifest.json
tar -cf image.tar config.json manifest.json l?.tar
rm l?.tar
"#;

pub(super) fn measure(world: &World) -> Result<()> {
    world.command("sh", &["-c", MAKE, "sh", DIR])?;
    let _registry = Registry::start(world)?;
    let (archive, to) = (format!("docker-archive:{DIR}/image.tar"), format!("docker://{IMAGE}"));
    world.command("skopeo", &["copy", "--insecure-policy", "--dest-tls-verify=false", &archive, &to])?;
    fs::remove_file(format!("{DIR}/image.tar"))?;
    fs::create_dir_all("/etc/carob")?;
    let known = format!(r#"{{"registries": {{"{REGISTRY}": {{"insecure": true}}}}}}"#);
    fs::write("/etc/carob/config.json", known)?;
    world.start()?;
    pulls(world)?;
    starts(world)
}

struct Registry(Child);

impl Registry {
    fn start(world: &World) -> Result<Self> {
        let config = format!(
            "version: 0.1\nlog: {{ level: warn }}\nstorage: {{ filesystem: {{ rootdirectory: {DIR}/storage }} }}\nhttp: {{ addr: \"{REGISTRY}\" }}\n"
        );
        fs::write(format!("{DIR}/registry.yml"), config)?;
        let log = File::create(format!("{DIR}/log"))?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(format!("{DIR}/registry.yml"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let registry = Self(command.spawn().context("start docker-registry")?);
        world.wait_until("the registry answers", PATIENCE, || {
            std::net::TcpStream::connect(REGISTRY).map(drop).context("connect to it")
        })?;
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Seconds.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// What `work` takes, with all processes that are waited for; `more` tells processor time that others spend for it.
fn cost(work: impl FnOnce() -> Result<()>, more: impl Fn() -> Result<f64>) -> Result<Cost> {
    let (since, children, others) = (Instant::now(), of_children()?, more()?);
    work()?;
    let cpu = of_children()? - children + more()? - others;
    Ok(Cost { wall: since.elapsed().as_secs_f64(), cpu })
}

#[expect(unsafe_code, reason = "rustix does not tell what children have used")]
fn of_children() -> Result<f64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage writes at most one rusage to the pointer, which is valid for that.
    let asked = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    ensure!(asked == 0, "getrusage: {}", std::io::Error::last_os_error());
    // SAFETY: an rusage of zeroes is valid, and the kernel has written one.
    let usage = unsafe { usage.assume_init() };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// What the agent and its children have used: its service's cgroup, and that of pulls.
fn of_agent(world: &World) -> Result<f64> {
    let own = fs::read_to_string(format!("/proc/{}/cgroup", world.agent_pid()?))?;
    let own = own.trim().strip_prefix("0::").context("the agent is in no cgroup")?.to_owned();
    let seconds = |dir: &str| {
        let stat = fs::read_to_string(format!("/sys/fs/cgroup{dir}/cpu.stat")).unwrap_or_default();
        let used = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        used.and_then(|used| used.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
    };
    Ok(seconds(&own) + seconds("/carob.slice/carob-pods.service/pulls"))
}

fn median(mut costs: Vec<Cost>) -> Cost {
    let middle = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut walls: Vec<f64> = costs.iter().map(|cost| cost.wall).collect();
    let mut cpus: Vec<f64> = costs.drain(..).map(|cost| cost.cpu).collect();
    Cost { wall: middle(&mut walls), cpu: middle(&mut cpus) }
}

fn pulls(world: &World) -> Result<()> {
    let (mut ours, mut skopeos, mut podmans) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ours.push(cost(|| world.carob_ok(&["image", "pull", IMAGE]).map(drop), || of_agent(world))?);
        world.carob_ok(&["image", "rm", IMAGE])?;
        skopeos.push(cost(|| by_skopeo(world), || Ok(0.0))?);
        podmans.push(cost(
            || world.command("podman", &["pull", "-q", "--tls-verify=false", IMAGE]).map(drop),
            || Ok(0.0),
        )?);
        world.command("podman", &["rmi", IMAGE])?;
        say(&format!("pull {round} of {ROUNDS}"))?;
    }
    let (ours, skopeos, podmans) = (median(ours), median(skopeos), median(podmans));
    tell("pull", ours, &[("skopeo_umoci", skopeos), ("podman", podmans)])
}

/// Each figure of ours beside the same of the others, which are told first.
fn tell(what: &str, ours: Cost, others: &[(&str, Cost)]) -> Result<()> {
    for (kind, of) in [("wall", (|cost| cost.wall) as fn(&Cost) -> f64), ("cpu", |cost| cost.cpu)] {
        for (name, theirs) in others {
            let peer = format!("peers.{what}.{name}.{kind}");
            send_all(vec![
                Figure::alone(&peer, of(theirs), "s, emulated"),
                Figure::beside(
                    format!("peers.{what}.carob.{kind}"),
                    of(&ours),
                    "s, emulated",
                    &peer,
                    of(theirs),
                ),
            ])?;
        }
    }
    Ok(())
}

fn by_skopeo(world: &World) -> Result<()> {
    let (layout, bundle) = (format!("{DIR}/layout"), format!("{DIR}/bundle"));
    let (from, to) = (format!("docker://{IMAGE}"), format!("oci:{layout}:it"));
    world.command("skopeo", &["copy", "--insecure-policy", "--src-tls-verify=false", &from, &to])?;
    world.command("umoci", &["unpack", "--image", &format!("{layout}:it"), &bundle])?;
    world.command("sync", &["-f", DIR])?;
    for dir in [layout, bundle] {
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pair\nspec:\n  containers:\n    - { name: a, image: \"carob-work:1\", imagePullPolicy: Never, command: [/work, sleep] }\n    - { name: b, image: \"carob-work:1\", imagePullPolicy: Never, command: [/work, sleep] }\n";

fn starts(world: &World) -> Result<()> {
    world.load_images()?;
    let archive = format!("{DIR}/work.tar");
    world.carob_ok(&["image", "export", "carob-work:1", "-o", &archive])?;
    world.command("podman", &["load", "-q", "-i", &archive])?;
    let path = format!("{DIR}/pair.yaml");
    fs::write(&path, POD)?;
    // The first one makes its pause image and its network.
    world.command("podman", &["kube", "play", &path])?;
    world.command("podman", &["kube", "down", &path])?;
    let (mut ours, mut podmans, mut helpers) = (Vec::new(), Vec::new(), 0);
    for round in 1..=STARTS {
        podmans.push(cost(|| world.command("podman", &["kube", "play", &path]).map(drop), || Ok(0.0))?);
        helpers = resident(&["conmon", "catatonit", "podman", "pause"])?;
        world.command("podman", &["kube", "down", &path])?;
        ours.push(cost(|| until_both_run(world, &path), || of_agent(world))?);
        if round == STARTS {
            let agent = mb(Sample::of(world.agent_pid()?)?.pss);
            send_all(vec![
                Figure::alone(
                    "peers.start.podman.resident",
                    mb(helpers),
                    "MB PSS of processes that stay, one pod",
                ),
                Figure::alone("peers.start.carob.agent", agent, "MB PSS of the agent, however many pods"),
            ])?;
        }
        world.carob_ok(&["delete", "pod", "pair", "--grace-period=0"])?;
        say(&format!("start {round} of {STARTS}"))?;
    }
    ensure!(helpers > 0, "podman has left no process");
    tell("start", median(ours), &[("podman", median(podmans))])
}

fn until_both_run(world: &World, path: &str) -> Result<()> {
    world.carob_ok(&["apply", "-f", path])?;
    let since = Instant::now();
    loop {
        let pod = world.read("/api/v1/namespaces/default/pods/pair")?;
        let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        if statuses.iter().filter(|status| status["state"]["running"].is_object()).count() == 2 {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE, "the pod does not run: {pod}");
        thread::sleep(LOOK);
    }
}

/// KiB of PSS of the processes of these names.
fn resident(names: &[&str]) -> Result<u64> {
    let mut all = 0;
    for entry in fs::read_dir("/proc")? {
        let dir = entry?.path();
        // One that ends while it is looked at is none of those that stay.
        let Ok(name) = fs::read_to_string(dir.join("comm")) else { continue };
        let Ok(memory) = fs::read_to_string(dir.join("smaps_rollup")) else { continue };
        if names.contains(&name.trim()) {
            let pss = memory.lines().find_map(|line| line.strip_prefix("Pss:"));
            let pss = pss.and_then(|pss| pss.trim().trim_end_matches(" kB").parse::<u64>().ok());
            all += pss.context("smaps_rollup has no Pss")?;
        }
    }
    Ok(all)
}
