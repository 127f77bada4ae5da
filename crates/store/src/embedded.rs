//! The store in a folder: its threads, its lock, its questions. It refuses to know what the answers are for.

use crate::change::{Change, CommitError, Committed};
use crate::open::{Layout, OpenError, Recovery, probe, replay};
use crate::prepared::{Sealed, prepare, unseal, values};
use crate::projection::{Filter, History, Projection};
use crate::publish::{ORDERS_MAX, PublishReply, Publisher, Publishing, SignedCheckpoint, Tiles};
use crate::register::{Live, Register};
use crate::segments::{Place, Reader, Writer};
use crate::sequencer::{Aside, Order, QUEUE_MAX, Reply, Sequencer};
use crate::shared::Shared;
use crate::spool::{Flusher, Folded, Folder, Left, Spool, SpoolError, Workers, run_flusher};
use crate::store::{Claimed, Disclosed, Options, ReadError, Stored, StoredFact};
use crate::vault::{StoreKeys, Vault};
use countersign_core::entry::{Entry, Leaf};
use countersign_core::id::{RequestId, SessionId, TokenId};
use countersign_core::lifecycle::{self, Record};
use countersign_core::time::{Seconds, Timestamp};
use countersign_ledger::tree::Hash;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// The store in a folder.
pub(crate) struct Embedded {
    pub shared: Arc<Shared>,
    pub layout: Layout,
    orders: Option<SyncSender<Order>>,
    publishing: Option<Publishing>,
    tiles: Tiles,
    reader: Reader,
    tables: Mutex<Projection>,
    workers: Workers,
    folder: Mutex<Folder>,
    threads: Vec<JoinHandle<()>>,
    /// Held until the threads are done, so that nobody opens the folder while they still write.
    _lock: File,
}

impl Embedded {
    pub(crate) fn open(
        folder: &Path,
        keys: StoreKeys,
        options: &Options,
    ) -> Result<(Self, Recovery), OpenError> {
        let layout = Layout::new(folder);
        layout.create()?;
        let lock = layout.lock()?;
        probe(&layout)?;
        let vault = Vault::new(&keys.vault);
        let signed = layout.read_signed(keys.log.name().as_str())?;
        let disk = options.disk.clone();
        let left = Left::read(&layout.spool)?;
        let replayed = replay(&layout, &vault, &disk, signed.as_ref(), &left.sessions)?;
        let writer = Writer::open(&layout.segments, disk.clone(), replayed.end, options.segment_bytes)
            .map_err(|source| OpenError::Io { path: layout.segments.clone(), source })?;
        let shared = Arc::new(Shared::new(replayed.register, replayed.growth, signed, vault));
        let tiles = Tiles::new(&layout.tiles);
        let (publish_sender, publish_receiver) = sync_channel(ORDERS_MAX);
        let publishing = Publishing(publish_sender);
        let publisher = Publisher {
            shared: shared.clone(),
            tiles: tiles.clone(),
            signed: layout.signed(),
            disk: disk.clone(),
            signer: keys.log,
        };
        let (flusher, flushes) = Flusher::new(disk.clone());
        let (orders, order_receiver) = sync_channel(QUEUE_MAX);
        let sequencer = Sequencer {
            shared: shared.clone(),
            writer,
            projection: replayed.projection,
            publishing: publishing.clone(),
            end: replayed.end,
            interval: i64::from(options.checkpoint_millis) * 1_000,
            published_at: Timestamp::from_micros(0),
            awaited: true,
            lag: Vec::new(),
            unprojected: HashMap::new(),
        };
        let threads = vec![
            spawn("sequencer", move || sequencer.run(&order_receiver))?,
            spawn("publisher", move || publisher.run(&publish_receiver))?,
        ];
        // Ends with the last spool, which may outlive the store; by then the store refuses to write.
        let (flushing, flush_disk) = (shared.clone(), disk.clone());
        drop(spawn("flusher", move || run_flusher(&flushes, &flush_disk, &flushing))?);
        let store = Self {
            workers: Workers::new(&layout.spool, disk, shared.clone(), flusher),
            folder: Mutex::default(),
            shared,
            tables: Mutex::new(Projection::open(&layout.projections())?),
            reader: Reader::new(&layout.segments),
            layout,
            orders: Some(orders),
            publishing: Some(publishing),
            tiles,
            threads,
            _lock: lock,
        };
        let folded = left.fold(replayed.folded, replayed.last_t, |change| store.commit_blocking(change))?;
        let recovery = Recovery {
            clean: replayed.recovery.clean && folded.records == 0,
            entries: store.head().0,
            folded: folded.records,
            ..replayed.recovery
        };
        Ok((store, recovery))
    }

