//! How nodes reach each other: one connection each, made when it is needed.

use std::io;

use openraft::{
    BasicNode, RaftNetwork, RaftNetworkFactory,
    error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
        VoteResponse,
    },
};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    Types,
    protocol::{Answer, Ask, receive, send},
};

/// Makes connections.
#[derive(Debug, Default)]
pub(crate) struct Network;

/// One other node.
#[derive(Debug)]
pub(crate) struct Connection {
    target: u64,
    address: String,
    stream: Option<TcpStream>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        Connection { target, address: node.addr.clone(), stream: None }
    }
}

impl Connection {
    async fn call(&mut self, ask: &Ask) -> io::Result<Answer> {
        // Taken out, so that a call that fails or is given up leaves no half-read answer to the next.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        send(&mut stream, ask).await?;
        let answer = receive(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    async fn ask<T, E: std::error::Error>(
        &mut self,
        ask: Ask,
        option: RPCOption,
        pick: impl FnOnce(Answer) -> Option<Result<T, E>>,
    ) -> Result<T, RPCError<u64, BasicNode, E>> {
        let answer = match timeout(option.hard_ttl(), self.call(&ask)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(Unreachable::new(&error).into());
            }
            Ok(Err(error)) => return Err(NetworkError::new(&error).into()),
            Err(late) => return Err(NetworkError::new(&late).into()),
        };
        match pick(answer) {
            Some(answer) => answer.map_err(|error| RemoteError::new(self.target, error).into()),
            None => Err(NetworkError::new(&io::Error::other("an answer to another question")).into()),
        }
    }
}

impl RaftNetwork<Types> for Connection {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        let pick = |answer| if let Answer::Append(answer) = answer { Some(answer) } else { None };
        self.ask(Ask::Append(rpc), option, pick).await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RPCError<u64, BasicNode, RaftError<u64, InstallSnapshotError>>> {
        let pick = |answer| if let Answer::Snapshot(answer) = answer { Some(answer) } else { None };
        self.ask(Ask::Snapshot(rpc), option, pick).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        let pick = |answer| if let Answer::Vote(answer) = answer { Some(answer) } else { None };
        self.ask(Ask::Vote(rpc), option, pick).await
    }
}
