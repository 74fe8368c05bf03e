//! An answer that comes line by line, each line a JSON value.

use hyper::{Method, body::Incoming};
use serde_json::Value;

use super::client::{Client, Payload};

/// The lines, as they come.
pub(super) struct Lines<'a> {
    client: &'a Client,
    body: Incoming,
    unread: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(super) async fn of(client: &'a Client, method: Method, path: &str) -> anyhow::Result<Self> {
        let body = client.send(method, path, Payload::Nothing).await?.into_body();
        Ok(Self { client, body, unread: Vec::new() })
    }

    /// `None`: the answer has ended.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.client.piece(&mut self.body).await? {
                Some(piece) => self.unread.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}
