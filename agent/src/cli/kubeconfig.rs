//! `carob kubeconfig`: has the agent make a certificate, and writes what a client needs to use it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{Client, Payload},
    output::{Format, note, say},
};
use crate::keyfile;

const PATH: &str = "/carob/v1/credentials";

/// Make a certificate for kubectl or Prometheus, and write it down with all else they need
#[derive(Debug, clap::Args)]
pub(crate) struct Kubeconfig {
    /// What its holder may do: all; look at all but secrets; read metrics
    #[arg(long, value_enum, default_value = "admin")]
    role: Role,
    /// Who its holder is, in the audit lines of the agent [default: the role]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// How the client will call this box, as https://till-7.example:6443 [default: where the agent listens]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// How long the certificate is good
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    days: u16,
    /// Where to write it; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "carob.kubeconfig")]
    output: PathBuf,
    /// Write ca.crt, client.crt and client.key into a directory instead, as Prometheus wants them
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pem: Option<PathBuf>,
    /// Make all certificates worthless that were ever granted, and end their holders' connections
    #[arg(long, exclusive = true)]
    revoke_all: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    Admin,
    View,
    Metrics,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::View => "view",
            Self::Metrics => "metrics",
        }
    }
}

/// What the agent gives.
#[derive(Deserialize)]
struct Granted {
    server: String,
    authority: String,
    certificate: String,
    key: String,
}

impl Kubeconfig {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<ExitCode> {
        if self.revoke_all {
            client.call(Method::DELETE, PATH, Payload::Nothing).await?;
            say("all certificates are revoked: whoever should come in needs a new one\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let user = self.user.as_deref().unwrap_or(self.role.word());
        let wanted =
            json!({"role": self.role.word(), "user": user, "days": self.days, "server": self.server});
        let granted = client.call(Method::POST, PATH, Payload::Json(wanted)).await?;
        let granted = Granted::deserialize(granted).context("the agent's answer lacks a part")?;
        match &self.pem {
            Some(dir) => granted.write_parts(dir)?,
            None => granted.write_whole(user, &self.output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Granted {
    fn write_whole(&self, user: &str, path: &Path) -> anyhow::Result<()> {
        let text = Format::Yaml.text(&self.kubeconfig(user));
        if path == Path::new("-") {
            return Ok(say(&text)?);
        }
        keyfile::write(path, text.as_bytes())?;
        note(&format!("{}: for {} at {}", path.display(), user, self.server));
        Ok(())
    }

    fn write_parts(&self, dir: &Path) -> anyhow::Result<()> {
        let Self { server, authority, certificate, key } = self;
        for (name, part) in [("ca.crt", authority), ("client.crt", certificate), ("client.key", key)] {
            keyfile::write(&dir.join(name), part.as_bytes())?;
        }
        note(&format!("{}: ca.crt, client.crt and client.key for {server}", dir.display()));
        Ok(())
    }

    fn kubeconfig(&self, user: &str) -> Value {
        let inline = |pem: &str| STANDARD.encode(pem);
        let Self { server, authority, certificate, key } = self;
        let cluster = json!({"server": server, "certificate-authority-data": inline(authority)});
        let holder = json!({"client-certificate-data": inline(certificate), "client-key-data": inline(key)});
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "carob", "cluster": cluster}],
            "users": [{"name": user, "user": holder}],
            "contexts": [{"name": "carob", "context": {"cluster": "carob", "user": user}}],
            "current-context": "carob",
        })
    }
}
