//! Objects that make pods, and their pods: what `plan::workload` says is due is done to the store, and the loop sees it
//! there like anybody's. All is derived from the store, so a kill at any moment leaves nothing half done.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Agent, clock, kept::Kept};
use crate::{
    act,
    manifest::made,
    plan::{
        self,
        workload::{Change, Verdict, changes, ends, verdict},
    },
    pod::{
        PodName, PodUid, Stamp,
        event::{About, Weight},
        workload::{Job, Life, Replica, Shape, WorkloadKind, life},
    },
    store::{self, Kind},
};

/// How long what could not be stored rests before the next try.
const AGAIN: Duration = Duration::from_secs(10);

/// One object that makes pods.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    kind: WorkloadKind,
    object: Arc<Value>,
}

impl Maker {
    fn text(&self, field: &str) -> &str {
        self.object["metadata"][field].as_str().unwrap_or_default()
    }

    /// What of it was read.
    fn version(&self) -> Option<u64> {
        self.text("resourceVersion").parse().ok()
    }

    fn about(&self) -> About {
        let [namespace, name, uid] = ["namespace", "name", "uid"].map(|field| self.text(field).to_owned());
        About { kind: self.kind.name().to_owned(), namespace, name, uid, field: String::new() }
    }
}

impl Agent {
    /// Takes in all of them as they are stored.
    pub(super) async fn read_workloads(&mut self) -> Result<(), store::Error> {
        let mut all = Vec::new();
        for kind in WorkloadKind::ALL {
            let (objects, _) = self.objects.list(Kind::Workload(kind), None).await?;
            all.extend(objects.into_iter().map(|object| Maker { kind, object: Arc::new(object) }));
        }
        self.workloads = all;
        Ok(())
    }

    /// Makes the pods agree with the objects that make pods. When to look again, if nothing happens before.
    pub(super) async fn tend_workloads(&mut self, now: Stamp) -> Option<Stamp> {
        let mut wake_at: Option<Stamp> = None;
        let mut written = false;
        for maker in self.workloads.clone() {
            let (wrote, again) = match self.tend(&maker, now).await {
                Ok(done) => done,
                Err(e) => {
                    let (kind, name) = (maker.kind.name(), maker.text("name"));
                    tracing::error!(error = %act::chain(&e), kind, name, "its pods cannot be stored; trying again");
                    (false, Some(now.after(AGAIN)))
                }
            };
            written |= wrote;
            wake_at = [wake_at, again].into_iter().flatten().min();
        }
        if written {
            // What was written is seen before anything is planned: else it would be made twice.
            self.read_objects().await;
        }
        wake_at
    }

    /// Counts ended pods of Jobs that are being deleted, before anything is done about them: soon nothing else will
    /// know that they were.
    pub(super) async fn count_departing(&mut self, now: Stamp) {
        let mut is_counted = false;
        while !is_counted {
            let mut read_again = false;
            is_counted = true;
            for maker in self.workloads.clone().iter().filter(|maker| maker.kind == WorkloadKind::Job) {
                let Some(object) = self.with_departing(maker, now) else { continue };
                read_again = true;
                match self.rewrite(maker, object).await {
                    Ok(written) => is_counted &= written,
                    Err(e) => {
                        tracing::error!(error = %act::chain(&e), job = maker.text("name"), "its ended pods cannot be counted");
                    }
                }
            }
            if read_again {
                self.read_objects().await;
            }
        }
    }

    /// Writes an object as it is to be, unless somebody has changed it since it was read: that comes first.
    async fn rewrite(&self, maker: &Maker, object: Value) -> Result<bool, store::Error> {
        match self.objects.replace(Kind::Workload(maker.kind), object, maker.version()).await {
            Err(store::Error::Conflict { .. } | store::Error::NotFound(_)) => Ok(false),
            written => written.map(|_| true),
        }
    }

    fn with_departing(&self, maker: &Maker, now: Stamp) -> Option<Value> {
        let pods = self.replicas(maker, now);
        let departing = |pod: &&Replica| {
            let kept = self.pods.get(&pod.uid);
            matches!(pod.life, Life::Succeeded | Life::Failed)
                && kept.is_some_and(|kept| kept.seen.deletion.is_some())
        };
        let departing: Vec<&Replica> = pods.iter().filter(departing).collect();
        if departing.is_empty() {
            return None;
        }
        let mut object = (*maker.object).clone();
        let here = |uid: &str| self.pods.contains_key(&PodUid(uid.to_owned()));
        for pod in departing {
            made::count(&mut object, pod, here);
        }
        Some(object)
    }

