//! raft-engine: the log of TiKV, many sequences of numbered entries in one stream of files. Writers who come together share a
//! write and a sync.
use std::sync::Arc;

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::{Failure, Store, Writer};

/// Entries are protobuf messages with a number. This one comes with the library, and holds a number and bytes as Raft's do.
type Entry = UninterpretedOption;

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

pub struct EngineStore {
    engine: Arc<Engine>,
    is_synced: bool,
}

impl EngineStore {
    pub fn open(directory: &str, is_synced: bool) -> Result<Self, Failure> {
        let config = Config {
            dir: format!("{directory}/raft-engine"),
            batch_compression_threshold: ReadableSize(0),  // never
            ..Default::default()
        };
        Ok(Self { engine: Arc::new(Engine::open(config)?), is_synced })
    }
}

struct EngineWriter<'a> {
    store: &'a EngineStore,
    sequence: u64,
    next: u64,
    entries: Vec<Entry>,
    batch: LogBatch,
}

impl Writer for EngineWriter<'_> {
    fn append(&mut self, values: &[Vec<u8>]) -> Result<(), Failure> {
        self.entries.resize_with(values.len(), Entry::new);
        for (entry, value) in self.entries.iter_mut().zip(values) {
            entry.set_positive_int_value(self.next);
            self.next += 1;
            let bytes = entry.mut_string_value();
            bytes.clear();
            bytes.extend_from_slice(value);
        }
        self.batch.add_entries::<Entries>(self.sequence, &self.entries)?;
        self.store.engine.write(&mut self.batch, self.store.is_synced)?;
        Ok(())
    }
}

impl Store for EngineStore {
    /// Numbers are dense in each sequence, so each writer has one of its own.
    fn writer(&self, number: usize) -> Box<dyn Writer + '_> {
        let sequence = number as u64 + 1;
        let next = self.engine.last_index(sequence).map_or(1, |last| last + 1);
        Box::new(EngineWriter { store: self, sequence, next, entries: Vec::new(), batch: LogBatch::default() })
    }

    fn read(&self, look: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        let mut some: Vec<Entry> = Vec::new();
        for sequence in self.engine.raft_groups() {
            let end = self.engine.last_index(sequence).map_or(0, |last| last + 1);
            let mut next = self.engine.first_index(sequence).unwrap_or(end);
            while next < end {
                some.clear();
                self.engine.fetch_entries_to::<Entries>(sequence, next, end.min(next + 1_000), Some(1 << 20), &mut some)?;
                for one in &some {
                    if one.get_positive_int_value() != next {
                        return Err("numbers are not dense".into());
                    }
                    look(one.get_string_value());
                    next += 1;
                }
            }
        }
        Ok(())
    }
}
