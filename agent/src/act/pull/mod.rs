//! Sees to it that an image is on the box: it is, or a child of ours pulls it. Decides neither when nor how often.
#![expect(clippy::disallowed_methods, reason = "reads the box's credentials")]

pub(crate) mod child;
mod fetch;
mod wire;
mod worker;

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Mutex as Turn, Notify, Semaphore};

use super::{
    Tools, blocking,
    image::{self, Image, pulled},
    lock, sandbox,
};
use crate::{
    cgroup,
    pod::{
        PodUid, PullPolicy, Spec,
        given::Given,
        registry::{self, Credential, Registries},
    },
};
pub(crate) use wire::Progress;
use wire::{Last, Order};
use worker::Worker;

/// Why an image is not here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("image {image:?} is not present and may not be pulled (imagePullPolicy Never)")]
    Never { image: String },
    #[error("image {image:?}")]
    Image {
        image: String,
        #[source]
        source: image::Error,
    },
    /// The child's words, and through it those of the registries.
    #[error("image {image:?} cannot be pulled: {message}")]
    Refused { image: String, message: String, wait: Duration },
    #[error("the credentials in {} cannot be used", path.display())]
    Credentials {
        path: PathBuf,
        #[source]
        source: registry::Fault,
    },
    #[error("cannot {what}")]
    Child {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// Killed for its memory, perhaps.
    #[error("the child that pulls has ended without a word of what came of it ({last})")]
    Mute { last: String },
    #[error("the cgroup of pulls cannot be set up")]
    Cgroup {
        #[source]
        source: cgroup::Error,
    },
    #[error("nobody needs it any more")]
    Stopped,
}

impl Error {
    /// Kubernetes' waiting reason.
    pub(crate) fn waiting_reason(&self) -> &'static str {
        match self {
            Self::Never { .. } => "ErrImageNeverPull",
            Self::Image { source: image::Error::Reference { .. }, .. } => "InvalidImageName",
            Self::Image { source: image::Error::Damaged { .. }, .. } => "ImageInspectError",
            _ => "ErrImagePull",
        }
    }

    /// How long the registry wants not to be asked again.
    pub(crate) fn wait(&self) -> Duration {
        if let Self::Refused { wait, .. } = self { *wait } else { Duration::ZERO }
    }
}

/// How an image came to be here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// No registry had to be asked.
    Present,
    /// A registry has it, and now it is here; so many bytes, unpacked.
    Pulled { size: u64 },
    /// It is here, but whether there is a newer one could not be asked.
    Unchecked { why: String },
}

/// What is wanted, and of whom.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) image: String,
    pub(crate) policy: PullPolicy,
    /// Beside those of the box, and before them.
    pub(crate) credentials: Vec<Credential>,
}

/// What is told while an image comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A registry is asked from now on.
    Begun,
    Progress(Progress),
}

/// All pulls of the box.
#[derive(Debug)]
pub(crate) struct Pulls {
    registries: Registries,
    auth_file: PathBuf,
    slots: Semaphore,
    /// The same name is asked for once at a time: who waited finds what the other has pulled.
    turns: Mutex<BTreeMap<String, Arc<Turn<()>>>>,
    stops: Mutex<BTreeMap<(PodUid, usize), Arc<Notify>>>,
}

impl Pulls {
    pub(crate) fn new(registries: Registries, auth_file: PathBuf, at_once: usize) -> Self {
        let slots = Semaphore::new(at_once);
        Self { registries, auth_file, slots, turns: Mutex::default(), stops: Mutex::default() }
    }

    /// Nobody waits for the images of that container any more.
    pub(crate) fn stop(&self, uid: &PodUid, container: usize) {
        if let Some(stop) = lock(&self.stops).get(&(uid.clone(), container)) {
            stop.notify_one();
        }
    }

    /// Does the work, unless it is stopped first.
    pub(crate) async fn unless_stopped<T>(
        &self,
        uid: &PodUid,
        container: usize,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let (key, stop) = ((uid.clone(), container), Arc::<Notify>::default());
        lock(&self.stops).insert(key.clone(), stop.clone());
        let done = tokio::select! {
            biased;
            () = stop.notified() => Err(Error::Stopped),
            done = work => done,
        };
        lock(&self.stops).remove(&key);
        done
    }

    fn turn(&self, name: &str) -> Arc<Turn<()>> {
        let mut turns = lock(&self.turns);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(name.to_owned()).or_default().clone()
    }

    /// Those of the pod first.
    fn credentials(&self, own: Vec<Credential>) -> Result<Vec<Credential>, Error> {
        let of_box = match fs::read(&self.auth_file) {
            Ok(bytes) => registry::credentials(&bytes)
                .map_err(|source| Error::Credentials { path: self.auth_file.clone(), source })?,
            Err(_) => Vec::new(),
        };
        Ok(own.into_iter().chain(of_box).collect())
    }
}

