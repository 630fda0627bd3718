//! A TL1 session: commands with tags, answers matched by them, login.

use std::time::Duration;

use crate::ocs::codec::tl1::{self, Completion, Message};
use crate::ocs::endpoint::Endpoint;
use crate::ocs::error::OcsError;
use crate::ocs::switch::Session;

/// So long without a byte, and no banner is to be expected any more.
const SILENCE: Duration = Duration::from_millis(30);
/// Most messages that one answer may come in.
const MOST_PARTS: usize = 1000;

pub struct Tl1 {
    session: Session,
    tag: u32,
}

impl Tl1 {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            session: Session::new(endpoint),
            tag: 100,
        }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.session.endpoint
    }

    /// A new stream, without login yet.
    pub fn reopen(&mut self) -> Result<(), OcsError> {
        self.session.reopen()?.drain(SILENCE);
        Ok(())
    }

    /// Says a command; `{}` in it stands for the tag. Gives the lines of the answer.
    pub fn say(&mut self, command: &str) -> Result<Vec<String>, OcsError> {
        self.say_as(command, &command.replace(":{}", ""))
    }

    /// As [`Tl1::say`]; messages show `shown` instead, for commands with passwords.
    pub fn say_as(&mut self, command: &str, shown: &str) -> Result<Vec<String>, OcsError> {
        self.tag = if self.tag >= 999_999 { 100 } else { self.tag + 1 };
        let tag = self.tag.to_string();
        let mut bytes = command.replace("{}", &tag).into_bytes();
        let patience = self.session.endpoint.answer + self.session.endpoint.settle;
        let mut lines = Vec::new();
        for _ in 0..MOST_PARTS {
            let message = self
                .session
                .ask_within(shown, &bytes, patience, |bytes, _| answer(bytes, &tag))?;
            bytes.clear();
            match message.completion {
                Completion::Delayed => continue,
                Completion::Denied => return Err(OcsError::refused(shown, &message.reason())),
                Completion::Completed | Completion::Partial => {}
            }
            let more = message.more;
            lines.extend(message.lines);
            if !more {
                return Ok(lines);
            }
        }
        Err(OcsError::malformed(shown, "an answer in too many parts"))
    }
}

/// The answer with this tag; other messages are passed over.
fn answer(bytes: &[u8], tag: &str) -> Result<Option<(Message, usize)>, crate::ocs::codec::Malformed> {
    let mut at = 0;
    while let Some((message, length)) = tl1::message(&bytes[at..])? {
        at += length;
        if message.tag.as_deref() == Some(tag) {
            return Ok(Some((message, at)));
        }
    }
    Ok(None)
}
