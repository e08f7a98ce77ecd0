//! The one store port: ordered keys, conditional batches, bodies; memory and embedded backends.
