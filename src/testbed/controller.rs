//! The run from beginning to end: fabric up, ranks started and met, rows played, everything taken
//! down again. Emits events; prints nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use genie_emu::journal::Journal;

use super::beside::Stop;
use super::clock::monotonic_ns;
use super::control::{Assignment, Heartbeat, MessageLimits, Order, Report, RowDone};
use super::exit;
use super::fabric::Fabric;
use super::fabric::emulated::{self, real_rate};
use super::fabric::optical::reconfigure::Moment;
use super::fabric::optical::timeline::{Due, Timeline};
use super::forecast;
use super::launch::local::Launch;
use super::peers::peers;
use super::stages::{Crew, Failure, Notice};
use super::store::{self, StoreAddress};
use crate::event::{
    Calibration, Event, OpRecord, Pulse, RankMessages, RankPulse, RankSummary, Status, TracePlayed,
};
use crate::network::message::Rank;
use crate::scenario::plan::optical::{Change, Step};
use crate::scenario::plan::{Plan, TransportKind};

/// Ranks get so long to end by themselves once everything is played.
const LAST_ORDERS: std::time::Duration = std::time::Duration::from_millis(500);
/// Sends and receives of a whole run whose times are kept.
const MESSAGES: usize = 400_000;
/// Most of a rank's stderr that is kept.
const STDERR: u64 = 4096;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Completed, partial or failed.
    pub status: Status,
    /// The process's exit code.
    pub exit_code: i32,
    /// Why, when not completed.
    pub reason: Option<String>,
}

/// A run in the making.
pub struct Run<'a> {
    plan: &'a Arc<Plan>,
    run_id: &'a str,
    started: Instant,
    /// Pulses are wanted.
    watched: bool,
    emit: &'a mut dyn FnMut(Event),
    fabric: Option<Fabric>,
    calibration: Option<Calibration>,
    /// What the links had carried before any rank was started: calibration.
    carried_before: Vec<[u64; 2]>,
    /// (process, task that reaps it) of each rank.
    children: Vec<(i32, tokio::task::JoinHandle<()>)>,
    rows_done: usize,
    partial_row: bool,
    wrong: u64,
    /// Keeps ranks' processes: dropping kills.
    reaper: mpsc::UnboundedSender<Notice>,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("run_id", &self.run_id)
            .finish_non_exhaustive()
    }
}

/// How often those who watch are told how far ranks are.
const PULSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Carries a plan out. `started` is when `genie run` began; `watched`: somebody wants pulses.
pub fn run(
    plan: &Arc<Plan>,
    run_id: &str,
    started: Instant,
    watched: bool,
    emit: &mut dyn FnMut(Event),
) -> Outcome {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(&format!("cannot start the control runtime: {e}"), exit::INTERNAL),
    };
    let outcome = runtime.block_on(async {
        let (send, notices) = mpsc::unbounded_channel();
        let mut run = Run {
            plan,
            run_id,
            started,
            watched,
            emit,
            fabric: None,
            calibration: None,
            carried_before: Vec::new(),
            children: Vec::new(),
            rows_done: 0,
            partial_row: false,
            wrong: 0,
            reaper: send,
        };
        run.whole(notices).await
    });
    runtime.shutdown_background();
    outcome
}

fn failed(reason: &str, exit_code: i32) -> Outcome {
    Outcome {
        status: Status::Failed,
        exit_code,
        reason: Some(reason.into()),
    }
}

