//! What the controller waits for. Every wait ends: with what was awaited, or with a [`Failure`]
//! that says which rank, in which operation, waiting for whom.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::error::Elapsed;

use super::beside::{Beside, Stop};
use super::control::{Heartbeat, Order, Report, RowDone};
use super::cpu_time::Reading;
use super::exit;
use super::store::{Heard, Member};
use crate::event::{RankLoss, Reconfiguration};
use crate::network::message::Rank;
use crate::network::transport::DeviceUse;
use crate::scenario::plan::Plan;

/// After the first sign of trouble, so long for better explanations to come in.
const GRACE: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(100);

/// Something that happened outside the controller.
#[derive(Debug)]
pub enum Notice {
    /// From the store.
    Heard(Heard),
    /// A rank's process ended; the text is the end of what it wrote to stderr.
    Exited(Rank, ExitStatus, String),
    /// A link of the fabric was deleted or set down by somebody else.
    LinkLost(String),
    /// Circuits were changed, or could not be.
    Reconfigured(Result<Box<Reconfiguration>, String>),
    /// A signal to end: its number.
    Signal(i32),
}

/// Why a run ends early.
#[derive(Debug)]
pub enum Failure {
    /// Ranks are gone.
    Ranks(Vec<RankLoss>),
    /// No progress within the deadline.
    Deadline(Vec<RankLoss>),
    /// The fabric could not be made.
    Fabric(String),
    /// A link of the fabric was lost.
    Link {
        /// Its name.
        link: String,
        /// In which operation, and who waits for whom since.
        text: String,
    },
    /// A signal.
    Signal(i32),
    /// Something that should not happen.
    Internal(String),
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> i32 {
        match self {
            Failure::Ranks(_) => exit::RANK_LOST,
            Failure::Deadline(_) => exit::DEADLINE,
            Failure::Fabric(_) | Failure::Link { .. } => exit::FABRIC,
            Failure::Signal(number) => 128 + number,
            Failure::Internal(_) => exit::INTERNAL,
        }
    }

    /// The ranks concerned.
    pub fn losses(&self) -> &[RankLoss] {
        match self {
            Failure::Ranks(losses) | Failure::Deadline(losses) => losses,
            _ => &[],
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Ranks(losses) | Failure::Deadline(losses) => {
                let texts: Vec<String> = losses.iter().map(describe).collect();
                write!(f, "{}", texts.join("; "))
            }
            Failure::Fabric(text) | Failure::Link { text, .. } | Failure::Internal(text) => {
                write!(f, "{text}")
            }
            Failure::Signal(2) => write!(f, "interrupted"),
            Failure::Signal(number) => write!(f, "ended by signal {number}"),
        }
    }
}

/// One loss in a sentence.
pub fn describe(loss: &RankLoss) -> String {
    let mut text = format!("rank {} on {}: {}", loss.rank, loss.host, loss.what);
    if !loss.operation.is_empty() {
        text += &format!(", in {}", loss.operation);
    }
    if !loss.waiting.is_empty() {
        text += &format!(" ({})", list_waits(&loss.waiting));
    }
    text
}

/// Everything known of one rank.
#[derive(Debug, Default)]
pub struct Seat {
    /// Its connection, once it has dialled in.
    pub member: Option<Member>,
    /// Process that was started for it.
    pub pid: u32,
    /// What it said last of its RDMA device.
    pub device: Option<DeviceUse>,
    heartbeat: Heartbeat,
    heard_at: Option<Instant>,
    exited: Option<String>,
    left: bool,
    failed: Option<(String, Option<Rank>)>,
    finished: bool,
}

/// All ranks of a run, and the one channel by which everything is heard.
#[derive(Debug)]
pub struct Crew<'a> {
    plan: &'a Plan,
    started: Instant,
    /// One per rank.
    pub seats: Vec<Seat>,
    notices: mpsc::UnboundedReceiver<Notice>,
    link_lost: Option<String>,
    reconfigured: Vec<Reconfiguration>,
    /// Circuits could not be changed.
    dark: Option<String>,
    signal: Option<i32>,
    trouble_at: Option<Instant>,
    moved: u64,
    moved_at: Instant,
    /// When it was judged last.
    judged_at: Instant,
}

