//! Polatis NETCONF: the vendor's models in XML, frames of RFC 6242.

use std::time::Duration;

use genie_drivers::ocs::codec::netconf::{self, BASE, BASE_1_0, BASE_1_1, Framing, escaped};
use genie_drivers::ocs::{Circuit, Port, Startup};
use roxmltree::{Document, Node};

use super::restconf::{startup, status};
use super::{Answer, FIRMWARE, Grammar, Refusal, SERIAL, World, model, number, pair, port};
use crate::ocs::core::Fault;

const OPTICAL: &str = "http://www.polatis.com/yang/optical-switch";
const SYSTEM: &str = "http://www.polatis.com/yang/polatis-switch";
const MODULE: &str = "http://www.polatis.com/yang/optical-switch?module=optical-switch&revision=2018-03-22";

/// A session: its number, and how its frames look once both sides have said hello.
pub struct Netconf {
    number: u32,
    framing: Framing,
    greeted: bool,
}

/// Tag and message of an `rpc-error`.
type Failure = (&'static str, String);
type Outcome = Result<(String, Duration), Failure>;

impl Netconf {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            framing: Framing::Mark,
            greeted: false,
        }
    }

    fn carry_out(&self, rpc: Node, world: &mut World<'_>) -> Outcome {
        let operation = rpc
            .children()
            .find(Node::is_element)
            .ok_or_else(|| bad("an empty request"))?;
        match operation.tag_name().name() {
            "get" | "get-config" => {
                let filter = operation
                    .children()
                    .find(|node| node.tag_name().name() == "filter");
                let wanted = |name: &str| {
                    filter.is_none_or(|filter| filter.children().any(|node| node.tag_name().name() == name))
                };
                Ok((format!("<data>{}</data>", tree(wanted, world)), Duration::ZERO))
            }
            "edit-config" => {
                let config = operation
                    .children()
                    .find(|node| node.tag_name().name() == "config");
                let at = edit(config.ok_or_else(|| bad("without config"))?, world)?;
                Ok(("<ok/>".into(), at))
            }
            "port-set-state" => {
                for (leaf, blocked) in [("port-enab", false), ("port-disab", true)] {
                    let ports = operation.children().filter(|node| node.tag_name().name() == leaf);
                    let ports: Vec<Port> = ports
                        .map(|node| named(text(node), world))
                        .collect::<Result<_, _>>()?;
                    if !ports.is_empty() {
                        world
                            .change_ports(&ports, |port| port.blocked = blocked)
                            .map_err(failure)?;
                    }
                }
                Ok(("<ok/>".into(), Duration::ZERO))
            }
            "close-session" => Ok(("<ok/>".into(), Duration::ZERO)),
            other => Err(("operation-not-supported", format!("no operation {other}"))),
        }
    }
}

impl Grammar for Netconf {
    fn greeting(&mut self) -> Vec<u8> {
        netconf::frame(
            Framing::Mark,
            &netconf::hello(&[BASE_1_0, BASE_1_1, MODULE], Some(self.number)),
        )
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        let framing = if self.greeted { self.framing } else { Framing::Mark };
        let found = netconf::unframe(framing, bytes).map_err(|e| e.0)?;
        Ok(found.map(|(text, length)| (text.into_bytes(), length)))
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let request = String::from_utf8_lossy(request);
        let options = roxmltree::ParsingOptions {
            nodes_limit: 100_000,
            ..roxmltree::ParsingOptions::default()
        };
        let Ok(document) = Document::parse_with_options(request.trim(), options) else {
            return Answer {
                close: true,
                ..Answer::default()
            };
        };
        let root = document.root_element();
        if !self.greeted {
            self.greeted = true;
            let offers = root
                .descendants()
                .any(|node| node.text().is_some_and(|text| text.trim() == BASE_1_1));
            self.framing = if offers { Framing::Chunks } else { Framing::Mark };
            return Answer {
                close: root.tag_name().name() != "hello",
                ..Answer::default()
            };
        }
        let id = escaped(root.attribute("message-id").unwrap_or_default());
        let (inside, at) = match self.carry_out(root, world) {
            Ok(done) => done,
            Err((tag, message)) => (error(tag, &message), Duration::ZERO),
        };
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><rpc-reply xmlns=\"{BASE}\" message-id=\"{id}\">{inside}</rpc-reply>"
        );
        let mut answer = Answer::at(at, netconf::frame(self.framing, &text));
        answer.close = root
            .children()
            .any(|node| node.tag_name().name() == "close-session");
        answer
    }
}

fn error(tag: &str, message: &str) -> String {
    format!(
        "<rpc-error><error-type>application</error-type><error-tag>{tag}</error-tag><error-severity>error</error-severity><error-message>{}</error-message></rpc-error>",
        escaped(message)
    )
}

fn bad(message: &str) -> Failure {
    ("invalid-value", message.into())
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Fault(Fault::InUse) => ("in-use", "a port is in another pair".into()),
        Refusal::Fault(Fault::Absent) => ("data-missing", "no such pair".into()),
        Refusal::Fault(_) => bad("no such port or value"),
        Refusal::Denied => ("operation-failed", "the switch refuses".into()),
    }
}

fn text<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default().trim()
}

fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children()
        .find(|child| child.tag_name().name() == name)
        .map(text)
}

