//! Stands behind the API's door to what runs: one task a command, ended with it or with its client.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::{
    act::{
        Tools, attach, chain,
        exec::{self, Error, Streams},
    },
    api::{Ends, ExecFault, ExecRequest, Hand},
};

/// Takes requests until the door is closed.
pub(super) fn serve(tools: Arc<Tools>, mut requests: mpsc::Receiver<ExecRequest>) {
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            tokio::spawn(carry_out(tools.clone(), request));
        }
    });
}

async fn carry_out(tools: Arc<Tools>, request: ExecRequest) {
    match request {
        ExecRequest::Stream { id, argv, ends, reply } => {
            tracing::info!(attempt = %id, program = argv.first(), "exec");
            let streams = match ends {
                Ends::Pipes { stdin, stdout, stderr } => Streams::Pipes { stdin, stdout, stderr },
                Ends::Terminal { console } => Streams::Terminal { console },
            };
            let ended = async { exec::start(&tools, &id, &argv, streams).await?.ended().await };
            answer(ended, reply).await;
        }
        ExecRequest::Collect { id, argv, limit, reply } => {
            tracing::info!(attempt = %id, program = argv.first(), "exec");
            let ended = async {
                let finished = exec::run(&tools, &id, &argv, limit).await?;
                Ok((finished.code, finished.output))
            };
            answer(ended, reply).await;
        }
        ExecRequest::Attach { id, reply } => {
            tracing::info!(attempt = %id, "attach");
            let hand = attach::attach(&tools, &id);
            let hand = hand.map(|attach::Hand { output, input }| Hand { output, input });
            // Nobody waits any more: nothing has been taken.
            let _ = reply.send(hand.map_err(|error| ExecFault::Failed(chain(&error))));
        }
        ExecRequest::EndInput { id } => attach::end_input(&tools, &id),
        ExecRequest::Dial { pod, port, reply } => {
            let dialled = attach::dial(&tools, &pod, port).await;
            let _ = reply.send(dialled.map_err(|error| ExecFault::Failed(chain(&error))));
        }
    }
}

/// If nobody waits for the answer any more, the command is dropped, and so killed.
async fn answer<T>(
    ended: impl Future<Output = Result<T, Error>>,
    mut reply: oneshot::Sender<Result<T, ExecFault>>,
) {
    let ended = tokio::select! {
        ended = ended => ended,
        () = reply.closed() => return,
    };
    let _ = reply.send(ended.map_err(fault));
}

fn fault(error: Error) -> ExecFault {
    match error {
        Error::Unable { code, message } => ExecFault::Unable { code, message },
        error @ Error::TimedOut { .. } => ExecFault::TimedOut(chain(&error)),
        other => ExecFault::Failed(chain(&other)),
    }
}
