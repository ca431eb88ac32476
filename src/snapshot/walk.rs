// SPDX-License-Identifier: Apache-2.0
//! The walk that capture and diff share: every directory once, what it holds
//! with one `stat` per name that is not known, then the directories in it, in order of bytes.
//! What a large directory holds comes in parts, so that memory grows with its names only.
//! It looks ahead, on a thread of its own, while what it has found is dealt with.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};

use super::known::{Known, KnownEntry, XattrHint};
use super::packed::{Taker, put_bytes, put_stat};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::rootfs::{Dir, FsOps, Kind, Name, RootPath, Stat};

/// How many directories of the current path are kept open. Further up they are
/// opened again when the walk comes back, so that depth costs no handles.
const OPEN_DIRS: usize = 24;
/// How many names of a directory come together, and how many names are handed over together,
/// or how many directories if these are more: each is an open handle.
const BATCH_NAMES: usize = 512;
const BATCH_DIRS: usize = 16;
/// How many batches the walk is ahead at most.
const AHEAD: usize = 2;

/// A name in a directory.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) name: Box<[u8]>,
    pub(super) stat: Stat,
    /// What was known of it before.
    pub(super) known: KnownEntry,
}

impl Child {
    pub(super) fn name(&self) -> Result<Name<'_>> {
        Name::new(&self.name)
    }
}

/// A directory.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: RootPath,
    pub(super) dir: Arc<Dir>,
    pub(super) stat: Stat,
    /// What was known of it before.
    pub(super) known: KnownEntry,
}

/// A directory and what is in it, or the next part of that, sorted by name.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) place: Place,
    pub(super) children: Vec<Child>,
    /// Whether it begins with the first name of the directory, and ends with the last one.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// What is done on a walk.
pub(super) trait Visitor {
    /// A directory, before those that are in it; once for each part of what it holds.
    fn enter(&mut self, listing: &Listing) -> Result<()>;

    /// The end of the directory that was entered last and not left yet.
    fn leave(&mut self) -> Result<()>;
}

/// Shows a whole tree to a visitor.
pub(super) fn walk(fs: &dyn FsOps, visitor: &mut dyn Visitor) -> Result<()> {
    run(fs, None, visitor)
}

/// As [`walk`], of a tree of which something is known.
pub(super) fn walk_knowing(
    fs: &dyn FsOps,
    known: &mut dyn Known,
    visitor: &mut dyn Visitor,
) -> Result<()> {
    run(fs, Some(known), visitor)
}

fn run<'a>(fs: &'a dyn FsOps, known: Knowledge<'a>, visitor: &mut dyn Visitor) -> Result<()> {
    std::thread::scope(|scope| {
        let (batches, found) = mpsc::sync_channel(AHEAD);
        let walk = Walk {
            fs,
            known,
            frames: Vec::new(),
            batch: Batch::default(),
            batches,
            visit: Visit::Goes,
        };
        let walker = std::thread::Builder::new().spawn_scoped(scope, || walk.run());
        let walker = walker.context("start a thread")?;
        let visited = show(found, visitor);
        let walked = walker.join().unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Io, "internal error: the walk over the tree panicked"))
        });
        visited.and(walked)
    })
}

fn show(found: mpsc::Receiver<Vec<Step>>, visitor: &mut dyn Visitor) -> Result<()> {
    for step in found.into_iter().flatten() {
        match step {
            Step::Enter(listing) => visitor.enter(&listing)?,
            Step::Leave => visitor.leave()?,
        }
    }
    Ok(())
}

/// What is shown to the visitor.
enum Step {
    Enter(Listing),
    Leave,
}

/// Steps that are handed over together.
#[derive(Default)]
struct Batch {
    steps: Vec<Step>,
    names: usize,
    dirs: usize,
}

impl Batch {
    fn push(&mut self, step: Step) {
        if let Step::Enter(listing) = &step {
            self.names += listing.children.len();
            self.dirs += 1;
        }
        self.steps.push(step);
    }

