//! Polatis SCPI: lines of commands joined by `;`, an error queue, `*OPC?` that waits for mirrors.

use std::collections::VecDeque;
use std::time::Duration;

use genie_drivers::ocs::codec::{self, scpi};
use genie_drivers::ocs::{Circuit, Port, Startup};

use super::{Answer, FIRMWARE, Grammar, Refusal, SERIAL, World, model, number, pair, port};
use crate::ocs::core::Fault;

const MOST_LINE: usize = 64 << 10;
const MOST_ERRORS: usize = 30;
const MOST_POWER: usize = 256;
/// Long forms of keywords and their short forms (SCPI-1999).
const FORMS: &[(&str, &str)] = &[
    ("switch", "swit"),
    ("connect", "conn"),
    ("state", "stat"),
    ("disconnect", "disc"),
    ("enable", "enab"),
    ("disable", "dis"),
    ("power", "pow"),
    ("error", "err"),
    ("system", "syst"),
];

/// A session's error queue and the path that commands without one continue.
#[derive(Default)]
pub struct Scpi {
    errors: VecDeque<&'static str>,
    path: String,
}

type Outcome = Result<Option<String>, &'static str>;

impl Grammar for Scpi {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        match codec::line(bytes) {
            None if bytes.len() > MOST_LINE => Err("a line that does not end".into()),
            found => Ok(found.map(|(line, length)| (line.to_vec(), length))),
        }
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let text = String::from_utf8_lossy(request).into_owned();
        let mut answers = Vec::new();
        let mut at = Duration::ZERO;
        self.path.clear();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (header, arguments) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            let header = self.resolve(header);
            if header == "*opc?" {
                at = world.core.all_settled(world.now);
            }
            match self.carry_out(&header, arguments.trim(), world) {
                Ok(answer) => answers.extend(answer),
                Err(error) => self.push(error),
            }
        }
        let mut bytes = answers.join(";");
        if !answers.is_empty() {
            bytes.push_str("\r\n");
        }
        Answer::at(at, bytes)
    }
}

