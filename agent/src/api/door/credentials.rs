//! `/carob/v1/credentials`: certificates for clients, made for root on the socket and for nobody else.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::json;

use super::{Door, identity::Role};
use crate::{
    api::{Api, objects::Answer, refusal::Refusal},
    pki::Subject,
};

pub(super) const PATH: &str = "/carob/v1/credentials";
/// Longer than most boxes live.
const MOST_DAYS: u16 = 3650;
/// The most that a common name may have: RFC 5280's upper bound.
const LONGEST_USER: usize = 64;

/// What is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Wanted {
    role: Role,
    user: String,
    days: u16,
    /// How the client will call this box, if not by the address that is listened on.
    server: Option<String>,
}

/// `POST`: a new key with its certificate, and all else that a client needs.
pub(in crate::api) async fn grant(
    State(api): State<Arc<Api>>,
    body: Result<Json<Wanted>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(Wanted { role, user, days, server }) =
        body.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let door = door(&api)?;
    if user.is_empty() || user.chars().count() > LONGEST_USER || user.chars().any(char::is_control) {
        let message = format!("user: {user:?} is no name of 1 to {LONGEST_USER} printable characters");
        return Err(Refusal::bad_request(message));
    }
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Refusal::bad_request(format!("days: {days} is not between 1 and {MOST_DAYS}")));
    }
    let server = match server {
        Some(server) => named(server, door)?,
        None => door.server(api.picture.borrow().address.v4),
    };
    let who = Subject { user, group: role.group().to_owned() };
    let authorities = door.authorities();
    let granted = authorities.grant(&who, days, (api.clock)()).map_err(|error| Refusal::internal(&error))?;
    Ok(Json(json!({
        "server": server,
        "authority": authorities.of_server(),
        "certificate": granted.certificate,
        "key": granted.key,
    })))
}

/// `DELETE`: no certificate that was ever granted is good any more, and who is there by one has to go.
pub(in crate::api) async fn disown(State(api): State<Arc<Api>>) -> Answer {
    door(&api)?.disown().map_err(|error| Refusal::internal(&error))?;
    Ok(Json(json!({})))
}

fn door(api: &Api) -> Result<&Door, Refusal> {
    let closed = "the agent does not serve its API over TLS: set apiAddress in its configuration";
    api.door.as_deref().ok_or_else(|| Refusal::unavailable(closed))
}

/// A URL that clients will find the box's certificate to be for.
fn named(server: String, door: &Door) -> Result<String, Refusal> {
    let uri: axum::http::Uri = server.parse().map_err(|_| url(&server))?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(|| url(&server))?;
    if door.names.contain(host) {
        return Ok(server);
    }
    let message = format!(
        "server: this box's certificate is not for {host:?}: add it to apiNames in the configuration"
    );
    Err(Refusal::bad_request(message))
}

fn url(server: &str) -> Refusal {
    Refusal::bad_request(format!("server: {server:?} is no address like https://box.example:6443"))
}
