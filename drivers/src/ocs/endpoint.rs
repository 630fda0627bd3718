//! Which switch: `DIALECT://[USER@]HOST[:PORT]`, or a TOML file that says the same and more. What is not
//! said comes from the description of the dialect's usual device in `drivers/devices/`.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Port, port_list, shortened};

/// Largest device file, bytes; more than that is none.
const MOST_FILE_BYTES: u64 = 64 << 10;

/// A language that switches speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Polatis SCPI.
    Scpi,
    /// Polatis TL1.
    Tl1Polatis,
    /// Calient TL1.
    Tl1Calient,
    /// Polatis RESTCONF.
    Restconf,
    /// Polatis NETCONF.
    Netconf,
    /// SONiC-OCS by its command line and JSON patch.
    Sonic,
    /// SONiC-OCS over gNMI.
    Gnmi,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 7] = [
        Dialect::Scpi,
        Dialect::Tl1Polatis,
        Dialect::Tl1Calient,
        Dialect::Restconf,
        Dialect::Netconf,
        Dialect::Sonic,
        Dialect::Gnmi,
    ];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Scpi => "scpi",
            Dialect::Tl1Polatis => "tl1-polatis",
            Dialect::Tl1Calient => "tl1-calient",
            Dialect::Restconf => "restconf",
            Dialect::Netconf => "netconf",
            Dialect::Sonic => "sonic",
            Dialect::Gnmi => "gnmi",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Dialect::Scpi => include_str!("../../devices/polatis-scpi.toml"),
            Dialect::Tl1Polatis => include_str!("../../devices/polatis-tl1.toml"),
            Dialect::Tl1Calient => include_str!("../../devices/calient-tl1.toml"),
            Dialect::Restconf => include_str!("../../devices/polatis-restconf.toml"),
            Dialect::Netconf => include_str!("../../devices/polatis-netconf.toml"),
            Dialect::Sonic => include_str!("../../devices/sonic-ocs.toml"),
            Dialect::Gnmi => include_str!("../../devices/sonic-gnmi.toml"),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let found = Self::ALL.into_iter().find(|dialect| dialect.name() == text);
        found.ok_or_else(|| EndpointError::Dialect(shortened(text)))
    }
}

/// Why a text or file names no switch.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// No such dialect.
    #[error(
        "`{0}` is not a dialect\nhelp: one of scpi, tl1-polatis, tl1-calient, restconf, netconf, sonic, gnmi"
    )]
    Dialect(String),
    /// Not an address.
    #[error(
        "`{0}` does not name a switch\nhelp: write DIALECT://HOST[:PORT], for example scpi://10.0.0.5, or the path of a device file (docs/ocs.md)"
    )]
    Address(String),
    /// A device file that is wrong.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong and where.
        reason: String,
    },
}

/// How the switch is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
    /// Standard input and output of a program: name and arguments.
    Program(Vec<String>),
}

/// A switch, how to reach it and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Language.
    pub dialect: Dialect,
    /// Way.
    pub via: Via,
    /// User to log in as; empty where there is no login.
    pub user: String,
    /// Password; see [`Endpoint::password_env`].
    pub password: String,
    /// Environment variable that holds the password, if it does not come from the description.
    pub password_env: Option<String>,
    /// An answer takes longer than this: the session is given up.
    pub answer: Duration,
    /// A mirror that has not settled after this has failed.
    pub settle: Duration,
    /// Ports that may be changed; `None`: all.
    pub allow: Option<BTreeSet<Port>>,
    name: String,
}

/// A device file, and the descriptions in `drivers/devices/`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    dialect: Option<Dialect>,
    /// For people.
    #[allow(dead_code)]
    models: Option<Vec<String>>,
    address: Option<String>,
    program: Option<Vec<String>>,
    port: Option<u16>,
    ssh: Option<Vec<String>>,
    tls: Option<Vec<String>>,
    user: Option<String>,
    password: Option<String>,
    password_env: Option<String>,
    answer_ms: Option<u32>,
    settle_ms: Option<u32>,
    allow: Option<String>,
}

