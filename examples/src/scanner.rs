//! The scanner: threads that score, and one thread that calls the model.
//!
//! The calls have a thread of their own, so that their rate does not depend on how far the scoring has come.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, anyhow};
use tokio::runtime;
use tokio::time::sleep;

use crate::args;
use crate::calls::{Tally, call_steadily};
use crate::rows;
use crate::scoring::{Noise, Scorer};
use crate::signals::Stop;

/// What one scoring thread has done.
#[derive(Debug, Default)]
struct Done {
    rows: u64,
    robustness_sum: f64,
}

/// Scans until SIGTERM, SIGINT or the end of the given time, then says what it did.
pub fn scan(args: &args::Scanner) -> anyhow::Result<()> {
    let scorer = Scorer::new(&rows::load(args.rows.as_deref())?);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let stop = runtime.block_on(async { Stop::catch() }).context("catch signals")?;
    let (scorer, stopped) = (&scorer, &AtomicBool::new(false));
    let (done, tally) = thread::scope(|scope| {
        let start = |number| {
            let work = move || score(scorer, number, args, stopped);
            thread::Builder::new().name(format!("scorer-{number}")).spawn_scoped(scope, work)
        };
        let threads: io::Result<Vec<_>> = (0..args.concurrency).map(start).collect();
        let tally =
            if threads.is_ok() { runtime.block_on(call(args, scorer, stop)) } else { Tally::default() };
        stopped.store(true, Ordering::Relaxed);
        let join =
            |thread: thread::ScopedJoinHandle<'_, Done>| thread.join().map_err(|_| anyhow!("score rows"));
        let done = threads.context("start a scoring thread")?.into_iter().map(join);
        anyhow::Ok((done.collect::<anyhow::Result<Vec<_>>>()?, tally))
    })?;
    let rows: u64 = done.iter().map(|done| done.rows).sum();
    let robustness = done.iter().map(|done| done.robustness_sum).sum::<f64>() / rows.max(1) as f64;
    let Tally { made, errors } = tally;
    eprintln!(
        "scanner: rows scored {rows}, calls made {made}, call errors {errors}, mean robustness {robustness:.3}"
    );
    Ok(())
}

/// Scores every `concurrency`-th row, over and over.
fn score(scorer: &Scorer, number: u8, args: &args::Scanner, stopped: &AtomicBool) -> Done {
    // Stream 0 belongs to the calls.
    let mut noise = Noise::new(args.seed, 1 + u64::from(number));
    let mut done = Done::default();
    for index in (usize::from(number)..).step_by(usize::from(args.concurrency)) {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        done.robustness_sum += scorer.robustness(index, &mut noise);
        done.rows += 1;
    }
    done
}

/// Calls the model, if there is one, until it is time to stop.
async fn call(args: &args::Scanner, scorer: &Scorer, mut stop: Stop) -> Tally {
    let mut tally = Tally::default();
    let calls = async {
        match &args.model_url {
            Some(model) => call_steadily(model, args.call_period, scorer, args.seed, &mut tally).await,
            None => std::future::pending().await,
        }
    };
    let end = async {
        match args.seconds {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
    };
    eprintln!("scanner: scoring with concurrency {}", args.concurrency);
    tokio::select! {
        () = calls => {}
        () = end => {}
        () = stop.requested() => {}
    }
    tally
}
