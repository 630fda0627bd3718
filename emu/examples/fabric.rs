//! Removes what dead runs have left, brings up a star of hosts on one switch, measures between two of them, and takes it down.
//!
//! `cargo run -p genie-emu --example fabric -- [hosts] [rate in Mbit/s, 0: unshaped] [seconds to stay] [mtu]`

use std::time::{Duration, Instant};

use genie_emu::journal::{self, Journal};
use genie_emu::{Fabric, calibrate, capability, privilege, star};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let privilege = privilege::ensure()?;
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let argument = |index: usize, default| arguments.get(index).copied().unwrap_or(default);
    let (hosts, megabits, stay, mtu) = (
        argument(0, 4),
        argument(1, 1000),
        argument(2, 0),
        argument(3, 1500),
    );

    println!("{privilege:?}, {:?}", capability::probe());
    println!("{:?}", journal::clean_dead()?);
    let run = format!("ex{}", std::process::id());
    let journal = Journal::create(&run)?;
    let rate = (megabits > 0).then_some(megabits * 1_000_000);
    let start = Instant::now();
    let mut fabric = Fabric::up(&star::star(&run, hosts as usize, rate, mtu as u32), &journal)?;
    println!(
        "up in {:.1?}; switch is {:?}",
        start.elapsed(),
        fabric.namespace_name(hosts as usize)
    );
    for _ in 0..3 {
        let start = Instant::now();
        let found = calibrate::measure(&fabric, 0, 1)?;
        println!(
            "{:.1} Mbit/s, ratio {:.4}, {:.1?} us one way, wire {:.1?} us, ratio {:.3}, cpu {:.3} s/GB, took {:.0?}",
            found.measured_bps / 1e6,
            found.rate_ratio().unwrap_or(f64::NAN),
            found.one_way_us.unwrap_or(f64::NAN),
            found.wire_us.unwrap_or(f64::NAN),
            found.time_ratio().unwrap_or(f64::NAN),
            found.cpu_s_per_gb,
            start.elapsed()
        );
    }
    std::thread::sleep(Duration::from_secs(stay));
    let start = Instant::now();
    println!("{:?}", fabric.counters()?.first());
    println!("counters read in {:.1?}", start.elapsed());
    let start = Instant::now();
    let left = fabric.down();
    journal.finish()?;
    println!("down in {:.1?}; left: {left:?}", start.elapsed());
    Ok(())
}
