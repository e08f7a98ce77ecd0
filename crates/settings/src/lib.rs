//! The configuration file: one definition per key, from which parser, reference and explanations come.
