//! `POST /carob/v1/exec/{namespace}/{name}`: a command run to its end, answered with its exit code and output in one piece:
//! for curl and scripts, which speak no WebSocket.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use serde_json::json;
use tokio::sync::oneshot;

use super::{ExecFault, ExecRequest, running};
use crate::api::{
    Api,
    logs::chosen,
    objects::{Answer, find, options},
    refusal::Refusal,
    resource::PODS,
};

/// What the query asks for.
#[derive(Debug, Default, PartialEq)]
struct Order {
    container: Option<String>,
    argv: Vec<String>,
    limit: Option<Duration>,
}

pub(in crate::api) async fn collect(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Answer {
    let order = Order::read(options(query)?).map_err(Refusal::bad_request)?;
    let object = find(&api, PODS, &namespace, &name).await?;
    let container = chosen(&object, order.container.as_deref()).map_err(Refusal::bad_request)?;
    let id = running(&api.picture.borrow(), &object, &container).map_err(Refusal::bad_request)?;
    let (reply, ended) = oneshot::channel();
    let stopping = || Refusal::unavailable("the agent is stopping");
    let request = ExecRequest::Collect { id, argv: order.argv, limit: order.limit, reply };
    api.exec.requests.send(request).await.map_err(|_| stopping())?;
    match ended.await.map_err(|_| stopping())? {
        Ok((code, output)) => Ok(Json(json!({"code": code, "output": String::from_utf8_lossy(&output)}))),
        Err(ExecFault::Unable { code, message }) => {
            Ok(Json(json!({"code": code, "output": "", "message": message})))
        }
        Err(ExecFault::TimedOut(message)) => Err(Refusal::timed_out(message)),
        Err(ExecFault::Failed(message)) => Err(Refusal::failed(message)),
    }
}

impl Order {
    fn read(query: Vec<(String, String)>) -> Result<Self, String> {
        let mut order = Self::default();
        for (key, value) in query {
            match key.as_str() {
                "container" => order.container = Some(value),
                "command" => order.argv.push(value),
                "timeoutSeconds" => order.limit = Some(seconds(&value)?),
                other => {
                    return Err(format!(
                        "{other}: known are container, command (repeated) and timeoutSeconds"
                    ));
                }
            }
        }
        if order.argv.is_empty() {
            return Err("you must specify at least one command for the container".to_owned());
        }
        Ok(order)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    let wrong = || format!("timeoutSeconds: {text:?} is not a whole number of seconds above 0");
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_is_to_be_run_and_how_long() {
        let rows: [(&str, Result<Option<u64>, &str>); 5] = [
            ("command=ls timeoutSeconds=5", Ok(Some(5))),
            ("command=ls command=-l", Ok(None)),
            ("timeoutSeconds=5", Err("at least one command")),
            ("command=ls timeoutSeconds=0", Err("timeoutSeconds: \"0\"")),
            ("command=ls tty=true", Err("tty: known are")),
        ];
        for (text, expected) in rows {
            let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            let query = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            match (Order::read(query), expected) {
                (Ok(order), Ok(limit)) => assert_eq!(order.limit, limit.map(Duration::from_secs), "{text}"),
                (Err(fault), Err(part)) => assert!(fault.contains(part), "{text}: {fault}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
