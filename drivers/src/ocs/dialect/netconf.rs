//! Polatis NETCONF: the vendor's YANG models in the running datastore, over any stream (a child `ssh -s` for
//! real switches).

use std::collections::BTreeSet;
use std::time::Duration;

use roxmltree::{Document, Node};

use super::polatis::{self, port_state, startup, startup_word};
use crate::ocs::codec::Malformed;
use crate::ocs::codec::netconf::{self, BASE_1_0, BASE_1_1, Framing, escaped};
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, Size, Startup};
use crate::ocs::switch::{Session, Settling, Switch};

/// Namespace of cross-connects, ports, shutters and attenuators.
const OPTICAL: &str = "http://www.polatis.com/yang/optical-switch";
/// Namespace of the product and the system.
const SYSTEM: &str = "http://www.polatis.com/yang/polatis-switch";
/// Elements deeper than this are not the model's.
const MOST_NODES: u32 = 200_000;

pub struct Netconf {
    session: Session,
    framing: Framing,
    /// `pair`, or `pairs` before revision 2017-08-04 of the model.
    list: &'static str,
    number: u64,
    size: Option<Size>,
}

impl Netconf {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            session: Session::new(endpoint),
            framing: Framing::Mark,
            list: "pair",
            number: 0,
            size: None,
        }
    }

    fn known_size(&mut self) -> Result<Size, OcsError> {
        match self.size {
            Some(size) => Ok(size),
            None => self.size(),
        }
    }

    /// Sends a request; gives the text of its answer, which is no error.
    fn rpc(&mut self, name: &str, inside: &str) -> Result<String, OcsError> {
        self.number += 1;
        let (framing, number) = (self.framing, self.number.to_string());
        let bytes = netconf::frame(framing, &netconf::rpc(self.number, inside));
        let patience = self.session.endpoint.answer + self.session.endpoint.settle;
        let answer = self.session.ask_within(name, &bytes, patience, |bytes, _| {
            // Notifications come in between.
            let mut at = 0;
            while let Some((text, length)) = netconf::unframe(framing, &bytes[at..])? {
                at += length;
                let document = parse(&text)?;
                if document.root_element().attribute("message-id") == Some(number.as_str()) {
                    return Ok(Some((text, at)));
                }
            }
            Ok(None)
        })?;
        let document = parse(&answer).map_err(|e| OcsError::malformed(name, e.0))?;
        match document
            .descendants()
            .find(|node| node.has_tag_name((netconf::BASE, "rpc-error")))
        {
            Some(error) => Err(OcsError::refused(name, &reason(error))),
            None => Ok(answer),
        }
    }

    fn get(&mut self, name: &str, namespace: &str) -> Result<String, OcsError> {
        let filter = format!("<get><filter type=\"subtree\"><{name} xmlns=\"{namespace}\"/></filter></get>");
        self.rpc(&format!("get {name}"), &filter)
    }

    fn edit(&mut self, name: &str, config: &str) -> Result<(), OcsError> {
        let inside = format!(
            "<edit-config><target><running/></target><config xmlns:nc=\"{}\">{config}</config></edit-config>",
            netconf::BASE
        );
        self.rpc(name, &inside).map(drop)
    }

    fn edit_pairs(&mut self, name: &str, circuits: &[Circuit], delete: bool) -> Result<(), OcsError> {
        let (size, list) = (self.known_size()?, self.list);
        let pair = |circuit: &Circuit| {
            let (ingress, egress) = polatis::numbers(size, *circuit);
            match delete {
                true => format!("<{list} nc:operation=\"delete\"><ingress>{ingress}</ingress></{list}>"),
                false => format!("<{list}><ingress>{ingress}</ingress><egress>{egress}</egress></{list}>"),
            }
        };
        let pairs: String = circuits.iter().map(pair).collect();
        self.edit(
            name,
            &format!("<cross-connects xmlns=\"{OPTICAL}\">{pairs}</cross-connects>"),
        )
    }

    /// Rows of a list of ports, each as (port, value of `leaf`).
    fn by_port(&mut self, container: &str, leaf: &str) -> Result<Vec<(Port, String)>, OcsError> {
        let size = self.known_size()?;
        let answer = self.get(container, OPTICAL)?;
        let document = parse(&answer).map_err(|e| OcsError::malformed(container, e.0))?;
        let rows = document
            .descendants()
            .filter(|node| node.has_tag_name((OPTICAL, "port")));
        let row = |node: Node| {
            let port = polatis::port(size, child(node, "port-id")?.parse().ok()?)?;
            Some((port, child(node, leaf)?.to_owned()))
        };
        Ok(rows.filter_map(row).collect())
    }
}

