//! How a tree comes to be, and how a corrupt one is set aside: never thrown away at once, and made anew
//! from what can be read.
//!
//! ```text
//!   maestro.redb.new --> maestro.redb            the first, or the same rows in a smaller file
//!   maestro.redb.new (made of the rows of a corrupt one) --> maestro.redb.rebuilt
//!       maestro.redb (corrupt) --> maestro.redb.corrupt-<n>
//!       maestro.redb.rebuilt --> maestro.redb
//! ```
//! Only a complete file gets another name, so a crash leaves nothing that looks corrupt; the next start
//! finishes.

use std::io;

use super::backend::{Backend, Overlay};
use super::disk::{Disk, DiskFile, JOURNAL, NEW, REBUILT, TREE};
use super::tree::{Check, Fault, Tree};

/// Files set aside that are kept: enough to send one to somebody, not enough to fill a flash.
const KEPT: usize = 3;

/// Finishes what a crash left half done.
pub(super) fn finish(disk: &impl Disk) -> io::Result<()> {
    let names = match disk.names(TREE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names?,
    };
    let there = |wanted: &str| names.iter().any(|name| name == wanted);
    if there(NEW) {
        disk.remove(NEW)?;
    }
    match (there(REBUILT), there(TREE)) {
        (true, true) => replace(disk).map(drop),
        (true, false) => disk.rename(REBUILT, TREE),
        (false, _) => Ok(()),
    }
}

/// Opens the tree; makes it when it is not there.
pub(super) fn open<D: Disk>(disk: &D, check: Check) -> Result<Tree, Fault> {
    let there = disk.open_to_read(TREE).and_then(|file| file.len());
    match there {
        Ok(1..) => {}
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Fault::Io(e)),
        Ok(0) | Err(_) => {
            let tree = make(disk)?;
            disk.rename(NEW, TREE).map_err(Fault::Io)?;
            return Ok(tree);
        }
    }
    let file = disk.open(TREE).map_err(Fault::Io)?;
    file.forget();
    Tree::open(Backend(file), check)
}

fn make<D: Disk>(disk: &D) -> Result<Tree, Fault> {
    let _ = disk.remove(NEW); // mostly not there
    Tree::open(Backend(disk.open(NEW).map_err(Fault::Io)?), Check::AfterCrash)
}

/// Puts a copy in the place of a tree that is in good order, whose own file redb would not make
/// smaller. After an error nobody knows which of the two has the name.
pub(super) fn anew<D: Disk>(disk: &D, old: &Tree) -> Result<Tree, Fault> {
    let copied = make(disk).and_then(|tree| tree.copy_from(old).map(|()| tree));
    let tree = match copied {
        Ok(tree) => tree,
        Err(fault) => {
            let _ = disk.remove(NEW); // or at the next start
            return Err(fault);
        }
    };
    disk.rename(NEW, TREE).map_err(Fault::Io)?;
    Ok(tree)
}

/// Sets the tree aside; another, with the rows that can be read, takes its place. Gives it and the
/// name of the old.
pub(super) fn rebuild<D: Disk>(disk: &D) -> Result<(Tree, String), Fault> {
    let rebuilt = match copy_readable(disk) {
        Err(fault) if fault.is_full() => {
            make_room(disk).map_err(Fault::Io)?; // files set aside earlier are worth less
            copy_readable(disk)
        }
        done => done,
    };
    let rebuilt = rebuilt.and_then(|tree| {
        disk.rename(NEW, REBUILT).map_err(Fault::Io)?;
        Ok((tree, replace(disk).map_err(Fault::Io)?))
    });
    if rebuilt.is_err() {
        let _ = disk.remove(NEW); // or at the next start
    }
    rebuilt
}

fn copy_readable<D: Disk>(disk: &D) -> Result<Tree, Fault> {
    let rebuilt = make(disk)?;
    let overlay = disk.open_to_read(TREE).and_then(Overlay::over);
    let old = overlay.ok().and_then(|overlay| Tree::open(overlay, Check::AfterCrash).ok());
    if let Some(old) = old {
        rebuilt.copy_from(&old)?;
        old.close();
    }
    Ok(rebuilt)
}

fn replace(disk: &impl Disk) -> io::Result<String> {
    let name = next_name(disk, TREE)?;
    disk.rename(TREE, &name)?;
    disk.rename(REBUILT, TREE)?;
    Ok(name)
}

/// Gives a file that cannot be read another name.
pub(super) fn rename(disk: &impl Disk, of: &str) -> io::Result<String> {
    let name = next_name(disk, of)?;
    disk.rename(of, &name)?;
    Ok(name)
}

/// Keeps a copy of bytes that belonged to a file.
pub(super) fn copy(disk: &impl Disk, of: &str, bytes: &[u8]) -> io::Result<String> {
    let name = next_name(disk, of)?;
    let file = disk.open(&name)?;
    file.write(0, bytes)?;
    file.sync()?;
    Ok(name)
}

/// The name for the next file set aside; the oldest makes room for it.
fn next_name(disk: &impl Disk, of: &str) -> io::Result<String> {
    let last = make_room_of(disk, of, KEPT - 1)?;
    Ok(format!("{of}.corrupt-{}", last + 1))
}

fn make_room(disk: &impl Disk) -> io::Result<()> {
    make_room_of(disk, TREE, 0)?;
    make_room_of(disk, JOURNAL, 0).map(drop)
}

/// Removes all but the newest; gives the highest number.
fn make_room_of(disk: &impl Disk, of: &str, kept: usize) -> io::Result<u64> {
    let prefix = format!("{of}.corrupt-");
    let names = disk.names(&prefix)?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok()).collect();
    numbers.sort_unstable();
    for number in &numbers[..numbers.len().saturating_sub(kept)] {
        disk.remove(&format!("{prefix}{number}"))?;
    }
    Ok(numbers.last().copied().unwrap_or(0))
}
