//! Power lost at random times. An image of an ext4 file system lies on an XFS that can share blocks: a copy of the image made in
//! an instant is what had reached the device. Everything that was acknowledged before it must be in it. A disk that is not
//! waited for is the control: it must lose something.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use runner::history::Id;
use runner::store::{Found, Inventory};

use crate::form::{Form, Row, Skip};
use crate::machine::{self, Mount, PATIENCE};
use crate::state;
use crate::victim::NO_SYNC;
use crate::world::TRUNK;

const OUTER_BYTES: u64 = 6 << 30;
const INNER_BYTES: u64 = 1 << 30;
const SNAPSHOTS: u64 = 200;
const CONTROL_SNAPSHOTS: u64 = 20;
/// Newest checkpoints of a snapshot that are read whole; of the others as many by chance.
const READ: usize = 60;

pub fn run(form: &Form) -> Result<Row, Skip> {
    if !form.long {
        return Err(Skip("- (long form only)".into()));
    }
    if !machine::is_root() {
        return Err(Skip("needs root".into()));
    }
    if let Some(why) = machine::missing(&["mkfs.xfs", "mkfs.ext4", "losetup", "mount", "cp", "sync"]) {
        return Err(Skip(why));
    }
    let device = Device::new().map_err(|why| Skip(format!("needs loop devices and an XFS that shares blocks: {why}")))?;
    let expected = tensors_of_an_undisturbed_run();
    let mut random = form.random(0, 0);
    let mut row = Row::default();
    let (lost, bad) = losses(form, &device, true, SNAPSHOTS, &mut random, &expected);
    row.tried += SNAPSHOTS;
    row.bad += bad;
    row.note(format!("{lost} of {SNAPSHOTS} snapshots lost something that was acknowledged"));
    let (lost, _) = losses(form, &device, false, CONTROL_SNAPSHOTS, &mut random, &expected);
    row.note(format!("control, without waiting for the disk: {lost} of {CONTROL_SNAPSHOTS}"));
    row.tried += 1;
    if lost == 0 {
        row.bad += 1;
        form.say_bad("control", 0, "a disk that is not waited for lost nothing: the snapshots prove nothing");
    }
    Ok(row)
}

/// Many checkpoints, one after another.
fn long_trunk(max_step: u64) -> String {
    let text = TRUNK.replace("max_step: 20", &format!("max_step: {max_step}"));
    text.replace("evaluate_every: 10", "evaluate_every: 1_000_000")
}

/// Steps until which results are known; a run on the device does not come so far.
const KNOWN: u64 = 20_000;
/// Steps a run on the device is asked for.
const ASKED: u64 = 100_000;

/// What the tensors of each checkpoint must be.
fn tensors_of_an_undisturbed_run() -> BTreeMap<Id, String> {
    let world = machine::empty_world();
    world.write("experiments/trunk.ron", &long_trunk(KNOWN));
    machine::finish(&mut machine::victim(world.path(), "trunk"), Duration::from_secs(600)).unwrap().success().unwrap();
    let inventory = world.store().inventory();
    inventory.checkpoints.into_iter().map(|(id, found)| (id, found.manifest.tensors)).collect()
}

/// The device, as a file on a file system that copies in an instant.
struct Device {
    // Dropped in this order.
    outer: Mount,
    _folder: tempfile::TempDir,
}

impl Device {
    fn new() -> Result<Device, String> {
        let folder = machine::folder();
        let image = folder.path().join("outer.img");
        File::create(&image).and_then(|file| file.set_len(OUTER_BYTES)).map_err(|error| error.to_string())?;
        machine::system("mkfs.xfs", &["-q", "-m", "reflink=1", image.to_str().unwrap()])?;
        Ok(Device { outer: Mount::image(&image)?, _folder: folder })
    }

    fn image(&self) -> PathBuf {
        self.outer.path().join("inner.img")
    }

    /// A new, empty file system on the device.
    fn formatted(&self) -> Result<Mount, String> {
        let image = self.image();
        let _ = fs::remove_file(&image);
        File::create(&image).and_then(|file| file.set_len(INNER_BYTES)).map_err(|error| error.to_string())?;
        machine::system("mkfs.ext4", &["-q", "-F", "-i", "4096", image.to_str().unwrap()])?;
        Mount::image(&image)
    }

    /// What has reached the device by now.
    fn snapshot(&self, number: u64) -> Result<PathBuf, String> {
        let copy = self.outer.path().join(format!("snapshot-{number}.img"));
        machine::system("cp", &["--reflink=always", self.image().to_str().unwrap(), copy.to_str().unwrap()])?;
        Ok(copy)
    }
}

/// A process that is killed when dropped, so that nothing stays mounted.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes snapshots under load and reads them: how many lost something acknowledged, and how many were bad in any way.
fn losses(
    form: &Form,
    device: &Device,
    synced: bool,
    count: u64,
    random: &mut ChaCha8Rng,
    expected: &BTreeMap<Id, String>,
) -> (u64, u64) {
    let snapshots = snapshots(device, synced, count, random);
    let part = if synced { "snapshot" } else { "control" };
    let (mut lost, mut bad) = (0, 0);
    for (number, (image, acknowledged)) in (0..).zip(snapshots) {
        let read = Mount::image(&image).map(|mount| {
            let project = mount.path().join("project");
            let world = Reading { path: project.clone(), inventory: inventory(&project) };
            let missing = world.missing(&acknowledged);
            let rest = world.check(random, expected).and_then(|()| match synced && number % 40 == 7 {
                true => world.resume(expected),
                false => Ok(()),
            });
            (missing, rest)
        });
        let (missing, rest) = match read {
            Ok((missing, rest)) => (missing, rest),
            Err(error) => (None, Err(format!("it cannot be mounted: {error}"))),
        };
        lost += u64::from(missing.is_some());
        if missing.is_some() || rest.is_err() {
            bad += 1;
            if synced {
                let what = [missing, rest.err()].into_iter().flatten().collect::<Vec<_>>().join("; and ");
                form.say_bad(part, number, &format!("{} checkpoints acknowledged: {what}", acknowledged.len()));
            }
        }
        let _ = fs::remove_file(&image);
    }
    (lost, bad)
}