    fn is_full(&self) -> bool {
        self.names >= BATCH_NAMES || self.dirs >= BATCH_DIRS
    }
}

/// Whether there is anybody to show more to. Who has left says why.
#[derive(Debug, PartialEq, Eq)]
enum Visit {
    Goes,
    Over,
}

/// What is known of a tree; `None` if nothing is, which costs less than to ask for each name.
type Knowledge<'a> = Option<&'a mut dyn Known>;

/// What a name is, and what was known of it.
fn entry_of(
    known: &mut Knowledge<'_>,
    path: impl FnOnce() -> RootPath,
    look: &dyn Fn() -> io::Result<Stat>,
) -> io::Result<(Stat, KnownEntry)> {
    match known {
        Some(known) => known.entry(&path(), look),
        None => look().map(|stat| (stat, KnownEntry::default())),
    }
}

struct Walk<'a> {
    fs: &'a dyn FsOps,
    known: Knowledge<'a>,
    frames: Vec<Frame>,
    batch: Batch,
    batches: SyncSender<Vec<Step>>,
    visit: Visit,
}

/// A directory that has been entered.
struct Frame {
    path: RootPath,
    /// `None` when it was closed to save handles.
    dir: Option<Arc<Dir>>,
    /// The directories in it that are still to come.
    rest: Rest,
}

/// Directories that are still to come. There may be very many, so they are kept packed.
#[derive(Default)]
struct Rest {
    packed: Vec<u8>,
    /// Where the next one begins.
    next: usize,
}

impl Rest {
    fn push(&mut self, Child { name, stat, known: KnownEntry { digest: _, xattrs } }: &Child) {
        put_bytes(name, &mut self.packed);
        put_stat(stat, &mut self.packed);
        self.packed.push(u8::from(*xattrs == XattrHint::None));
    }

    fn next(&mut self) -> Option<Child> {
        let mut taker = Taker(self.packed.get(self.next..)?);
        let (name, stat) = (taker.bytes()?.into(), taker.stat()?);
        let xattrs = if taker.byte()? == 0 { XattrHint::Ask } else { XattrHint::None };
        self.next = self.packed.len() - taker.0.len();
        Some(Child { name, stat, known: KnownEntry { digest: None, xattrs } })
    }
}

