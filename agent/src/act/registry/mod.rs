//! Reads from one registry (the OCI distribution specification 1.1): manifests and blobs, with whatever it takes to be
//! let in. Keeps nothing on the disk and judges no image.
//!
//! Our own, not oci-client: README says what was measured.

mod auth;
mod error;
mod exchange;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::{
    Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    image::Digest,
    log::{Pause, Pausing},
    tls::Encryption,
};
use crate::pod::registry::{Credential, Endpoint};
use auth::{Challenge, Token, challenge, token_url};
use base64::prelude::{BASE64_STANDARD, Engine};
pub(crate) use error::Error;
use exchange::{Answer, Headers, Line, Pace};

/// No manifest, index or config is longer.
pub(crate) const JSON_LIMIT: u64 = 4 << 20;
/// What is read of an answer that only says why not.
const REFUSAL_LIMIT: u64 = 64 << 10;
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Every form of manifest and index that images have today.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";

/// One repository of one registry.
pub(super) struct Repository {
    endpoint: Endpoint,
    line: Line,
    /// Those that may fit, the best first.
    credentials: Vec<Credential>,
    /// What the last request was let in with.
    let_in: Mutex<Option<HeaderValue>>,
}

impl Repository {
    pub(super) fn open(
        endpoint: Endpoint,
        credentials: Vec<Credential>,
        pause: Pausing,
    ) -> Result<Self, Error> {
        let encryption = if endpoint.insecure {
            Encryption::with_anybody()
        } else {
            Encryption::with_known(endpoint.ca.as_deref())
        };
        let encryption =
            encryption.map_err(|source| Error::Encrypt { host: endpoint.host.clone(), source })?;
        let line = Line::new(encryption, endpoint.insecure, pause);
        Ok(Self { endpoint, line, credentials, let_in: Mutex::default() })
    }

    pub(super) fn pause(&self, time: Duration) -> Pause {
        (self.line.pause)(time)
    }

    /// Which manifest a tag stands for, if the registry says so without being asked for it.
    pub(super) async fn digest(&self, version: &str) -> Result<Option<Digest>, Error> {
        let accept = vec![(header::ACCEPT, HeaderValue::from_static(MANIFESTS))];
        let answer = self.ask(Method::HEAD, &format!("manifests/{version}"), &accept).await?;
        Ok(answer.header(&DIGEST).and_then(Digest::parse))
    }

