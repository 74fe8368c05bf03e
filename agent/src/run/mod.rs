//! The loop: looks, asks `plan`, sends `act` off, folds in what became of it, publishes the picture. The only module
//! that knows all the others, and the only one that writes status and ledger.
//!
//! One turn never waits for an effect: effects are tasks that end in a `Note`.

mod admit;
mod adopt;
mod archives;
mod change;
mod claims;
mod clock;
mod drain;
mod ending;
mod exec;
mod folder;
mod garbage;
mod given;
mod heard;
mod images;
mod kept;
mod manifests;
mod namespaces;
mod news;
mod notes;
mod objects;
mod probes;
mod pulls;
mod resize;
mod round;
mod show;
mod stages;
mod start;
mod storage;
mod systemd;
mod tally;
mod text;
mod uninstall;
mod verb;
mod volumes;
mod wake;
mod workloads;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use anyhow::Context;
use tokio::sync::{mpsc, watch};

use crate::{
    account,
    act::{self, Attempted, Job, Outcome, Tools},
    api::ImageRequest,
    config::Config,
    picture::{Picture, stages::Stages},
    plan::{self, Step},
    pod::{
        AttemptId, PodUid, Stamp,
        event::{Again, Event},
        status::{BootId, Ended},
    },
    store::{Attempt, Journal, Objects, Process},
};
use kept::{Kept, Remains};
use notes::{Note, Notes, Waiting};
pub(crate) use verb::{Verb, run};

/// The loop and all it holds.
struct Agent {
    config: Arc<Config>,
    tools: Arc<Tools>,
    objects: Objects,
    journal: Journal,
    boot: BootId,
    pods: BTreeMap<PodUid, Kept>,
    probing: probes::Probing,
    picture: watch::Sender<Arc<Picture>>,
    notes: Notes,
    alarm: clock::Alarm,
    wake: wake::Wake,
    deaf: Option<String>,
    mismatches: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    stages: Arc<Stages>,
    store_error: Option<String>,
    shelf: given::Shelf,
    /// The objects that make pods.
    workloads: Vec<workloads::Maker>,
    node: given::Node,
    /// Cgroups whose counts are written down.
    closed: tally::Closed,
    collecting: garbage::Collecting,
    claims: claims::Claims,
    archives: archives::Archives,
    /// Events of what is no pod, until the end of the turn.
    news: Vec<(Event, Again)>,
}

/// What wakes the loop beside its own tasks.
struct Wakers {
    notes: mpsc::Receiver<Waiting>,
    changed: watch::Receiver<u64>,
    images: mpsc::Receiver<ImageRequest>,
    child: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    notifier: systemd::Notifier,
}

impl Agent {
    /// Turns until it is told to stop. Pods are left as they are.
    async fn run(mut self, mut wakers: Wakers) -> anyhow::Result<()> {
        let watchdog = clock::Alarm::new()?;
        let beat = wakers.notifier.beat();
        watchdog.set(beat.map(|every| clock::now().after(every)))?;
        self.read_objects().await;
        loop {
            self.turn().await?;
            tokio::select! {
                Some(waiting) = wakers.notes.recv() => {
                    self.hear_out(waiting).await;
                    while let Ok(waiting) = wakers.notes.try_recv() {
                        self.hear_out(waiting).await;
                    }
                }
                changed = wakers.changed.changed() => {
                    // Nothing is right without it. The next agent takes over where this one stops.
                    changed.context("the store has ended")?;
                    self.read_objects().await;
                }
                Some(request) = wakers.images.recv() => self.serve_images(request),
                _ = wakers.child.recv() => self.tools.children.reap_strangers(),
                rang = self.alarm.rang() => {
                    rang?;
                    self.wake.rang();
                }
                rang = watchdog.rang() => {
                    rang?;
                    wakers.notifier.say("WATCHDOG=1");
                    watchdog.set(beat.map(|every| clock::now().after(every)))?;
                }
                _ = wakers.terminate.recv() => {
                    wakers.notifier.say("STOPPING=1");
                    tracing::info!("stopping; pods go on");
                    return Ok(());
                }
            }
        }
    }

