//! The log's records: what decodes is written as the same bytes; entries in any
//! order fit the view or are refused, and a checkpoint of it is the same view.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mailbox_model::{LogEntry, UidValidity, View, apply, undo};

fuzz_target!(|data: &[u8]| {
    let mut view = View::empty(UidValidity(1));
    let mut rest = data;
    // Copies of copies double each time.
    for _ in 0..12 {
        let Some((&len, behind)) = rest.split_first() else {
            break;
        };
        let (record, behind) = behind.split_at(usize::from(len).min(behind.len()));
        rest = behind;
        let Ok(entry) = LogEntry::decode(record) else {
            continue;
        };
        let written = entry.encode();
        if written[0] == record[0] {
            assert_eq!(written, record);
        } else {
            // An older version is written as ours, once.
            assert_eq!(LogEntry::decode(&written).as_ref(), Ok(&entry));
        }
        let before = view.clone();
        match apply(&mut view, &entry) {
            Ok(()) => {
                let _ = undo(&mut view.clone(), &entry);
            }
            Err(_) => view = before,
        }
    }
    assert_eq!(fuzz::restored(&view), view);
});
