//! `carob why`: the ledger of a pod, for people. The words for a verdict come with the rows.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    Scope,
    client::{Client, query},
    output::{self, say},
    table::{Table, wrapped},
};

/// Rows that are shown unless all are asked for.
const LAST: u32 = 10;
/// Signals by number, where x86 and ARM agree.
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Say how and why the containers of a pod ended, also of one that is gone
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    #[arg(value_name = "POD")]
    pod: String,
    #[command(flatten)]
    scope: Scope,
    /// All that is remembered, not only the last few
    #[arg(long)]
    all: bool,
    /// Say for each fact where it comes from, and of what is not known why
    #[arg(long)]
    evidence: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shape {
    Table,
    Json,
    Yaml,
}

impl Why {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        let query = query(&[
            ("namespace", Some(self.scope.namespace.clone())),
            ("pod", Some(self.pod.clone())),
            ("last", (!self.all).then(|| LAST.to_string())),
            ("evidence", self.evidence.then(|| "true".to_owned())),
        ]);
        let answer = client.fetch(&format!("/carob/v1/ledger{query}")).await?;
        let rows = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            anyhow::bail!(
                "no container of a pod {:?} was ever started in namespace {:?}",
                self.pod,
                self.scope.namespace
            );
        }
        say(&match self.output {
            Shape::Json => output::Format::Json.text(&json!({"items": rows})),
            Shape::Yaml => output::Format::Yaml.text(&json!({"items": rows})),
            Shape::Table => text(rows, output::width()),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One line for each attempt, and what it means below it.
fn text(rows: &[Value], width: Option<usize>) -> String {
    let mut table =
        Table::new(["FINISHED", "CONTAINER", "CODE", "SIGNAL", "CAUSE", "WHO", "LIMIT", "PEAK", "RAN"]);
    rows.iter().for_each(|row| table.row(cells(row)));
    let table = table.render(None);
    let (heading, lines) = table.split_once('\n').unwrap_or((&table, ""));
    let mut text = format!("{heading}\n");
    for (line, row) in lines.lines().zip(rows) {
        text.push_str(&format!("{line}\n"));
        for part in wrapped(&meaning(row), width.map(|width| width.saturating_sub(4).max(16))) {
            text.push_str(&format!("    {part}\n"));
        }
        for fact in row["evidence"].as_array().into_iter().flatten() {
            text.push_str(&format!("      {}\n", evidence(fact)));
        }
    }
    text
}

fn cells(row: &Value) -> Vec<String> {
    let end = &row["end"];
    let container = format!("{}/{}", row["container"].as_str().unwrap_or("?"), row["attempt"]);
    if end.is_null() {
        let mut cells = vec!["running".to_owned(), container];
        cells.resize(9, "-".to_owned());
        return cells;
    }
    let or_dash = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    vec![
        end["finishedAt"].as_str().map_or_else(|| "unknown".to_owned(), whole_second),
        container,
        end["exitCode"].as_i64().map_or_else(|| "unknown".to_owned(), |code| code.to_string()),
        end["signal"].as_i64().map_or_else(|| "-".to_owned(), signal),
        or_dash(&end["cause"]),
        or_dash(&end["who"]),
        limit(&end["limit"]),
        end["peakMemoryBytes"].as_u64().map_or_else(|| "-".to_owned(), bytes),
        end["ranSeconds"].as_f64().map_or_else(|| "-".to_owned(), seconds),
    ]
}

/// The sentence below the line.
fn meaning(row: &Value) -> String {
    let end = &row["end"];
    if end.is_null() {
        return match row["startedAt"].as_str() {
            Some(started) => format!("runs since {}", whole_second(started)),
            None => "has not ended".to_owned(),
        };
    }
    let message = end["message"].as_str().unwrap_or_default();
    let inferred = if end["source"] == "none" { " (nobody saw the exit)" } else { "" };
    let said = end["said"].as_str().map(|said| format!("; it said: {}", said.trim_end()));
    let reason = end["reason"].as_str().unwrap_or("Unknown");
    format!("{reason}: {message}{inferred}{}", said.unwrap_or_default())
}

fn evidence(fact: &Value) -> String {
    let text = |field: &str| fact[field].as_str().unwrap_or_default();
    match fact["value"].as_str() {
        Some(value) => format!("{}: {value} [{}]", text("fact"), text("source")),
        None => format!("{}: unknown, because {}", text("fact"), text("unknown")),
    }
}

/// Drops the fraction of a second.
fn whole_second(date: &str) -> String {
    match date.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => date.to_owned(),
    }
}

/// By its name, where it has one.
pub(super) fn signal(number: i64) -> String {
    let name = usize::try_from(number - 1).ok().and_then(|index| SIGNALS.get(index));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn limit(limit: &Value) -> String {
    match (limit["of"].as_str(), limit["bytes"].as_u64()) {
        (Some(of), Some(size)) => format!("{of} {}", bytes(size)),
        (Some(of), None) => of.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

/// `64Mi`, `63.9Mi`.
pub(super) fn bytes(size: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    match UNITS.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) if size.is_multiple_of(unit) => format!("{}{name}", size / unit),
        // Cut off, not rounded: what is below a limit must not look like it.
        Some((unit, name)) => {
            format!("{}.{}{name}", size / unit, u128::from(size % unit) * 10 / u128::from(unit))
        }
        None => size.to_string(),
    }
}

fn seconds(ran: f64) -> String {
    if ran < 10.0 {
        return format!("{ran:.3}s");
    }
    crate::columns::age::human(
        jiff::SignedDuration::try_from_secs_f64(ran).unwrap_or(jiff::SignedDuration::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_a_line_and_a_sentence() {
        let oom = json!({
            "container": "main", "attempt": 3,
            "end": {
                "finishedAt": "2026-11-23T10:00:00.123456789Z", "ranSeconds": 12.5, "exitCode": 137, "signal": 9,
                "core": false, "reason": "OOMKilled", "cause": "oom", "who": "kernel (oom)",
                "limit": {"of": "container", "bytes": 67_108_864_u64}, "peakMemoryBytes": 67_000_000_u64,
                "message": "OOM: container limit 64Mi, main process", "source": "kernel",
            },
        });
        let unknown = json!({
            "container": "db", "attempt": 0,
            "end": {
                "finishedAt": null, "ranSeconds": null, "exitCode": null, "signal": null, "core": false,
                "reason": "ContainerStatusUnknown", "cause": "unknown", "who": null, "limit": null,
                "peakMemoryBytes": null, "message": "the record was lost", "source": "none",
            },
        });
        let crash = json!({
            "container": "web", "attempt": 1,
            "end": {
                "finishedAt": "2026-11-23T10:00:01Z", "ranSeconds": 0.25, "exitCode": 139, "signal": 11, "core": true,
                "reason": "Error", "cause": "kernel", "who": "kernel", "limit": null, "peakMemoryBytes": 1000,
                "message": "SIGSEGV: fault at 0x0, core dumped", "said": "oh no\n", "source": "wait",
            },
        });
        let running =
            json!({"container": "web", "attempt": 2, "startedAt": "2026-11-23T10:00:02.5Z", "end": null});
        let expected = "\
FINISHED               CONTAINER   CODE      SIGNAL    CAUSE     WHO            LIMIT            PEAK     RAN
2026-11-23T10:00:00Z   main/3      137       SIGKILL   oom       kernel (oom)   container 64Mi   63.8Mi   12s
    OOMKilled: OOM: container limit 64Mi, main process
unknown                db/0        unknown   -         unknown   -              -                -        -
    ContainerStatusUnknown: the record was lost (nobody saw the exit)
2026-11-23T10:00:01Z   web/1       139       SIGSEGV   kernel    kernel         -                1000     0.250s
    Error: SIGSEGV: fault at 0x0, core dumped; it said: oh no
running                web/2       -         -         -         -              -                -        -
    runs since 2026-11-23T10:00:02Z
";
        assert_eq!(text(&[oom, unknown, crash, running], None), expected);
    }

    #[test]
    fn sizes_are_read_at_a_glance_and_never_rounded_up_to_a_limit() {
        let rows = [
            (0, "0"),
            (1023, "1023"),
            (1024, "1Ki"),
            (64 << 20, "64Mi"),
            ((64 << 20) - 1, "63.9Mi"),
            (3 << 29, "1.5Gi"),
            (u64::MAX, "16777215.9Ti"),
        ];
        for (size, expected) in rows {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn signals_have_names_where_the_kernel_has_names_for_them() {
        for (number, expected) in
            [(1, "SIGHUP"), (9, "SIGKILL"), (15, "SIGTERM"), (31, "SIGSYS"), (34, "34"), (0, "0")]
        {
            assert_eq!(signal(number), expected);
        }
    }
}
