//! What the TLS listener goes by: its names, the certificates of both sides, and who is there by one.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio_rustls::rustls::ServerConfig;

use super::{connection::Ends, names::Names, tls};
use crate::{
    config::Config,
    pki::{self, Authorities},
    pod::network::Address,
};

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there are no certificates to open the door with")]
    Pki(#[source] pki::Error),
    #[error("the certificates do not open the door")]
    Tls(#[source] tls::Fault),
}

/// What the listener goes by.
#[derive(Debug)]
pub(crate) struct Door {
    pub(super) names: Names,
    pub(super) ends: Ends,
    listening: SocketAddr,
    authorities: Mutex<Authorities>,
    terms: Mutex<Terms>,
    clock: fn() -> Timestamp,
}

/// How a handshake goes, until when.
#[derive(Clone, Debug)]
struct Terms {
    tls: Arc<ServerConfig>,
    renew: Timestamp,
}

impl Door {
    /// Makes what is missing of keys and certificates.
    pub(crate) fn new(
        config: &Config,
        listening: SocketAddr,
        of_box: Address,
        clock: fn() -> Timestamp,
    ) -> Result<Self, Error> {
        let names = Names::of(config, listening, of_box);
        let authorities = Authorities::open(&config.pki()).map_err(Error::Pki)?;
        let terms = terms(&names, &authorities, clock)?;
        let (authorities, terms) = (Mutex::new(authorities), Mutex::new(terms));
        Ok(Self { names, listening, authorities, terms, ends: Ends::default(), clock })
    }

    /// The address that clients are given; `of_box` is this box's, if it listens on all.
    pub(super) fn server(&self, of_box: Ipv4Addr) -> String {
        let mut listening = self.listening;
        if listening.ip().is_unspecified() {
            listening.set_ip(of_box.into());
        }
        format!("https://{listening}")
    }

    pub(super) fn authorities(&self) -> MutexGuard<'_, Authorities> {
        self.authorities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns out all clients, and lets none of them in by what it has.
    pub(super) fn disown(&self) -> Result<(), Error> {
        let mut authorities = self.authorities();
        authorities.disown_clients().map_err(Error::Pki)?;
        let new = terms(&self.names, &authorities, self.clock)?;
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = new;
        self.ends.end_all();
        Ok(())
    }

    /// How the next handshake goes. A certificate that is near its end is replaced now: no timer need live so long.
    pub(super) fn tls(&self) -> Result<Arc<ServerConfig>, Error> {
        let now = (self.clock)();
        let current = self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if now < current.renew {
            return Ok(current.tls);
        }
        let new = terms(&self.names, &self.authorities(), self.clock)?;
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = new.clone();
        Ok(new.tls)
    }
}

fn terms(names: &Names, authorities: &Authorities, clock: fn() -> Timestamp) -> Result<Terms, Error> {
    let shown = authorities.show(names.all(), clock()).map_err(Error::Pki)?;
    let renew = shown.renew;
    let tls = tls::terms(shown, authorities, clock).map_err(Error::Tls)?;
    Ok(Terms { tls: Arc::new(tls), renew })
}
