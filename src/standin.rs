//! A stand-in of the Kakao Local API for tests, benchmarks and the demo.
//!
//! It keeps the rules of the real one (page size, listing limit, throttling, the shapes of answers and errors) over a
//! [`World`] that is built by hand or generated around real stations, and it can fail in all the ways in which the
//! real one was seen to fail. [`Standin`] is the handle: [`Standin::bind`] takes a port, [`Listening::serve`] answers,
//! and everything can be switched meanwhile.

mod answer;
mod chance;
pub mod generate;
mod limits;
mod reply;
mod request;
mod ruler;
#[cfg(test)]
mod samples;
mod server;
mod strips;
pub mod switches;
mod traffic;
pub mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use self::generate::{DEMO_PLACES, Recipe};
pub use self::server::Listening;
pub use self::switches::{Fault, Switches};
pub use self::traffic::Recorded;
pub use self::world::{Search, StandinPlace, World};

use self::limits::Limits;
use self::traffic::Traffic;

/// A handle on a stand-in; clones share one.
#[derive(Clone, Debug)]
pub struct Standin(Arc<State>);

#[derive(Debug)]
struct State {
    world: watch::Sender<Arc<World>>,
    switches: watch::Sender<Arc<Switches>>,
    limits: Mutex<Limits>,
    traffic: Traffic,
}

impl Standin {
    /// A stand-in of this world, with all switches at their defaults.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self(Arc::new(State {
            world: watch::Sender::new(Arc::new(world)),
            switches: watch::Sender::new(Arc::default()),
            limits: Mutex::default(),
            traffic: Traffic::default(),
        }))
    }

    /// Takes a port, such as `127.0.0.1:0`; requests wait until [`Listening::serve`] runs.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(&self, listen: SocketAddr) -> io::Result<Listening> {
        Listening::bind(self.clone(), listen).await
    }

    /// Replaces the world, also while it serves.
    pub fn set_world(&self, world: World) {
        self.0.world.send_replace(Arc::new(world));
    }

    /// Replaces all switches, also while it serves.
    pub fn set(&self, switches: Switches) {
        self.0.switches.send_replace(Arc::new(switches));
    }

    /// The switches as they are.
    #[must_use]
    pub fn switches(&self) -> Switches {
        Switches::clone(&self.0.switches.borrow())
    }

    /// Lets the next requests meet these faults, one each, before any key, limit or switch is looked at.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.0.limits).script(faults);
    }

    /// Gives the day's quota back.
    pub fn new_day(&self) {
        locked(&self.0.limits).new_day();
    }

    /// The requests that have arrived.
    #[must_use]
    pub fn requests(&self) -> u64 {
        *self.0.traffic.requests.borrow()
    }

    /// The requests refused for a limit or a spent quota, injected ones included.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.0.traffic.throttled.load(Ordering::SeqCst)
    }

    /// The requests that met a fault.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.0.traffic.faults.load(Ordering::SeqCst)
    }

    /// The most requests that were ever in flight at the same time.
    #[must_use]
    pub fn peak_in_flight(&self) -> usize {
        self.0.traffic.peak.load(Ordering::SeqCst)
    }

    /// The requests that have arrived and have no answer yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.traffic.in_flight.load(Ordering::SeqCst)
    }

    /// The connections that were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.traffic.connections.load(Ordering::SeqCst)
    }

    /// Resolves when so many requests have arrived in all.
    pub async fn reached(&self, requests: u64) {
        // The sender lives as long as the handle, so that waiting cannot fail.
        self.0.traffic.requests.subscribe().wait_for(|arrived| *arrived >= requests).await.ok();
    }

    /// Turns the log of requests on or off; what it holds stays.
    pub fn record(&self, on: bool) {
        self.0.traffic.record(on);
    }

    /// The requests that were logged, in the order of their arrival.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        self.0.traffic.recorded()
    }

    /// Holds all answers back; requests are still accepted and counted.
    pub fn hold(&self) {
        self.0.traffic.held.send_replace(true);
    }

    /// Lets the answers go that were held back.
    pub fn release(&self) {
        self.0.traffic.held.send_replace(false);
    }
}

/// Locks what no panic can leave half-done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