fn named(number: &str, world: &World<'_>) -> Result<Port, Failure> {
    let found = number
        .parse()
        .ok()
        .and_then(|number| port(world.core.size, number));
    found.ok_or_else(|| bad("no such port"))
}

/// The containers that are wanted.
fn tree(wanted: impl Fn(&str) -> bool, world: &World<'_>) -> String {
    let size = world.core.size;
    let id = |port: Port| format!("<port-id>{}</port-id>", number(size, port));
    let rows = |container: &str, row: &dyn Fn(Port) -> String| {
        let rows: String = size
            .ports()
            .map(|port| format!("<port>{}{}</port>", id(port), row(port)))
            .collect();
        format!("<{container} xmlns=\"{OPTICAL}\">{rows}</{container}>")
    };
    let mut xml = String::new();
    if wanted("product-information") {
        xml += &format!(
            "<product-information xmlns=\"{SYSTEM}\"><manufacturer>Polatis</manufacturer><serial-number>{SERIAL}</serial-number><model-name>{}</model-name><software-version>{FIRMWARE}</software-version></product-information>",
            model(size)
        );
    }
    if wanted("cross-connects") {
        let pair = |c: Circuit| {
            format!(
                "<pair><ingress>{}</ingress><egress>{}</egress></pair>",
                c.a,
                number(size, Port::B(c.b))
            )
        };
        let pairs: String = world.core.circuits().map(|(circuit, _)| pair(circuit)).collect();
        xml += &format!("<cross-connects xmlns=\"{OPTICAL}\">{pairs}</cross-connects>");
    }
    if wanted("port-config") {
        xml += &rows("port-config", &|port| {
            let label = escaped(&world.core.port(port).label);
            format!("<status>{}</status><label>{label}</label>", status(port, world))
        });
    }
    if wanted("opm-power") {
        xml += &rows("opm-power", &|port| {
            format!("<power>{:.2}</power>", world.core.power(port, world.now))
        });
    }
    if wanted("voa") {
        xml += &rows("voa", &|port| match world.core.port(port).attenuation {
            None => "<atten-mode>VOA_MODE_NONE</atten-mode>".into(),
            Some(level) => {
                format!("<atten-mode>VOA_MODE_RELATIVE</atten-mode><atten-level>{level:.2}</atten-level>")
            }
        });
    }
    if wanted("system-config") {
        let mode = startup(world.core.startup);
        xml +=
            &format!("<system-config xmlns=\"{SYSTEM}\"><startup-mode>{mode}</startup-mode></system-config>");
    }
    xml
}

fn edit(config: Node, world: &mut World<'_>) -> Result<Duration, Failure> {
    let mut at = Duration::ZERO;
    for container in config.children().filter(Node::is_element) {
        match container.tag_name().name() {
            "cross-connects" => at = at.max(edit_pairs(container, world)?),
            "port-config" | "voa" => {
                for row in container.children().filter(Node::is_element) {
                    edit_port(container.tag_name().name(), row, world)?;
                }
            }
            "system-config" => {
                world.permit().map_err(failure)?;
                world.core.startup = match child(container, "startup-mode") {
                    Some("MODE_VOLATILE") => Startup::Volatile,
                    Some("MODE_PRESERVE") => Startup::Preserve,
                    _ => return Err(bad("no such start-up mode")),
                };
            }
            other => return Err(("unknown-element", format!("no container {other}"))),
        }
    }
    Ok(at)
}

fn edit_pairs(container: Node, world: &mut World<'_>) -> Result<Duration, Failure> {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for row in container.children().filter(Node::is_element) {
        let ingress = child(row, "ingress").ok_or_else(|| bad("a pair without ingress"))?;
        match row.attribute((BASE, "operation")) {
            Some("delete" | "remove") => {
                let circuit = world.core.at(named(ingress, world)?);
                remove.push(circuit.ok_or_else(|| failure(Refusal::Fault(Fault::Absent)))?);
            }
            _ => {
                let egress = child(row, "egress").and_then(|egress| egress.parse().ok());
                let circuit = ingress
                    .parse()
                    .ok()
                    .zip(egress)
                    .and_then(|(a, b)| pair(world.core.size, a, b));
                add.push(circuit.ok_or_else(|| bad("no such pair of ports"))?);
            }
        }
    }
    if !remove.is_empty() {
        world.disconnect(&remove).map_err(failure)?;
    }
    if add.is_empty() {
        Ok(Duration::ZERO)
    } else {
        world.connect(&add).map_err(failure)
    }
}

fn edit_port(container: &str, row: Node, world: &mut World<'_>) -> Result<(), Failure> {
    let port = named(child(row, "port-id").unwrap_or_default(), world)?;
    let change = |world: &mut World<'_>, change: &dyn Fn(&mut crate::ocs::core::PortConfig)| {
        world.change_ports(&[port], change).map_err(failure)
    };
    if container == "port-config" {
        let label = child(row, "label").unwrap_or_default().to_owned();
        return change(world, &|port| port.label.clone_from(&label));
    }
    let level = match child(row, "atten-mode") {
        Some("VOA_MODE_NONE") => None,
        Some(_) => {
            let level = child(row, "atten-level").and_then(|level| level.parse().ok());
            Some(
                level
                    .filter(|level: &f64| level.abs() <= 60.0)
                    .ok_or_else(|| bad("no such level"))?,
            )
        }
        None => return Err(bad("without atten-mode")),
    };
    change(world, &|port| port.attenuation = level)
}
