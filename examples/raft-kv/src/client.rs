//! A client that finds the leader.

use std::{io, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    Peers,
    protocol::{Answer, Ask, receive, send},
};

/// How long one node may take.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// Nothing was done, and nothing will be.
    NotDone(String),
    /// A node was asked, and it is not known whether it did it, or will.
    Unknown(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotDone(why) => write!(f, "not done: {why}"),
            Self::Unknown(why) => write!(f, "perhaps not done: {why}"),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// A client. It asks the node that led last.
#[derive(Debug)]
pub struct Client {
    peers: Peers,
    at: usize,
    stream: Option<TcpStream>,
}

impl Client {
    /// A client of these nodes, which asks that with this position first.
    #[must_use]
    pub fn new(peers: Peers, at: usize) -> Self {
        Self { at: at % peers.0.len().max(1), peers, stream: None }
    }

    /// Sets a value; it is durable on a majority when this returns.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] if there was none until the deadline.
    pub async fn put(&mut self, key: &str, value: &str, deadline: Duration) -> Result<(), NoAnswer> {
        let ask = Ask::Put { key: key.to_owned(), value: value.to_owned() };
        self.ask(&ask, deadline).await.map(drop)
    }

    /// The value that a key stands for, as of some moment during this call.
    ///
    /// # Errors
    ///
    /// As [`put`](Client::put).
    pub async fn get(&mut self, key: &str, deadline: Duration) -> Result<Option<String>, NoAnswer> {
        match self.ask(&Ask::Get(key.to_owned()), deadline).await? {
            Answer::Value(value) => Ok(value),
            other => Err(NoAnswer::Unknown(format!("{other:?}"))),
        }
    }

    /// Makes the nodes a cluster, if they are none.
    ///
    /// # Errors
    ///
    /// As [`put`](Client::put).
    pub async fn initialize(&mut self, deadline: Duration) -> Result<(), NoAnswer> {
        self.ask(&Ask::Initialize, deadline).await.map(drop)
    }

    /// Asks one node after the other, as long as none may have done it.
    async fn ask(&mut self, ask: &Ask, deadline: Duration) -> Result<Answer, NoAnswer> {
        let end = Instant::now() + deadline;
        let mut why = "no node leads".to_owned();
        while Instant::now() < end {
            match self.stream.take() {
                Some(stream) => self.stream = Some(stream),
                None => match timeout(PATIENCE, TcpStream::connect(self.address())).await {
                    Ok(Ok(stream)) => self.stream = Some(stream),
                    outcome => {
                        why = outcome.map_or_else(|late| late.to_string(), |outcome| format!("{:?}", outcome.err()));
                        self.turn(None).await;
                        continue;
                    }
                },
            }
            match timeout(PATIENCE, self.call(ask)).await {
                Ok(Ok(Answer::NotLeader(leader))) => self.turn(leader).await,
                // To be asked again: whoever reads changes nothing.
                Ok(Ok(Answer::Failed(error))) if matches!(ask, Ask::Get(_)) => {
                    why = error;
                    self.turn(None).await;
                }
                Ok(Ok(Answer::Failed(error))) => return self.unknown(error).await,
                Ok(Ok(answer)) => return Ok(answer),
                failed => {
                    why = failed.map_or_else(|late| late.to_string(), |outcome| format!("{:?}", outcome.err()));
                    if !matches!(ask, Ask::Get(_)) {
                        return self.unknown(why).await;
                    }
                    self.turn(None).await;
                }
            }
        }
        Err(NoAnswer::NotDone(why))
    }

    async fn unknown(&mut self, why: String) -> Result<Answer, NoAnswer> {
        self.turn(None).await;
        Err(NoAnswer::Unknown(why))
    }

    async fn call(&mut self, ask: &Ask) -> io::Result<Answer> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        send(stream, ask).await?;
        receive(stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn address(&self) -> &str {
        self.peers.0.values().nth(self.at).map_or("", String::as_str)
    }

    /// Goes on to the node that leads, or, where nobody knows it, to the next one.
    async fn turn(&mut self, leader: Option<u64>) {
        self.stream = None;
        let known = leader.and_then(|leader| self.peers.0.keys().position(|&id| id == leader));
        self.at = known.unwrap_or((self.at + 1) % self.peers.0.len().max(1));
        sleep(Duration::from_millis(20)).await;
    }
}
