//! An answer that comes line by line, each line a JSON value; and what becomes of a list, which is told so.

use hyper::{Method, body::Incoming};
use serde_json::Value;

use super::{
    client::{Client, Payload, query},
    output::Listener,
};

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

/// What becomes of the objects of a list, from the version on that it had.
pub(super) struct Changes<'a> {
    client: &'a Client,
    list: String,
    pairs: Vec<(&'static str, Option<String>)>,
    version: String,
}

impl<'a> Changes<'a> {
    /// Of a list that was asked for with these pairs.
    pub(super) fn after(
        version: String,
        client: &'a Client,
        list: String,
        pairs: Vec<(&'static str, Option<String>)>,
    ) -> Self {
        Self { client, list, pairs, version }
    }

    /// Calls back with each object that has changed, as it is now or, deleted, was last, for as long as it is listened to.
    pub(super) async fn each(
        mut self,
        mut told: impl FnMut(Value) -> anyhow::Result<Listener>,
    ) -> anyhow::Result<()> {
        loop {
            let mut lines = Lines::of(self.client, Method::GET, &self.path()).await?;
            // The agent ends what has been open for long: then it goes on where that was.
            while let Some(mut line) = lines.next().await? {
                let object = line["object"].take();
                if line["type"] == "ERROR" {
                    anyhow::bail!("{}", object["message"].as_str().unwrap_or("the agent ended the watch"));
                }
                if let Some(version) = object["metadata"]["resourceVersion"].as_str() {
                    version.clone_into(&mut self.version);
                }
                if line["type"] != "BOOKMARK" && told(object)? == Listener::Gone {
                    return Ok(());
                }
            }
        }
    }

    fn path(&self) -> String {
        let watch = [("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", &self.version)];
        let watch = watch.map(|(key, value)| (key, Some(value.to_owned())));
        format!("{}{}", self.list, query(&[self.pairs.clone(), watch.to_vec()].concat()))
    }
}
