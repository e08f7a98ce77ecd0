//! Golden bytes: what a release wrote must be read for ever.

use super::world::{World, name};
use crate::page::{BuildError, ViewBuilder, encode_mailbox, encode_page, encode_root};
use crate::{
    Change, Copy, EmailId, Flag, FlagEdit, FlagId, Item, KeywordId, Keywords, LogEntry, MailboxId,
    ModSeq, NewMailbox, Raise, Renamed, Restored, Role, Saved, Transfer, Uid, UidSet, UidValidity,
};
use wire::codec::DecodeError;

fn item() -> Item {
    Item {
        uid: Uid(3),
        email: EmailId(9),
        keywords: Keywords::from_parts(1, vec![KeywordId(2)]),
        deleted: true,
        size: 300,
    }
}

fn new_mailbox() -> NewMailbox {
    NewMailbox {
        id: MailboxId(5),
        name: name("a/b"),
        role: Some(Role::Sent),
        uid_validity: UidValidity(8),
        subscribe: true,
    }
}

fn transfer() -> Transfer {
    Transfer {
        from: MailboxId(1),
        to: MailboxId(2),
        uids: UidSet::from_ranges([(Uid(1), Uid(4)), (Uid(9), Uid(9))]),
        first_uid: Uid(7),
        renewed: UidSet::one(Uid(9)),
        first_email: EmailId(6),
    }
}

/// Each kind of change with the bytes behind the common head.
fn goldens() -> Vec<(Change, &'static [u8])> {
    let edit = |flag, set| FlagEdit {
        flag,
        set,
        uids: UidSet::range(Uid(2), Uid(5)),
    };
    vec![
        (
            Change::Deliver {
                mailbox: MailboxId(1),
                items: vec![item()],
                dated: UidSet::new(),
            },
            &[1, 1, 1, 3, 18, 0x31, 1, 2, 0xac, 2],
        ),
        (
            Change::Deliver {
                mailbox: MailboxId(1),
                items: vec![item()],
                dated: UidSet::one(Uid(3)),
            },
            &[15, 1, 1, 3, 18, 0x31, 1, 2, 0xac, 2, 1, 3, 0],
        ),
        (
            Change::Flags {
                mailbox: MailboxId(1),
                edits: vec![
                    edit(FlagId::Draft, true),
                    edit(FlagId::Keyword(KeywordId(7)), false),
                ],
            },
            &[2, 1, 2, 3, 1, 1, 2, 3, 5, 7, 0, 1, 2, 3],
        ),
        (
            Change::Copy(transfer()),
            &[3, 1, 2, 2, 1, 3, 5, 0, 7, 1, 9, 0, 6],
        ),
        (
            Change::Move {
                transfer: transfer(),
                deleted: UidSet::one(Uid(1)),
                renewed_from: vec![EmailId(5)],
            },
            &[4, 1, 2, 2, 1, 3, 5, 0, 7, 1, 9, 0, 6, 1, 1, 0, 1, 5],
        ),
        (
            Change::Expunge {
                mailbox: MailboxId(1),
                items: vec![item()],
            },
            &[5, 1, 1, 3, 18, 0x31, 1, 2, 0xac, 2],
        ),
        (
            Change::Create {
                mailboxes: vec![new_mailbox()],
            },
            &[6, 1, 5, 3, b'a', b'/', b'b', 5, 8, 1],
        ),
        (
            Change::Rename {
                created: vec![],
                renames: vec![Renamed {
                    id: MailboxId(5),
                    from: name("a"),
                    to: name("c"),
                }],
                subscribed: vec![name("a")],
                kept: vec![name("c")],
            },
            &[7, 0, 1, 5, 1, b'a', 1, b'c', 1, 1, b'a', 1, 1, b'c'],
        ),
        (
            Change::Delete {
                mailbox: new_mailbox(),
                uid_next: Uid(4),
                items: vec![item()],
            },
            &[
                8, 5, 3, b'a', b'/', b'b', 5, 8, 1, 4, 1, 3, 18, 0x31, 1, 2, 0xac, 2,
            ],
        ),
        (Change::Subscribe { name: name("a") }, &[9, 1, b'a']),
        (Change::Unsubscribe { name: name("a") }, &[10, 1, b'a']),
        (
            Change::UidValidity {
                mailbox: MailboxId(1),
                from: UidValidity(2),
                to: UidValidity(3),
            },
            &[11, 1, 2, 3],
        ),
        (
            Change::Restore {
                mailbox: MailboxId(1),
                items: vec![
                    Restored {
                        item: item(),
                        beside: Some(Copy {
                            mailbox: MailboxId(2),
                            uid: Uid(4),
                        }),
                    },
                    Restored {
                        item: Item {
                            uid: Uid(4),
                            ..item()
                        },
                        beside: None,
                    },
                ],
            },
            &[
                12, 1, 2, 3, 18, 0x71, 1, 2, 0xac, 2, 2, 4, 1, 0, 0x31, 1, 2, 0xac, 2,
            ],
        ),
        (
            Change::Raised(Raise {
                uids: 300,
                emails: 1,
                mailboxes: 2,
                uid_validities: 3,
            }),
            &[13, 0xac, 2, 1, 2, 3],
        ),
        (
            Change::Touched {
                mailbox: MailboxId(1),
                uids: UidSet::range(Uid(2), Uid(4)),
            },
            &[14, 1, 1, 2, 2],
        ),
        (
            Change::Touched {
                mailbox: MailboxId(1),
                uids: UidSet::new(),
            },
            &[14, 1, 0],
        ),
        (Change::Scripts, &[16]),
    ]
}

