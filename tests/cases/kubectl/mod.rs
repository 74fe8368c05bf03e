//! Programs that people have already, unmodified, on the host: they reach the guest's agent over TLS. The guest's part of
//! a case opens the door and hands over who may come in; the host's part is the case.

mod access;
mod kube;
mod python;
mod verbs;

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};

use super::Case;
use crate::{client::Client, wire::Mode, world::World};

const CONFIG: &str = "/etc/carob/config.json";
/// The two parts.
struct Parts {
    name: &'static str,
    guest: fn(&World) -> Result<()>,
    host: fn(&Client) -> Result<()>,
}

const ALL: [Parts; 7] = [
    Parts { name: "the_newest_does_what_it_should", guest: verbs::open, host: verbs::newest },
    Parts { name: "one_of_two_years_ago_does_too", guest: verbs::open, host: verbs::older },
    Parts { name: "the_oldest_does_too", guest: verbs::open, host: verbs::oldest },
    Parts { name: "pythons_client_does_its_part", guest: verbs::open, host: python::calls },
    Parts { name: "pythons_informer_goes_on_where_it_was", guest: verbs::open, host: python::informs },
    Parts { name: "kube_rs_does_its_part", guest: verbs::open, host: kube::calls },
    Parts { name: "who_may_not_is_turned_away_and_counted", guest: access::open, host: access::try_all },
];

pub(crate) fn cases() -> Vec<Case> {
    let limit = Duration::from_secs(300);
    ALL.iter().map(|parts| Case { name: parts.name, mode: Mode::Client, limit, run: parts.guest }).collect()
}

/// The host's part of a case of this area.
pub(crate) fn on_host(name: &str) -> Result<()> {
    let known = ALL.iter().find(|parts| name.strip_prefix("kubectl::") == Some(parts.name));
    let Some(parts) = known else { bail!("{name} has no part on the host") };
    (parts.host)(&Client::of_environment()?)
}

/// Starts an agent that serves its API over TLS, at the address that the host's port leads to.
fn open_door(world: &World) -> Result<()> {
    world.install()?;
    fs::write(CONFIG, r#"{"apiAddress": "0.0.0.0:6443"}"#).with_context(|| format!("write {CONFIG}"))?;
    world.start()?;
    world.load_images()
}

/// Has a certificate made and hands it over as `name.kubeconfig`.
fn grant(world: &World, name: &str, words: &[&str]) -> Result<()> {
    let words = [&["kubeconfig", "--server", "https://127.0.0.1:6443", "--output", "-"], words].concat();
    world.hand_over(&format!("{name}.kubeconfig"), &world.carob_ok(&words)?)
}
