//! A real Prometheus beside the agent, set up with the files of `monitoring/`: what they scrape, alert on and chart is
//! there, for pods that deserve it and not for one that does not. How long an alert waits is promtool's to judge.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Case;
use crate::{
    http,
    pods::{Pod, one, ready},
    wire::Mode,
    world::{METRICS, World},
};

/// Emulated, the server starts slowly, and a back-off takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
/// The host puts it there for a case with `prometheus` in its name.
const PROGRAM: &str = "/payload/bin/prometheus";
const DIR: &str = "/run/carob-prometheus";
const ADDRESS: &str = "127.0.0.1:9090";
const GOOD: &str = "scraped-good";
/// Each alert, and the pods that deserve it.
const DESERVED: [(&str, &[&str]); 4] = [
    ("KubePodCrashLooping", &["scraped-crashing"]),
    ("KubePodNotReady", &["scraped-crashing", "scraped-unready", "scraped-waiting"]),
    ("KubeContainerWaiting", &["scraped-waiting"]),
    ("CPUThrottlingHigh", &["scraped-throttled"]),
];

pub(crate) fn cases() -> Vec<Case> {
    let name = "a_real_prometheus_alerts_on_the_pods_that_deserve_it_and_charts_all";
    vec![Case { name, mode: Mode::Alone, limit: PATIENCE * 4, run: alerts_and_charts }]
}

fn alerts_and_charts(world: &World) -> Result<()> {
    ready(world)?;
    let server = Server::start(world)?;
    let _pods = pods(world)?;
    server.await_ready(world)?;
    // Else none of what follows says anything of it.
    world.wait_until("the good pod is seen", PATIENCE, || good_is_seen(&server))?;
    for (alert, deserving) in DESERVED {
        let query = server.query_of(alert)?;
        let what = format!("{alert} holds for {deserving:?} alone");
        world.wait_until(&what, PATIENCE, || {
            let found = server.ask(&query)?.iter().map(pod).collect::<Result<BTreeSet<_>>>()?;
            ensure!(found.iter().eq(deserving.iter()), "it holds for {found:?}");
            Ok(())
        })?;
    }
    charts_all(world, &server)?;
    world.hand_over("usage.prom", &http::fetch(&format!("{METRICS}/cadvisor"))?.body()?)
}

fn pods(world: &World) -> Result<Vec<Pod<'_>>> {
    let shell = |name: &str, script: &str, extra: &str| {
        one(name, "sleep", extra, "")
            .replace("[\"/work\", \"sleep\"]", &format!("[\"sh\", \"-c\", \"{script}\"]"))
    };
    let probe =
        "      readinessProbe: { exec: { command: [\"/work\", \"exit\", \"1\"] }, periodSeconds: 60 }\n";
    let limits = |cpu: &str| format!("      resources: {{ limits: {{ cpu: {cpu}, memory: 64Mi }} }}\n");
    let manifests = [
        (GOOD, shell(GOOD, "while sleep 0.3; do :; done", &limits("1"))),
        ("scraped-throttled", shell("scraped-throttled", "while :; do :; done", &limits("50m"))),
        (
            "scraped-crashing",
            one("scraped-crashing", "exit 1", "", "")
                .replace("restartPolicy: Never", "restartPolicy: Always"),
        ),
        ("scraped-unready", one("scraped-unready", "sleep", probe, "")),
        ("scraped-waiting", one("scraped-waiting", "sleep", "", "").replace("carob-work:1", "not-here:1")),
    ];
    manifests.iter().map(|(name, manifest)| Pod::apply(world, name, manifest)).collect()
}

fn good_is_seen(server: &Server) -> Result<()> {
    for query in [
        format!("kube_pod_status_ready{{pod=\"{GOOD}\", condition=\"true\"}} == 1"),
        format!("increase(container_cpu_cfs_periods_total{{pod=\"{GOOD}\", container=\"main\"}}[5m]) > 0"),
    ] {
        ensure!(server.ask(&query)?.len() == 1, "nothing answers {query}");
    }
    Ok(())
}