    /// Plans for every pod, sends the steps off, shows the result.
    async fn turn(&mut self) -> anyhow::Result<()> {
        self.count_departing(clock::now()).await;
        self.end_overdue(clock::now()).await;
        self.begin_rounds(clock::now()).await;
        self.allocate().await;
        let now = clock::now();
        self.wake.planned(now);
        self.admit(now);
        let mut wake_at = None;
        let mut jobs = Vec::new();
        for (uid, kept) in &mut self.pods {
            let plan = plan::plan(&kept.spec, &kept.seen, now);
            wake_at = [wake_at, plan.wake_at].into_iter().flatten().min();
            for step in plan.steps {
                let addresses = kept.addresses();
                let given = kept.subject(&self.shelf, &self.node, &addresses).given(&step, clock::wall());
                kept.looked_up(&step, self.shelf.edition);
                let job = Job { spec: kept.spec.clone(), live: kept.live(&step), step, now, given };
                kept.tell_issued(&job.step);
                kept.timed(&job.step, now);
                kept.issued(&job.step);
                jobs.push((uid.clone(), job));
            }
        }
        self.tend_probes();
        for (uid, job) in jobs {
            self.send_off(uid, job);
        }
        self.refresh_volumes();
        self.publish_news(now).await;
        self.show(now).await;
        self.disown_closed();
        // After the picture: nobody is to read of a Job that is over while its pods still seem to run.
        let again = self.tend_workloads(now).await;
        let measure = self.measure_storage(now);
        let collect = self.tend_images(now);
        let claims = self.measure_claims(now);
        let next = [wake_at, again, measure, collect, claims].into_iter().flatten().min();
        self.wake.set(next, clock::now());
        self.alarm.set(next)?;
        Ok(())
    }

    /// Carries a step out in a task of its own.
    fn send_off(&self, uid: PodUid, job: Job) {
        tracing::debug!(pod = %job.spec.name, step = ?job.step, "step");
        let desk = self.desk();
        tokio::spawn(async move {
            let forget = job.step == Step::Forget;
            let (order, recorded) = (job.clone(), OnceLock::new());
            let (desk_ref, recorded) = (&desk, &recorded);
            let record = |attempted: Attempted| desk_ref.begin(&order, attempted, recorded);
            let pulling = |image: &str| desk_ref.tell_pulling(&uid, &order.step, image);
            let outcome = act::carry_out(desk.tools.clone(), job.clone(), record, pulling).await;
            desk.time_start(&outcome, recorded);
            if let Outcome::Cleared { result: Ok(Some(departed)), .. } = &outcome
                && let Some(account) = desk.close_account(*departed).await
            {
                let _ = desk.notes.send(Note::Counted(account)).await;
            }
            let note = desk.note(uid, &job, outcome, forget).await;
            // The loop is gone only when the agent stops.
            let _ = desk.notes.send(note).await;
        });
    }

    async fn hear_out(&mut self, Waiting { note, since }: Waiting) {
        self.wake.came(since);
        self.take(note).await;
    }

    async fn take(&mut self, note: Note) {
        let now = clock::now();
        match note {
            Note::Done { uid, outcome } => {
                if let Outcome::Started { result: Ok(started), .. } = &outcome {
                    self.watch(&uid, &outcome, started.clone());
                }
                if let Outcome::Pulled { .. } = &outcome {
                    self.collecting.hasten();
                }
                if let Some(kept) = self.pods.get_mut(&uid) {
                    kept.fold(outcome, now);
                }
            }
            Note::Ended { ended, remains } => {
                if let Some(kept) = self.pods.get_mut(&ended.id.uid) {
                    kept.ended(ended, remains, now);
                }
            }
            Note::Counted(account) => self.counted(account),
            Note::Gone { uid } => {
                self.pods.remove(&uid);
                self.prune().await;
                self.read_manifests().await;
                self.read_objects().await;
            }
            Note::Probed { id, kind, verdict } => {
                if let Some(kept) = self.pods.get_mut(&id.uid) {
                    kept.probed(&id, kind, verdict, now);
                }
            }
            Note::Refreshed { uid } => {
                if let Some(kept) = self.pods.get_mut(&uid) {
                    kept.projections.busy = false;
                }
            }
            Note::Measured { uid, excess } => self.measured(uid, excess, now).await,
            Note::Claims(found) => self.claims_measured(found),
            Note::Heard => self.hear(),
            Note::Pulling { uid, container, image } => {
                if let Some(kept) = self.pods.get_mut(&uid) {
                    kept.tell_pulling(container, &image);
                }
            }
            Note::Images => self.images_changed(),
            Note::Archives(names) => self.archives_changed(names),
            Note::Archive(loaded) => self.archive_loaded(loaded),
            Note::Collected(collected) => self.collected(collected),
            Note::Manifests => {
                self.read_manifests().await;
                self.read_objects().await;
            }
        }
    }