impl<'a> Run<'a> {
    async fn whole(&mut self, notices: mpsc::UnboundedReceiver<Notice>) -> Outcome {
        self.say(Event::RunStarted {
            run_id: self.run_id.into(),
            at: jiff::Timestamp::now().to_string(),
        });
        // Before the first file is made: from here on a signal ends the run in order.
        if let Err(e) = self.watch_signals() {
            return self.end(Some(Failure::Internal(format!("cannot watch signals: {e}"))));
        }
        let mut journal = match Journal::create(self.run_id) {
            Ok(journal) => journal,
            Err(e) => return self.end(Some(Failure::Internal(format!("cannot write the journal: {e}")))),
        };
        let result = self.play(&mut journal, notices).await;
        self.end_ranks().await;
        self.fabric_down();
        if let Err(e) = journal.finish() {
            self.say(Event::Caution {
                text: format!("the journal could not be removed: {e}"),
            });
        }
        self.end(result.err())
    }

    /// Kills what still runs and waits until it is gone.
    async fn end_ranks(&mut self) {
        for (pid, reaped) in self.children.drain(..).collect::<Vec<_>>() {
            if !reaped.is_finished() {
                // Not reaped yet, so the process id is still its own.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                let _ = tokio::time::timeout(LAST_ORDERS, reaped).await;
            }
        }
    }

    fn fabric_down(&mut self) {
        let Some(mut fabric) = self.fabric.take() else {
            return;
        };
        for text in fabric.down() {
            self.say(Event::Caution { text });
        }
        self.stage("fabric-down", String::new());
    }

    fn end(&mut self, failure: Option<Failure>) -> Outcome {
        if let Some(Failure::Link { link, .. }) = &failure {
            let at_s = self.started.elapsed().as_secs_f64();
            self.say(Event::LinkLost {
                link: link.clone(),
                at_s,
            });
        }
        for loss in failure.iter().flat_map(Failure::losses) {
            (self.emit)(Event::RankLost(loss.clone()));
        }
        let outcome = match failure {
            None if self.wrong > 0 => Outcome {
                status: Status::Completed,
                exit_code: exit::WRONG_DATA,
                reason: Some(format!("{} elements were found wrong", self.wrong)),
            },
            None => Outcome {
                status: Status::Completed,
                exit_code: exit::OK,
                reason: None,
            },
            Some(failure) => Outcome {
                status: if self.rows_done > 0 || self.partial_row {
                    Status::Partial
                } else {
                    Status::Failed
                },
                exit_code: failure.exit_code(),
                reason: Some(failure.to_string()),
            },
        };
        self.say(Event::RunFinished {
            status: outcome.status,
            reason: outcome.reason.clone(),
            at_s: self.started.elapsed().as_secs_f64(),
            exit_code: outcome.exit_code,
        });
        outcome
    }

    fn say(&mut self, event: Event) {
        (self.emit)(event);
    }

    fn stage(&mut self, stage: &str, detail: String) {
        let at_s = self.started.elapsed().as_secs_f64();
        self.say(Event::Stage {
            stage: stage.into(),
            at_s,
            detail,
        });
    }

