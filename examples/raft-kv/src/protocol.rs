//! What goes over the wire: frames of a length, four bytes in little-endian order, and a value as postcard writes it.

use std::io;

use openraft::{
    error::{InstallSnapshotError, RaftError},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
        VoteResponse,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Types;

/// More than any frame has; a longer one is not read.
const FRAME_BYTES_MAX: u32 = 64 << 20;

/// What the state machine does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Nothing: once it is committed, its leader knows all that was committed before.
    Nothing,
    /// Sets a value.
    Put {
        /// Which key.
        key: String,
        /// What it stands for from now on.
        value: String,
    },
}

/// What nodes and clients ask.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// A leader replicates.
    Append(AppendEntriesRequest<Types>),
    /// A leader sends a piece of a snapshot.
    Snapshot(InstallSnapshotRequest<Types>),
    /// A candidate wants a vote.
    Vote(VoteRequest<u64>),
    /// The nodes are to be a cluster, if they are none yet.
    Initialize,
    /// A client sets the value of a key.
    Put {
        /// Which key.
        key: String,
        /// What it stands for from now on.
        value: String,
    },
    /// A client reads what a key stands for.
    Get(String),
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Append`].
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    /// To [`Ask::Snapshot`].
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
    /// To [`Ask::Vote`].
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    /// It is done.
    Done,
    /// To [`Ask::Get`].
    Value(Option<String>),
    /// Another node leads, if it is known which. Nothing was done.
    NotLeader(Option<u64>),
    /// It is not known whether it was done.
    Failed(String),
}

/// Sends one value.
///
/// # Errors
///
/// What the connection says.
pub async fn send<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), value: &T) -> io::Result<()> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(value, frame).map_err(io::Error::other)?;
    let len = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    to.write_all(&frame).await
}

/// Receives one value; `None` where the connection ended before it.
///
/// # Errors
///
/// What the connection says, [`InvalidData`](io::ErrorKind::InvalidData) if that is no such value.
pub async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    };
    let len = u32::from_le_bytes(len);
    if len > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
    }
    let mut frame = vec![0; len as usize];
    from.read_exact(&mut frame).await?;
    postcard::from_bytes(&frame).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
