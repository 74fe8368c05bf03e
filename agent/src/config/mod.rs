//! Every path and knob of the agent, with its default. The only place that reads the environment.
//!
//! Precedence: flag, then file, then default. `Config::under` moves all paths below another root for tests.
#![expect(clippy::disallowed_methods, reason = "reads the configuration file and the environment")]

use std::{
    fs, io,
    net::SocketAddr,
    num::NonZero,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::Error as _};

use crate::pod::{
    image_gc::{Age, ImageGc, Percent},
    range::{self, Range},
    range6::{self, Range6},
    registry::Registries,
};

/// Where the file is looked for if no flag names one.
pub(crate) const DEFAULT_FILE: &str = "/etc/carob/config.json";
/// Each thread's stack, in bytes. The usual 2 MiB is the size of a huge page, and where huge pages are on ("always")
/// the first use of such a stack takes all of it.
pub(crate) const STACK: usize = 1 << 20;
const POD_UNIT: &str = "carob.slice/carob-pods.service";

/// The agent's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// What must outlive a reboot: database, images, volumes.
    pub(crate) state: PathBuf,
    /// What lives as long as the boot: socket, bundles, namespace files. Must be a tmpfs.
    pub(crate) run: PathBuf,
    /// `/var/log`: `pods/` and `containers/` below it are where log shippers look.
    pub(crate) logs: PathBuf,
    /// The folder of static manifests.
    pub(crate) manifests: PathBuf,
    /// The folder of image archives that are loaded by themselves.
    pub(crate) image_dir: PathBuf,
    /// Where `/metrics` is served, if anywhere but on the socket.
    pub(crate) metrics: Option<SocketAddr>,
    /// Where the API is served over TLS, if anywhere.
    pub(crate) api: Option<SocketAddr>,
    /// What clients may call this box there, beside its own names.
    pub(crate) api_names: Vec<String>,
    /// The cgroup v2 mount.
    pub(crate) cgroup_fs: PathBuf,
    /// Path below `cgroup_fs` of the subtree that is ours; pods live in `pods/` below it.
    pub(crate) cgroup: String,
    /// Where the kernel shows the box's network devices.
    pub(crate) links: PathBuf,
    /// The box's disks by their numbers.
    pub(crate) blocks: PathBuf,
    /// The bpffs mount.
    pub(crate) bpffs: PathBuf,
    /// The node's name in status and metrics.
    pub(crate) node: String,
    /// Where the pods' addresses come from.
    pub(crate) pod_range: Range,
    /// And their IPv6 addresses, where the box speaks it.
    pub(crate) pod_range6: Option<Range6>,
    /// When a container's log is rotated, and what stays.
    pub(crate) log_limits: LogLimits,
    /// Bytes of the ring by which the kernel programs tell what is no death.
    pub(crate) ring: u32,
    /// How registries are reached.
    pub(crate) registries: Registries,
    /// Who the box is to registries: docker's configuration file.
    pub(crate) auth_file: PathBuf,
    /// Images that may be pulled at the same time.
    pub(crate) pulls_at_once: usize,
    /// When images are removed to make room.
    pub(crate) image_gc: ImageGc,
}

/// Slow lines gain little by more, and one slow registry does not keep all others waiting.
const PULLS_AT_ONCE: usize = 3;

/// As many wake-ups as 2048.
const RING: u32 = 64 << 10;

/// How large a container's log may become, in bytes, and how many files there may be of it, the current one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLimits {
    pub(crate) size: u64,
    pub(crate) files: usize,
}