/// All images that a container needs, one after the other.
pub(super) async fn all(
    tools: &Arc<Tools>,
    spec: &Spec,
    container: usize,
    given: &Given,
    images: &mut Vec<(String, Fetched)>,
    pulling: impl Fn(&str),
) -> Result<(), Error> {
    for (image, policy) in spec.images(&spec.containers[container]) {
        let wanted = Wanted { image: image.to_owned(), policy, credentials: given.credentials.clone() };
        let mut tell = |told| {
            if told == Told::Begun {
                pulling(image);
            }
        };
        let fetched = ensure(tools, wanted, &mut tell).await?;
        images.push((image.to_owned(), fetched));
    }
    Ok(())
}

/// Does what the policy says.
pub(crate) async fn ensure(
    tools: &Arc<Tools>,
    wanted: Wanted,
    tell: &mut impl FnMut(Told),
) -> Result<Fetched, Error> {
    let fault = |source| Error::Image { image: wanted.image.clone(), source };
    let source = pulled::source(&wanted.image).map_err(fault)?;
    let turn = tools.pulls.turn(&source.name);
    let _turn = turn.lock().await;
    let here = match find(tools, &wanted.image).await {
        // It may be healed.
        Err(image::Error::Damaged { .. }) if wanted.policy != PullPolicy::Never => None,
        found => found.map_err(fault)?,
    };
    match (wanted.policy, &here) {
        (PullPolicy::Never | PullPolicy::IfNotPresent, Some(_)) => return Ok(Fetched::Present),
        (PullPolicy::Never, None) => return Err(Error::Never { image: wanted.image }),
        (PullPolicy::Always | PullPolicy::IfNotPresent, _) => (),
    }
    let slot = tools.pulls.slots.acquire().await;
    tell(Told::Begun);
    let pulled = match pull(tools, &wanted, here.as_ref(), tell).await {
        // What it counted on was taken away meanwhile.
        Err(Error::Image { source: image::Error::Swept { .. }, .. }) => {
            pull(tools, &wanted, here.as_ref(), tell).await
        }
        pulled => pulled,
    };
    drop(slot);
    match (pulled?, here) {
        (Pulled::Image(size), _) => Ok(Fetched::Pulled { size }),
        (Pulled::Same, here) => Ok(Fetched::Pulled { size: here.map_or(0, |image| image.size) }),
        (Pulled::Unreachable { message, .. }, Some(_)) => Ok(Fetched::Unchecked { why: message }),
        (Pulled::Unreachable { message, wait }, None) => {
            Err(Error::Refused { image: wanted.image, message, wait })
        }
    }
}

/// What is here whole.
async fn find(tools: &Arc<Tools>, image: &str) -> Result<Option<Image>, image::Error> {
    let (store, image) = (tools.images.clone(), image.to_owned());
    blocking(move || {
        let found = store.find(&image)?;
        found.map(|found| store.ensure_whole(&found).map(|()| found)).transpose()
    })
    .await
}

enum Pulled {
    /// So many bytes, unpacked.
    Image(u64),
    Same,
    Unreachable {
        message: String,
        wait: Duration,
    },
}

async fn pull(
    tools: &Arc<Tools>,
    wanted: &Wanted,
    here: Option<&Image>,
    tell: &mut impl FnMut(Told),
) -> Result<Pulled, Error> {
    let fault = |source| Error::Image { image: wanted.image.clone(), source };
    let source = pulled::source(&wanted.image).map_err(fault)?;
    let known = here.map_or(Ok(None), |_| tools.images.manifest_of(&wanted.image)).map_err(fault)?;
    let scratch = Arc::new(tools.images.lend().map_err(fault)?);
    let order = Order {
        image: wanted.image.clone(),
        known,
        endpoints: tools.pulls.registries.endpoints(&source.registry, &source.repository),
        credentials: tools.pulls.credentials(wanted.credentials.clone())?,
        store: tools.images.root().to_owned(),
        scratch: scratch.path().to_owned(),
        cgroup: cgroup_of_pulls(tools)?,
    };
    let mut worker = Worker::start(tools, &order, scratch.clone())?;
    match worker.hear(tell).await? {
        Last::Same => Ok(Pulled::Same),
        Last::Failed { message, unreachable: true, wait } => Ok(Pulled::Unreachable { message, wait }),
        Last::Failed { message, wait, .. } => {
            Err(Error::Refused { image: wanted.image.clone(), message, wait })
        }
        Last::Prepared(prepared) => {
            let store = tools.images.clone();
            let committed = blocking(move || store.commit(*prepared, &scratch)).await;
            committed.map(|image| Pulled::Image(image.size)).map_err(fault)
        }
    }
}

/// Made when it is first needed.
fn cgroup_of_pulls(tools: &Tools) -> Result<PathBuf, Error> {
    let cgroup = tools.places.pulls_cgroup();
    let made = sandbox::reach(&tools.places, &cgroup).and_then(|()| cgroup.limit_modestly());
    made.map_err(|source| Error::Cgroup { source })?;
    Ok(cgroup.path().to_owned())
}