    fn watch_signals(&self) -> std::io::Result<()> {
        for (kind, number) in [
            (SignalKind::interrupt(), 2),
            (SignalKind::terminate(), 15),
            (SignalKind::hangup(), 1),
        ] {
            let (mut signals, notices) = (signal(kind)?, self.reaper.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() && notices.send(Notice::Signal(number)).is_ok() {}
            });
        }
        Ok(())
    }

    async fn play(
        &mut self,
        journal: &mut Journal,
        notices: mpsc::UnboundedReceiver<Notice>,
    ) -> Result<(), Failure> {
        let plan = self.plan;
        for text in &plan.cautions {
            self.say(Event::Caution { text: text.clone() });
        }
        self.bring_up(journal)?;
        let mut crew = Crew::new(plan, self.started, notices);
        let result = self.with_crew(&mut crew, journal).await;
        if result.is_err() && self.rows_done < plan.ops.len() {
            let parts = crew.hand_in().await;
            self.keep_parts(parts);
        }
        for (rank, seat) in (0..).zip(&mut crew.seats) {
            if let Some(device) = seat.device.take() {
                self.say(Event::DeviceUsed { rank, device });
            }
        }
        result
    }

    fn bring_up(&mut self, journal: &mut Journal) -> Result<(), Failure> {
        let fabric =
            Fabric::up(self.plan, self.run_id, journal).map_err(|e| Failure::Fabric(e.to_string()))?;
        for text in fabric.cautions() {
            self.say(Event::Caution { text });
        }
        self.stage("fabric-up", fabric.describe());
        fabric.watch(self.reaper.clone()).map_err(Failure::Fabric)?;
        self.fabric = Some(fabric);
        Ok(())
    }

    /// Begins a session with every optical switch.
    async fn open_switches(&mut self, crew: &mut Crew<'a>, journal: &Journal) -> Result<(), Failure> {
        let Some(optics) = self.fabric.as_ref().and_then(Fabric::optics).cloned() else {
            return Ok(());
        };
        let folder = journal.private_dir();
        let folder =
            folder.map_err(|e| Failure::Internal(format!("cannot make a private directory: {e}")))?;
        // Leases go with the run.
        let (leases, owner) = (folder.join("leases"), format!("genie run {}", self.run_id));
        let patience = self.plan.testbed.setup_deadline.std();
        let open = move |stop: &Stop| optics.open((&leases, &owner), patience, stop);
        // It keeps to its patience itself, and then says why.
        let opened = crew
            .beside("opening sessions with optical switches", None, open)
            .await?;
        for (name, facts) in opened.map_err(Failure::Fabric)? {
            self.say(Event::EquipmentSeen { name, facts });
        }
        Ok(())
    }

    async fn calibrate(&mut self, crew: &mut Crew<'a>) -> Result<(), Failure> {
        let fabric = self.fabric.as_ref().filter(|_| self.plan.testbed.calibrate);
        let Some(fabric) = fabric.and_then(Fabric::measurable) else {
            return Ok(());
        };
        let (plan, patience) = (self.plan.clone(), self.plan.testbed.setup_deadline.std());
        let measure = move |stop: &Stop| emulated::calibrate(&fabric, &plan, stop);
        let measured = crew.beside("calibration", Some(patience), measure).await?;
        let calibration = measured.map_err(Failure::Fabric)?;
        self.calibration = Some(calibration.clone());
        self.say(Event::Calibrated(calibration));
        self.stage("calibrated", String::new());
        Ok(())
    }

    async fn with_crew(&mut self, crew: &mut Crew<'a>, journal: &mut Journal) -> Result<(), Failure> {
        let plan: &'a Plan = self.plan;
        self.open_switches(crew, journal).await?;
        let steps = plan
            .optical
            .as_ref()
            .map_or(&[][..], |optical| optical.steps.as_slice());
        // The first circuits stand before anything is measured.
        if let Some(first) = steps.first() {
            self.enter(crew, first).await?;
        }
        self.calibrate(crew).await?;
        self.carried_before = self.counted();
        self.start_ranks(crew, journal).await?;
        self.connect(crew).await?;
        match steps {
            [] => {
                for row in 0..plan.ops.len() {
                    self.play_row(crew, row, None).await?;
                }
            }
            steps => {
                for (number, step) in steps.iter().enumerate() {
                    if number > 0 {
                        self.enter(crew, step).await?;
                    }
                    self.play_step(crew, step).await?;
                }
            }
        }
        self.stage("played", String::new());
        self.finish(crew).await
    }

    /// Makes the circuits of a step, while nothing is played.
    async fn enter(&mut self, crew: &mut Crew<'a>, step: &Step) -> Result<(), Failure> {
        let due = Due {
            after: std::time::Duration::ZERO,
            wiring: step.wiring.clone(),
        };
        let timeline = self.timeline(step, vec![due], false);
        let count = usize::from(timeline.is_some());
        let entered = crew.attend(count, self.patience()).await;
        self.close(timeline, &entered);
        entered?;
        for mut made in crew.take_reconfigured() {
            made.retransmits = Some(0); // nothing was played
            self.say(Event::Reconfigured(made));
        }
        self.stage("circuits", step.name.clone());
        self.find_neighbours(crew, step).await
    }

    /// No change of circuits takes longer: what drivers wait at most, and the time for set-up besides.
    fn patience(&self) -> std::time::Duration {
        let optics = self.fabric.as_ref().and_then(Fabric::optics);
        let drivers = optics.map_or(std::time::Duration::ZERO, |optics| optics.patience());
        drivers + self.plan.testbed.setup_deadline.std()
    }

    /// Whether those who are neighbours in their jobs are so in the network.
    async fn find_neighbours(&mut self, crew: &mut Crew<'a>, step: &Step) -> Result<(), Failure> {
        let Some(optics) = self.fabric.as_ref().and_then(Fabric::optics) else {
            return Ok(());
        };
        let patience = self.plan.testbed.setup_deadline.std();
        let hosts: Arc<[usize]> = self.plan.ranks.iter().map(|place| place.host).collect();
        for neighbours in &step.neighbours {
            let (optics, hosts, neighbours) = (optics.clone(), hosts.clone(), neighbours.clone());
            let (name, op) = (step.name.clone(), step.first_op);
            let find = move |stop: &Stop| optics.find((&name, op), &neighbours, &hosts, stop);
            let found = crew
                .beside("looking for neighbours", Some(patience), find)
                .await?;
            let found = found.map_err(Failure::Fabric)?;
            (self.emit)(Event::NeighboursFound(found));
        }
        Ok(())
    }

    /// Plays the operations of a step; its changes are made meanwhile.
    async fn play_step(&mut self, crew: &mut Crew<'a>, step: &Step) -> Result<(), Failure> {
        let real = |change: &Change| Due {
            after: change.at.std().mul_f64(self.plan.dilation),
            wiring: change.wiring.clone(),
        };
        let due: Vec<Due> = step.changes.iter().map(real).collect();
        let timeline = (!due.is_empty())
            .then(|| self.timeline(step, due, true))
            .flatten();
        let played = self.play_rows(crew, step, timeline.as_ref()).await;
        self.close(timeline, &played);
        played
    }

    async fn play_rows(
        &mut self,
        crew: &mut Crew<'a>,
        step: &Step,
        timeline: Option<&Timeline>,
    ) -> Result<(), Failure> {
        let mut made = 0;
        for row in step.first_op..step.first_op + step.ops {
            made += self.play_row(crew, row, timeline).await?;
        }
        let missing = step.changes.len().saturating_sub(made);
        if let Some(timeline) = timeline.filter(|_| missing > 0) {
            let late = timeline.hurry();
            if late > 0 {
                let step = &step.name;
                self.say(Event::Caution {
                    text: format!("step {step}: its traffic ended before {late} of its changes were due"),
                });
            }
            crew.attend(missing, self.patience()).await?;
            self.say_reconfigured(crew);
        }
        Ok(())
    }

    /// Begins to make changes beside this thread.
    fn timeline(&self, step: &Step, due: Vec<Due>, during: bool) -> Option<Timeline> {
        let optics = self.fabric.as_ref()?.optics()?.clone();
        let moment = Moment {
            step: step.name.clone(),
            op: step.first_op,
            during,
        };
        Some(Timeline::start(
            optics,
            due,
            moment,
            self.started,
            self.reaper.clone(),
        ))
    }

    /// Ends a timeline; after a failure at once, by taking the switches away from the drivers.
    fn close(&self, timeline: Option<Timeline>, result: &Result<(), Failure>) {
        let optics = self.fabric.as_ref().and_then(Fabric::optics);
        if let (Err(_), Some(optics)) = (result, optics) {
            optics.abandon();
        }
        drop(timeline);
    }

    /// Says what was changed while an operation was played; gives how many changes there were.
    fn say_reconfigured(&mut self, crew: &mut Crew<'a>) -> usize {
        let mut made = crew.take_reconfigured();
        let optics = self.fabric.as_ref().and_then(Fabric::optics);
        let mut next = optics
            .filter(|_| !made.is_empty())
            .and_then(|optics| optics.retransmits());
        for one in made.iter_mut().rev() {
            let counted = one.retransmits;
            one.retransmits = next
                .zip(counted)
                .map(|(next, counted)| next.saturating_sub(counted));
            next = counted;
        }
        let count = made.len();
        made.into_iter()
            .for_each(|one| self.say(Event::Reconfigured(one)));
        count
    }

    async fn start_ranks(&mut self, crew: &mut Crew<'a>, journal: &mut Journal) -> Result<(), Failure> {
        let internal = |what: &str, e: &dyn std::fmt::Display| Failure::Internal(format!("{what}: {e}"));
        let directory = journal
            .private_dir()
            .map_err(|e| internal("cannot make a private directory", &e))?;
        let address = StoreAddress::Unix(directory.join("store"));
        let token = store::secret().map_err(|e| internal("no random numbers", &e))?;
        let (send, mut heard) = mpsc::unbounded_channel();
        let address = store::listen(&address, token.clone(), self.plan.ranks.len() as u32, send)
            .await
            .map_err(|e| internal("cannot listen for ranks", &e))?;
        let notices = self.reaper.clone();
        tokio::spawn(async move {
            while let Some(what) = heard.recv().await {
                if notices.send(Notice::Heard(what)).is_err() {
                    return;
                }
            }
        });
        let program = own_binary().map_err(|e| internal("cannot find the genie binary", &e))?;
        let launch = Launch {
            program: &program,
            store: &address,
            token: &token,
        };
        for (rank, place) in self.plan.ranks.iter().enumerate() {
            let rank = rank as Rank;
            let namespace = self.fabric.as_ref().and_then(|f| f.namespace(place.host));
            let child = launch
                .start(rank, namespace)
                .map_err(|e| internal(&format!("cannot start rank {rank}"), &e))?;
            let pid = child.id().unwrap_or(0);
            crew.seats[rank as usize].pid = pid;
            self.children
                .push((pid as i32, tokio::spawn(reap(rank, child, self.reaper.clone()))));
            journal
                .record_process(pid as i32)
                .map_err(|e| internal("cannot write the journal", &e))?;
        }
        let setup = self.plan.testbed.setup_deadline.std();
        crew.gather(
            false,
            setup,
            |_, report| matches!(report, Report::Hello { .. }),
            |_| {},
        )
        .await?;
        self.stage("ranks-started", format!("{} processes", self.plan.ranks.len()));
        Ok(())
    }

    async fn connect(&mut self, crew: &mut Crew<'a>) -> Result<(), Failure> {
        let setup = self.plan.testbed.setup_deadline.std();
        let key = store::secret().map_err(|e| Failure::Internal(e.to_string()))?;
        for mut assignment in assignments(self.plan, &key) {
            self.name_ports(&mut assignment);
            if let Some(member) = &crew.seats[assignment.rank as usize].member {
                let _ = member.orders.send(Order::Setup(Box::new(assignment)));
            }
        }
        let mut book = vec![None; self.plan.ranks.len()];
        let listening = |rank: Rank, report: Report| match report {
            Report::Listening { endpoint } => {
                book[rank as usize] = Some(endpoint);
                true
            }
            _ => false,
        };
        crew.gather(false, setup, listening, |_| {}).await?;
        let book = book.into_iter().flatten().collect();
        crew.order(&Order::Book { book });
        crew.gather(
            false,
            setup,
            |_, report| matches!(report, Report::Connected),
            |_| {},
        )
        .await?;
        self.stage("connected", String::new());
        Ok(())
    }

    /// Where hosts share a namespace, a rank must be told by what it is reached.
    fn name_ports(&self, assignment: &mut Assignment) {
        let host = self.plan.ranks[assignment.rank as usize].host;
        let ports = self
            .fabric
            .as_ref()
            .map_or(Vec::new(), |fabric| fabric.ports(host));
        (assignment.interfaces, assignment.devices) = ports
            .into_iter()
            .map(|port| (port.interface, port.device))
            .unzip();
    }

    /// Plays a row; gives how many changes of circuits were made meanwhile.
    async fn play_row(
        &mut self,
        crew: &mut Crew<'a>,
        row: usize,
        timeline: Option<&Timeline>,
    ) -> Result<usize, Failure> {
        if let Some(timeline) = timeline {
            timeline.playing(row);
        }
        let at_s = self.started.elapsed().as_secs_f64();
        self.say(Event::OpStarted { op: row, at_s });
        let (before, cpu_before) = (self.counted(), crew.cpu_time());
        let members = self
            .plan
            .communicators
            .iter()
            .find(|c| c.id == self.plan.ops[row].op.communicator);
        let members: Vec<Rank> = members.map(|c| c.ranks.clone()).unwrap_or_default();
        let mut rows: Vec<RowDone> = vec![RowDone::default(); self.plan.ranks.len()];
        crew.order(&Order::Play { row });
        let (fabric, started, watched) = (self.fabric.as_ref(), self.started, self.watched);
        let mut last_pulse = None::<Instant>;
        let emit = &mut *self.emit;
        let setup = self.plan.testbed.setup_deadline.std();
        crew.gather(
            true,
            setup,
            |rank, report| match report {
                Report::RowDone(done) if done.row == row => {
                    rows[rank as usize] = done;
                    true
                }
                _ => false,
            },
            |beats| {
                let of_row = |&rank: &Rank| {
                    let beat: &Heartbeat = beats[rank as usize];
                    if beat.row == Some(row) { beat.iterations } else { 0 }
                };
                let iterations = members.iter().map(of_row).min().unwrap_or(0);
                emit(Event::Progress { op: row, iterations });
                if watched && last_pulse.is_none_or(|last| last.elapsed() >= PULSE) {
                    last_pulse = Some(Instant::now());
                    let links = fabric.map(Fabric::counted_bytes).unwrap_or_default();
                    emit(Event::Pulse(pulse(row, started, beats, links)));
                }
            },
        )
        .await?;
        let after = self.counted();
        let changes = self.say_reconfigured(crew);
        let modelled = self.say_nodes(crew, row, &mut rows).await;
        self.say_messages(row, &mut rows);
        let mut record = record(row, true, rows, difference(&before, &after));
        let taken = crew.cpu_time().since(&cpu_before);
        (record.stolen_share, record.others_share) = (taken.stolen, taken.others);
        self.wrong += record.wrong.iter().sum::<u64>();
        self.rows_done += 1;
        self.say(Event::OpFinished(record));
        modelled.map(|()| changes)
    }

    /// When the nodes of a trace were played, and what the model says of them.
    async fn say_nodes(
        &mut self,
        crew: &mut Crew<'a>,
        op: usize,
        rows: &mut [RowDone],
    ) -> Result<(), Failure> {
        if self.plan.ops[op].trace.is_none() {
            return Ok(());
        }
        for (rank, row) in (0..).zip(rows) {
            let (labels, times) = (std::mem::take(&mut row.labels), std::mem::take(&mut row.times));
            self.say(Event::TracePlayed(TracePlayed {
                op,
                rank,
                labels,
                times,
            }));
        }
        let (plan, calibration) = (self.plan.clone(), self.calibration.clone());
        let forecast = move |stop: &Stop| {
            let trace = plan.ops[op].trace.as_ref();
            let trace = trace.ok_or_else(|| "it is none of a trace".to_owned())?;
            forecast::forecast(&plan, &trace.recipe, calibration.as_ref(), stop)
        };
        let modelled = crew.beside("the model of a trace", None, forecast).await;
        // What was measured is complete all the same.
        let (model, result) = match modelled {
            Ok(model) => (model, Ok(())),
            Err(failure) => (Err("the run ended before".to_owned()), Err(failure)),
        };
        self.say(Event::TraceModelled { op, model });
        result
    }

    /// Messages that ranks kept the times of.
    fn say_messages(&mut self, op: usize, rows: &mut [RowDone]) {
        let ranks: Vec<RankMessages> = rows
            .iter_mut()
            .map(|row| std::mem::take(&mut row.messages))
            .collect();
        if ranks.iter().any(|rank| *rank != RankMessages::default()) {
            self.say(Event::MessagesSeen { op, ranks });
        }
    }

    fn counted(&self) -> Vec<[u64; 2]> {
        self.fabric
            .as_ref()
            .map(Fabric::counted_bytes)
            .unwrap_or_default()
    }

    /// What ranks had measured of the row in which the run ended.
    fn keep_parts(&mut self, parts: Vec<Option<RowDone>>) {
        let row = self.rows_done;
        let of_row = |part: Option<RowDone>| part.filter(|p| p.row == row).unwrap_or_default();
        let mut rows: Vec<RowDone> = parts.into_iter().map(of_row).collect();
        self.say_messages(row, &mut rows);
        if rows.iter().any(|r| !r.end_ns.is_empty()) {
            self.partial_row = true;
            let record = record(row, false, rows, Vec::new());
            self.say(Event::OpFinished(record));
        }
    }

    async fn finish(&mut self, crew: &mut Crew<'a>) -> Result<(), Failure> {
        let mut summaries: Vec<Option<RankSummary>> = vec![None; self.plan.ranks.len()];
        crew.order(&Order::Finish);
        let take = |rank: Rank, report: Report| match report {
            Report::Finished(summary) => {
                summaries[rank as usize] = Some(summary);
                true
            }
            _ => false,
        };
        crew.gather(false, self.plan.testbed.deadline.std(), take, |_| {})
            .await?;
        for summary in summaries.into_iter().flatten() {
            self.say(Event::RankFinished(summary));
        }
        // Closing the lines lets the ranks end by themselves.
        crew.seats.iter_mut().for_each(|seat| seat.member = None);
        let ended = async {
            for (_, reaped) in &mut self.children {
                let _ = reaped.await;
            }
        };
        let _ = tokio::time::timeout(LAST_ORDERS, ended).await;
        if let Some(mut counts) = self.fabric.as_ref().and_then(Fabric::link_counts) {
            for (count, before) in counts.iter_mut().zip(&self.carried_before) {
                count.bytes = [0, 1].map(|way| count.bytes[way].saturating_sub(before[way]));
            }
            self.say(Event::LinkCounters(counts));
        }
        Ok(())
    }
}