/// No panel of the dashboard is empty, and no list to choose from.
fn charts_all(world: &World, server: &Server) -> Result<()> {
    let dashboard: Value = serde_json::from_str(&world.payload("monitoring/carob.json")?)?;
    let list =
        |pointer: &str| dashboard.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let panels = list("/panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let mut queries: Vec<String> =
        targets.filter_map(|target| Some(chosen(target["expr"].as_str()?))).collect();
    for variable in list("/templating/list") {
        let Some(values) = variable["definition"].as_str() else { continue };
        let values = values.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = values.and_then(|of| of.rsplit_once(", ")).context("a list of no label")?;
        queries.push(format!("{} and on ({label}) {{{label}!=\"\"}}", chosen(series)));
    }
    ensure!(queries.len() >= 20, "the dashboard has {} queries", queries.len());
    world.wait_until("the dashboard is full", PATIENCE, || {
        for query in &queries {
            ensure!(!server.ask(query)?.is_empty(), "nothing answers {query}");
        }
        Ok(())
    })
}

/// A query as Grafana asks it when all is to be seen.
fn chosen(query: &str) -> String {
    let names = [
        ("$__rate_interval", "5m"),
        ("$__range", "5m"),
        ("$instance", ".*"),
        ("$namespace", ".*"),
        ("$pod", ".*"),
    ];
    names.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
}

fn pod(series: &Value) -> Result<String> {
    let pod = series["metric"]["pod"].as_str();
    Ok(pod.with_context(|| format!("a series without a pod: {series}"))?.to_owned())
}

struct Server {
    process: Child,
}

impl Server {
    /// With the files of `monitoring/` as they are, but for how often it scrapes.
    fn start(world: &World) -> Result<Self> {
        fs::create_dir_all(DIR).with_context(|| format!("create {DIR}"))?;
        for file in ["prometheus.yml", "rules.yml"] {
            let text = world.payload(&format!("monitoring/{file}"))?;
            fs::write(format!("{DIR}/{file}"), text.replace("_interval: 15s", "_interval: 1s"))?;
        }
        let log = File::create(format!("{DIR}/log"))?;
        let mut command = Command::new(PROGRAM);
        command
            .arg(format!("--config.file={DIR}/prometheus.yml"))
            .arg(format!("--storage.tsdb.path={DIR}/data"));
        command.arg(format!("--web.listen-address={ADDRESS}"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self { process: command.spawn().with_context(|| format!("start {PROGRAM}"))? })
    }

    fn await_ready(&self, world: &World) -> Result<()> {
        let up = world.wait_until("Prometheus scrapes all pages", PATIENCE, || {
            let up = self.ask("up == 1")?;
            ensure!(up.len() == 3, "of its targets only {up:?} are up");
            Ok(())
        });
        up.with_context(|| {
            format!("its log:\n{}", fs::read_to_string(format!("{DIR}/log")).unwrap_or_default())
        })
    }

    /// The `expr` of an alert, as it has read it.
    fn query_of(&self, alert: &str) -> Result<String> {
        let groups = answer("/api/v1/rules?type=alert")?["groups"].take();
        let rules = groups.as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array());
        let query =
            rules.flatten().find(|rule| rule["name"] == alert).and_then(|rule| rule["query"].as_str());
        Ok(query.with_context(|| format!("no alert {alert} in {groups}"))?.to_owned())
    }

    /// The series that an instant query finds now.
    fn ask(&self, query: &str) -> Result<Vec<Value>> {
        let mut data = answer(&format!("/api/v1/query?query={}", encoded(query)))?;
        match data["result"].take() {
            Value::Array(series) => Ok(series),
            other => bail!("{query} gives {other}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answer(path: &str) -> Result<Value> {
    let body = http::fetch(&format!("http://{ADDRESS}{path}"))?.body()?;
    let mut answer: Value = serde_json::from_str(&body).with_context(|| format!("read {path}: {body}"))?;
    ensure!(answer["status"] == "success", "{path}: {answer}");
    Ok(answer["data"].take())
}

/// As a part of an address.
fn encoded(query: &str) -> String {
    query
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
