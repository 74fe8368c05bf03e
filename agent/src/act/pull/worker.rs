//! The agent's end of a child that pulls. Whoever drops it wants nothing of it any more: the child is killed, and its
//! scratch space goes when it is gone.

use std::{
    io::Write,
    os::fd::OwnedFd,
    process::{Child, Stdio},
    sync::Arc,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe,
};

use super::{
    super::{Tools, children::Awaited, image::pulled::Lent},
    Error, Told,
    wire::{Last, Order, Said},
};

/// A child that pulls.
pub(super) struct Worker {
    /// Until it is dropped.
    child: Option<(Child, Awaited)>,
    scratch: Arc<Lent>,
    says: BufReader<pipe::Receiver>,
}

impl Worker {
    pub(super) fn start(tools: &Tools, order: &Order, scratch: Arc<Lent>) -> Result<Self, Error> {
        let fault = |what| move |source| Error::Child { what, source };
        let order = serde_json::to_string(order).map_err(|e| fault("say what to pull")(e.into()))?;
        let mut command = tools.binary.command();
        command.arg("pull-image").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let spawned = tools.children.spawn(&mut command);
        let (mut child, awaited) = spawned.map_err(fault("start the child that pulls"))?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            unreachable!("both were asked for");
        };
        let says = pipe::Receiver::from_owned_fd(OwnedFd::from(output));
        let said = writeln!(input, "{order}").and_then(|()| says);
        child.stdin = Some(input);
        let worker = |says| Self { child: Some((child, awaited)), scratch, says: BufReader::new(says) };
        said.map(worker).map_err(fault("tell the child what to pull"))
    }

    /// The last word.
    pub(super) async fn hear(&mut self, tell: &mut impl FnMut(Told)) -> Result<Last, Error> {
        let mut last = "it said nothing".to_owned();
        loop {
            let mut line = String::new();
            let read = self.says.read_line(&mut line).await;
            let count =
                read.map_err(|source| Error::Child { what: "listen to the child that pulls", source })?;
            match serde_json::from_str(&line) {
                Ok(Said::Last(said)) => return Ok(said),
                Ok(Said::Progress(progress)) => tell(Told::Progress(progress)),
                Err(_) if count == 0 => return Err(Error::Mute { last }),
                Err(_) => (),
            }
            line.truncate(200);
            last = line;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let scratch = self.scratch.clone();
        if let Some((mut child, awaited)) = self.child.take() {
            // Waiting blocks, and so does the removal of what it has unpacked.
            std::thread::spawn(move || {
                let ended = child.kill().and_then(|()| child.wait());
                if let Err(e) = ended {
                    tracing::warn!(error = %e, "a child that pulls cannot be ended");
                }
                drop((awaited, scratch));
            });
        }
    }
}
