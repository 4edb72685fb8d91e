//! commitlog: Kafka's log in small, with dense offsets, segments and a mapped index of every record.
//! What it calls flush leaves the segment in the page cache, so it has no synced level.
use std::sync::Mutex;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use crate::{Failure, Store, Writer};

pub struct CommitLogStore {
    log: Mutex<CommitLog>,  // it is for one thread at a time
}

impl CommitLogStore {
    pub fn open(directory: &str, is_synced: bool) -> Result<Self, Failure> {
        if is_synced {
            return Err("it does not sync its segments".into());
        }
        let mut options = LogOptions::new(format!("{directory}/commitlog"));
        options.message_max_bytes(16 << 20);  // of all that is appended at once
        Ok(Self { log: Mutex::new(CommitLog::new(options)?) })
    }

    fn log(&self) -> Result<std::sync::MutexGuard<'_, CommitLog>, Failure> {
        self.log.lock().map_err(|_| "a writer's thread panicked".into())
    }
}

struct CommitLogWriter<'a> {
    store: &'a CommitLogStore,
}

impl Writer for CommitLogWriter<'_> {
    fn append(&mut self, values: &[Vec<u8>]) -> Result<(), Failure> {
        if let [one] = values {
            self.store.log()?.append_msg(one)?;
            return Ok(());
        }
        let mut batch = MessageBuf::default();
        for value in values {
            batch.push(value).map_err(|why| format!("{why:?}"))?;
        }
        self.store.log()?.append(&mut batch)?;
        Ok(())
    }
}

impl Store for CommitLogStore {
    fn writer(&self, _number: usize) -> Box<dyn Writer + '_> {
        Box::new(CommitLogWriter { store: self })
    }

    fn read(&self, look: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let log = self.log()?;
        let mut next = 0;
        while next < log.next_offset() {
            let some = log.read(next, ReadLimit::max_bytes(1 << 20))?;
            for one in some.iter() {
                if one.offset() != next {
                    return Err("offsets are not dense".into());
                }
                look(one.payload());
                next += 1;
            }
            if some.is_empty() {
                return Err(format!("nothing at offset {next}").into());
            }
        }
        Ok(())
    }
}