impl Endpoint {
    /// The switch that a user names: an address, or the path of a device file.
    pub fn find(text: &str) -> Result<Self, EndpointError> {
        if text.contains("://") {
            return Self::at(text);
        }
        let wrong = |reason: String| EndpointError::File {
            file: shortened(text),
            reason,
        };
        let path = std::fs::canonicalize(text).map_err(|_| EndpointError::Address(shortened(text)))?;
        let file = std::fs::File::open(&path).map_err(|e| wrong(e.to_string()))?;
        let mut content = String::new();
        file.take(MOST_FILE_BYTES)
            .read_to_string(&mut content)
            .map_err(|e| wrong(e.to_string()))?;
        Self::from_file(&path.display().to_string(), &content)
    }

    /// The switch at an address: `scpi://10.0.0.5`, `netconf+ssh://admin@ocs`, `scpi+unix:///run/ocs.sock`.
    pub fn at(text: &str) -> Result<Self, EndpointError> {
        let bad = || EndpointError::Address(shortened(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let (dialect, way) = scheme.split_once('+').unwrap_or((scheme, "tcp"));
        let dialect: Dialect = dialect.parse()?;
        let usual = usual(dialect);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) if way != "unix" => (Some(user.to_owned()), place),
            _ => (None, rest),
        };
        let user = user.or_else(|| usual.user.clone());
        if place.is_empty() || user.as_ref().is_some_and(|user| user.starts_with('-')) {
            return Err(bad());
        }
        let via = match way {
            "unix" => Via::Unix(place.into()),
            "tcp" => tcp(place, usual.port).ok_or_else(bad)?,
            "ssh" => {
                program(usual.ssh.as_ref(), place, user.as_deref(), ssh_port(dialect)).ok_or_else(bad)?
            }
            "tls" => program(usual.tls.as_ref(), place, user.as_deref(), usual.port).ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        Ok(Self::from_parts(dialect, via, user, &usual, text.to_owned()))
    }

    /// The switch that the text of a device file describes; `file` names it in messages.
    pub fn from_file(file: &str, text: &str) -> Result<Self, EndpointError> {
        let wrong = |reason: String| EndpointError::File {
            file: file.into(),
            reason,
        };
        let own: Description = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let dialect = own.dialect.ok_or_else(|| wrong("missing key `dialect`".into()))?;
        let base = usual(dialect);
        let port = own.port.or(base.port);
        let via = match (&own.address, &own.program) {
            (Some(address), None) => {
                tcp(address, port).ok_or_else(|| wrong(format!("`{address}` is not an address")))?
            }
            (None, Some(program)) if !program.is_empty() => Via::Program(program.clone()),
            _ => return Err(wrong("needs either `address` or `program`".into())),
        };
        let merged = Description {
            password: own.password.or(base.password),
            password_env: own.password_env,
            answer_ms: own.answer_ms.or(base.answer_ms),
            settle_ms: own.settle_ms.or(base.settle_ms),
            ..Description::default()
        };
        let user = own.user.or(base.user);
        let mut endpoint = Self::from_parts(dialect, via, user, &merged, file.to_owned());
        if let Some(allow) = own.allow {
            endpoint.allow = Some(port_list(&allow).map_err(|e| wrong(format!("allow: {e}")))?);
        }
        Ok(endpoint)
    }

    fn from_parts(
        dialect: Dialect,
        via: Via,
        user: Option<String>,
        rest: &Description,
        name: String,
    ) -> Self {
        let ms = |ms: Option<u32>| Duration::from_millis(ms.unwrap_or(5000).clamp(1, 600_000).into());
        Self {
            dialect,
            via,
            user: user.unwrap_or_default(),
            password: rest.password.clone().unwrap_or_default(),
            password_env: rest.password_env.clone(),
            answer: ms(rest.answer_ms),
            settle: ms(rest.settle_ms),
            allow: None,
            name,
        }
    }

    /// How the user named it: an address or a file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Host and port as URLs have them.
    pub(super) fn authority(&self) -> String {
        match &self.via {
            Via::Tcp { host, port } => joined(host, *port),
            _ => "localhost".into(),
        }
    }

    /// What tells this switch from others, however it is named; for locks.
    pub fn key(&self) -> String {
        match &self.via {
            // Imitations share the machine's own address; a real switch has one whatever the dialect.
            Via::Tcp { host, port } if host == "localhost" || host == "::1" || host.starts_with("127.") => {
                format!("{host}:{port}")
            }
            Via::Tcp { host, .. } => host.clone(),
            Via::Unix(path) => path.display().to_string(),
            Via::Program(words) => words.join(" "),
        }
    }
}

fn usual(dialect: Dialect) -> Description {
    toml::from_str(dialect.description()).expect("the descriptions are checked by a test")
}

fn tcp(place: &str, port: Option<u16>) -> Option<Via> {
    let (host, port) = host_port(place, port)?;
    Some(Via::Tcp { host, port })
}

fn host_port(place: &str, usual: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => usual?,
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    (!host.is_empty() && !host.starts_with('-') && host.chars().all(good)).then(|| (host.to_owned(), port))
}

/// The child of a dialect that has one for this way: its words with `{port}`, `{user}` and `{host}` filled in.
fn program(words: Option<&Vec<String>>, place: &str, user: Option<&str>, port: Option<u16>) -> Option<Via> {
    let (host, port) = host_port(place, port)?;
    let both = joined(&host, port);
    let fill = |word: &String| {
        let word = word.replace("{host}:{port}", &both);
        let word = word.replace("{port}", &port.to_string());
        word.replace("{user}", user.unwrap_or("admin"))
            .replace("{host}", &host)
    };
    Some(Via::Program(words?.iter().map(fill).collect()))
}

fn joined(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn ssh_port(dialect: Dialect) -> Option<u16> {
    Some(if dialect == Dialect::Netconf { 830 } else { 22 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_is_whole() {
        for dialect in Dialect::ALL {
            let usual = usual(dialect);
            assert_eq!(usual.dialect, Some(dialect));
            assert!(
                usual.answer_ms.is_some() && usual.settle_ms.is_some(),
                "{dialect}"
            );
            assert!(usual.port.is_some(), "{dialect}");
            assert_eq!(dialect.name().parse::<Dialect>().unwrap(), dialect);
        }
    }

    #[test]
    fn addresses() {
        let via = |text: &str| Endpoint::at(text).unwrap().via;
        let tcp = |host: &str, port| Via::Tcp {
            host: host.into(),
            port,
        };
        assert_eq!(via("scpi://10.0.0.5"), tcp("10.0.0.5", 5025));
        assert_eq!(via("tl1-calient://[::1]:99"), tcp("::1", 99));
        assert_eq!(via("scpi+unix:///run/a@b"), Via::Unix("/run/a@b".into()));
        let Via::Program(words) = via("netconf+ssh://me@ocs") else {
            panic!()
        };
        assert_eq!(words.first().map(String::as_str), Some("ssh"));
        assert!(
            words.contains(&"me@ocs".to_owned()) && words.contains(&"830".to_owned()),
            "{words:?}"
        );
        let Via::Program(words) = via("gnmi+tls://[fe80::1]") else {
            panic!()
        };
        assert!(words.contains(&"[fe80::1]:8080".to_owned()), "{words:?}");
        for text in [
            "",
            "scpi+tls://h",
            "gnmi+tls://-h",
            "scpi",
            "scpi://",
            "scp://x",
            "scpi://h:0",
            "scpi://h:x",
            "scpi+ssh://h",
            "sonic+ssh://-oX@h",
            "sonic+ssh://-h",
            "scpi://a b",
        ] {
            assert!(Endpoint::at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files() {
        let good = "dialect = \"scpi\"\naddress = \"10.0.0.5:99\"\nallow = \"1A..2A,1B\"\nsettle_ms = 50\n";
        let endpoint = Endpoint::from_file("x.toml", good).unwrap();
        assert_eq!(endpoint.settle, Duration::from_millis(50));
        assert_eq!(endpoint.allow.unwrap().len(), 3);
        for bad in [
            "",
            "dialect = \"x\"",
            "dialect = \"scpi\"",
            "dialect = \"scpi\"\naddress = \"h\"\nprogram = [\"x\"]",
            "dialect = \"scpi\"\naddress = \"h\"\nfoo = 1",
            "dialect = \"scpi\"\naddress = \"h\"\nallow = \"9\"",
        ] {
            assert!(Endpoint::from_file("x.toml", bad).is_err(), "{bad}");
        }
    }
}
