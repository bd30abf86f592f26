//! A file system of its own, in a file: ext4 on a loop device, and its power switch. It is gone when it is dropped.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// A disk of its own for a program's data: see the module. It needs root, `mkfs.ext4`, `mount` and a loop device.
#[derive(Debug)]
pub struct Volume {
    image: PathBuf,
    mounted: bool,
    // The last to be dropped: the mount point is in it.
    temp: TempDir,
}

/// EXT4_IOC_SHUTDOWN with NOLOGFLUSH: nothing that is not on the device gets there any more, as without power. The
/// process is killed just before: a program cannot tell anybody anything after its power was cut, but on a file system
/// that was shut down meanwhile, a sync under way may say that all is well and have lost what it was for.
const SHUTDOWN: [(&str, &str, &str); 2] = [
    (
        "python3",
        "-c",
        "import fcntl,os,struct,sys; d=os.open(sys.argv[1],os.O_RDONLY); f=struct.pack('I',2);\
         print('ready',flush=True); p=int(sys.stdin.readline());\
         p and os.kill(p,9); fcntl.ioctl(d,0x8004587d,f)",
    ),
    (
        "perl",
        "-e",
        "$|=1; open(my $d,'<',$ARGV[0]) or die $!; my $f=pack('I',2); print \"ready\\n\"; my $p=<STDIN>; chomp $p;\
         kill 'KILL',$p if $p; ioctl($d,0x8004587d,$f) or die $!",
    ),
];

impl Volume {
    /// Makes and mounts one of so many MiB; they are taken from the real disk only as they are written.
    ///
    /// # Errors
    /// What is missing: being root, a tool, or a loop device.
    pub fn new(mib: u64) -> Result<Self, String> {
        let temp = TempDir::new().map_err(|error| error.to_string())?;
        let image = temp.path().join("image");
        let file = fs::File::create(&image).and_then(|file| file.set_len(mib << 20));
        file.map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q", "-m", "0", &text(&image)])?;
        fs::create_dir(temp.path().join("mount")).map_err(|error| error.to_string())?;
        let mut volume = Self { image, mounted: false, temp };
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.temp.path().join("mount")
    }

    /// Mounts it.
    ///
    /// # Errors
    /// As [`Volume::new`].
    pub fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o", "loop", &text(&self.image), &text(&self.path())])?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts it; waits a second for whoever is still in it.
    ///
    /// # Errors
    /// Somebody is still in it.
    pub fn unmount(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        for _ in 0..50 {
            outcome = run("umount", &[&text(&self.path())]);
            if outcome.is_ok() {
                self.mounted = false;
                return outcome;
            }
            thread::sleep(Duration::from_millis(20));
        }
        outcome
    }

    /// Gets everything ready to cut its power.
    ///
    /// # Errors
    /// That there is neither Python nor Perl.
    pub fn switch(&self) -> Result<Switch, String> {
        for (tool, flag, script) in SHUTDOWN {
            let mut command = Command::new(tool);
            command.args([flag, script, &text(&self.path())]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let Ok(mut child) = command.stderr(Stdio::piped()).spawn() else { continue };
            let mut ready = [0; 6];
            if child.stdout.take().is_some_and(|mut out| out.read_exact(&mut ready).is_ok()) {
                return Ok(Switch(child));
            }
            child.wait().map_err(|error| error.to_string())?;
        }
        Err("neither python3 nor perl runs, to shut the file system down".to_owned())
    }
}

/// A power switch that is ready.
#[derive(Debug)]
pub struct Switch(Child);

impl Switch {
    /// Cuts the power of a process and of the volume off; of the volume alone, if there is no process (0).
    ///
    /// # Errors
    /// That the file system cannot do it.
    pub fn cut(mut self, process: u32) -> Result<(), String> {
        let told = self.0.stdin.take().map(|mut input| writeln!(input, "{process}"));
        let output = self.0.wait_with_output().map_err(|error| error.to_string())?;
        match output.status.success() && matches!(told, Some(Ok(()))) {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            // Whoever is still in it keeps it until it goes.
            drop(run("umount", &["-l", &text(&self.path())]));
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Runs a tool; its words are the error.
fn run(tool: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(tool).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{tool}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))),
    }
}