#[test]
fn log_entries_are_these_bytes() {
    for (change, golden) in goldens() {
        let entry = LogEntry {
            modseq: ModSeq(300),
            at_ms: 5,
            new_keywords: vec!["$Junk".into()],
            dates: true,
            change,
        };
        let mut bytes = b"\x03\xac\x02\x05\x01\x05$Junk".to_vec();
        bytes.extend_from_slice(golden);
        assert_eq!(entry.encode(), bytes, "{entry:?}");
        assert_eq!(LogEntry::decode(&bytes), Ok(entry));
        for len in 0..bytes.len() {
            assert!(LogEntry::decode(&bytes[..len]).is_err());
        }
    }
    assert_eq!(LogEntry::decode(&[9]), Err(DecodeError::Version(9)));
    assert_eq!(
        LogEntry::decode(&[1, 1, 1, 0, 99]),
        Err(DecodeError::Tag(99))
    );
}

/// What version 1 wrote: everything but these two kinds is the same.
#[test]
fn entries_of_version_1_are_read() {
    let moved = Change::Move {
        transfer: transfer(),
        deleted: UidSet::one(Uid(1)),
        renewed_from: vec![],
    };
    let renamed = Change::Rename {
        created: vec![],
        renames: vec![Renamed {
            id: MailboxId(5),
            from: name("a"),
            to: name("c"),
        }],
        subscribed: vec![name("a")],
        kept: vec![],
    };
    let of_version_1: [(Change, &[u8]); 3] = [
        (moved, &[4, 1, 2, 2, 1, 3, 5, 0, 7, 1, 9, 0, 6, 1, 1, 0]),
        (renamed, &[7, 0, 1, 5, 1, b'a', 1, b'c', 1, 1, b'a']),
        (
            Change::Deliver {
                mailbox: MailboxId(1),
                items: vec![item()],
                dated: UidSet::new(),
            },
            &[1, 1, 1, 3, 18, 0x31, 1, 2, 0xac, 2],
        ),
    ];
    for (change, golden) in of_version_1 {
        let mut bytes = b"\x01\x07\x05\x00".to_vec();
        bytes.extend_from_slice(golden);
        let entry = LogEntry::decode(&bytes).expect("version 1 is read");
        assert_eq!((entry.modseq, entry.at_ms), (ModSeq(7), 5));
        assert_eq!((entry.dates, entry.change), (false, change));
    }
}

/// What version 2 wrote: everything, without save dates.
#[test]
fn entries_of_version_2_are_read_and_written_again_as_they_are() {
    let of_version_2 = |(change, _): &(Change, &[u8])| !matches!(change, Change::Deliver { dated, .. } if !dated.is_empty());
    for (change, golden) in goldens().into_iter().filter(of_version_2) {
        let mut bytes = b"\x02\x07\x05\x00".to_vec();
        bytes.extend_from_slice(golden);
        let entry = LogEntry::decode(&bytes).expect("version 2 is read");
        assert_eq!((entry.dates, &entry.change), (false, &change));
        assert_eq!(entry.encode(), bytes);
    }
    let dated = [2, 7, 5, 0, 15, 1, 1, 3, 18, 0x11, 1, 1, 3, 0];
    assert_eq!(LogEntry::decode(&dated), Err(DecodeError::Tag(15)));
}

