//! The child that pulls one image: asks registries, fetches what is lacking, unpacks it in scratch space. Whatever hostile
//! bytes do, they do to it; it holds nothing that is worth having, and is gone when the image is here.
#![expect(clippy::disallowed_methods, reason = "runs in a process of its own, and joins its cgroup")]

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, Write},
    path::PathBuf,
    process,
    sync::Arc,
};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    super::{
        chain,
        image::{
            self, Digest,
            pulled::{self, Layers, Listing, Prepared, Source, Wanted, Workshop},
        },
        log::Pausing,
        registry::{self, JSON_LIMIT, Repository},
    },
    fetch::{self, Fetched, fetch},
    wire::{Last, Order, Said},
};
use crate::pod::registry::fitting;

/// Layers that are on their way at the same time.
const AT_ONCE: usize = 3;
/// Indexes in an index that are followed.
const HOPS: usize = 4;

/// Why an image is not pulled from one place.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error("the index leads to more than {HOPS} others")]
    Nested,
    #[error("the {what} has more than {JSON_LIMIT} bytes")]
    Long { what: &'static str },
}

impl Error {
    fn of_the_registry(&self) -> Option<&registry::Error> {
        match self {
            Self::Registry(e) | Self::Fetch(fetch::Error::Registry(e)) => Some(e),
            _ => None,
        }
    }
}

/// `carob pull-image`.
pub(crate) async fn run(pause: Pausing) -> Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("read what to pull")?;
    let order: Order = serde_json::from_str(&line).context("understand what to pull")?;
    fs::write(order.cgroup.join("cgroup.procs"), "0").context("join the cgroup of pulls")?;
    std::thread::spawn(|| {
        // It ends when the agent does, or wants no image any more.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(1);
    });
    say(&Said::Last(pull(order, pause).await));
    Ok(())
}

/// To whoever listens: if nobody does, the end of the input says so too.
pub(super) fn say(said: &Said) {
    if let Ok(line) = serde_json::to_string(said) {
        let _ = writeln!(io::stdout().lock(), "{line}");
    }
}

/// Asks one endpoint after the other. What all of them say is told; the last one is the registry itself, and whether that
/// was reached, and when it may be asked again, is what counts: what a mirror does not have says nothing of the image.
async fn pull(order: Order, pause: Pausing) -> Last {
    let source = match pulled::source(&order.image) {
        Ok(source) => source,
        Err(e) => return failed(chain(&e), Some(&e.into())),
    };
    let shop = Arc::new(Workshop::new(&order.store, &order.scratch));
    let (mut messages, mut last) = (Vec::new(), None);
    for endpoint in order.endpoints {
        let credentials = fitting(&order.credentials, &endpoint.name).into_iter().cloned().collect();
        let pulled = match Repository::open(endpoint, credentials, pause) {
            Ok(repository) => Pull { source: &source, repository, shop: shop.clone() }.all(order.known).await,
            Err(e) => Err(e.into()),
        };
        match pulled {
            Ok(Some(prepared)) => return Last::Prepared(Box::new(prepared)),
            Ok(None) => return Last::Same,
            Err(e) => {
                messages.push(chain(&e));
                last = Some(e);
            }
        }
    }
    failed(messages.join("; "), last.as_ref())
}

fn failed(message: String, last: Option<&Error>) -> Last {
    let last = last.and_then(Error::of_the_registry);
    let unreachable = last.is_some_and(registry::Error::is_of_the_way);
    Last::Failed { message, unreachable, wait: last.map(registry::Error::wait).unwrap_or_default() }
}

/// One image from one place.
struct Pull<'a> {
    source: &'a Source,
    repository: Repository,
    shop: Arc<Workshop>,
}

impl Pull<'_> {
    /// `None`: the name stands for what is known.
    async fn all(&self, known: Option<Digest>) -> Result<Option<Prepared>, Error> {
        if known.is_some() && self.repository.digest(&self.source.version).await? == known {
            return Ok(None);
        }
        let (bytes, manifest) = self.repository.manifest(&self.source.version).await?;
        if known == Some(manifest) {
            return Ok(None);
        }
        let (config, layers) = self.image(bytes).await?;
        let config_bytes = self.config(config).await?;
        let layers = self.shop.layers(&config_bytes, config.digest, layers)?;
        let fresh = self.layers(&layers).await?;
        let config = (config.digest, config_bytes);
        Ok(Some(self.shop.finish(self.source, config, manifest, &layers, fresh)?))
    }

    /// Follows an index to the image that is for this box.
    async fn image(&self, mut bytes: Vec<u8>) -> Result<(Wanted, Vec<Wanted>), Error> {
        for _ in 0..HOPS {
            match pulled::listing(&bytes, &self.source.name)? {
                Listing::Image { config, layers } => return Ok((config, layers)),
                Listing::Index(digest) => bytes = self.repository.manifest(&digest.to_string()).await?.0,
            }
        }
        Err(Error::Nested)
    }

    async fn config(&self, wanted: Wanted) -> Result<Vec<u8>, Error> {
        if wanted.size > JSON_LIMIT {
            return Err(Error::Long { what: "config" });
        }
        let fetched = self.fetch(wanted).await?;
        let disk = |source| fetch::Error::Disk { path: fetched.path().to_owned(), source };
        Ok(fs::read(fetched.path()).map_err(disk)?)
    }

    async fn fetch(&self, blob: Wanted) -> Result<Fetched, fetch::Error> {
        let (path, spare) = (self.shop.partial(blob.digest), self.shop.spare(blob.digest));
        fetch(&self.repository, blob, &path, &spare).await
    }

    /// Several are fetched at once; each is unpacked as soon as it is here.
    async fn layers(&self, layers: &Layers) -> Result<BTreeMap<Digest, PathBuf>, Error> {
        let mut lacking: BTreeMap<_, _> = layers.iter().map(|(blob, layer)| (*layer, *blob)).collect();
        lacking.retain(|layer, _| self.shop.lacks(*layer));
        self.shop.ensure_space(lacking.values().copied())?;
        let fetched = lacking.into_iter().map(|(layer, blob)| self.layer(blob, layer));
        stream::iter(fetched).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn layer(&self, blob: Wanted, layer: Digest) -> Result<(Digest, PathBuf), Error> {
        let fetched = self.fetch(blob).await?;
        let shop = self.shop.clone();
        let unpacked = tokio::task::spawn_blocking(move || shop.unpack(layer, fetched.path()));
        match unpacked.await {
            Ok(unpacked) => Ok((layer, unpacked?)),
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }
}