    /// Whether anything was written, and when to look again.
    async fn tend(&mut self, maker: &Maker, now: Stamp) -> Result<(bool, Option<Stamp>), store::Error> {
        let pods = self.replicas(maker, now);
        if maker.object["metadata"]["deletionTimestamp"].is_string() {
            return Ok((self.dissolve(maker, &pods).await?, None));
        }
        let mut workload = made::workload(maker.kind, &maker.object);
        let mut rest = None;
        if let Shape::Job(job) = &mut workload.shape {
            job.deadline = deadline(maker, now);
            rest = job.deadline;
            if let Some(end) = self.settled(maker, job, &pods, now).await? {
                return Ok(end);
            }
        }
        let due = changes(&workload, &pods, now);
        let mut wrote = false;
        for change in due.now {
            wrote |= match change {
                Change::Make { ordinal } => self.make(maker, ordinal).await?,
                Change::Delete { uid } => self.end_replica(maker, &uid).await?,
            };
        }
        Ok((wrote, due.wake_at.or(rest)))
    }

    /// The pods the object has made.
    fn replicas(&self, maker: &Maker, now: Stamp) -> Vec<Replica> {
        let own = |kept: &&Kept| {
            made::owner(&kept.object) == Some(maker.text("uid"))
                && !made::is_counted(&maker.object, &kept.object)
        };
        self.pods.values().filter(own).map(|kept| self.replica(maker.kind, kept, now)).collect()
    }

    fn replica(&self, kind: WorkloadKind, kept: &Kept, now: Stamp) -> Replica {
        let status = plan::status(&kept.spec, &kept.seen, now);
        let deleting = kept.seen.deletion.map(|deletion| deletion.since);
        Replica {
            name: kept.spec.name.name.clone(),
            uid: kept.spec.uid.clone(),
            template: made::revision(kind, &kept.object),
            place: made::place(&kept.object),
            life: life(&status, deleting, &self.boot),
            restarts: status.containers.iter().map(|container| container.restarts).sum(),
            ended: status.ended(&self.boot),
        }
    }

    /// An object that is to go takes its pods with it, and goes last.
    async fn dissolve(&mut self, maker: &Maker, pods: &[Replica]) -> Result<bool, store::Error> {
        let mut wrote = false;
        for pod in pods {
            wrote |= self.end_replica(maker, &pod.uid).await?;
        }
        let owned = |kept: &Kept| made::owner(&kept.object) == Some(maker.text("uid"));
        if self.pods.values().any(owned) {
            return Ok(wrote);
        }
        let (namespace, name, uid) = (maker.text("namespace"), maker.text("name"), maker.text("uid"));
        match self.objects.remove(Kind::Workload(maker.kind), namespace, name, uid).await {
            Err(store::Error::NotFound(_)) | Ok(_) => Ok(true),
            Err(e) => Err(e),
        }
    }

    async fn make(&mut self, maker: &Maker, ordinal: Option<u32>) -> Result<bool, store::Error> {
        let uid = || PodUid(uuid::Uuid::new_v4().to_string());
        let created = date(clock::wall());
        for mut claim in ordinal.map(|place| made::claims(&maker.object, place)).unwrap_or_default() {
            let text = |field: &str| claim["metadata"][field].as_str().unwrap_or_default().to_owned();
            let (namespace, name) = (text("namespace"), text("name"));
            if self.objects.get(Kind::PersistentVolumeClaim, &namespace, &name).await?.is_none() {
                claim["metadata"]["uid"] = json!(uid().0);
                claim["metadata"]["creationTimestamp"] = json!(created);
                self.objects.create(Kind::PersistentVolumeClaim, claim).await?;
            }
        }
        let pod = made::pod(maker.kind, &maker.object, ordinal, &uid(), &created);
        let made = self.objects.create(Kind::Pod, pod).await?;
        let message = format!("Created pod: {}", made["metadata"]["name"].as_str().unwrap_or_default());
        self.announce(maker.about(), Weight::Normal, "SuccessfulCreate", message);
        Ok(true)
    }

