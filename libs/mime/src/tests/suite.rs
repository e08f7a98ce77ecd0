//! Other people's broken messages, where they lie beside the project.

use std::path::Path;

use super::{check_digest, in_pieces};
use crate::Limits;

#[test]
fn every_message_of_the_suites_keeps_the_invariants() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites/mime");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let mut folders = vec![folder];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a readable file");
            let message = crate::normalise_line_ends(&bytes[..bytes.len().min(1 << 20)]);
            let whole = crate::digest(&message);
            check_digest(&whole, message.len());
            assert_eq!(
                in_pieces(message.chunks(1_021), Limits::default()),
                whole,
                "{}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}
