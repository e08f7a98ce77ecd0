//! Maildir, mbox, batch SMTP.

use super::*;
use crate::limits::WRITE_BYTES;
use std::sync::Arc;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_maildir_gets_a_file_for_each_recipient() {
    let folder = folder();
    let gateway = Gateway::Maildir(folder.path().join("{domain}"));
    taken(&gateway, &["Bob@There.test", "eve@there.test"]).await;
    let there = folder.path().join("there.test");
    let new = files(&there.join("new"));
    assert_eq!(new.len(), 2);
    let mut texts: Vec<String> = new.iter().map(|file| read(file)).collect();
    texts.sort();
    assert_eq!(
        texts[0],
        "Return-Path: <ann@here.test>\nDelivered-To: Bob@there.test\n\
         Subject: x\n\nhello\n.\nFrom here\n>From there\nFro\n"
    );
    assert!(texts[1].contains("Delivered-To: eve@there.test\n"));
    assert_eq!(files(&there.join("tmp")), [] as [PathBuf; 0]);
    assert!(there.join("cur").is_dir());
}

#[tokio::test]
async fn a_stranger_names_no_other_folder() {
    let folder = folder();
    let gateway = Gateway::Maildir(folder.path().join("{local}"));
    for recipient in [
        "\"../../etc\"@there.test",
        "a/b@there.test",
        "-x@there.test",
        "~root@there.test",
    ] {
        let outcomes = hand(&gateway, &[recipient], TEXT).await;
        let [Outcome::Permanent(reason)] = &outcomes[..] else {
            panic!("{recipient}: {outcomes:?}");
        };
        assert_eq!(
            reason
                .reply
                .enhanced
                .map(|s| (s.class, s.subject, s.detail)),
            Some((5, 1, 3))
        );
    }
    assert_eq!(files(folder.path()), [] as [PathBuf; 0]);
    // What stands for a mark is no mark.
    taken(&gateway, &["{domain}@there.test"]).await;
    assert_eq!(files(folder.path()), [folder.path().join("{domain}")]);
}

#[tokio::test]
async fn an_mbox_is_read_as_it_was_written() {
    let folder = folder();
    let path = folder.path().join("box");
    let gateway = Gateway::Mbox(path.clone());
    taken(&gateway, &["bob@there.test"]).await;
    taken(&gateway, &["eve@there.test"]).await;
    let text = read(&path);
    let (first, second) = text
        .split_once("\n\nFrom ann@here.test ")
        .expect("two messages");
    let (from, first) = first.split_once('\n').expect("a From line");
    // From ann@here.test Fri Nov  6 08:00:00 2026
    assert_eq!(from.len(), "From ann@here.test ".len() + 24, "{from}");
    assert_eq!(
        first,
        "Return-Path: <ann@here.test>\nDelivered-To: bob@there.test\n\
         Subject: x\n\nhello\n.\n>From here\n>>From there\nFro"
    );
    assert!(second.ends_with("Fro\n\n"));
    // Behind what somebody has left without an end.
    std::fs::write(&path, "From x\n\nhalf").expect("written");
    taken(&gateway, &["bob@there.test"]).await;
    assert!(read(&path).starts_with("From x\n\nhalf\n\nFrom ann@here.test "));
}

#[tokio::test]
async fn batch_smtp_is_what_a_client_would_say() {
    let folder = folder();
    let path = folder.path().join("out.bsmtp");
    let gateway = Gateway::Bsmtp(path.clone());
    taken(&gateway, &["bob@there.test", "eve@there.test"]).await;
    taken(&gateway, &["joe@there.test"]).await;
    assert_eq!(
        read(&path),
        "EHLO mail.here.test\r\nMAIL FROM:<ann@here.test>\r\nRCPT TO:<bob@there.test>\r\n\
         RCPT TO:<eve@there.test>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n..\r\nFrom here\r\n>From there\r\n\
         Fro\r\n.\r\nMAIL FROM:<ann@here.test>\r\nRCPT TO:<joe@there.test>\r\nDATA\r\nSubject: x\r\n\r\n\
         hello\r\n..\r\nFrom here\r\n>From there\r\nFro\r\n.\r\n"
    );
}

#[tokio::test]
async fn what_is_not_whole_is_cut_off_again() {
    /// Its end cannot be read.
    struct Torn;

    impl Message for Torn {
        fn size(&self) -> u64 {
            3 * WRITE_BYTES as u64
        }

        fn read(&self, offset: u64) -> deliver::BoxFuture<'_, std::io::Result<Bytes>> {
            let part = match offset {
                0 => Ok(Bytes::from(vec![b'x'; 2 * WRITE_BYTES])),
                _ => Err(std::io::Error::other("torn")),
            };
            Box::pin(std::future::ready(part))
        }
    }

    let folder = folder();
    let (mbox, maildir) = (folder.path().join("box"), folder.path().join("dir"));
    std::fs::write(&mbox, "before\n\n").expect("written");
    for gateway in [
        Gateway::Mbox(mbox.clone()),
        Gateway::Maildir(maildir.clone()),
    ] {
        let gateways = Gateways::new(Runtime::new(), "mail.here.test");
        let outcomes = hand_by(&gateways, &gateway, &["bob@there.test"], &Torn).await;
        assert!(
            matches!(outcomes[..], [Outcome::Temporary(_)]),
            "{outcomes:?}"
        );
    }
    assert_eq!(read(&mbox), "before\n\n");
    assert_eq!(files(&maildir.join("tmp")), [] as [PathBuf; 0]);
    assert_eq!(files(&maildir.join("new")), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn attempts_at_once_do_not_mix() {
    const MANY: usize = 8;
    let folder = folder();
    let path = folder.path().join("box");
    let gateway = Gateway::Mbox(path.clone());
    let runtime = Runtime::new();
    let here = Arc::new(Gateways::new(runtime.clone(), "mail.here.test"));
    let tasks: Vec<_> = (0..MANY)
        .map(|n| {
            let (here, gateway) = (Arc::clone(&here), gateway.clone());
            runtime.spawn("a writer", async move {
                let to = ["bob@there.test"];
                match n % 2 {
                    0 => taken_by(&here, &gateway, &to).await,
                    // As another program would.
                    _ => taken(&gateway, &to).await,
                }
            })
        })
        .collect();
    for task in tasks {
        task.join().await.expect("written");
    }
    let text = read(&path);
    let messages = text.split_inclusive("Fro\n\n");
    assert!(
        messages
            .clone()
            .all(|one| one.starts_with("From ann@here.test "))
    );
    assert_eq!(messages.count(), MANY);
}

#[tokio::test]
async fn a_folder_that_is_not_there_delays() {
    let folder = folder();
    let lost = folder.path().join("lost/deeper");
    for gateway in [
        Gateway::Maildir(lost.clone()),
        Gateway::Mbox(lost.join("box")),
        Gateway::Bsmtp(lost.join("out")),
    ] {
        let outcomes = hand(&gateway, &["bob@there.test"], TEXT).await;
        assert!(
            matches!(outcomes[..], [Outcome::Temporary(_)]),
            "{outcomes:?}"
        );
    }
}
