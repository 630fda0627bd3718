//! Messages in flight: what they belong to, and the receiver's request before each (rendezvous).

use crate::network::message::{MessageKey, Rank};

use super::{Awaited, Direction, HandleError, Npu};
use crate::system::action::{Action, Combine, MessageId, NodeId, Transfer, UNTRACKED};
use crate::system::collective::Region;
use crate::system::task::{RENDEZVOUS, RENDEZVOUS_BYTES};

/// A message handed to the backend.
#[derive(Debug, Clone)]
pub(super) struct Posted {
    /// The how many-th of this rank.
    pub number: u64,
    pub stage: Stage,
    pub envelope: Envelope,
    pub owner: Owner,
}

/// What the backend will report of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// That it is sent.
    Send,
    /// That it is received.
    Receive,
    /// That the request for it has arrived at the sender; then it is expected.
    Ask,
    /// That the receiver asks for it; then it is sent, and someone waits for its end.
    Asked { tracked: bool },
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A chunk, and a number of its own choice.
    Chunk(u64, u32),
    /// An operation that is nothing but this message.
    Operation(u64),
}

impl Posted {
    pub(super) fn awaited(&self) -> Awaited {
        let Envelope {
            peer,
            key,
            bytes,
            node,
        } = self.envelope;
        Awaited {
            direction: match self.stage {
                Stage::Send | Stage::Asked { .. } => Direction::Send,
                Stage::Receive | Stage::Ask => Direction::Receive,
            },
            peer,
            key,
            bytes,
            node,
        }
    }
}

/// A message of a task, before it has a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    pub peer: Rank,
    pub key: MessageKey,
    pub bytes: u64,
    pub node: NodeId,
}

impl Npu {
    /// Remembers a message.
    #[inline]
    pub(super) fn remember(&mut self, stage: Stage, envelope: Envelope, owner: Owner) -> MessageId {
        let number = self.posted;
        self.posted += 1;
        self.messages.insert(Posted {
            number,
            stage,
            envelope,
            owner,
        })
    }

    /// Hands a message with data to the backend.
    pub(super) fn post(&mut self, envelope: Envelope, channel: u32, region: Region, side: PostedSide) {
        let (stage, owner) = match side {
            PostedSide::Send(owner) => (Stage::Send, owner),
            PostedSide::Receive(_, owner) => (Stage::Receive, owner),
        };
        let message = self.remember(stage, envelope, owner);
        let transfer = Transfer {
            channel,
            region,
            ..envelope.transfer(message)
        };
        self.buffers.actions.push(match side {
            PostedSide::Send(_) => Action::Send(transfer),
            PostedSide::Receive(combine, _) => Action::Receive(transfer, combine),
        });
    }

    /// Sends a message of a task; nobody waits for its end if it is not tracked.
    #[inline]
    pub(super) fn send(&mut self, envelope: Envelope, owner: Owner, tracked: bool) {
        if self.phased.rendezvous() {
            let message = self.remember(Stage::Asked { tracked }, envelope, owner);
            let request = envelope.request(message);
            self.buffers.actions.push(Action::Receive(request, Combine::Copy));
            return;
        }
        let message = if tracked {
            self.remember(Stage::Send, envelope, owner)
        } else {
            UNTRACKED
        };
        self.buffers
            .actions
            .push(Action::Send(envelope.transfer(message)));
    }

    /// Expects a message of a task.
    #[inline]
    pub(super) fn receive(&mut self, envelope: Envelope, owner: Owner) {
        if self.phased.rendezvous() {
            let message = self.remember(Stage::Ask, envelope, owner);
            self.buffers.actions.push(Action::Send(envelope.request(message)));
            return;
        }
        let message = self.remember(Stage::Receive, envelope, owner);
        let transfer = envelope.transfer(message);
        self.buffers
            .actions
            .push(Action::Receive(transfer, Combine::Copy));
    }

    pub(super) fn take_sent(&mut self, message: MessageId) -> Result<(), HandleError> {
        let unknown = HandleError::UnknownMessage(message);
        match self.messages.get_mut(message) {
            Some(posted) if posted.stage == Stage::Send => {}
            Some(posted) if posted.stage == Stage::Ask => {
                posted.stage = Stage::Receive;
                let transfer = posted.envelope.transfer(message);
                self.buffers
                    .actions
                    .push(Action::Receive(transfer, Combine::Copy));
                return Ok(());
            }
            _ => return Err(unknown),
        }
        let Some(&Posted { owner, envelope, .. }) = self.messages.get(message) else {
            return Err(unknown);
        };
        self.messages.discard(message);
        self.flush();
        match owner {
            Owner::Chunk(chunk, round) => self.chunk_sent(chunk, round, envelope.bytes),
            Owner::Operation(operation) => self.done(operation),
        }
        Ok(())
    }

    pub(super) fn take_received(&mut self, message: MessageId) -> Result<(), HandleError> {
        let unknown = HandleError::UnknownMessage(message);
        match self.messages.get_mut(message) {
            Some(posted) if posted.stage == Stage::Receive => {}
            Some(posted) => {
                let Stage::Asked { tracked } = posted.stage else {
                    return Err(unknown);
                };
                posted.stage = Stage::Send;
                let mut transfer = posted.envelope.transfer(message);
                if !tracked {
                    transfer.message = UNTRACKED;
                    self.messages.remove(message);
                }
                self.buffers.actions.push(Action::Send(transfer));
                return Ok(());
            }
            None => return Err(unknown),
        }
        let Some(&Posted { owner, .. }) = self.messages.get(message) else {
            return Err(unknown);
        };
        self.messages.discard(message);
        self.flush();
        match owner {
            Owner::Chunk(chunk, round) => self.chunk_received(chunk, round),
            Owner::Operation(operation) => self.done(operation),
        }
        Ok(())
    }
}

/// Which side of a message with data.
#[derive(Debug, Clone, Copy)]
pub(super) enum PostedSide {
    Send(Owner),
    Receive(Combine, Owner),
}

impl Envelope {
    #[inline]
    fn transfer(&self, message: MessageId) -> Transfer {
        Transfer {
            message,
            peer: self.peer,
            key: self.key,
            channel: 0,
            bytes: self.bytes,
            node: self.node,
            region: Region::default(),
        }
    }

    /// The receiver's request for it.
    fn request(&self, message: MessageId) -> Transfer {
        let key = MessageKey {
            communicator: self.key.communicator | RENDEZVOUS,
            ..self.key
        };
        Transfer {
            key,
            bytes: RENDEZVOUS_BYTES,
            ..self.transfer(message)
        }
    }
}