/// The kubelet's defaults.
impl Default for LogLimits {
    fn default() -> Self {
        Self { size: 10 << 20, files: 5 }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the configuration {} is not valid", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// The file's form. Every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    state_dir: Option<PathBuf>,
    run_dir: Option<PathBuf>,
    log_dir: Option<PathBuf>,
    manifest_dir: Option<PathBuf>,
    image_dir: Option<PathBuf>,
    metrics_address: Option<SocketAddr>,
    api_address: Option<SocketAddr>,
    api_names: Option<Vec<String>>,
    cgroup: Option<String>,
    node_name: Option<String>,
    #[serde(rename = "podCIDR")]
    pod_range: Option<Range>,
    #[serde(rename = "podCIDRv6")]
    pod_range6: Option<range6::Choice>,
    container_log_max_size: Option<Size>,
    container_log_max_files: Option<Files>,
    kernel_ring_size: Option<Ring>,
    registries: Option<Registries>,
    registry_auth_file: Option<PathBuf>,
    max_parallel_image_pulls: Option<NonZero<usize>>,
    #[serde(rename = "imageGCHighThresholdPercent")]
    image_gc_high: Option<Percent>,
    #[serde(rename = "imageGCLowThresholdPercent")]
    image_gc_low: Option<Percent>,
    #[serde(rename = "imageMinimumGCAge")]
    image_gc_age: Option<Age>,
}

/// Bytes, written as Kubernetes writes them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Size(u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("containerLogMaxSize: {text:?} is not a size above 0 like 10Mi, 500Ki or 1G");
        bytes(&text).filter(|bytes| *bytes > 0).map(Self).ok_or_else(wrong)
    }
}

fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("", 1),
    ];
    UNITS.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*bytes)
    })
}

/// A size the kernel takes for a ring: a power of two. Where pages are larger than 4 KiB it becomes a page.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Ring(u32);

impl TryFrom<String> for Ring {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |bytes: &u32| bytes.is_power_of_two() && (4 << 10..=64 << 20).contains(bytes);
        let wrong = || format!("kernelRingSize: {text:?} is not a power of two from 4Ki to 64Mi");
        bytes(&text).and_then(|bytes| u32::try_from(bytes).ok()).filter(fits).map(Self).ok_or_else(wrong)
    }
}

/// At least the log itself and one that was rotated.
#[derive(Debug, Deserialize)]
#[serde(try_from = "usize")]
struct Files(usize);

impl TryFrom<usize> for Files {
    type Error = String;

    fn try_from(count: usize) -> Result<Self, String> {
        let wrong = || format!("containerLogMaxFiles: {count} is too few, at least 2 are needed");
        Some(count).filter(|count| *count >= 2).map(Self).ok_or_else(wrong)
    }
}

