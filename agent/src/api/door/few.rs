//! The socket, with so many connections at a time and no more: whoever comes then is told, and leaves the others alone.

use std::{io, sync::Arc, time::Duration};

use axum::{http::StatusCode, serve::Listener};
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    net::{UnixListener, UnixStream, unix::SocketAddr},
    sync::Semaphore,
    time::timeout,
};

use super::connection::{Ends, Placed};
use crate::{
    api::refusal::Refusal,
    picture::refusals::{Refusals, Turned},
};

/// As many as by the network: each watch and each command is one.
pub(super) const PLACES: usize = 1500;
/// Of those who are told at a time that there is none: the others are cut off.
const TOLD: usize = 64;
/// For them to ask, and to hear it.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Few {
    listener: UnixListener,
    places: Arc<Semaphore>,
    told: Arc<Semaphore>,
    ends: Ends,
    refusals: Arc<Refusals>,
}

impl Few {
    pub(super) fn new(listener: UnixListener, places: usize, refusals: Arc<Refusals>) -> Self {
        let [places, told] = [places, TOLD].map(|number| Arc::new(Semaphore::new(number)));
        Self { listener, places, told, ends: Ends::default(), refusals }
    }

    /// Whoever still writes its question must not find the connection closed: it would not hear why.
    fn turn_away(&self, mut stream: UnixStream) {
        self.refusals.count(Turned::Crowd);
        let Ok(place) = self.told.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let told = async {
                stream.write_all(answer().as_bytes()).await?;
                stream.shutdown().await?;
                copy(&mut stream, &mut sink()).await
            };
            // It is its own loss if it does not listen.
            drop(timeout(PATIENCE, told).await);
            drop(place);
        });
    }
}

impl Listener for Few {
    type Io = Placed<UnixStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return (Placed::new(stream, place, &self.ends), address);
            }
            self.turn_away(stream);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn answer() -> String {
    let body = Refusal::too_many().status().to_string();
    let (code, length) = (StatusCode::TOO_MANY_REQUESTS, body.len());
    format!(
        "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_is_told_and_a_place_given_up_is_anothers() {
        // In no directory (unix(7), "Abstract sockets").
        let path = format!("\0carob-few-{}", std::process::id());
        let refusals = Arc::<Refusals>::default();
        let mut few = Few::new(UnixListener::bind(&path).unwrap(), 1, refusals.clone());
        let connect = || async { UnixStream::connect(&path).await.unwrap() };
        let (_first, (place, _)) = (connect().await, few.accept().await);
        let mut second = connect().await;
        let served = async {
            let mut told = String::new();
            second.read_to_string(&mut told).await.unwrap();
            assert!(told.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{told}");
            assert!(told.contains(r#""reason":"TooManyRequests""#), "{told}");
            drop(place);
            connect().await
        };
        let ((mut accepted, _), mut third) = tokio::join!(few.accept(), served);
        accepted.write_all(b"in").await.unwrap();
        let mut said = [0; 2];
        third.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"in");
        assert_eq!(refusals.now().find(|(why, _)| *why == "too_many").map(|(_, count)| count), Some(1));
    }
}
