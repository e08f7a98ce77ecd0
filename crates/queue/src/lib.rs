//! The durable queue: records, schedule, leases.