/// Waits for a rank's process; being aborted kills it.
async fn reap(rank: Rank, mut child: Child, notices: mpsc::UnboundedSender<Notice>) {
    let mut text = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(STDERR).read_to_end(&mut text).await;
    }
    if let Ok(status) = child.wait().await {
        let _ = notices.send(Notice::Exited(
            rank,
            status,
            String::from_utf8_lossy(&text).into_owned(),
        ));
    }
}

/// The running binary, by a path that outlives a rebuild.
fn own_binary() -> std::io::Result<PathBuf> {
    std::fs::read_link("/proc/self/exe").map(|path| {
        let gone = path.to_string_lossy().ends_with(" (deleted)");
        if gone {
            PathBuf::from(format!("/proc/{}/exe", std::process::id()))
        } else {
            path
        }
    })
}

/// What each rank is told.
fn assignments(plan: &Plan, key: &str) -> Vec<Assignment> {
    let peers = peers(plan);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let oversubscribed = plan.ranks.len() > cores;
    let pin = plan.testbed.pin.unwrap_or(!oversubscribed);
    let origin_ns = monotonic_ns();
    let slowest_bps = plan
        .network
        .links
        .iter()
        .filter_map(|link| real_rate(link, plan.dilation))
        .min();
    let rows: Vec<_> = plan
        .ops
        .iter()
        .map(|o| super::control::Row {
            op: o.op.clone(),
            warmup: o.warmup,
            iterations: o.iterations,
            wire_s: o
                .wire_seconds()
                .filter(|_| o.shares_links())
                .map(|s| s * plan.dilation),
            trace: o.trace.as_ref().map(|trace| super::control::TraceRow {
                recipe: trace.recipe.clone(),
                recorded: trace.recorded_iterations,
            }),
        })
        .collect();
    let pacing = match plan.testbed.transport {
        TransportKind::Tcp => plan.testbed.tcp.pacing,
        TransportKind::Rdma | TransportKind::RoceUser => plan.testbed.rdma.pacing,
    };
    let messages = MessageLimits {
        iterations: plan.testbed.record_messages,
        most: (MESSAGES / (plan.ranks.len() * rows.len()).max(1)) as u32,
    };
    let paced = |rate: crate::scenario::units::Bandwidth| (rate.bytes_per_second() / plan.dilation) as u64;
    (0..plan.ranks.len())
        .map(|rank| Assignment {
            rank: rank as Rank,
            ranks: plan.ranks.len() as u32,
            key: key.into(),
            addresses: plan.ranks[rank].addresses.clone(),
            interfaces: Vec::new(),
            devices: Vec::new(),
            peers: peers[rank].clone(),
            communicators: plan.communicators.clone(),
            rows: rows.clone(),
            transport: plan.testbed.transport,
            tcp: plan.testbed.tcp.clone(),
            rdma: plan.testbed.rdma.clone(),
            roce: plan.testbed.roce.clone(),
            pacing: pacing.map(paced),
            wait: plan.testbed.wait,
            oversubscribed,
            verify: plan.testbed.verify,
            messages,
            slowest_bps,
            core: pin.then_some((rank % cores) as u32),
            dilation: plan.dilation,
            origin_ns,
            setup_ms: plan.testbed.setup_deadline.0 / 1_000_000,
        })
        .collect()
}

