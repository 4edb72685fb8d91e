//! Rust's side of benchmarks/peers: a process that is told over pipes what to do, as process_peer.hpp says, so that its rounds
//! interleave with the others'. Each library stands behind `Store`, in a file of its own.
mod commit_log;
mod engine;

use std::io::{BufRead, Write};
use std::sync::Barrier;
use std::time::{Duration, Instant};

const TURNS: usize = 64;
const MOST_BATCH: usize = 100;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Appends one record or a batch, and returns when it is as durable as the store was opened for. One for each thread.
pub trait Writer {
    fn append(&mut self, values: &[Vec<u8>]) -> Result<(), Failure>;
}

pub trait Store: Sync {
    fn writer(&self, number: usize) -> Box<dyn Writer + '_>;
    /// Calls `look` for each record.
    fn read(&self, look: &mut dyn FnMut(&[u8])) -> Result<(), Failure>;
}

fn open(library: &str, directory: &str, is_synced: bool) -> Result<Box<dyn Store>, Failure> {
    match library {
        "commitlog" => Ok(Box::new(commit_log::CommitLogStore::open(directory, is_synced)?)),
        "raft-engine" => Ok(Box::new(engine::EngineStore::open(directory, is_synced)?)),
        _ => Err(format!("{library}?").into()),
    }
}

/// The version that Cargo.lock names.
fn version_of(library: &str) -> String {
    let lock = include_str!("Cargo.lock");
    let entry = format!("name = \"{library}\"\nversion = \"");
    lock.split(&entry).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("unknown").to_string()
}

struct Harness {
    store: Option<Box<dyn Store>>,
    values: Vec<Vec<u8>>,
    batch: usize,
    is_synced: bool,
    cores: Vec<usize>,
}

#[derive(Default)]
struct Share {
    records: usize,
    times: Vec<u64>,
}

fn main() -> Result<(), Failure> {
    let mut one = Harness { store: None, values: Vec::new(), batch: 1, is_synced: false, cores: affinity() };
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = one.answer(&words).unwrap_or_else(|why| format!("failed {}", why.to_string().replace('\n', " ")));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

impl Harness {
    fn answer(&mut self, words: &[&str]) -> Result<String, Failure> {
        match words {
            ["version", library] => Ok(version_of(library)),
            ["open", directory, library, is_synced, value_bytes, batch] => {
                self.is_synced = *is_synced == "1";
                self.batch = batch.parse()?;
                self.values = values_of(value_bytes.parse()?);
                self.store = Some(open(library, directory, self.is_synced)?);
                Ok("0".to_string())
            }
            ["append", records, seconds, writers, is_timed] => {
                self.append(records.parse()?, Duration::from_secs_f64(seconds.parse()?), writers.parse()?, *is_timed == "1")
            }
            ["read"] => self.read(),
            ["close"] => {
                self.store = None;
                Ok("0".to_string())
            }
            _ => Err(format!("{}?", words.join(" ")).into()),
        }
    }

    fn store(&self) -> Result<&dyn Store, Failure> {
        self.store.as_deref().ok_or_else(|| "nothing is open".into())
    }

    /// The answer: nanoseconds, then per writer the records; where timed, then ns of each append.
    fn append(&self, records: usize, most: Duration, writers: usize, is_timed: bool) -> Result<String, Failure> {
        let store = self.store()?;
        let ready = Barrier::new(writers + 1);
        let (taken, shares) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|number| {
                    let ready = &ready;
                    scope.spawn(move || {
                        if writers <= 2 && !self.is_synced {  // who waits for the disk goes where the scheduler likes
                            pin(&self.cores, number);
                        }
                        let mut writer = store.writer(number);
                        ready.wait();
                        self.write(writer.as_mut(), records / writers / self.batch * self.batch, most, is_timed)
                    })
                })
                .collect();
            ready.wait();
            let begin = Instant::now();
            let shares: Vec<_> = threads.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("a writer's thread panicked".into()))).collect();
            (begin.elapsed(), shares)
        });
        let shares = shares.into_iter().collect::<Result<Vec<Share>, Failure>>()?;
        let mut words = vec![taken.as_nanos().to_string()];
        words.extend(shares.iter().map(|one| one.records.to_string()));
        words.extend(shares.iter().flat_map(|one| &one.times).map(u64::to_string));
        Ok(words.join(" "))
    }

    fn write(&self, writer: &mut dyn Writer, most: usize, long: Duration, is_timed: bool) -> Result<Share, Failure> {
        let mut mine = Share::default();
        mine.times.reserve(if is_timed { 1 << 16 } else { 0 });
        let stretch = if is_timed || self.batch > 1 { self.batch } else { 128 };  // records between two looks at the clock
        let begin = Instant::now();
        let mut before = Duration::ZERO;
        while mine.records < most {
            let stop = most.min(mine.records + stretch);
            while mine.records < stop {
                let first = if self.batch == 1 { mine.records % TURNS } else { 0 };
                writer.append(&self.values[first..first + self.batch])?;
                mine.records += self.batch;
            }
            let after = begin.elapsed();
            if is_timed {
                mine.times.push((after - before).as_nanos() as u64);
                before = after;
            }
            if after >= long {
                break;
            }
        }
        Ok(mine)
    }

    /// The answer: records, sum of first bytes, nanoseconds.
    fn read(&self) -> Result<String, Failure> {
        let store = self.store()?;
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    pin(&self.cores, 0);
                    let (mut records, mut sum) = (0u64, 0u64);
                    let begin = Instant::now();
                    store.read(&mut |value| {
                        records += 1;
                        sum += u64::from(value[0]);
                    })?;
                    Ok(format!("{records} {sum} {}", begin.elapsed().as_nanos()))
                })
                .join()
                .unwrap_or_else(|_| Err("the reader's thread panicked".into()))
        })
    }
}

/// The values that everybody appends (value_store in peer.hpp).
fn values_of(value_bytes: usize) -> Vec<Vec<u8>> {
    let mut word: u32 = 1;
    let mut all = Vec::with_capacity(value_bytes * MOST_BATCH);
    while all.len() < value_bytes * MOST_BATCH {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        all.extend_from_slice(&(word ^ word >> 16).to_le_bytes());
    }
    all.chunks_exact(value_bytes).map(<[u8]>::to_vec).collect()
}

const MASK_WORDS: usize = 16;

extern "C" {
    fn sched_getaffinity(process: i32, size: usize, mask: *mut u64) -> i32;
    fn sched_setaffinity(process: i32, size: usize, mask: *const u64) -> i32;
}

/// The cores that the process may have.
fn affinity() -> Vec<usize> {
    let mut mask = [0u64; MASK_WORDS];
    // SAFETY: the mask is as large as is said.
    unsafe { sched_getaffinity(0, std::mem::size_of_val(&mask), mask.as_mut_ptr()) };
    (0..MASK_WORDS * 64).filter(|core| mask[core / 64] >> (core % 64) & 1 != 0).collect()
}

/// Keeps the calling thread on one of them. Without it: as the scheduler likes.
fn pin(cores: &[usize], number: usize) {
    if let Some(core) = cores.get(number) {
        let mut mask = [0u64; MASK_WORDS];
        mask[core / 64] = 1 << (core % 64);
        // SAFETY: as above.
        unsafe { sched_setaffinity(0, std::mem::size_of_val(&mask), mask.as_ptr()) };
    }
}
