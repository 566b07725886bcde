//! What is wrong with the disk, in the contract's words.

use std::io::{
    self,
    ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull},
};

use super::Unsafe;
use super::tree::Fault;
use crate::contract;

/// The disk's answer to opening or writing the file.
pub(super) fn of_io(path: &str, e: &io::Error) -> contract::Error {
    let (code, message, hint) = if [StorageFull, QuotaExceeded].contains(&e.kind()) {
        (
            "storage.full",
            format!("the disk has no room for {path}; running on from RAM"),
            "free space on the disk of the state directory",
        )
    } else if [ReadOnlyFilesystem, PermissionDenied].contains(&e.kind()) {
        (
            "storage.read_only",
            format!("{path} cannot be written ({e}); running on from RAM"),
            "make the state directory writable for the daemon's user, or set state_dir",
        )
    } else {
        (
            "storage.failed",
            format!("{path} does not work ({e}); running on from RAM"),
            "look at the kernel's messages about this disk",
        )
    };
    contract::Error::new(code, message).hint(hint).retryable()
}

pub(super) fn of_fault(path: &str, fault: &Fault) -> contract::Error {
    match fault {
        Fault::Io(e) => of_io(path, e),
        Fault::Corrupt(_) => contract::Error::new("storage.failed", format!("{path}: {fault}")),
    }
}

/// A corrupt file lay in the way.
pub(super) fn set_aside(aside: &str, fault: &Fault) -> contract::Error {
    let message =
        format!("{fault}; it is set aside as {aside}, the store goes on with what could be read");
    contract::Error::new("storage.corrupt", message)
        .hint("retained messages, sessions and command records may be missing")
}

/// What the journal had is lost in part.
pub(super) fn journal_lost(path: &str, how: &str) -> contract::Error {
    contract::Error::new("storage.corrupt", format!("{path} is damaged: {how}"))
        .hint("the newest retained messages, sessions and command records may be missing")
}

/// For those who wait.
pub(super) fn as_unsafe(cause: &contract::Error) -> Unsafe {
    let code = match cause.code.as_str() {
        "storage.full" => "storage.full",
        "storage.read_only" => "storage.read_only",
        _ => "storage.failed",
    };
    Unsafe { code, message: cause.message.clone() }
}

/// The writer is behind by more than the store may hold in RAM.
pub(super) fn behind(cause: Option<&contract::Error>) -> Unsafe {
    cause.map_or_else(
        || Unsafe {
            code: "storage.busy",
            message: "the disk is too slow for what is written".to_owned(),
        },
        as_unsafe,
    )
}

/// The daemon is going down.
pub(super) fn closed() -> Unsafe {
    Unsafe { code: "storage.failed", message: "the store is closed".to_owned() }
}