    /// A manifest or an index by tag or digest, and its own digest.
    pub(super) async fn manifest(&self, version: &str) -> Result<(Vec<u8>, Digest), Error> {
        let accept = vec![(header::ACCEPT, HeaderValue::from_static(MANIFESTS))];
        let answer = self.ask(Method::GET, &format!("manifests/{version}"), &accept).await?;
        let url = answer.url.clone();
        let bytes = answer.bytes(JSON_LIMIT).await?;
        serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|source| Error::NotJson {
            url,
            found: first_line(&bytes),
            source,
        })?;
        let actual = Digest::of(&bytes);
        match Digest::parse(version) {
            Some(expected) if expected != actual => Err(Error::Digest { expected, actual }),
            _ => Ok((bytes, actual)),
        }
    }

    /// The beginning of a blob from that byte on, and from which byte on it truly is.
    pub(super) async fn blob(&self, digest: Digest, from: u64) -> Result<(Blob, u64), Error> {
        let range = HeaderValue::from_str(&format!("bytes={from}-")).ok().filter(|_| from > 0);
        let headers = range.map(|range| (header::RANGE, range)).into_iter().collect();
        let answer = self.ask(Method::GET, &format!("blobs/{digest}"), &headers).await?;
        let begins_there = answer.status() == StatusCode::PARTIAL_CONTENT
            && answer
                .header(&header::CONTENT_RANGE)
                .is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        let from = if begins_there { from } else { 0 };
        Ok((Blob { answer, pace: Pace::default() }, from))
    }

    /// Asks with what let the last request in; if that is not enough, with each credential in turn.
    async fn ask(&self, method: Method, what: &str, headers: &Headers) -> Result<Answer, Error> {
        let url = format!("https://{}/v2/{}/{what}", self.endpoint.host, self.endpoint.repository);
        let answer = self.line.ask(method.clone(), &url, &with(headers, self.last())).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return succeeded(answer).await;
        }
        let challenges = answer.header(&header::WWW_AUTHENTICATE);
        let Some(challenge) = challenges.and_then(challenge) else {
            return Err(Error::NoChallenge { host: self.endpoint.host.clone() });
        };
        let mut refused = self.refused(answer).await;
        let anonymous = matches!(challenge, Challenge::Bearer { .. }).then_some(None);
        for credential in self.credentials.iter().map(Some).chain(anonymous) {
            let Some(pass) = self.pass(&challenge, credential).await? else { continue };
            let answer = self.line.ask(method.clone(), &url, &with(headers, Some(pass.clone()))).await?;
            if ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status()) {
                *self.let_in.lock().unwrap_or_else(PoisonError::into_inner) = Some(pass);
                return succeeded(answer).await;
            }
            refused = self.refused(answer).await;
        }
        Err(refused)
    }

    fn last(&self) -> Option<HeaderValue> {
        self.let_in.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What answers a challenge; none if the credential is no good for it.
    async fn pass(
        &self,
        challenge: &Challenge,
        credential: Option<&Credential>,
    ) -> Result<Option<HeaderValue>, Error> {
        let basic = credential.and_then(|credential| {
            let pair = format!("{}:{}", credential.user, credential.password);
            secret(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
        });
        let Challenge::Bearer { realm, service, scope } = challenge else { return Ok(basic) };
        let url = token_url(realm, service.as_deref(), scope.as_deref(), &self.endpoint.repository);
        let answer = self.line.ask(Method::GET, &url, &with(&Headers::new(), basic)).await?;
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status()) {
            return Ok(None);
        }
        let bytes = succeeded(answer).await?.bytes(REFUSAL_LIMIT).await?;
        let token = serde_json::from_slice::<Token>(&bytes).ok().and_then(Token::text);
        let token = token.ok_or(Error::NoToken { url })?;
        Ok(secret(&format!("Bearer {token}")))
    }

    async fn refused(&self, answer: Answer) -> Error {
        let message = message(answer).await;
        let Endpoint { host, repository, .. } = self.endpoint.clone();
        Error::Unauthorized { host, repository, message }
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn with(headers: &Headers, authorization: Option<HeaderValue>) -> Headers {
    let mut all = headers.clone();
    all.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
    all
}

async fn succeeded(answer: Answer) -> Result<Answer, Error> {
    let (url, status) = (answer.url.clone(), answer.status());
    if status.is_success() {
        return Ok(answer);
    }
    let again = answer.header(&header::RETRY_AFTER).map(str::to_owned);
    let said = again.as_ref().map(|after| format!(" (Retry-After: {after})"));
    let message = format!("{}{}", message(answer).await, said.unwrap_or_default());
    Err(Error::Status { url, status, message, wait: again.as_deref().and_then(seconds) })
}

/// Of a `Retry-After`. A date would ask for the clock on the wall.
fn seconds(after: &str) -> Option<Duration> {
    after.trim().parse().ok().map(Duration::from_secs)
}

/// Why not, in the registry's own words: of the error that the specification has, or else the first line.
async fn message(answer: Answer) -> String {
    let Ok(bytes) = answer.bytes(REFUSAL_LIMIT).await else { return String::new() };
    let said = serde_json::from_slice::<Value>(&bytes).ok().and_then(|body| {
        let first = &body["errors"][0];
        let words: Vec<_> =
            [&first["code"], &first["message"]].iter().filter_map(|text| text.as_str()).collect();
        (!words.is_empty()).then(|| words.join(": "))
    });
    said.unwrap_or_else(|| first_line(&bytes))
}

/// What may be shown of a body that nobody expected.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|char| !char.is_control()).take(120).collect()
}

/// A blob on its way.
pub(super) struct Blob {
    answer: Answer,
    pace: Pace,
}

impl Blob {
    pub(super) async fn piece(&mut self) -> Result<Option<hyper::body::Bytes>, Error> {
        self.answer.piece(&mut self.pace).await
    }
}