impl Walk<'_> {
    fn run(mut self) -> Result<()> {
        let walked = self.all();
        // What was found before an error comes before it.
        self.hand_over();
        walked
    }

    fn all(&mut self) -> Result<()> {
        let root = RootPath::root();
        let dir = self.fs.open_dir(&root).context("open the root of the tree")?;
        let look = || self.fs.stat_dir(&dir);
        let found = entry_of(&mut self.known, RootPath::root, &look);
        let (stat, known) = found.context("stat the root of the tree")?;
        self.enter(Place { path: root, dir: dir.into(), stat, known })?;
        while self.visit == Visit::Goes
            && let Some(frame) = self.frames.last_mut()
        {
            if let Some(child) = frame.rest.next() {
                self.descend(&child)?;
            } else {
                self.frames.pop();
                self.show(Step::Leave);
            }
        }
        Ok(())
    }

    fn show(&mut self, step: Step) {
        self.batch.push(step);
        if self.batch.is_full() {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if self.batches.send(batch.steps).is_err() {
            self.visit = Visit::Over;
        }
    }

    fn descend(&mut self, child: &Child) -> Result<()> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let path = frame.path.join(child.name()?);
        let parent = match frame.dir.take() {
            Some(dir) => dir,
            None => {
                let dir = self.fs.open_dir(&frame.path);
                dir.with_context(|| at("open", &frame.path))?.into()
            }
        };
        let dir = self.fs.open_child(&parent, child.name()?);
        frame.dir = Some(parent);
        let dir = dir.with_context(|| at("open", &path))?.into();
        let Child { stat, known, .. } = *child;
        self.enter(Place { path, dir, stat, known })
    }

    fn enter(&mut self, place: Place) -> Result<()> {
        let rest = self.list(&place)?;
        let far = self.frames.len().checked_sub(OPEN_DIRS);
        if let Some(frame) = far.and_then(|far| self.frames.get_mut(far)) {
            frame.dir = None;
        }
        let Place { path, dir, .. } = place;
        self.frames.push(Frame { path, dir: Some(dir), rest });
        Ok(())
    }

    /// Shows what is in a directory, and gives the directories among it.
    fn list(&mut self, place: &Place) -> Result<Rest> {
        let names = self.fs.read_dir(&place.dir).with_context(|| at("list", &place.path))?;
        let mut names = names.iter();
        let (mut rest, mut is_first) = (Rest::default(), true);
        loop {
            let children = self.look_at(place, names.by_ref().take(BATCH_NAMES))?;
            let is_dir = |child: &&Child| child.stat.kind == Kind::Dir;
            children.iter().filter(is_dir).for_each(|child| rest.push(child));
            let is_last = names.len() == 0;
            self.show(Step::Enter(Listing { place: place.clone(), children, is_first, is_last }));
            if is_last || self.visit == Visit::Over {
                return Ok(rest);
            }
            is_first = false;
        }
    }

    /// Finds out what some names in a directory are.
    fn look_at<'n>(
        &mut self,
        Place { path, dir, .. }: &Place,
        names: impl Iterator<Item = &'n [u8]>,
    ) -> Result<Vec<Child>> {
        let mut children = Vec::with_capacity(names.size_hint().0);
        for listed in names {
            let name = Name::new(listed)?;
            let look = || self.fs.stat(dir, name);
            match entry_of(&mut self.known, || path.join(name), &look) {
                Ok((stat, known)) => children.push(Child { name: listed.into(), stat, known }),
                // Removed since the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| at("stat", &path.join(name))),
            }
        }
        Ok(children)
    }
}

/// The context of an error: what was done to which path.
pub(super) fn at(action: &str, path: &RootPath) -> String {
    format!("{action} {path:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::Native;
    use std::fs;

    #[derive(Default)]
    struct Record {
        seen: Vec<String>,
        depth: usize,
        most_open: usize,
    }

    impl Visitor for Record {
        fn enter(&mut self, listing: &Listing) -> Result<()> {
            let names = listing.children.iter().map(|child| child.name.escape_ascii().to_string());
            let names: Vec<_> = names.collect();
            self.seen.push(format!("{}: {}", listing.place.path, names.join(" ")));
            self.depth += usize::from(listing.is_first);
            self.most_open = self.most_open.max(fs::read_dir("/proc/self/fd").unwrap().count());
            Ok(())
        }

        fn leave(&mut self) -> Result<()> {
            self.depth -= 1;
            Ok(())
        }
    }

    #[test]
    fn goes_in_order_of_bytes() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["a/x", "a-b", "a.b", "B"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("a/f"), "").unwrap();
        let mut record = Record::default();
        walk(&Native::open(root.path()).unwrap(), &mut record).unwrap();
        assert_eq!(record.seen, [".: B a a-b a.b", "B: ", "a: f x", "a/x: ", "a-b: ", "a.b: "]);
        assert_eq!(record.depth, 0);
    }

    #[test]
    fn deep_trees_take_no_more_handles() {
        let root = tempfile::tempdir().unwrap();
        let mut path = root.path().to_path_buf();
        for _ in 0..300 {
            path.push("d");
            fs::create_dir_all(path.join("e")).unwrap();
        }
        let before = fs::read_dir("/proc/self/fd").unwrap().count();
        let mut record = Record::default();
        walk(&Native::open(root.path()).unwrap(), &mut record).unwrap();
        assert_eq!(record.seen.len(), 601);
        // Other tests open files meanwhile.
        assert!(record.most_open < before + OPEN_DIRS + 100, "{}", record.most_open);
    }
}
