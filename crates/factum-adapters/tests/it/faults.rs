//! The embedded store on a disk that fills up or fails: what a writer is told, and what readers go on seeing.

use std::{
    any::Any,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use factum_adapters::embedded::{self, Embedded, Options};
use factum_core::{
    Timestamp,
    commit::{Plan, PlannedAppend, Wanted},
    envelope::{Envelope, Kind, Message},
    error::StoreError,
    id::{MessageId, Name},
    ports::{Backend, Scan},
    stream::{Position, StreamId, StreamVersion},
};
use factum_log::{Disk, DiskFile, RealDisk, disk::Access};
use factum_testing::conformance::store::write;

const WELL: u8 = 0;
const FULL: u8 = 1;
const FAILS_TO_SYNC: u8 = 2;

/// The real disk, until it is told to misbehave.
#[derive(Clone, Debug)]
struct Moody {
    mood: Arc<AtomicU8>,
}

#[derive(Debug)]
struct MoodyFile {
    file: Arc<dyn DiskFile>,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn set(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }
}

impl Disk for Moody {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(MoodyFile { file: RealDisk.open(path, access)?, mood: Arc::clone(&self.mood) }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        RealDisk.lock(path)
    }
    fn fresh_id(&self) -> io::Result<[u8; 16]> {
        RealDisk.fresh_id()
    }
    fn background(&self) -> bool {
        false
    }
}

impl DiskFile for MoodyFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.mood.load(Ordering::SeqCst) {
            FULL => Err(io::ErrorKind::StorageFull.into()),
            _ => self.file.write_at(bytes, offset),
        }
    }
    fn sync_data(&self) -> io::Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            FAILS_TO_SYNC => Err(io::Error::other("the cable is loose")),
            _ => self.file.sync_data(),
        }
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

fn moody(dir: &Path) -> (Moody, Embedded) {
    let disk = Moody { mood: Arc::new(AtomicU8::new(WELL)) };
    let options = Options { disk: Arc::new(disk.clone()), ..Options::default() };
    (disk, embedded::open_with(dir, options).unwrap().0)
}

/// One message at the end of `order-1`.
pub fn plan(version: u64) -> Plan {
    let id = MessageId::derived(&["message", &version.to_string()]);
    let envelope = Envelope {
        correlation_id: id.clone(),
        id,
        kind: Kind::Event,
        type_name: Name::Static("order.created"),
        source: Name::Static("order"),
        data_version: Name::Static("1.0.0"),
        timestamp: Timestamp::UNIX_EPOCH,
        causation_id: None,
        partition_key: Arc::from("1"),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 0,
        digest: None,
        repeat_key: None,
    };
    let messages = vec![Message { envelope, data: Arc::from(&b"{}"[..]) }];
    let stream = StreamId::parse("order-1").unwrap();
    Plan { appends: vec![PlannedAppend { stream, first: StreamVersion(version), messages }], cells: Vec::new() }
}

fn readable(store: &Embedded) -> usize {
    let scan = Scan { after: Position::START, until: Position(u64::MAX), bytes: usize::MAX, types: None };
    store.reader().scan(&scan).unwrap().messages.len()
}

#[test]
fn a_full_disk_refuses_a_write_whole_and_takes_it_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, mut store) = moody(dir.path());
    assert_eq!(write(&mut store, &[plan(1)]).unwrap(), Some(Position(1)));
    disk.set(FULL);
    for _ in 0..2 {
        let error = write(&mut store, &[plan(2)]).unwrap_err();
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert_eq!((store.reader().head(), readable(&store)), (Position(1), 1));
    }
    disk.set(WELL);
    assert_eq!(write(&mut store, &[plan(2)]).unwrap(), Some(Position(2)));
    assert_eq!(readable(&store), 2);
}

#[test]
fn a_failed_sync_is_an_unknown_outcome_and_ends_writing_until_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, mut store) = moody(dir.path());
    write(&mut store, &[plan(1)]).unwrap();
    disk.set(FAILS_TO_SYNC);
    let error = write(&mut store, &[plan(2)]).unwrap_err();
    assert!(matches!(&error, StoreError::OutcomeUnknown(why) if why.contains("the cable is loose")), "{error:?}");
    disk.set(WELL);
    for _ in 0..2 {
        assert!(matches!(write(&mut store, &[plan(2)]), Err(StoreError::OutcomeUnknown(_))), "no later write succeeds");
        assert!(matches!(store.idle(), Err(StoreError::OutcomeUnknown(_))));
    }
    assert_eq!((store.reader().head(), readable(&store)), (Position(1), 1), "what is not durable is not seen");
    drop(store);
    let (mut store, _) = embedded::open(dir.path()).unwrap();
    let stream = StreamId::parse("order-1").unwrap();
    let found = store.find(&Wanted { streams: vec![stream.clone()], ..Wanted::default() }).unwrap();
    let version = found.streams[&stream].0;
    assert!(version == 1 || version == 2, "the write is there whole or not at all");
    write(&mut store, &[plan(version + 1)]).unwrap();
}

#[test]
fn a_write_that_the_format_cannot_hold_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = embedded::open(dir.path()).unwrap();
    let mut large = plan(1);
    let message = &mut large.appends[0].messages[0];
    message.data = Arc::from(vec![b' '; 1 << 20]);
    let message = message.clone();
    large.appends[0].messages = vec![message; 17];
    let error = write(&mut store, &[large]).unwrap_err();
    assert!(matches!(&error, StoreError::Unfit(why) if why.contains("split")), "{error:?}");
    assert_eq!(write(&mut store, &[plan(1)]).unwrap(), Some(Position(1)), "the store goes on");
}