    fn commit_blocking(&self, change: Change) -> Committed {
        let (sender, receiver) = sync_channel(1);
        self.commit(change, Box::new(move |answer| drop(sender.send(answer))));
        receiver.recv().unwrap_or(Err(CommitError::Closed))
    }

    pub(crate) fn spool(&self, session: SessionId, worker: u32) -> Result<Spool, SpoolError> {
        self.workers.spool(session, worker)
    }

    pub(crate) fn fold(&self, now: Timestamp, everything: bool) -> Result<Folded, SpoolError> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        folder.fold(&self.workers, &self.shared, now, everything, |change| self.commit_blocking(change))
    }

    pub(crate) fn commit(&self, change: Change, reply: Reply) {
        match prepare(change, &self.shared.vault) {
            Ok(prepared) => self.order(Order::Commit(Box::new(prepared), reply)),
            Err(error) => reply(Err(error)),
        }
    }

    pub(crate) fn revoke(&self, token: TokenId, expires: Timestamp, t: Timestamp, reply: Reply) {
        self.order(Order::Aside(Aside::Revoke { token, expires, t }, reply));
    }

    pub(crate) fn order(&self, order: Order) {
        let Some(orders) = &self.orders else { return };
        let (order, error) = match orders.try_send(order) {
            Ok(()) => return,
            Err(TrySendError::Full(order)) => {
                (order, CommitError::Full { what: "the queue of changes", limit: QUEUE_MAX as u64 })
            }
            Err(TrySendError::Disconnected(order)) => (order, CommitError::Closed),
        };
        match order {
            Order::Commit(_, reply) | Order::Aside(_, reply) => reply(Err(error)),
            // Whoever waits sees the answer's channel closed.
            Order::Position(_) => {}
        }
    }

    /// Where the flushed part of the log ends: segment and offset.
    pub(crate) fn position(&self) -> Option<(u32, u64)> {
        let (sender, receiver) = sync_channel(1);
        let reply = move |position| {
            let _asker_may_be_gone = sender.send(position);
        };
        self.order(Order::Position(Box::new(reply)));
        receiver.recv().ok()
    }

    /// With all that anybody was told is recorded.
    fn tables(&self) -> MutexGuard<'_, Projection> {
        self.shared.wait_for_tables();
        self.tables_at_once()
    }

    /// As they are: what was recorded last may be missing.
    fn tables_at_once(&self) -> MutexGuard<'_, Projection> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with_register<T>(&self, ask: impl FnOnce(&Register) -> T) -> T {
        ask(&self.shared.register())
    }

    /// The tables say where a request's entries are; what it is comes from the entries.
    pub(crate) fn request(&self, id: &RequestId) -> Result<Option<Stored>, ReadError> {
        let read = |tables: MutexGuard<'_, Projection>| {
            let places = tables.places_of(id)?;
            drop(tables);
            Ok::<_, ReadError>((places, self.shared.register().live(id).cloned()))
        };
        let (mut places, mut live) = read(self.tables_at_once())?;
        let is_whole = |live: &Live| live.record.version as usize == places.len();
        if !live.as_ref().is_some_and(is_whole) {
            (places, live) = read(self.tables())?;
        }
        let mut facts = Vec::with_capacity(places.len());
        let mut effect_key = None;
        for (index, place) in places {
            let (leaf, sealed) = self.entry(index, place)?;
            let disclosures = values(&leaf, &sealed.disclosures);
            effect_key = effect_key.or(sealed.effect_key);
            match leaf.entry {
                Entry::Request { id: of, fact, envelope } if of == *id => {
                    facts.push(StoredFact { index, t: leaf.t, fact, envelope, disclosures });
                }
                _ => return Err(ReadError::Entry { index, why: format!("expected an entry of `{id}`") }),
            }
        }
        let found = match live {
            Some(live) => Some((live.record, live.effect_key, live.opened)),
            None => {
                let index = facts.first().map_or(0, |fact| fact.index);
                let record = lifecycle::replay(facts.iter().map(|fact| &fact.fact))
                    .map_err(|e| ReadError::Entry { index, why: e.to_string() })?;
                record.map(|record| (record, effect_key, index))
            }
        };
        Ok(found.map(|(record, effect_key, opened)| Stored {
            record,
            disclosures: facts.iter().flat_map(|fact| fact.disclosures.iter().cloned()).collect(),
            effect_key,
            opened,
            facts,
        }))
    }

    /// What was disclosed when a request was opened.
    pub(crate) fn opening(&self, id: &RequestId) -> Result<Disclosed, ReadError> {
        let first = |places: Vec<(u64, Place)>| places.into_iter().next();
        let mut found = first(self.tables_at_once().places_of(id)?);
        if found.is_none() {
            found = first(self.tables().places_of(id)?);
        }
        let Some((index, place)) = found else { return Ok(Disclosed::new()) };
        let (leaf, sealed) = self.entry(index, place)?;
        Ok(values(&leaf, &sealed.disclosures))
    }

    fn entry(&self, index: u64, place: Place) -> Result<(Leaf, Sealed), ReadError> {
        let refused = |why: String| ReadError::Entry { index, why };
        let (bytes, sealed) = self.reader.read(place).map_err(|e| refused(e.to_string()))?;
        let leaf = Leaf::parse(&bytes).map_err(|e| refused(e.to_string()))?;
        Ok((leaf, unseal(&bytes, &sealed, &self.shared.vault).unwrap_or_default()))
    }

    pub(crate) fn list(&self, filter: &Filter) -> Result<Vec<Record>, ReadError> {
        let mut records = self.tables().list(filter)?;
        let register = self.shared.register();
        // What is live is said as the log says it.
        for record in &mut records {
            if let Some(live) = register.live(&record.terms.id) {
                record.clone_from(&live.record);
            }
        }
        records.retain(|r| filter.states.is_empty() || filter.states.iter().any(|w| w == r.state.word()));
        Ok(records)
    }

    pub(crate) fn history(&self, history: &History) -> Result<Vec<(u64, Leaf)>, ReadError> {
        let places = self.tables().history(history)?;
        places.into_iter().map(|(index, place)| Ok((index, self.entry(index, place)?.0))).collect()
    }

    pub(crate) fn outbox_claim(
        &self,
        channel: &str,
        limit: u32,
        lease: Seconds,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError> {
        let queued = self.tables().outbox_claim(channel, limit, lease, now, &self.shared.vault)?;
        Ok(queued.into_iter().map(|queued| Claimed { id: queued.id, notice: queued.notice }).collect())
    }

    pub(crate) fn outbox_done(&self, id: u64) -> Result<(), ReadError> {
        Ok(self.tables().outbox_done(id)?)
    }

    pub(crate) fn head(&self) -> (u64, Hash) {
        let growth = self.shared.growth();
        (growth.size(), growth.root())
    }

    pub(crate) fn published(&self) -> Option<SignedCheckpoint> {
        self.shared.published()
    }

    pub(crate) fn publish(&self, reply: PublishReply) {
        match &self.publishing {
            Some(publishing) => publishing.ask(reply),
            None => reply(Err(crate::publish::PublishError::Closed)),
        }
    }

    pub(crate) fn nudge(&self) {
        if let Some(publishing) = &self.publishing {
            publishing.nudge();
        }
    }

    pub(crate) fn log_file(&self, path: &str) -> Option<Vec<u8>> {
        self.tiles.read(path, self.published()?.size)
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.failure().map(str::to_owned)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // The threads end when nobody can send to them: first the sequencer, which may still ask the publisher.
        self.orders = None;
        self.publishing = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.fail("a thread of the store panicked");
            }
        }
        // A spool that outlives the store must not record into a folder that another process may have by then.
        self.shared.close();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let builder = std::thread::Builder::new().name(format!("store-{name}"));
    builder.spawn(work).map_err(|error: io::Error| OpenError::Thread(error))
}