fn record(op: usize, complete: bool, rows: Vec<RowDone>, link_bytes: Vec<[u64; 2]>) -> OpRecord {
    let mut record = OpRecord {
        op,
        complete,
        start_ns: Vec::new(),
        end_ns: Vec::new(),
        cpu_s: rows.iter().map(|r| r.cpu_s).collect(),
        sent_bytes: rows.iter().map(|r| r.sent_bytes).collect(),
        wrong: rows.iter().filter_map(|r| r.wrong).collect(),
        link_bytes,
        stolen_share: None,
        others_share: None,
    };
    for row in rows {
        record.start_ns.push(row.start_ns);
        record.end_ns.push(row.end_ns);
    }
    record
}

/// How far every rank is in a row.
fn pulse(row: usize, started: Instant, beats: &[&Heartbeat], links: Vec<[u64; 2]>) -> Pulse {
    let of_rank = |beat: &&Heartbeat| RankPulse {
        iterations: if beat.row == Some(row) { beat.iterations } else { 0 },
        moved_bytes: beat.moved_bytes,
        waiting: beat.waiting.clone(),
    };
    Pulse {
        op: row,
        at_s: started.elapsed().as_secs_f64(),
        ranks: beats.iter().map(of_rank).collect(),
        links,
    }
}

fn difference(before: &[[u64; 2]], after: &[[u64; 2]]) -> Vec<[u64; 2]> {
    let pairs = before.iter().zip(after);
    pairs
        .map(|(b, a)| [a[0].saturating_sub(b[0]), a[1].saturating_sub(b[1])])
        .collect()
}
