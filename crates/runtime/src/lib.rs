//! Clock, randomness, tasks, network, TLS: the only crate that names tokio's spawn, net and time.