impl Config {
    /// Reads `file`, or the default file if it exists.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Error> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if file.is_none() && e.kind() == io::ErrorKind::NotFound => b"{}".to_vec(),
            Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
        };
        let mut config = Self::under(Path::new("/"));
        serde_json::from_slice(&bytes)
            .and_then(|file| config.apply(file))
            .map_err(|source| Error::Parse { path: path.to_owned(), source })?;
        Ok(config)
    }

    /// The defaults, with every path moved below `root`.
    pub(crate) fn under(root: &Path) -> Self {
        Self {
            state: root.join("var/lib/carob"),
            run: root.join("run/carob"),
            logs: root.join("var/log"),
            manifests: root.join("etc/carob/manifests"),
            image_dir: root.join("etc/carob/images"),
            metrics: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            api: None,
            api_names: Vec::new(),
            cgroup_fs: root.join("sys/fs/cgroup"),
            cgroup: default_cgroup(&root.join("sys/fs/cgroup")),
            links: root.join("sys/class/net"),
            blocks: root.join("sys/dev/block"),
            bpffs: root.join("sys/fs/bpf"),
            node: host_name(),
            pod_range: range::DEFAULT,
            pod_range6: Some(range6::DEFAULT),
            log_limits: LogLimits::default(),
            ring: RING,
            registries: Registries::default(),
            auth_file: root.join("etc/carob/auth.json"),
            pulls_at_once: PULLS_AT_ONCE,
            image_gc: ImageGc::default(),
        }
    }

    /// Fails where two keys do not go together.
    fn apply(&mut self, file: File) -> Result<(), serde_json::Error> {
        let File {
            state_dir,
            run_dir,
            log_dir,
            manifest_dir,
            image_dir,
            metrics_address,
            cgroup,
            node_name,
            pod_range,
            image_gc_high,
            image_gc_low,
            image_gc_age,
            ..
        } = file;
        self.image_gc =
            ImageGc::of(image_gc_high, image_gc_low, image_gc_age).map_err(serde_json::Error::custom)?;
        let LogLimits { size, files } = self.log_limits;
        self.log_limits = LogLimits {
            size: file.container_log_max_size.map_or(size, |Size(bytes)| bytes),
            files: file.container_log_max_files.map_or(files, |Files(count)| count),
        };
        self.state = state_dir.unwrap_or_else(|| std::mem::take(&mut self.state));
        self.run = run_dir.unwrap_or_else(|| std::mem::take(&mut self.run));
        self.logs = log_dir.unwrap_or_else(|| std::mem::take(&mut self.logs));
        self.manifests = manifest_dir.unwrap_or_else(|| std::mem::take(&mut self.manifests));
        self.image_dir = image_dir.unwrap_or_else(|| std::mem::take(&mut self.image_dir));
        self.metrics = metrics_address.or(self.metrics);
        self.api = file.api_address.or(self.api);
        self.api_names = file.api_names.unwrap_or_else(|| std::mem::take(&mut self.api_names));
        self.cgroup = cgroup.unwrap_or_else(|| std::mem::take(&mut self.cgroup));
        self.node = node_name.unwrap_or_else(|| std::mem::take(&mut self.node));
        self.pod_range = pod_range.unwrap_or(self.pod_range);
        self.pod_range6 = file.pod_range6.map_or(self.pod_range6, |range6::Choice(range)| range);
        self.registries = file.registries.unwrap_or_else(|| std::mem::take(&mut self.registries));
        self.auth_file = file.registry_auth_file.unwrap_or_else(|| std::mem::take(&mut self.auth_file));
        self.pulls_at_once = file.max_parallel_image_pulls.map_or(self.pulls_at_once, NonZero::get);
        self.ring = file.kernel_ring_size.map_or(self.ring, |Ring(bytes)| bytes);
        Ok(())
    }

    /// The API's unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run.join("carob.sock")
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.state.join("carob.db")
    }

    /// The keys of those who vouch for others.
    pub(crate) fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    /// The image store.
    pub(crate) fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Absolute path of the cgroup below which each pod has its own.
    pub(crate) fn pods_cgroup(&self) -> PathBuf {
        self.cgroup_fs.join(&self.cgroup).join("pods")
    }

    /// How deep an attempt's cgroup lies below the root of the hierarchy: `<cgroup>/pods/pod<uid>/<attempt>`.
    pub(crate) fn attempt_depth(&self) -> u32 {
        let parts = self.cgroup.split('/').filter(|part| !part.is_empty()).count();
        u32::try_from(parts).unwrap_or(u32::MAX).saturating_add(3)
    }

    /// systemd's notification socket, if it started us.
    pub(crate) fn notify_socket() -> Option<std::ffi::OsString> {
        std::env::var_os("NOTIFY_SOCKET")
    }

    /// The names of the descriptors that systemd passed to this process: they are those from 3 on.
    pub(crate) fn passed_descriptors() -> Vec<String> {
        let meant = std::env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok());
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let ours = meant == Some(std::process::id()) && !names.is_empty();
        if ours { names.split(':').map(str::to_owned).collect() } else { Vec::new() }
    }

    /// Which log lines to write: `CAROB_LOG`, in tracing's filter syntax.
    pub(crate) fn log_filter() -> String {
        std::env::var("CAROB_LOG").unwrap_or_else(|_| "info".to_owned())
    }

    /// How often systemd wants to hear that we live.
    pub(crate) fn watchdog() -> Option<std::time::Duration> {
        std::env::var("WATCHDOG_USEC").ok()?.parse().ok().map(std::time::Duration::from_micros)
    }
}

/// Below systemd the delegated unit, else a plain top-level cgroup.
fn default_cgroup(cgroup_fs: &Path) -> String {
    let under_systemd = cgroup_fs.join("init.scope").is_dir();
    if under_systemd { POD_UNIT.to_owned() } else { "carob".to_owned() }
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
