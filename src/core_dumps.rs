//! Disables core dumps, because the memory of this process contains the API key and the password of the database.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Disables core dumps of this process, and prevents other processes of the same user from reading its memory. Child
/// processes inherit the size limit for core dumps.
pub fn disable() {
    // A sandbox may forbid these calls. The program works without them.
    setrlimit(Resource::RLIMIT_CORE, 0, 0).ok();
    // The kernel ignores the size limit if it pipes core dumps to a program (`kernel.core_pattern`). It never dumps a process
    // that is not dumpable.
    prctl::set_dumpable(false).ok();
}