impl Scpi {
    fn push(&mut self, error: &'static str) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push_back(error);
        } else if let Some(last) = self.errors.back_mut() {
            *last = "-350,\"Queue overflow\"";
        }
    }

    /// The header in short forms and with its path: without a colon in front it continues the last one's.
    fn resolve(&mut self, header: &str) -> String {
        let header = header.to_ascii_lowercase();
        if header.starts_with('*') {
            return header;
        }
        let short = |node: &str| {
            let (word, mark) = node.strip_suffix('?').map_or((node, ""), |word| (word, "?"));
            let found = FORMS.iter().find(|(long, _)| *long == word);
            format!("{}{mark}", found.map_or(word, |(_, short)| short))
        };
        let nodes: Vec<String> = header.trim_start_matches(':').split(':').map(short).collect();
        let header_rooted = header.starts_with(':') || self.path.is_empty();
        let full = match header_rooted || matches!(nodes[0].as_str(), "oxc" | "syst" | "pmon") {
            true => nodes.join(":"),
            false => format!("{}:{}", self.path, nodes.join(":")),
        };
        self.path = full
            .rsplit_once(':')
            .map_or(String::new(), |(path, _)| path.to_owned());
        full
    }

    fn carry_out(&mut self, header: &str, arguments: &str, world: &mut World<'_>) -> Outcome {
        let size = world.core.size;
        let done = |result: Result<(), Refusal>| result.map(|()| None).map_err(error);
        match header {
            "*idn?" => Ok(Some(format!("Polatis,{},{SERIAL},{FIRMWARE}", model(size)))),
            "*opc?" => Ok(Some("1".into())),
            "*stb?" | "*esr?" => Ok(Some(if self.errors.is_empty() { "0" } else { "4" }.into())),
            "*cls" => {
                self.errors.clear();
                Ok(None)
            }
            "*rst" | "oxc:swit:disc:all" => {
                let all: Vec<Circuit> = world.core.circuits().map(|(circuit, _)| circuit).collect();
                done(world.disconnect(&all))
            }
            "oxc:swit:size?" => Ok(Some(format!("{},{}", size.a, size.b))),
            "oxc:swit:conn:add" => done(world.connect(&circuits(arguments, world)?).map(drop)),
            "oxc:swit:conn:only" => {
                let wanted = circuits(arguments, world)?;
                let all: Vec<Circuit> = world.core.circuits().map(|(circuit, _)| circuit).collect();
                world.disconnect(&all).map_err(error)?;
                done(world.connect(&wanted).map(drop))
            }
            "oxc:swit:conn:sub" => done(world.disconnect(&to_remove(arguments, world)?)),
            "oxc:swit:conn:stat?" => {
                let pairs = world
                    .core
                    .circuits()
                    .map(|(c, _)| (u32::from(c.a), number(size, Port::B(c.b))));
                let (from, to): (Vec<u32>, Vec<u32>) = pairs.unzip();
                Ok(Some(format!("{},{}", scpi::ports(&from), scpi::ports(&to))))
            }
            "oxc:swit:conn:port?" => {
                let here = arguments
                    .parse()
                    .ok()
                    .and_then(|number| port(size, number))
                    .ok_or(RANGE)?;
                let other = world.core.at(here).map(|circuit| match here {
                    Port::A(_) => number(size, Port::B(circuit.b)),
                    Port::B(_) => circuit.a.into(),
                });
                Ok(Some(format!(
                    "\"{}\"",
                    other.map_or(String::new(), |number| number.to_string())
                )))
            }
            "oxc:swit:port:enab" | "oxc:swit:port:dis" => {
                let blocked = header.ends_with("dis");
                let ports = ports(arguments, world)?;
                done(world.change_ports(&ports, |port| port.blocked = blocked))
            }
            "oxc:swit:port:stat?" => {
                let letter = |port: &Port| match (
                    world.core.failed(*port, world.now),
                    world.core.port(*port).blocked,
                ) {
                    (true, _) => "F",
                    (_, true) => "D",
                    _ => "E",
                };
                let letters: Vec<&str> = ports(arguments, world)?.iter().map(letter).collect();
                Ok(Some(format!("({})", letters.join(","))))
            }
            "pmon:pow?" => {
                let ports = ports(arguments, world)?;
                if ports.len() > MOST_POWER {
                    return Err(RANGE);
                }
                let power = |port: &Port| format!("{:.2}", world.core.power(*port, world.now));
                let powers: Vec<String> = ports.iter().map(power).collect();
                Ok(Some(format!("({})", powers.join(","))))
            }
            "oxc:boot:mode?" => Ok(Some(match world.core.startup {
                Startup::Volatile => "DARK".into(),
                Startup::Preserve => "REST".into(),
            })),
            "oxc:boot:mode" => {
                world.permit().map_err(error)?;
                world.core.startup = match arguments.to_ascii_lowercase().as_str() {
                    "dark" => Startup::Volatile,
                    "rest" | "aut" => Startup::Preserve,
                    _ => return Err("-108,\"Parameter not allowed\""),
                };
                Ok(None)
            }
            "syst:err?" => Ok(Some(self.errors.pop_front().unwrap_or("0,\"No error\"").into())),
            "syst:err:all?" => {
                let all: Vec<&str> = self.errors.drain(..).collect();
                Ok(Some(if all.is_empty() {
                    "0,\"No error\"".into()
                } else {
                    all.join(",")
                }))
            }
            _ => Err("-113,\"Undefined header\""),
        }
    }
}

const RANGE: &str = "-222,\"Data out of range\"";

fn error(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Fault(Fault::InUse) => "-221,\"Settings conflict\"",
        Refusal::Fault(_) => RANGE,
        Refusal::Denied => "-200,\"Execution error\"",
    }
}

fn circuits(arguments: &str, world: &World<'_>) -> Result<Vec<Circuit>, &'static str> {
    let size = world.core.size;
    let pairs = scpi::read_pairs(arguments).map_err(|_| "-109,\"Missing parameter\"")?;
    pairs
        .into_iter()
        .map(|(from, to)| pair(size, from, to).ok_or(RANGE))
        .collect()
}

/// `(@1,2),(@17,18)`, or `(@1,2),(@)` for whatever is connected to these.
fn to_remove(arguments: &str, world: &World<'_>) -> Result<Vec<Circuit>, &'static str> {
    let (from, rest) = scpi::read_ports(arguments).map_err(|_| "-109,\"Missing parameter\"")?;
    let (to, _) = scpi::read_ports(rest.trim_start().trim_start_matches(','))
        .map_err(|_| "-109,\"Missing parameter\"")?;
    if !to.is_empty() {
        return circuits(arguments, world);
    }
    let at = |number| port(world.core.size, number).and_then(|port| world.core.at(port));
    from.into_iter().map(|number| at(number).ok_or(RANGE)).collect()
}

fn ports(arguments: &str, world: &World<'_>) -> Result<Vec<Port>, &'static str> {
    let (numbers, _) = scpi::read_ports(arguments).map_err(|_| "-109,\"Missing parameter\"")?;
    numbers
        .into_iter()
        .map(|number| port(world.core.size, number).ok_or(RANGE))
        .collect()
}
