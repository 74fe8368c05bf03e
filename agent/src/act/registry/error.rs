//! Why a registry did not give what it was asked for.

use std::{io, time::Duration};

use super::super::{image::Digest, lookup, tls};

/// One request that came to nothing. Whoever shows it says which registry was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("dial {host}: lookup")]
    Lookup {
        host: String,
        #[source]
        source: lookup::Error,
    },
    #[error("dial {host}")]
    Dial {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("{host}")]
    Encrypt {
        host: String,
        #[source]
        source: tls::Fault,
    },
    #[error("GET {url}")]
    Exchange {
        url: String,
        #[source]
        source: hyper::Error,
    },
    #[error("GET {url}: no answer in {}", said(*waited))]
    Silent { url: String, waited: Duration },
    #[error("GET {url}: too slow: {bytes} bytes in {}", said(*waited))]
    Slow { url: String, bytes: u64, waited: Duration },
    #[error("{text:?} is no address that can be asked")]
    Url { text: String },
    #[error("GET {url}: redirected more than {limit} times")]
    Redirects { url: String, limit: usize },
    #[error("GET {url}: the redirect leads from https to {to:?}")]
    Downgrade { url: String, to: String },
    #[error("GET {url}: {status}{}", after(message))]
    Status {
        url: String,
        status: hyper::StatusCode,
        /// The registry's own words.
        message: String,
        /// Its `Retry-After`.
        wait: Option<Duration>,
    },
    #[error("unauthorized: {host} wants credentials for {repository}{}", after(message))]
    Unauthorized { host: String, repository: String, message: String },
    #[error("unauthorized: {host} does not say how it wants to be asked")]
    NoChallenge { host: String },
    #[error("GET {url}: the token server's answer is no token")]
    NoToken { url: String },
    #[error("GET {url}: the answer is no JSON but {found:?}")]
    NotJson {
        url: String,
        found: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("GET {url}: more than {limit} bytes")]
    TooBig { url: String, limit: u64 },
    #[error("{digest}: the registry has {got} bytes of it where the manifest says {size}")]
    Size { digest: Digest, got: u64, size: u64 },
    #[error("{expected}: the registry's content is {actual}")]
    Digest { expected: Digest, actual: Digest },
    #[error("a clock is missing")]
    Clock {
        #[source]
        source: io::Error,
    },
}

fn said(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

fn after(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Error {
    /// Whether what has come so far is good, and the rest may be asked for.
    pub(crate) fn is_broken_off(&self) -> bool {
        matches!(self, Self::Exchange { .. })
    }

    /// Whether this says nothing of the image: the registry was not reached, or could not answer.
    pub(crate) fn is_of_the_way(&self) -> bool {
        match self {
            Self::Lookup { .. }
            | Self::Dial { .. }
            | Self::Exchange { .. }
            | Self::Silent { .. }
            | Self::Slow { .. }
            | Self::Encrypt { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// How long the registry wants not to be asked again.
    pub(crate) fn wait(&self) -> Duration {
        if let Self::Status { wait: Some(wait), .. } = self { *wait } else { Duration::ZERO }
    }
}