impl<'a> Crew<'a> {
    /// A crew whose ranks were not started yet.
    pub fn new(plan: &'a Plan, started: Instant, notices: mpsc::UnboundedReceiver<Notice>) -> Self {
        Self {
            plan,
            started,
            seats: plan.ranks.iter().map(|_| Seat::default()).collect(),
            notices,
            link_lost: None,
            reconfigured: Vec::new(),
            dark: None,
            signal: None,
            trouble_at: None,
            moved: 0,
            moved_at: Instant::now(),
            judged_at: Instant::now(),
        }
    }

    /// CPU time of the machine, of this process and of the ranks.
    pub fn cpu_time(&self) -> Reading {
        let ranks = self.seats.iter().map(|seat| seat.pid).filter(|pid| *pid != 0);
        Reading::now(ranks.chain([std::process::id()]))
    }

    /// Sends an order to every rank.
    pub fn order(&self, order: &Order) {
        for member in self.seats.iter().filter_map(|s| s.member.as_ref()) {
            // A rank that is gone is noticed by its exit.
            let _ = member.orders.send(order.clone());
        }
    }

    /// Waits until each rank has been heard by `take`, which says whether a report was the awaited
    /// one. `playing`: progress is required within the plan's deadline; otherwise the whole wait
    /// must end within `setup`. `tick` is called regularly with all heartbeats.
    pub async fn gather(
        &mut self,
        playing: bool,
        setup: Duration,
        mut take: impl FnMut(Rank, Report) -> bool,
        mut tick: impl FnMut(&[&Heartbeat]),
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        self.moved_at = begun;
        let mut ticked = begun;
        let mut missing: Vec<bool> = self.seats.iter().map(|_| true).collect();
        while missing.iter().any(|m| *m) {
            let heard = tokio::time::timeout(TICK, self.notices.recv()).await;
            if let Some((rank, report)) = self.hear(heard)?
                && take(rank, report)
            {
                missing[rank as usize] = false;
            }
            // Many ranks never leave a pause.
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                let beats: Vec<&Heartbeat> = self.seats.iter().map(|s| &s.heartbeat).collect();
                tick(&beats);
            }
            self.judge(playing)?;
            if !playing && begun.elapsed() > setup {
                return Err(Failure::Deadline(self.late(&missing, setup)));
            }
        }
        Ok(())
    }

    /// Waits until `count` reconfigurations have been heard of since they were taken last; `patience`: none of them
    /// takes longer.
    pub async fn attend(&mut self, count: usize, patience: Duration) -> Result<(), Failure> {
        let (mut made, mut since) = (self.reconfigured.len(), Instant::now());
        while self.reconfigured.len() < count {
            let heard = tokio::time::timeout(TICK, self.notices.recv()).await;
            self.hear(heard)?;
            self.judge(false)?;
            if self.reconfigured.len() > made {
                (made, since) = (self.reconfigured.len(), Instant::now());
            } else if since.elapsed() > patience {
                let patience = patience.as_secs_f64();
                return Err(Failure::Fabric(format!(
                    "circuits were not changed within {patience} s"
                )));
            }
        }
        Ok(())
    }

    /// Has something done on a thread of its own and hears notices until it is done. What takes longer than
    /// `patience`, or is in the way when the run must end, is told to stop and waited for.
    pub async fn beside<T: Send + 'static>(
        &mut self,
        what: &str,
        patience: Option<Duration>,
        work: impl FnOnce(&Stop) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let mut beside = Beside::start(work);
        let begun = Instant::now();
        loop {
            tokio::select! {
                done = &mut beside.result => {
                    return done.map_err(|_| Failure::Internal(format!("{what}: the thread panicked")));
                }
                heard = tokio::time::timeout(TICK, self.notices.recv()) => drop(self.hear(heard)?),
            }
            self.judge(false)?;
            if let Some(patience) = patience.filter(|patience| begun.elapsed() > *patience) {
                let patience = patience.as_secs_f64();
                return Err(Failure::Fabric(format!("{what} took longer than {patience} s")));
            }
        }
    }

    /// Takes in what was heard within a tick, if anything was.
    fn hear(&mut self, heard: Result<Option<Notice>, Elapsed>) -> Result<Option<(Rank, Report)>, Failure> {
        match heard {
            Ok(Some(notice)) => Ok(self.digest(notice)),
            Ok(None) => Err(Failure::Internal("the control channel closed".into())),
            Err(_) => Ok(None),
        }
    }

    /// Reconfigurations that were heard of since this was called last.
    pub fn take_reconfigured(&mut self) -> Vec<Reconfiguration> {
        std::mem::take(&mut self.reconfigured)
    }

    /// After a failure: lets living ranks hand in what they have of the current row.
    pub async fn hand_in(&mut self) -> Vec<Option<RowDone>> {
        self.order(&Order::HandIn);
        let mut rows: Vec<Option<RowDone>> = self.seats.iter().map(|_| None).collect();
        let until = Instant::now() + GRACE;
        let alive = |s: &Seat| s.exited.is_none() && !s.left && s.member.is_some();
        while rows
            .iter()
            .zip(&self.seats)
            .any(|(row, seat)| row.is_none() && alive(seat))
        {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                break;
            };
            let Ok(Some(notice)) = tokio::time::timeout(left, self.notices.recv()).await else {
                break;
            };
            if let Some((rank, Report::RowPart(done))) = self.digest(notice) {
                rows[rank as usize] = Some(done);
            }
        }
        rows
    }

    /// Books a notice; gives the report if it is one that a stage may wait for.
    fn digest(&mut self, notice: Notice) -> Option<(Rank, Report)> {
        let mut trouble = true;
        let mut given = None;
        match notice {
            Notice::LinkLost(link) => self.link_lost = self.link_lost.take().or(Some(link)),
            Notice::Reconfigured(made) => {
                trouble = false;
                match made {
                    Ok(made) => self.reconfigured.push(*made),
                    Err(text) => self.dark = self.dark.take().or(Some(text)),
                }
            }
            Notice::Signal(number) => self.signal = self.signal.or(Some(number)),
            Notice::Exited(rank, status, stderr) => {
                let seat = &mut self.seats[rank as usize];
                trouble = !seat.finished;
                seat.exited = Some(exit_text(status, &stderr));
            }
            Notice::Heard(Heard::Left(rank)) => {
                let seat = &mut self.seats[rank as usize];
                trouble = !seat.finished;
                seat.left = true;
            }
            Notice::Heard(Heard::Joined(member)) => {
                trouble = false;
                let rank = member.rank;
                let seat = &mut self.seats[rank as usize];
                seat.heard_at = Some(Instant::now());
                let pid = member.pid;
                seat.member = Some(member);
                given = Some((
                    rank,
                    Report::Hello {
                        token: String::new(),
                        rank,
                        pid,
                    },
                ));
            }
            Notice::Heard(Heard::Said(rank, report)) => {
                let seat = &mut self.seats[rank as usize];
                seat.heard_at = Some(Instant::now());
                trouble = false;
                match report {
                    Report::Heartbeat(beat) => seat.heartbeat = beat,
                    Report::Failed { what, peer, at } => {
                        seat.heartbeat = at;
                        seat.failed = Some((what, peer));
                        trouble = true;
                    }
                    Report::Device(device) => seat.device = Some(device),
                    Report::Finished(summary) => {
                        seat.finished = true;
                        given = Some((rank, Report::Finished(summary)));
                    }
                    report => given = Some((rank, report)),
                }
            }
        }
        if trouble {
            self.trouble_at.get_or_insert_with(Instant::now);
        }
        given
    }

    /// Ends the wait if something has gone wrong for good.
    fn judge(&mut self, playing: bool) -> Result<(), Failure> {
        self.excuse_pause();
        if let Some(number) = self.signal {
            return Err(Failure::Signal(number));
        }
        if let Some(text) = &self.dark {
            return Err(Failure::Fabric(text.clone()));
        }
        if self.trouble_at.is_some_and(|at| at.elapsed() > GRACE) {
            return Err(match &self.link_lost {
                Some(link) => Failure::Link {
                    link: link.clone(),
                    text: self.describe_outage(link),
                },
                None => Failure::Ranks(self.lost()),
            });
        }
        let deadline = self.plan.testbed.deadline.std();
        let silent: Vec<Rank> = (0..self.seats.len() as Rank)
            .filter(|&r| {
                self.seats[r as usize]
                    .heard_at
                    .is_some_and(|at| at.elapsed() > deadline)
            })
            .collect();
        if !silent.is_empty() {
            let say = |&rank: &Rank| {
                let state = process_state(self.seats[rank as usize].pid);
                let what = format!("no heartbeat for {} s{state}", deadline.as_secs_f64());
                self.loss(rank, what)
            };
            return Err(Failure::Deadline(silent.iter().map(say).collect()));
        }
        let moved = self
            .seats
            .iter()
            .map(|s| s.heartbeat.moved_bytes + s.heartbeat.iterations + s.heartbeat.timed)
            .sum();
        if moved != self.moved {
            (self.moved, self.moved_at) = (moved, Instant::now());
        }
        if playing && self.moved_at.elapsed() > deadline {
            let what = format!("no progress for {} s", deadline.as_secs_f64());
            let stuck = self.stuck();
            return Err(Failure::Deadline(
                stuck.into_iter().map(|r| self.loss(r, what.clone())).collect(),
            ));
        }
        Ok(())
    }

    /// Where this process did something else for long, or had no processor, ranks could not be heard: that silence is
    /// not theirs.
    fn excuse_pause(&mut self) {
        let pause = self.judged_at.elapsed();
        self.judged_at += pause;
        if pause > 2 * TICK {
            self.moved_at += pause;
            let heard = self.seats.iter_mut().filter_map(|seat| seat.heard_at.as_mut());
            heard.for_each(|at| *at += pause);
        }
    }

    /// The ranks whose end explains the trouble: those whose process ended; else those that closed
    /// their connection; else those that said they failed.
    fn lost(&self) -> Vec<RankLoss> {
        let ranks = || (0..self.seats.len() as Rank).filter(|&r| !self.seats[r as usize].finished);
        let exited: Vec<RankLoss> = ranks()
            .filter_map(|r| {
                self.seats[r as usize]
                    .exited
                    .clone()
                    .map(|what| self.loss(r, what))
            })
            .collect();
        if !exited.is_empty() {
            return exited;
        }
        let left: Vec<RankLoss> = ranks()
            .filter(|&r| self.seats[r as usize].left)
            .map(|r| self.loss(r, "closed its control connection".into()))
            .collect();
        if !left.is_empty() {
            return left;
        }
        ranks()
            .filter_map(|r| {
                self.seats[r as usize]
                    .failed
                    .clone()
                    .map(|(what, _)| self.loss(r, what))
            })
            .collect()
    }

    fn loss(&self, rank: Rank, what: String) -> RankLoss {
        let seat = &self.seats[rank as usize];
        let host = self.plan.network.nodes.get(self.plan.ranks[rank as usize].host);
        RankLoss {
            rank,
            host: host.map_or_else(|| "this host".into(), |n| n.name.clone()),
            what,
            operation: self.operation(&seat.heartbeat),
            waiting: self.waits(),
            at_s: self.started.elapsed().as_secs_f64(),
        }
    }

    /// Where a rank was, in words.
    fn operation(&self, beat: &Heartbeat) -> String {
        let Some(row) = beat.row.and_then(|row| self.plan.ops.get(row)) else {
            return String::new();
        };
        let (name, total) = (row.label(), u64::from(row.warmup + row.iterations));
        let node = beat.node.as_ref().map(|node| format!(", {node}"));
        format!(
            "{name}, iteration {} of {total}{}",
            (beat.iterations + 1).min(total),
            node.unwrap_or_default()
        )
    }

    /// A lost link, the operation that it interrupted, and who waits for whom since.
    fn describe_outage(&self, link: &str) -> String {
        let mut text = format!("link {link} was deleted or set down during the run");
        let slowest = self
            .seats
            .iter()
            .map(|s| &s.heartbeat)
            .min_by_key(|beat| (beat.row, beat.iterations));
        let operation = slowest.map(|beat| self.operation(beat)).unwrap_or_default();
        if !operation.is_empty() {
            text += &format!(", in {operation}");
        }
        let waits = self.waits();
        if !waits.is_empty() {
            text += &format!(" ({})", list_waits(&waits));
        }
        text
    }

    fn waits(&self) -> Vec<(Rank, Rank)> {
        let of = |(rank, seat): (usize, &Seat)| -> Vec<(Rank, Rank)> {
            seat.heartbeat
                .waiting
                .iter()
                .map(|&whom| (rank as Rank, whom))
                .collect()
        };
        self.seats.iter().enumerate().flat_map(of).take(16).collect()
    }

    /// Ranks that others wait for and that wait for nobody themselves; all that wait if there is none.
    fn stuck(&self) -> Vec<Rank> {
        let waits = self.waits();
        let waited_for = |rank: &Rank| waits.iter().any(|(_, whom)| whom == rank);
        let waiting = |rank: &Rank| waits.iter().any(|(who, _)| who == rank);
        let all = 0..self.seats.len() as Rank;
        let culprits: Vec<Rank> = all.clone().filter(|r| waited_for(r) && !waiting(r)).collect();
        if culprits.is_empty() {
            all.filter(waiting).collect()
        } else {
            culprits
        }
    }

    fn late(&self, missing: &[bool], setup: Duration) -> Vec<RankLoss> {
        let what = format!(
            "not ready within testbed.setup_deadline ({} s)",
            setup.as_secs_f64()
        );
        (0..missing.len() as Rank)
            .filter(|&r| missing[r as usize])
            .take(8)
            .map(|r| self.loss(r, what.clone()))
            .collect()
    }
}

