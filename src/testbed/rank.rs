//! A rank process (`genie rank N`): dials the store, connects with its peers, plays rows when told
//! to, sends heartbeats from a second thread, and ends when the controller says so or is gone.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

use super::control::{Assignment, Order, Report, RowDone};
use super::player::{PlayError, Player, Status};
use super::store::{Line, STORE, StoreAddress, TOKEN};
use super::transports;
use crate::event::RankSummary;
use crate::network::message::Rank;
use crate::network::transport::OpenError;

const HEARTBEAT: Duration = Duration::from_millis(200);

/// Why a rank process ends badly.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// Not started by a controller.
    #[error("`genie rank` is started by `genie run`: {0}")]
    NotLaunched(String),
    /// The controller is gone or speaks another language.
    #[error("control connection: {0}")]
    Control(#[from] std::io::Error),
    /// The transport could not be opened or connected.
    #[error("{0}")]
    Transport(OpenError),
    /// Playing failed.
    #[error(transparent)]
    Play(#[from] PlayError),
    /// The controller said something out of turn.
    #[error("unexpected order from the controller")]
    OutOfTurn,
}

/// Runs rank `rank` to its end.
pub fn run(rank: Rank) -> Result<(), RankError> {
    let variable =
        |name: &str| std::env::var(name).map_err(|_| RankError::NotLaunched(format!("{name} is not set")));
    let address: StoreAddress = variable(STORE)?.parse().map_err(RankError::NotLaunched)?;
    let token = variable(TOKEN)?;
    let line = Arc::new(Line::dial(&address)?);
    line.say(&Report::Hello {
        token,
        rank,
        pid: std::process::id(),
    })?;
    let Order::Setup(assignment) = line.hear()? else {
        return Err(RankError::OutOfTurn);
    };
    let assignment = Arc::new(*assignment);
    let status = Arc::new(Status::default());
    let voice = Voice {
        line: line.clone(),
        speaking: Arc::new(Mutex::new(())),
    };
    let played = serve(&assignment, &voice, &status);
    if let Err(error) = &played {
        let peer = if let RankError::Play(play) = error {
            play.peer()
        } else {
            None
        };
        voice.say(&Report::Failed {
            what: error.to_string(),
            peer,
            at: status.heartbeat(),
        })?;
        // The controller decides what becomes of the run; until then peers keep their connections.
        std::thread::sleep(Duration::from_secs(3600));
    }
    played
}

/// The control line, shared by the data thread and the heartbeat thread.
#[derive(Debug, Clone)]
struct Voice {
    line: Arc<Line>,
    speaking: Arc<Mutex<()>>,
}

impl Voice {
    fn say(&self, report: &Report) -> std::io::Result<()> {
        let _turn = self.speaking.lock();
        self.line.say(report)
    }
}

fn serve(assignment: &Arc<Assignment>, voice: &Voice, status: &Arc<Status>) -> Result<(), RankError> {
    let orders = hear_orders(voice.clone(), status.clone());
    beat(voice.clone(), status.clone());
    let opening = transports::open(assignment).map_err(RankError::Transport)?;
    voice.say(&Report::Listening {
        endpoint: opening.endpoint(),
    })?;
    let Ok(Order::Book { book }) = orders.recv() else {
        return Err(RankError::OutOfTurn);
    };
    let transport = opening.connect(&book).map_err(RankError::Transport)?;
    if let Some(core) = assignment.core {
        pin(core);
    }
    let mut player = Player::new(assignment.clone(), transport, status.clone())?;
    say_device(voice, &player)?;
    voice.say(&Report::Connected)?;
    loop {
        match orders.recv() {
            Ok(Order::Play { row }) if row < assignment.rows.len() => match player.play(row) {
                Ok(done) => voice.say(&Report::RowDone(done))?,
                Err(error) => {
                    say_device(voice, &player)?;
                    return Err(error.into());
                }
            },
            Ok(Order::Finish) => break,
            _ => return Err(RankError::OutOfTurn),
        }
    }
    say_device(voice, &player)?;
    voice.say(&Report::Finished(summary(assignment, &player)))?;
    // Connections stay open until every rank has finished: the controller then closes the line.
    while orders.recv().is_ok() {}
    Ok(())
}

/// The device, if the transport has one, and what it has counted so far. The last word counts.
fn say_device(voice: &Voice, player: &Player) -> std::io::Result<()> {
    match player.transport().device() {
        Some(device) => voice.say(&Report::Device(device)),
        None => Ok(()),
    }
}

/// Orders, from a thread that also notices when the controller is gone.
fn hear_orders(voice: Voice, status: Arc<Status>) -> mpsc::Receiver<Order> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok(order) = voice.line.hear() {
            let heard = match order {
                Order::HandIn => hand_in(&voice, status.part()).is_ok(),
                order => send.send(order).is_ok(),
            };
            if !heard {
                break;
            }
        }
        status.ended.store(true, Ordering::Relaxed);
        // The controller is gone or done with us: nothing that this process holds matters any more.
        std::process::exit(0);
    });
    receive
}

/// What there is of a row; nothing, if that is more than can be said.
fn hand_in(voice: &Voice, part: RowDone) -> std::io::Result<()> {
    let row = part.row;
    match voice.say(&Report::RowPart(part)) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let nothing = RowDone {
                row,
                ..RowDone::default()
            };
            voice.say(&Report::RowPart(nothing))
        }
        said => said,
    }
}

fn beat(voice: Voice, status: Arc<Status>) {
    std::thread::spawn(move || {
        while voice.say(&Report::Heartbeat(status.heartbeat())).is_ok() {
            std::thread::sleep(HEARTBEAT);
        }
    });
}

/// Pins the calling thread; a refusal only costs steadiness, so it is not an error.
fn pin(core: u32) {
    let mut set = CpuSet::new();
    if set.set(core as usize).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

fn summary(assignment: &Assignment, player: &Player) -> RankSummary {
    let (totals, retransmits) = (player.transport().totals(), player.transport().retransmits());
    let mut summary = RankSummary {
        rank: assignment.rank,
        pid: std::process::id(),
        core: assignment.core,
        sent_bytes: totals.sent_bytes,
        received_bytes: totals.received_bytes,
        messages: totals.messages,
        retransmits,
        timers: player.timers().fired(),
        timer_late_p99_us: player.timers().late_p99_us(),
        ..RankSummary::default()
    };
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        summary.user_s = usage.user_time().num_microseconds() as f64 / 1e6;
        summary.system_s = usage.system_time().num_microseconds() as f64 / 1e6;
        summary.max_rss_bytes = usage.max_rss() as u64 * 1024;
        summary.context_switches = [
            usage.voluntary_context_switches() as u64,
            usage.involuntary_context_switches() as u64,
        ];
    }
    summary
}
