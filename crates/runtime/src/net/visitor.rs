//! Who is at the other end of a connection that a library reads and writes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Who asks over a connection, and whether somebody here works for him.
#[derive(Clone, Debug)]
pub struct Visitor {
    address: SocketAddr,
    tls: bool,
    busy: Arc<AtomicUsize>,
}

impl Visitor {
    /// Nobody works for him yet.
    #[must_use]
    pub fn new(address: SocketAddr, tls: bool) -> Self {
        Self {
            address,
            tls,
            busy: Arc::default(),
        }
    }

    /// From where.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The connection is under TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// While what is given lives, silence is no idleness.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(&self.busy))
    }

    /// Somebody works for him.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }
}

/// Somebody works on a long answer.
#[derive(Debug)]
pub struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
