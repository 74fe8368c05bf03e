//! `GET /carob/v1/ledger`: how each attempt ended, for pods that are and that were. Reads the journal, never writes it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, date,
    objects::{Answer, options},
    refusal::Refusal,
};
use crate::{
    account,
    picture::Picture,
    pod::{
        Stamp,
        counts::Counts,
        status::BootId,
        verdict::{Cause, LimitOwner, Sender, Source, Verdict},
    },
    store::{End, Row, Selector},
};

/// The query: which rows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LedgerQuery {
    namespace: Option<String>,
    pod: Option<String>,
    last: Option<u32>,
    /// With the source of each fact.
    evidence: bool,
}

pub(super) async fn rows(
    State(api): State<Arc<Api>>,
    query: Result<Query<LedgerQuery>, QueryRejection>,
) -> Answer {
    let LedgerQuery { namespace, pod, last, evidence } = options(query)?;
    let selector = Selector { namespace, pod, last };
    let rows = api.journal.ledger(selector).await.map_err(|error| Refusal::internal(&error))?;
    let picture = api.picture.borrow();
    let shown = rows.iter().map(|found| {
        let mut shown = row(found, &picture);
        if let Some(end) = found.end.as_ref().filter(|_| evidence) {
            shown["evidence"] = facts(end, found.counts);
        }
        shown
    });
    Ok(Json(json!({"items": shown.collect::<Vec<_>>()})))
}

fn row(row: &Row, picture: &Picture) -> Value {
    let attempt = &row.attempt;
    let started = match (&row.end, attempt.process) {
        (Some(end), _) => end.ended.started,
        (None, process) => process.map(|process| process.started),
    };
    let boot = row.end.as_ref().map_or(&attempt.boot, |end| &end.ended.boot);
    json!({
        "namespace": attempt.pod.namespace,
        "pod": attempt.pod.name,
        "uid": attempt.id.uid.0,
        "container": attempt.id.container,
        "attempt": attempt.id.attempt,
        "image": attempt.image,
        "imageID": attempt.image_id,
        "startedAt": started.and_then(|stamp| when(picture, boot, stamp)),
        "counts": row.counts,
        "end": row.end.as_ref().map(|end| self::end(end, picture)),
    })
}

/// Where each fact comes from; `unknown` says why there is none.
fn facts(end: &End, counts: Option<Counts>) -> Value {
    let fact = |fact: &account::Fact| match &fact.value {
        Some(value) => json!({"fact": fact.name, "value": value, "source": fact.from}),
        None => json!({"fact": fact.name, "value": null, "unknown": fact.from}),
    };
    account::evidence(&end.ended.verdict, end.ended.started, counts).iter().map(fact).collect()
}

/// What became of it. An unknown is `null` here, never a number that looks like an answer.
fn end(end: &End, picture: &Picture) -> Value {
    let verdict = &end.ended.verdict;
    let ran = end.ended.started.map(|started| verdict.finished.since(started).as_secs_f64());
    json!({
        "finishedAt": when(picture, &end.ended.boot, verdict.finished),
        "ranSeconds": ran,
        "exitCode": verdict.code,
        "signal": verdict.signal,
        "core": verdict.core,
        "reason": end.reason,
        "cause": end.cause,
        "who": who(verdict),
        "limit": limit(verdict),
        "peakMemoryBytes": verdict.peak_memory,
        "message": account::message(verdict),
        "said": end.ended.said,
        "source": source(verdict.source),
    })
}

fn when(picture: &Picture, boot: &BootId, stamp: Stamp) -> Option<String> {
    date::exact(picture.wall(boot, stamp)?)
}

/// Who sent the fatal signal.
fn who(verdict: &Verdict) -> Option<String> {
    let sender = match &verdict.cause {
        Cause::Signalled(sender) => sender,
        Cause::Oom { .. } => return Some("kernel (oom)".to_owned()),
        _ => return None,
    };
    Some(match sender {
        Sender::Agent(_) => "carob".to_owned(),
        Sender::Itself => "itself".to_owned(),
        Sender::Own { pid, comm } => format!("own {comm}[{}]", pid.0),
        Sender::Container { pod, container, pid, comm } => format!("{pod}/{container} {comm}[{}]", pid.0),
        Sender::Host { pid, comm, uid } => format!("host {comm}[{}] uid {uid}", pid.0),
        Sender::Kernel(_) => "kernel".to_owned(),
        Sender::Unknown => "unknown".to_owned(),
    })
}

/// Whose memory limit was hit, and how large it is.
fn limit(verdict: &Verdict) -> Option<Value> {
    let Cause::Oom { limit, .. } = &verdict.cause else { return None };
    Some(match limit {
        LimitOwner::Container { bytes } => json!({"of": "container", "bytes": bytes}),
        LimitOwner::Pod { bytes } => json!({"of": "pod", "bytes": bytes}),
        LimitOwner::Nested { bytes } => json!({"of": "a cgroup inside the container", "bytes": bytes}),
        LimitOwner::Ancestor { path, bytes } => json!({"of": path, "bytes": bytes}),
        LimitOwner::Node => json!({"of": "node"}),
        LimitOwner::Unknown => json!({"of": "unknown"}),
    })
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Kernel => "kernel",
        Source::Wait => "wait",
        Source::None => "none",
    }
}
