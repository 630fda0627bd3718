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

    pub fn set_settle(&mut self, settle: Duration) {
        self.session.endpoint.settle = settle;
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
        let tag = self.next_tag();
        let mut bytes = command.replace("{}", &tag).into_bytes();
        let mut lines = Vec::new();
        for _ in 0..MOST_PARTS {
            let message = self.hear(shown, &bytes, std::slice::from_ref(&tag))?;
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

    /// Says commands one upon the other, without waiting between them, and hears their answers in whatever order
    /// they come: that is what tags are for. All are heard before a refusal is told.
    pub fn say_all(&mut self, commands: &[String]) -> Result<(), OcsError> {
        let mut waiting: Vec<String> = commands.iter().map(|_| self.next_tag()).collect();
        let mut shown: Vec<String> = commands
            .iter()
            .map(|command| command.replace(":{}", ""))
            .collect();
        let tagged = commands.iter().zip(&waiting);
        let mut bytes: Vec<u8> = tagged
            .flat_map(|(command, tag)| command.replace("{}", tag).into_bytes())
            .collect();
        let mut refused = Ok(());
        while let Some(next) = shown.first() {
            let message = self.hear(next, &bytes, &waiting)?;
            bytes.clear();
            if message.completion == Completion::Delayed {
                continue;
            }
            let Some(at) = waiting.iter().position(|tag| message.tag.as_ref() == Some(tag)) else {
                continue;
            };
            waiting.remove(at);
            let command = shown.remove(at);
            if message.completion == Completion::Denied {
                refused = refused.and(Err(OcsError::refused(&command, &message.reason())));
            }
        }
        refused
    }

    fn next_tag(&mut self) -> String {
        self.tag = if self.tag >= 999_999 { 100 } else { self.tag + 1 };
        self.tag.to_string()
    }

    /// Sends these bytes, if any, and gives the next message with one of these tags.
    fn hear(&mut self, shown: &str, bytes: &[u8], tags: &[String]) -> Result<Message, OcsError> {
        let patience = self.session.endpoint.answer + self.session.endpoint.settle;
        self.session
            .ask_within(shown, bytes, patience, |bytes, _| answer(bytes, tags))
    }
}

/// The first answer with one of these tags; other messages are passed over.
fn answer(bytes: &[u8], tags: &[String]) -> Result<Option<(Message, usize)>, crate::ocs::codec::Malformed> {
    let mut at = 0;
    while let Some((message, length)) = tl1::message(&bytes[at..])? {
        at += length;
        if message.tag.as_ref().is_some_and(|tag| tags.contains(tag)) {
            return Ok(Some((message, at)));
        }
    }
    Ok(None)
}
