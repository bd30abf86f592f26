//! Power cuts: ext4 on a loop device, shut down at a drawn moment without flushing anything, and mounted again.

use std::{
    fs,
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use factum_testing::chaos::Volume;
use fastrand::Rng;

use crate::{
    Outcome,
    child::{Level, Phase},
    count,
    history::Counts,
    kills::{Hits, MANY, Subject},
    seed,
};

const MIB: u64 = 512;

/// The longest wait for a writer to begin a segment: a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a cut is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Opening,
    Load,
    /// The moment at which a new segment has its name, which may not be synced yet.
    Roll,
}

/// The cuts of one level.
pub fn run(level: Level) -> Outcome {
    let cuts = count("FACTUM_CUTS", 3);
    let mut volume = match Volume::new(MIB).and_then(probe) {
        Ok(volume) => volume,
        Err(why) => {
            println!("kernel: skipped: {cuts} power cuts of the {level:?}: {why}");
            return Outcome::Skipped(why);
        }
    };
    let mut rng = Rng::with_seed(seed(&format!("power cuts of the {level:?}")));
    let (mut hits, mut counts, mut lost) = (Hits::default(), Counts::default(), 0);
    let mut place = volume.path().join("0");
    let mut subject = Subject::new(level, &place);
    for cut in 0..cuts {
        if subject.is_long() {
            counts.add(subject.end());
            fs::remove_dir_all(&place).unwrap();
            place = volume.path().join(cut.to_string());
            subject = Subject::new(level, &place);
        }
        let synced = write(&volume.path().join("synced"), cut, true);
        let switch = volume.switch().unwrap();
        let before = subject.segments();
        let mut writer = subject.order(MANY).start(&[]);
        // The first one has something to lose, and the second hits a roll for sure.
        let aim = match (cut, rng.u32(..8)) {
            (0, _) => Aim::Load,
            (1, _) | (_, 0..3) => Aim::Roll,
            (_, 3..5) => Aim::Opening,
            _ => Aim::Load,
        };
        let moments_us = match aim {
            Aim::Opening => 0..15_000,
            Aim::Load => 50_000..200_000,
            Aim::Roll => 0..rng.choice([1, 1_000, 10_000]).unwrap_or(1),
        };
        if aim != Aim::Opening {
            writer.wait_for(Phase::Running);
        }
        if aim == Aim::Roll {
            // Not those that it makes when it opens.
            wait_for_a_roll(&subject);
        }
        // The moment is what is drawn; there is nothing to wait for.
        thread::sleep(Duration::from_micros(rng.u64(moments_us)));
        let seen = subject.segments();
        let unsynced = write(&volume.path().join(format!("unsynced-{cut}")), cut, false);
        switch.cut(writer.id()).unwrap();
        let ended = writer.end();
        volume.unmount().unwrap();
        volume.mount().unwrap();
        // The tool has to do what it is there for: keep what was synced, lose what was not.
        assert_eq!(fs::read(volume.path().join("synced")).unwrap(), synced, "the power cut lost what was synced");
        lost += u64::from(fs::read(volume.path().join(format!("unsynced-{cut}"))).unwrap_or_default() != unsynced);
        hits.note(&ended, &subject.log_dir());
        let left = subject.segments();
        hits.rolls += left.difference(&before).count() as u64;
        hits.rolling += u64::from(aim == Aim::Roll);
        hits.unnamed += seen.difference(&left).count() as u64;
        subject.hear(&ended);
        if subject.is_there() {
            hits.unfinished += u64::from(subject.check(&mut rng).unfinished);
        }
    }
    counts.add(subject.end());
    println!(
        "kernel: {cuts} power cuts of the {level:?} ({hits}; {lost} of {cuts} unsynced control files \
         lost, 0 of {cuts} synced ones), {counts}"
    );
    assert!(hits.rolls > 0, "no segment was begun, so no roll was tested");
    assert!(cuts < 2 || hits.rolling > 0, "no power cut was aimed at a roll");
    assert!(lost > 0, "no power cut lost an unsynced file, so nothing was tested");
    assert!(counts.acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    Outcome::Passed
}

/// Waits until the writer begins a segment.
fn wait_for_a_roll(subject: &Subject) {
    let (before, start) = (subject.segments(), Instant::now());
    while subject.segments().is_subset(&before) {
        assert!(start.elapsed() < PATIENCE, "a writer under load began no segment for {PATIENCE:?}");
        thread::yield_now();
    }
}

/// A control file, synced with its name or not at all.
fn write(path: &Path, cut: usize, sync: bool) -> Vec<u8> {
    let bytes = format!("cut {cut}").into_bytes().repeat(2000);
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&bytes).unwrap();
    if sync {
        file.sync_all().unwrap();
        let dir = path.parent().unwrap();
        fs::File::open(dir).and_then(|dir| dir.sync_all()).unwrap();
    }
    bytes
}

/// Whether its power can be cut, tried once.
fn probe(mut volume: Volume) -> Result<Volume, String> {
    volume.switch()?.cut(0)?;
    volume.unmount()?;
    volume.mount()?;
    Ok(volume)
}
