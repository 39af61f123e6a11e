//! Limits the number of monitoring connections. At the limit, a new connection replaces the oldest one.
//!
//! A request is answered at once, so the oldest connection belongs to a client that is slow or idle. If new connections were
//! rejected instead, one client with many idle connections could block every health check, and a supervisor would restart a
//! healthy process.

use futures_util::future::{AbortHandle, AbortRegistration};

/// Maximum number of open connections.
const MAX: usize = 32;

/// Number of connections that only loopback clients can use. A supervisor on this machine restarts a process that does not
/// respond, so clients on other machines must not block it.
const RESERVED_FOR_LOOPBACK: usize = 2;

/// The open connections, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Slots {
    open: Vec<Slot>,
    /// Number of the newest connection.
    newest: u64,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    is_loopback: bool,
    handle: AbortHandle,
}

impl Slots {
    /// Adds a connection and returns its number. At the limit, aborts the oldest connection first; a remote connection at the
    /// limit for remote ones replaces the oldest remote one.
    pub(super) fn admit(&mut self, is_loopback: bool) -> (u64, AbortRegistration) {
        let remote = self.open.iter().filter(|slot| !slot.is_loopback).count();
        if !is_loopback && remote >= MAX - RESERVED_FOR_LOOPBACK {
            self.abort_first(|slot| !slot.is_loopback);
        } else if self.open.len() >= MAX {
            self.abort_first(|_| true);
        }
        let (handle, registration) = AbortHandle::new_pair();
        self.newest += 1;
        self.open.push(Slot { number: self.newest, is_loopback, handle });
        (self.newest, registration)
    }

    /// Aborts the oldest connection. This frees a file descriptor when a new connection could not be accepted.
    pub(super) fn abort_oldest(&mut self) {
        self.abort_first(|_| true);
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&mut self, number: u64) {
        self.open.retain(|slot| slot.number != number);
    }

    /// Aborts the oldest of the connections that match.
    fn abort_first(&mut self, is_match: impl Fn(&Slot) -> bool) {
        if let Some(oldest) = self.open.iter().position(is_match) {
            self.open.remove(oldest).handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(slots: &Slots) -> Vec<u64> {
        slots.open.iter().map(|slot| slot.number).collect()
    }

    #[test]
    fn a_remote_connection_replaces_the_oldest_remote_one() {
        let mut slots = Slots::default();
        slots.admit(true);

        (0..31).for_each(|_| drop(slots.admit(false)));

        assert_eq!(open(&slots), [1].into_iter().chain(3..=32).collect::<Vec<_>>());
    }

    #[test]
    fn two_connections_are_reserved_for_loopback() {
        let mut slots = Slots::default();
        (0..100).for_each(|_| drop(slots.admit(false)));
        let remote = open(&slots);

        slots.admit(true);
        slots.admit(true);
        assert_eq!(open(&slots)[..30], remote, "no connection was aborted");
        slots.admit(true);

        assert_eq!(open(&slots).len(), MAX);
        assert_eq!(open(&slots)[..29], remote[1..], "the oldest connection was aborted");
    }

    #[test]
    fn an_ended_connection_frees_its_slot_and_the_oldest_of_the_others_can_be_aborted() {
        let mut slots = Slots::default();
        let (first, registration) = slots.admit(false);
        let (second, _) = slots.admit(false);

        slots.remove(second);
        slots.abort_oldest();
        slots.abort_oldest();

        assert!(registration.handle().is_aborted() && first == 1);
        assert_eq!(open(&slots), Vec::<u64>::new());
    }
}
