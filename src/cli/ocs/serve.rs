//! `genie ocs serve`: an imitation of a switch in the foreground.

use std::net::SocketAddr;

use genie_drivers::ocs::{Dialect, Size};
use genie_emu::ocs::{Options, Server, Settle, Trouble};

use super::signals::Signals;
use crate::scenario::units::Duration;
use crate::testbed::exit;

/// Slower mirrors than these are no switch's.
const SLOWEST: std::time::Duration = std::time::Duration::from_secs(3600);

/// Arguments of `genie ocs serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Language: scpi, tl1-polatis, tl1-calient, restconf, netconf, sonic or gnmi.
    #[arg(long)]
    dialect: Dialect,
    /// Ports on each side.
    #[arg(long, default_value = "16x16", value_name = "AxB")]
    size: Size,
    /// Address and port to listen on; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// How long mirrors take to settle.
    #[arg(long, default_value = "25ms", value_name = "TIME")]
    settle: Duration,
    /// Each circuit takes so much more or less at most.
    #[arg(long, default_value = "0ms", value_name = "TIME")]
    jitter: Duration,
    /// Seed of the jitter.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What goes wrong, once for each: drop-reply=N, slow-reply=TIME, deny=N, stuck-port=PORT, lose-session=N,
    /// half-bulk=N, garbage-banner, no-light=PORT (N: every Nth).
    #[arg(long, value_name = "KIND")]
    trouble: Vec<String>,
}

/// Serves until a signal comes.
pub fn run(args: &Args) -> i32 {
    match serve(args) {
        Ok(()) => exit::OK,
        Err((code, text)) => {
            crate::cli::complain(&text);
            code
        }
    }
}

fn serve(args: &Args) -> Result<(), (i32, String)> {
    let mut trouble = Trouble::default();
    for text in &args.trouble {
        trouble.add(text).map_err(|e| (exit::USAGE, e.to_string()))?;
    }
    let settle = Settle {
        mean: args.settle.std(),
        jitter: args.jitter.std(),
    };
    if settle.mean > SLOWEST || settle.jitter > settle.mean {
        let text = "--settle is an hour at most, and --jitter not more than --settle";
        return Err((exit::USAGE, text.into()));
    }
    if args.dialect == Dialect::Tl1Calient && args.size.a != args.size.b {
        return Err((
            exit::USAGE,
            "a Calient has as many ports in as out: give --size 16x16, for example".into(),
        ));
    }
    // Before the server has threads, so that none of them takes the signals.
    let signals = Signals::hold_back().map_err(|e| (exit::INTERNAL, e))?;
    let options = Options {
        dialect: args.dialect,
        size: args.size,
        settle,
        seed: args.seed,
        trouble,
        listen: args.listen,
    };
    let server = Server::start(options, Box::new(|_| {})).map_err(|e| (exit::USAGE, e.to_string()))?;
    let address = server.address();
    crate::cli::print(&format!(
        "{} {} listening on {address}\n",
        args.dialect, args.size
    ));
    signals.wait(None);
    Ok(())
}