fn list_waits(waits: &[(Rank, Rank)]) -> String {
    let texts: Vec<String> = waits
        .iter()
        .map(|(who, whom)| format!("rank {who} waits for rank {whom}"))
        .collect();
    texts.join(", ")
}

fn exit_text(status: ExitStatus, stderr: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let mut text = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, code) => format!("exited with code {}", code.unwrap_or(-1)),
    };
    // The first line says what went wrong; the rest is a backtrace, or the same from deeper down.
    if let Some(line) = stderr.lines().map(str::trim).find(|line| !line.is_empty()) {
        text += &format!(" after writing `{line}`");
    }
    text
}

/// ` (stopped)` for a process that a signal has stopped, else nothing.
fn process_state(pid: u32) -> &'static str {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
        Some('T' | 't') => ": its process is stopped",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{load_text, planner};

    fn plan() -> Plan {
        let text = "name = \"x\"\n[testbed]\nfabric = \"host\"\nranks = 2\ndeadline = \"300 ms\"\n\
                    [[traffic.collective]]\nop = \"barrier\"\n";
        let planned = load_text("x.toml", text, &[]).and_then(|loaded| planner::build(&loaded));
        planned.unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    #[tokio::test]
    async fn work_beside_gives_its_result() {
        let (plan, (_send, notices)) = (plan(), mpsc::unbounded_channel());
        let mut crew = Crew::new(&plan, Instant::now(), notices);
        assert_eq!(crew.beside("adding", None, |_| 1 + 1).await.unwrap(), 2);
        let failed = crew
            .beside("a bug", None, |_| -> u8 { panic!("on purpose") })
            .await;
        assert!(matches!(failed, Err(Failure::Internal(_))), "{failed:?}");
    }

    /// Work that would never end: a signal and its own limit end it.
    #[tokio::test]
    async fn work_beside_is_ended_by_signals_and_limits() {
        let (plan, (send, notices)) = (plan(), mpsc::unbounded_channel());
        let mut crew = Crew::new(&plan, Instant::now(), notices);
        let (ended, count) = std::sync::mpsc::channel();
        let endless = move |ended: std::sync::mpsc::Sender<()>| {
            move |stop: &Stop| {
                while !stop.asked() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                ended.send(()).unwrap();
            }
        };
        let limit = Some(Duration::from_millis(50));
        let failed = crew.beside("waiting", limit, endless(ended.clone())).await;
        assert!(matches!(failed, Err(Failure::Fabric(text)) if text.contains("waiting took longer")));
        send.send(Notice::Signal(2)).unwrap();
        let failed = crew.beside("waiting", None, endless(ended)).await;
        assert!(matches!(failed, Err(Failure::Signal(2))));
        assert_eq!(count.iter().count(), 2, "both have ended before the run goes on");
    }

    #[tokio::test]
    async fn a_change_that_never_comes_is_not_waited_for_for_ever() {
        let (plan, (_send, notices)) = (plan(), mpsc::unbounded_channel());
        let mut crew = Crew::new(&plan, Instant::now(), notices);
        let failed = crew.attend(1, Duration::from_millis(50)).await;
        assert!(matches!(failed, Err(Failure::Fabric(_))), "{failed:?}");
    }

    /// The rank was heard just before this thread was busy for longer than the deadline.
    #[tokio::test]
    async fn who_could_not_be_heard_is_not_silent() {
        let (plan, (_send, notices)) = (plan(), mpsc::unbounded_channel());
        let mut crew = Crew::new(&plan, Instant::now(), notices);
        crew.seats[0].heard_at = Some(Instant::now());
        std::thread::sleep(Duration::from_millis(400));
        crew.judge(true).unwrap();
        // Heard by nobody though this thread listens: that is silence.
        let silent = crew.attend(1, Duration::from_secs(5)).await;
        assert!(matches!(silent, Err(Failure::Deadline(_))), "{silent:?}");
    }
}