    async fn end_replica(&mut self, maker: &Maker, uid: &PodUid) -> Result<bool, store::Error> {
        let Some(kept) = self.pods.get(uid) else { return Ok(false) };
        if kept.object["metadata"]["deletionTimestamp"].is_string() {
            return Ok(false);
        }
        let PodName { namespace, name } = kept.spec.name.clone();
        let Some(object) = self.objects.get(Kind::Pod, &namespace, &name).await? else {
            return Ok(false);
        };
        let read = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok());
        match self.objects.replace(Kind::Pod, doomed(object), read).await {
            // Perhaps somebody has asked for its end just now, and for a shorter one.
            Err(store::Error::Conflict { .. }) => Ok(true),
            Err(store::Error::NotFound(_)) | Ok(_) => {
                let message = format!("Deleted pod: {name}");
                self.announce(maker.about(), Weight::Normal, "SuccessfulDelete", message);
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    /// Writes down how a Job has ended. `None`: it goes on, or something of it is still to be ended.
    async fn settled(
        &mut self,
        maker: &Maker,
        job: &Job,
        pods: &[Replica],
        now: Stamp,
    ) -> Result<Option<(bool, Option<Stamp>)>, store::Error> {
        if job.over {
            return self.expired(maker, now).await.map(Some).map(|done| done.filter(|_| pods_rest(pods)));
        }
        let Some(verdict) = verdict(job, pods, now) else { return Ok(None) };
        let mut object = (*maker.object).clone();
        let at = date(clock::wall());
        let (condition, reason, message) = words(verdict);
        object["status"]["conditions"] = json!([{
            "type": condition, "status": "True", "reason": reason, "message": message,
            "lastProbeTime": at, "lastTransitionTime": at,
        }]);
        let (succeeded, failed) = ends(job, pods);
        for (field, count) in [("succeeded", succeeded), ("failed", failed)] {
            if count > 0 {
                object["status"][field] = json!(count);
            }
        }
        if verdict == Verdict::Complete {
            object["status"]["completionTime"] = json!(at);
        }
        if job.indexed {
            let well = pods.iter().filter(|pod| pod.life == Life::Succeeded).filter_map(|pod| pod.place);
            let done = made::done(&object).into_iter().chain(well).collect();
            object["status"]["completedIndexes"] = json!(made::in_ranges(&done));
        }
        if !self.rewrite(maker, object).await? {
            return Ok(Some((true, None)));
        }
        tracing::info!(job = maker.text("name"), reason, "the job is over");
        match verdict {
            Verdict::Complete => {
                self.announce(maker.about(), Weight::Normal, "Completed", "Job completed".to_owned());
            }
            _ => self.announce(maker.about(), Weight::Warning, reason, message.to_owned()),
        }
        Ok(Some((true, None)))
    }

    /// A Job that is over goes by itself after `ttlSecondsAfterFinished`.
    async fn expired(&self, maker: &Maker, now: Stamp) -> Result<(bool, Option<Stamp>), store::Error> {
        let Some(seconds) = maker.object["spec"]["ttlSecondsAfterFinished"].as_u64() else {
            return Ok((false, None));
        };
        let ended = &maker.object["status"]["conditions"][0]["lastTransitionTime"];
        let Some(at) = stamp(ended, now).map(|ended| ended.after(Duration::from_secs(seconds))) else {
            return Ok((false, None));
        };
        if at > now {
            return Ok((false, Some(at)));
        }
        self.rewrite(maker, doomed((*maker.object).clone())).await?;
        Ok((true, None))
    }
}

/// Whether nothing of a Job that is over is still to be ended.
fn pods_rest(pods: &[Replica]) -> bool {
    !pods.iter().any(|pod| matches!(pod.life, Life::Ready | Life::Unready))
}

fn words(verdict: Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Complete => ("Complete", "CompletionsReached", "Reached expected number of succeeded pods"),
        Verdict::BackoffLimitExceeded => {
            ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        }
        Verdict::DeadlineExceeded => {
            ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        }
    }
}

/// When a Job's time is up.
fn deadline(maker: &Maker, now: Stamp) -> Option<Stamp> {
    let seconds = maker.object["spec"]["activeDeadlineSeconds"].as_u64()?;
    if maker.object["spec"]["suspend"] == true {
        return None;
    }
    let start = stamp(&maker.object["metadata"]["creationTimestamp"], now)?;
    Some(start.after(Duration::from_secs(seconds)))
}

/// A date as a stamp of this boot; the boot's beginning if it was before.
fn stamp(date: &Value, now: Stamp) -> Option<Stamp> {
    let date: jiff::Timestamp = date.as_str()?.parse().ok()?;
    let ago = i128::from(clock::wall()) - date.as_nanosecond();
    let at = i128::from(now.0) - ago;
    Some(Stamp(u64::try_from(at.max(0)).unwrap_or(u64::MAX)))
}

pub(super) fn date(wall: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(wall)).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An object with its mark of deletion. Only a pod has a grace period.
pub(super) fn doomed(mut object: Value) -> Value {
    let of_pod = || object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    let grace = if object["kind"] == Kind::Pod.name() { of_pod() } else { 0 };
    let at = clock::wall().saturating_add(grace.saturating_mul(1_000_000_000));
    object["metadata"]["deletionTimestamp"] = json!(date(at));
    object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    object
}