/// Images, with the checkpoints that were acknowledged before each was taken.
fn snapshots(device: &Device, synced: bool, count: u64, random: &mut ChaCha8Rng) -> Vec<(PathBuf, Vec<String>)> {
    let inner = device.formatted().unwrap();
    let project = inner.path().join("project");
    fs::create_dir_all(project.join("experiments")).unwrap();
    fs::write(project.join("experiments/trunk.ron"), long_trunk(ASKED)).unwrap();
    machine::system("sync", &[]).unwrap();
    // Outside of the image: what was said stays said.
    let said = machine::folder();
    let said = said.path().join("said");
    let mut command = machine::victim(&project, "trunk");
    if !synced {
        command.env(NO_SYNC, "1");
    }
    command.stdin(Stdio::null()).stdout(File::create(&said).unwrap()).stderr(Stdio::null());
    let mut victim = Victim(command.spawn().unwrap());
    let acknowledged = || -> Vec<String> {
        let text = fs::read_to_string(&said).unwrap();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| line.strip_prefix("saved ")).map(str::to_owned).collect()
    };
    let began = Instant::now();
    while acknowledged().is_empty() {
        assert!(began.elapsed() < PATIENCE, "nothing was saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut snapshots = Vec::new();
    for number in 0..count {
        std::thread::sleep(Duration::from_millis(random.random_range(3..60)));
        let before = acknowledged();
        snapshots.push((device.snapshot(number).unwrap(), before));
        assert!(victim.0.try_wait().unwrap().is_none(), "the run ended before snapshot {number}");
    }
    drop(victim);
    drop(inner);
    snapshots
}

fn inventory(project: &Path) -> Inventory {
    let disk = std::sync::Arc::new(runner::store::RealDisk);
    runner::store::Store::new(project.join("runs"), disk).inventory()
}

/// A project in a snapshot.
struct Reading {
    path: PathBuf,
    inventory: Inventory,
}

impl Reading {
    fn store(&self) -> runner::store::Store {
        runner::store::Store::new(self.path.join("runs"), std::sync::Arc::new(runner::store::RealDisk))
    }

    /// The first checkpoint that was acknowledged and is not there.
    fn missing(&self, acknowledged: &[String]) -> Option<String> {
        let runs = self.path.join("runs");
        let there: std::collections::BTreeSet<&Path> =
            self.inventory.checkpoints.values().filter_map(|found| found.path.strip_prefix(&runs).ok()).collect();
        let missing = acknowledged.iter().find(|path| !there.contains(Path::new(path.as_str())))?;
        Some(format!("`{missing}` was acknowledged and is not there ({} are)", there.len()))
    }

    /// An error where something is damaged, does not verify, or is another than it must be.
    fn check(&self, random: &mut ChaCha8Rng, expected: &BTreeMap<Id, String>) -> Result<(), String> {
        let store = self.store();
        if let Some((path, why)) = self.inventory.damaged.first() {
            return Err(format!("damaged: `{}`: {why}", store.shown(path)));
        }
        let mut all: Vec<&Found> = self.inventory.checkpoints.values().collect();
        all.sort_by_key(|found| std::cmp::Reverse(found.manifest.step));
        let by_chance = (0..READ.min(all.len())).map(|_| all[random.random_range(0..all.len())]).collect::<Vec<_>>();
        for found in all.iter().copied().take(READ).chain(by_chance) {
            store.verify(found).map_err(|error| error.to_string())?;
        }
        let other = |found: &&Found| expected.get(&found.manifest.id).is_some_and(|tensors| *tensors != found.manifest.tensors);
        match all.iter().copied().find(other) {
            None => Ok(()),
            Some(found) => Err(format!("step {} has other tensors than it must have", found.manifest.step)),
        }
    }

    /// Goes on in the snapshot, a few steps further than what is there.
    fn resume(&self, expected: &BTreeMap<Id, String>) -> Result<(), String> {
        let last = self.inventory.checkpoints.values().map(|found| found.manifest.step).max().unwrap_or(0);
        let experiment = self.path.join("experiments/trunk.ron");
        fs::write(&experiment, long_trunk(last + 10)).map_err(|error| error.to_string())?;
        machine::finish(&mut machine::victim(&self.path, "trunk"), PATIENCE)?
            .success()
            .map_err(|what| format!("resumed: {what}"))?;
        state::sound(&self.store()).map_err(|what| format!("resumed: {what}"))?;
        let inventory = self.store().inventory();
        let end = inventory.checkpoints.values().max_by_key(|found| found.manifest.step).ok_or("resumed: nothing is there")?;
        match (end.manifest.step, expected.get(&end.manifest.id)) {
            (step, _) if step != last + 10 => Err(format!("resumed: it ends at step {step}, not {}", last + 10)),
            (_, Some(tensors)) if *tensors != end.manifest.tensors => Err("resumed: the end has other tensors".into()),
            _ => Ok(()),
        }
    }
}
