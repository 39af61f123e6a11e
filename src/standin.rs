//! A simulated Kakao Local API ("stand-in") for tests, benchmarks and the demo.
//!
//! It implements the rules of the real API (page size, 45-result limit, throttling, format of responses and errors) for a
//! [`World`], which is defined by a test or generated around real stations. It can simulate all failures that were observed
//! with the real API. [`Standin`] is a handle to the server: [`Standin::bind`] binds a port, and [`Listening::serve`] serves
//! requests. Through the handle, tests change the behaviour of a running server.

mod answer;
mod chance;
mod drift;
pub mod generate;
mod json;
mod limits;
mod refusal;
mod reply;
mod request;
mod ruler;
#[cfg(test)]
mod samples;
mod server;
mod stopwatch;
mod strips;
pub mod switches;
mod traffic;
pub mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use self::chance::Chance;
pub use self::drift::Drift;
pub use self::generate::{DEMO_PLACES, Recipe};
pub use self::server::Listening;
pub use self::switches::{Fault, Switches};
pub use self::traffic::Recorded;
pub use self::world::{Search, StandinPlace, World};

use self::limits::Limits;
use self::traffic::Traffic;

/// A handle to a stand-in; clones share the same state.
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
    /// Creates a stand-in that serves this world, with default switches.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self(Arc::new(State {
            world: watch::Sender::new(Arc::new(world)),
            switches: watch::Sender::new(Arc::default()),
            limits: Mutex::default(),
            traffic: Traffic::default(),
        }))
    }

    /// Binds an address, such as `127.0.0.1:0`. Requests wait until [`Listening::serve`] runs.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(&self, listen: SocketAddr) -> io::Result<Listening> {
        Listening::bind(self.clone(), listen).await
    }

    /// Replaces the world; also while requests are served.
    pub fn set_world(&self, world: World) {
        self.0.world.send_replace(Arc::new(world));
    }

    /// Replaces all switches; also while requests are served.
    pub fn set(&self, switches: Switches) {
        self.0.switches.send_replace(Arc::new(switches));
    }

    /// The current switches.
    #[must_use]
    pub fn switches(&self) -> Switches {
        Switches::clone(&self.0.switches.borrow())
    }

    /// Queues faults. Each of the next requests fails with the next fault; its key, the limits and the switches are not
    /// checked.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        locked(&self.0.limits).script(faults);
    }

    /// Resets the daily quota.
    pub fn new_day(&self) {
        locked(&self.0.limits).new_day();
    }

    /// The number of requests received.
    #[must_use]
    pub fn requests(&self) -> u64 {
        *self.0.traffic.requests.borrow()
    }

    /// The number of requests rejected because of a limit or an exhausted quota, including injected 429 faults.
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.0.traffic.throttled.load(Ordering::SeqCst)
    }

    /// The number of requests that failed with a fault.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.0.traffic.faults.load(Ordering::SeqCst)
    }

    /// The highest number of concurrent requests so far.
    #[must_use]
    pub fn peak_in_flight(&self) -> usize {
        self.0.traffic.peak.load(Ordering::SeqCst)
    }

    /// The number of requests without a response yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.traffic.in_flight.load(Ordering::SeqCst)
    }

    /// The number of connections accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.traffic.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many requests have been received in total.
    pub async fn reached(&self, requests: u64) {
        // Waiting fails only if the sender is dropped, and this handle keeps it alive.
        self.0.traffic.requests.subscribe().wait_for(|arrived| *arrived >= requests).await.ok();
    }

    /// Turns the request log on or off; existing entries are kept.
    pub fn record(&self, on: bool) {
        self.0.traffic.record(on);
    }

    /// The logged requests, in order of arrival.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        self.0.traffic.recorded()
    }

    /// Holds back all responses; requests are still received and counted.
    pub fn hold(&self) {
        self.0.traffic.held.send_replace(true);
    }

    /// Sends the responses that were held back.
    pub fn release(&self) {
        self.0.traffic.held.send_replace(false);
    }
}

/// Locks a mutex and ignores poisoning, because no panic can leave its data inconsistent.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
