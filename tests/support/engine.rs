//! A historian in this process without devices and without an interface: store, catalog and ingest, put together as the server does it. For
//! unit tests of the rooms above ingest, for benches, and for `served::Served`.

use std::sync::Arc;

use historian_ingest::{Ingest, IngestOptions};
use historian_model::{
    Clock, ManualClock, SampleBatch, Samples, Tag, TagDefinition, TagId, TagName, Timestamp, ValueType,
    sink::{Acknowledgement, Durability, SampleSink, WriteMode},
};
use historian_store::{Catalog, MemoryStore, RocksStore, Store, catalog::TAGS_MAX, rocks::StoreOptions};
use tempfile::TempDir;

/// The parts of a historian that no test needs more than. Closed when the last part of it is dropped.
pub struct TestHistorian {
    pub ingest: Arc<Ingest>,
    pub catalog: Arc<Catalog>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Behind the store: its files go when it is closed.
    _directory: Option<TempDir>,
}

/// What a historian is made of; [`Setup::open`] makes it.
#[must_use]
pub struct Setup {
    store: Arc<dyn Store>,
    directory: Option<TempDir>,
    clock: Arc<dyn Clock>,
    options: IngestOptions,
}

impl TestHistorian {
    /// Samples are kept in memory, and the clock stands at 1970.
    pub fn in_memory() -> Setup {
        TestHistorian::over(Arc::new(MemoryStore::default()))
    }

    /// Samples are kept in RocksDB, in a directory of its own, with the durability of the product.
    pub fn on_disk() -> Setup {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let store = RocksStore::open(directory.path(), &StoreOptions::default()).expect("a new store opens");
        Setup { directory: Some(directory), ..TestHistorian::over(Arc::new(store)) }
    }

    /// Samples are kept in a store of the test.
    pub fn over(store: Arc<dyn Store>) -> Setup {
        Setup { store, directory: None, clock: Arc::new(ManualClock::at(Timestamp(0))), options: IngestOptions::default() }
    }

    /// Tags of these definitions, in their order; made where they are missing.
    pub fn tags(&self, definitions: impl IntoIterator<Item = TagDefinition>) -> Vec<Arc<Tag>> {
        self.catalog.get_or_create(definitions.into_iter().collect()).expect("the tags can be made")
    }

    /// Writes one batch; it is durable and visible afterwards.
    pub fn write(&self, runs: Vec<(TagId, Samples)>) -> Acknowledgement {
        let written = self.ingest.write(SampleBatch { runs }, WriteMode::Upsert, Durability::Sync);
        futures::executor::block_on(written).unwrap_or_else(|refused| panic!("the batch is refused: {refused:?}"))
    }
}

impl Setup {
    /// The clock stands at `now`.
    pub fn at(self, now: Timestamp) -> Setup {
        self.clock(Arc::new(ManualClock::at(now)))
    }

    pub fn clock(self, clock: Arc<dyn Clock>) -> Setup {
        Setup { clock, ..self }
    }

    pub fn options(self, options: IngestOptions) -> Setup {
        Setup { options, ..self }
    }

    pub fn open(self) -> TestHistorian {
        let Setup { store, directory, clock, options } = self;
        let catalog = Arc::new(Catalog::open(store.clone(), clock.clone(), TAGS_MAX).expect("the catalog opens"));
        let ingest = Ingest::open(store.clone(), catalog.clone(), clock.clone(), options).expect("the journal is read");
        TestHistorian { ingest: Arc::new(ingest), catalog, store, clock, _directory: directory }
    }
}

/// A tag with everything by default.
pub fn tag(name: &str, value_type: ValueType) -> TagDefinition {
    TagDefinition::new(TagName::new(name).expect("the name is valid"), value_type)
}