/// XML without document types, with a bound on its nodes.
fn parse(text: &str) -> Result<Document<'_>, Malformed> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..roxmltree::ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|e| Malformed(format!("XML: {e}")))
}

/// Text of a child element of whatever namespace.
fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    let found = node.children().find(|child| child.tag_name().name() == name)?;
    Some(found.text().unwrap_or_default().trim())
}

fn reason<'a>(error: Node<'a, 'a>) -> String {
    let part = |name| child(error, name).unwrap_or_default();
    format!("{}: {}", part("error-tag"), part("error-message"))
}

/// The greeting in these bytes, whatever garbage stands before it.
fn greeting(bytes: &[u8]) -> Result<Option<(String, usize)>, Malformed> {
    let mark = b"]]>]]>";
    let Some(end) = bytes.windows(mark.len()).position(|six| six == mark) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let begin = text.rfind("<?xml").or_else(|| text.find("<hello"));
    let begin = begin.ok_or_else(|| Malformed("no hello".into()))?;
    Ok(Some((text[begin..].to_owned(), end + mark.len())))
}

impl Switch for Netconf {
    fn dialect(&self) -> Dialect {
        Dialect::Netconf
    }

    fn set_settle(&mut self, settle: Duration) {
        self.session.endpoint.settle = settle;
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.session.reopen()?;
        self.framing = Framing::Mark;
        let hello = netconf::frame(Framing::Mark, &netconf::hello(&[BASE_1_0, BASE_1_1], None));
        let theirs = self.session.ask("hello", &hello, |bytes, _| greeting(bytes))?;
        let document = parse(&theirs).map_err(|e| OcsError::malformed("hello", e.0))?;
        let capabilities = document
            .descendants()
            .filter(|node| node.tag_name().name() == "capability");
        for capability in capabilities.filter_map(|node| node.text()) {
            let capability = capability.trim();
            if capability == BASE_1_1 {
                self.framing = Framing::Chunks;
            }
            if capability.contains("module=optical-switch") {
                let revision = capability.split("revision=").nth(1).unwrap_or("9");
                self.list = if revision < "2017-08-04" { "pairs" } else { "pair" };
            }
        }
        Ok(())
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let answer = self.get("product-information", SYSTEM)?;
        let document = parse(&answer).map_err(|e| OcsError::malformed("product-information", e.0))?;
        let product = document
            .descendants()
            .find(|node| node.has_tag_name((SYSTEM, "product-information")));
        let product = product.ok_or_else(|| OcsError::malformed("product-information", "nothing"))?;
        Ok(polatis::identity(|name| {
            child(product, name).unwrap_or_default().to_owned()
        }))
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        let size = polatis::size_of(&self.identify()?)?;
        self.size = Some(size);
        Ok(size)
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        let (size, list) = (self.known_size()?, self.list);
        let answer = self.get("cross-connects", OPTICAL)?;
        let document = parse(&answer).map_err(|e| OcsError::malformed("cross-connects", e.0))?;
        let pairs = document
            .descendants()
            .filter(|node| node.has_tag_name((OPTICAL, list)));
        let circuit = |node: Node| {
            let found = |name| {
                let found = node.children().find(|child| child.tag_name().name() == name)?;
                found.text()?.trim().parse().ok()
            };
            polatis::pair(size, found("ingress")?, found("egress")?)
        };
        let all = pairs.map(|node| {
            circuit(node).ok_or_else(|| OcsError::malformed("cross-connects", "a pair that is none"))
        });
        all.collect()
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        self.edit_pairs("edit-config (add pairs)", circuits, false)
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        // A pair is removed by its ingress port: what is removed must be what was meant.
        let now = self.circuits()?;
        let there: Vec<Circuit> = circuits
            .iter()
            .copied()
            .filter(|circuit| now.contains(circuit))
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        self.edit_pairs("edit-config (delete pairs)", &there, true)
    }

    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let now = self.circuits()?;
        Ok(polatis::settling(&now, circuits))
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        let size = self.known_size()?;
        let mut infos: Vec<PortInfo> = size.ports().map(PortInfo::unknown).collect();
        let at = |port: Port| polatis::number(size, port) as usize - 1;
        for (port, status) in self.by_port("port-config", "status")? {
            infos[at(port)].state = port_state(&status);
        }
        for (port, label) in self.by_port("port-config", "label")? {
            infos[at(port)].label = Some(label);
        }
        for (port, power) in self.by_port("opm-power", "power")? {
            infos[at(port)].power_dbm = power.parse().ok().filter(|power: &f64| power.is_finite());
        }
        let modes = self.by_port("voa", "atten-mode")?;
        for (port, level) in self.by_port("voa", "atten-level")? {
            infos[at(port)].attenuation_db = level.parse().ok().filter(|level: &f64| level.is_finite());
        }
        for (port, mode) in modes {
            if mode == "VOA_MODE_NONE" {
                infos[at(port)].attenuation_db = Some(0.0);
            }
        }
        Ok(infos)
    }

    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError> {
        let size = self.known_size()?;
        let leaf = if blocked { "port-disab" } else { "port-enab" };
        let list: String = ports
            .iter()
            .map(|port| format!("<{leaf}>{}</{leaf}>", polatis::number(size, *port)))
            .collect();
        let inside = format!("<port-set-state xmlns=\"{OPTICAL}\">{list}</port-set-state>");
        self.rpc("port-set-state", &inside).map(drop)
    }

    fn attenuate(&mut self, port: Port, level_db: Option<f64>) -> Result<(), OcsError> {
        let number = polatis::number(self.known_size()?, port);
        let mode = match level_db {
            Some(level) => {
                format!("<atten-mode>VOA_MODE_RELATIVE</atten-mode><atten-level>{level:.2}</atten-level>")
            }
            None => "<atten-mode>VOA_MODE_NONE</atten-mode>".into(),
        };
        let config = format!("<voa xmlns=\"{OPTICAL}\"><port><port-id>{number}</port-id>{mode}</port></voa>");
        self.edit("edit-config (attenuation)", &config)
    }

    fn label(&mut self, port: Port, label: &str) -> Result<(), OcsError> {
        let number = polatis::number(self.known_size()?, port);
        let label = escaped(label);
        let config = format!(
            "<port-config xmlns=\"{OPTICAL}\"><port><port-id>{number}</port-id><label>{label}</label></port></port-config>"
        );
        self.edit("edit-config (label)", &config)
    }

    fn startup(&mut self) -> Result<Startup, OcsError> {
        let answer = self.get("system-config", SYSTEM)?;
        let document = parse(&answer).map_err(|e| OcsError::malformed("system-config", e.0))?;
        let mode = document
            .descendants()
            .find(|node| node.has_tag_name((SYSTEM, "startup-mode")));
        startup(mode.and_then(|node| node.text()).unwrap_or_default().trim())
    }

    fn set_startup(&mut self, startup: Startup) -> Result<(), OcsError> {
        let word = startup_word(startup);
        let config =
            format!("<system-config xmlns=\"{SYSTEM}\"><startup-mode>{word}</startup-mode></system-config>");
        self.edit("edit-config (start-up mode)", &config)
    }
}