// Found by the fuzzer `mailbox_record`.
#[test]
fn a_name_in_another_form_than_the_normal_one_is_refused() {
    for name in ["a/", "inbox", "Inbox/a"] {
        let record = [&[1, 1, 1, 0, 9, name.len() as u8], name.as_bytes()].concat();
        assert_eq!(LogEntry::decode(&record), Err(DecodeError::OutOfRange));
    }
}

#[test]
fn an_item_that_announces_no_keyword_at_all_is_refused() {
    let record = |bits: &[u8]| [&[1, 2, 1, 0, 1, 1, 1, 1, 2], bits, &[6]].concat();
    assert!(LogEntry::decode(&record(&[0x08])).is_ok());
    assert_eq!(
        LogEntry::decode(&record(&[0x28, 0])),
        Err(DecodeError::OutOfRange)
    );
}

#[test]
fn checkpoint_records_are_these_bytes() {
    let mut world = World::new();
    let (inbox, archive) = (world.id("INBOX"), world.id("Archive"));
    world.deliver(inbox, &[Flag::Seen, Flag::Keyword("k".into())], 300);
    world.deliver(inbox, &[Flag::Deleted], 1);
    world.copy(inbox, archive, &UidSet::one(Uid(1)));
    world.expunge(inbox, crate::stage::Expunging::Deleted);
    world.subscribe("z", true);
    // Seven changes, one email of 300 bytes, one keyword.
    assert_eq!(
        encode_root(&world.view),
        [1, 7, 3, 3, 102, 0xac, 2, 1, 1, 1, 1, b'z']
    );
    assert_eq!(
        encode_mailbox(&world.view, inbox).expect("there"),
        b"\x01\x05INBOX\x01\x01\x64\x03\x06\x01\x00\x00\xac\x02\x00\x01\x06\x01\x02\x00"
    );
    assert_eq!(
        encode_page(&world.view, inbox, 0).expect("there"),
        [2, 1, 1, 2, 0x61, 1, 0, 0xac, 2, 6]
    );
    let copied = encode_page(&world.view, archive, 0).expect("there");
    // The fifth change was the copy, in second 6.
    assert_eq!(copied, [2, 1, 1, 2, 0xe1, 1, 0, 0xac, 2, 10, 13]);
    assert_eq!(encode_page(&world.view, inbox, 1), None);
}

/// Pages of version 1 have no save dates; written again they say that there are none.
#[test]
fn pages_of_version_1_are_read() {
    let mut world = World::new();
    let inbox = world.id("INBOX");
    world.deliver(inbox, &[], 300);
    let saved = |page: &[u8]| {
        let mut builder = ViewBuilder::new(&encode_root(&world.view)).expect("the root");
        for mailbox in world.view.mailboxes() {
            let record = encode_mailbox(&world.view, mailbox.id()).expect("there");
            builder.mailbox(mailbox.id(), &record).expect("a mailbox");
        }
        builder.page(inbox, 0, page)?;
        let view = builder.finish()?;
        let entry = view.mailbox(inbox).and_then(|inbox| inbox.at(0));
        Ok::<_, BuildError>((entry.expect("there").saved, encode_page(&view, inbox, 0)))
    };
    let new = vec![2, 1, 1, 2, 0, 0xac, 2, 6];
    assert_eq!(saved(&new), Ok((Saved::RECEIVED, Some(new.clone()))));
    let unknown = vec![2, 1, 1, 2, 0x80, 0xac, 2, 6, 0];
    let read = Ok((Saved::UNKNOWN, Some(unknown.clone())));
    assert_eq!(saved(&[1, 1, 1, 2, 0, 0xac, 2, 6]), read);
    assert_eq!(saved(&unknown), read);
    let early = saved(&[1, 1, 1, 2, 0x80, 0xac, 2, 6, 0]);
    assert_eq!(early, Err(BuildError::Decode(DecodeError::Tag(0x80))));
}
