//! SASL mechanisms as sans-IO machines, and the verifiers that a password becomes.
