//! Power cuts: ext4 on a loop device, shut down at a drawn moment without flushing anything, and mounted again.

use std::{fs, io::Write, path::Path, thread, time::Duration};

use fastrand::Rng;

use crate::{
    Outcome,
    child::{Level, Phase},
    count,
    history::Counts,
    kills::{Hits, MANY, Subject},
    seed,
    volume::Volume,
};

const MIB: u64 = 512;

/// The cuts of one level.
pub fn run(level: Level) -> Outcome {
    let cuts = count("FACTUM_CUTS", 3);
    let mut volume = match Volume::new(MIB).and_then(|volume| volume.probe()) {
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
        let mut writer = subject.order(MANY).start(&[]);
        // A few cuts fall into the opening; the first one does not, so that there is something to lose.
        let moments_us = if cut > 0 && rng.u32(..4) == 0 { 0..15_000 } else { 50_000..200_000 };
        if moments_us.start > 0 {
            writer.wait_for(Phase::Running);
        }
        // The moment is what is drawn; there is nothing to wait for.
        thread::sleep(Duration::from_micros(rng.u64(moments_us)));
        let unsynced = write(&volume.path().join(format!("unsynced-{cut}")), cut, false);
        switch.cut(writer.id()).unwrap();
        let ended = writer.end();
        volume.unmount().unwrap();
        volume.mount().unwrap();
        // The tool has to do what it is there for: keep what was synced, lose what was not.
        assert_eq!(fs::read(volume.path().join("synced")).unwrap(), synced, "the power cut lost what was synced");
        lost += u64::from(fs::read(volume.path().join(format!("unsynced-{cut}"))).unwrap_or_default() != unsynced);
        hits.note(&ended, &subject.log_dir());
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
    assert!(lost > 0, "no power cut lost an unsynced file, so nothing was tested");
    assert!(counts.acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    Outcome::Passed
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

impl Volume {
    /// Whether its power can be cut, tried once.
    fn probe(mut self) -> Result<Self, String> {
        self.switch()?.cut(0)?;
        self.unmount()?;
        self.mount()?;
        Ok(self)
    }
}