    /// What a task needs to write to the ledger and to report.
    fn desk(&self) -> Desk {
        Desk {
            tools: self.tools.clone(),
            journal: self.journal.clone(),
            boot: self.boot.clone(),
            notes: self.notes.clone(),
            mismatches: self.mismatches.clone(),
            stages: self.stages.clone(),
        }
    }

    fn watch(&self, uid: &PodUid, outcome: &Outcome, started: act::Started) {
        let Some(kept) = self.pods.get(uid) else { return };
        let Outcome::Started { container, attempt, .. } = outcome else { return };
        let container = kept.spec.containers[*container].name.clone();
        let id = AttemptId { uid: uid.clone(), container, attempt: *attempt };
        tracing::info!(pod = %kept.spec.name, container = id.container, attempt = id.attempt, pid = started.pid.0, "running");
        let desk = self.desk();
        tokio::spawn(
            async move { desk.watch(id, started.cgroup, started.pid, started.at, started.pidfd).await },
        );
    }
}

/// The ledger, as tasks write it.
#[derive(Clone)]
struct Desk {
    tools: Arc<Tools>,
    journal: Journal,
    boot: BootId,
    notes: Notes,
    mismatches: Arc<AtomicU64>,
    stages: Arc<Stages>,
}

impl Desk {
    /// Records an attempt before it may start, and says in `recorded` when that was done.
    async fn begin(
        &self,
        job: &Job,
        attempted: Attempted,
        recorded: &OnceLock<Stamp>,
    ) -> Result<Stamp, String> {
        let started = clock::now();
        let Attempted { id, pid, start_ticks, cgroup, image_id } = attempted;
        let image = job.spec.containers.iter().find(|c| c.name == id.container).map(|c| c.image.clone());
        let attempt = Attempt {
            id,
            pod: job.spec.name.clone(),
            boot: self.boot.clone(),
            image: image.unwrap_or_default(),
            image_id,
            process: Some(Process { cgroup, pid, start_ticks, started }),
        };
        match self.journal.begin(&attempt).await {
            Ok(()) => {
                self.time_creation(job, started, recorded);
                Ok(started)
            }
            Err(e) => Err(act::chain(&e)),
        }
    }

    /// What the loop is to hear of a step that is done. A failed start that counts goes to the ledger first.
    async fn note(&self, uid: PodUid, job: &Job, outcome: Outcome, forget: bool) -> Note {
        match outcome {
            Outcome::Started { result: Err(act::container::Error::Start(message)), attempt, container } => {
                let container = job.spec.containers[container].name.clone();
                let id = AttemptId { uid, container, attempt };
                tracing::warn!(pod = %job.spec.name, container = id.container, message, "start failed");
                let ended = self.start_error(id, message);
                self.write_down(&ended).await;
                Note::Ended { ended, remains: Remains::Nothing }
            }
            outcome if forget => {
                self.forget(&uid).await;
                match outcome {
                    Outcome::Forgotten(Err(e)) => {
                        tracing::warn!(error = %act::chain(&e), "logs are left behind");
                    }
                    _ => tracing::info!(pod = %job.spec.name, "gone"),
                }
                Note::Gone { uid }
            }
            outcome => Note::Done { uid, outcome },
        }
    }

    /// An attempt whose program never ran. It has no exit code; the API shows 128 there, as containerd does.
    fn start_error(&self, id: AttemptId, message: String) -> Ended {
        let verdict = account::never_started(message, clock::now());
        Ended { id, boot: self.boot.clone(), started: None, verdict, said: None, flight: None }
    }

    /// Takes an attempt's row back; tries until the store takes it.
    async fn withdraw(&self, id: &AttemptId) {
        while let Err(e) = self.journal.withdraw(id).await {
            tracing::error!(error = %act::chain(&e), "an attempt cannot be withdrawn; trying again");
            if clock::pause(ending::STORE_AGAIN).await.is_err() {
                return;
            }
        }
    }

    /// Takes the object away; tries until the store takes it.
    async fn forget(&self, uid: &PodUid) {
        while let Err(e) = self.journal.forget(uid).await {
            tracing::error!(error = %act::chain(&e), "the pod cannot be removed from the store; trying again");
            if clock::pause(ending::STORE_AGAIN).await.is_err() {
                return;
            }
        }
    }
}
