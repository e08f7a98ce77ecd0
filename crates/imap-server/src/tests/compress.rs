//! COMPRESS=DEFLATE (RFC 4978).

use super::World;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::time::Duration;

/// A client's end of the compression.
struct Deflated {
    client: super::Client,
    compress: Compress,
    inflate: Decompress,
    text: String,
}

impl Deflated {
    async fn begin(world: &World) -> Self {
        let mut client = world.bob_in_inbox().await;
        client.check("COMPRESS DEFLATE", &["OK …"]).await;
        Self {
            client,
            compress: Compress::new(Compression::best(), false),
            inflate: Decompress::new(false),
            text: String::new(),
        }
    }

    /// Compressed and flushed, so that it ends at an octet.
    fn flushed(&mut self, text: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 1000);
        let sync = FlushCompress::Sync;
        self.compress
            .compress_vec(text.as_bytes(), &mut out, sync)
            .expect("compressed");
        out
    }

    async fn send(&mut self, text: &str) {
        let out = self.flushed(text);
        self.client.send(&out).await;
    }

    /// Sends the last that is compressed, and something behind it that is not.
    async fn finish(&mut self, text: &str, plain: &str) {
        let mut out = Vec::with_capacity(text.len() + 1000);
        self.compress
            .compress_vec(text.as_bytes(), &mut out, FlushCompress::Finish)
            .expect("compressed");
        out.extend_from_slice(plain.as_bytes());
        self.client.send(&out).await;
    }

    /// The next answer, which begins so; what stands behind it is not compressed.
    async fn last_answer(mut self, begin: &str) -> super::Client {
        // A flush ends so.
        let end = [0, 0, 0xff, 0xff];
        loop {
            let found = self.client.input.windows(4).position(|four| four == end);
            if let Some(at) = found {
                let answer = self.client.input.split_to(at + 4);
                let mut out = Vec::with_capacity(100_000);
                self.inflate
                    .decompress_vec(&answer, &mut out, FlushDecompress::None)
                    .expect("deflate");
                assert!(out.starts_with(begin.as_bytes()), "{out:?}");
                return self.client;
            }
            assert!(self.client.read().await, "the end");
        }
    }

    /// All up to a line that begins so; the octets that came.
    async fn hear_until(&mut self, end: &str) -> usize {
        let mut octets = 0;
        loop {
            if let Some(at) = self.text.find(end)
                && self.text[at..].contains("\r\n")
            {
                return octets;
            }
            // A server that waits for more is an error, not a test without end.
            let read = tokio::time::timeout(Duration::from_secs(30), self.client.read());
            assert_eq!(read.await, Ok(true), "instead of {end}");
            octets += self.client.input.len();
            while !self.client.input.is_empty() {
                let before = self.inflate.total_in();
                let mut out = Vec::with_capacity(100_000);
                let none = FlushDecompress::None;
                self.inflate
                    .decompress_vec(&self.client.input, &mut out, none)
                    .expect("deflate");
                let taken = (self.inflate.total_in() - before) as usize;
                let _ = self.client.input.split_to(taken);
                self.text.push_str(&String::from_utf8_lossy(&out));
            }
        }
    }
}

#[tokio::test]
async fn everything_behind_the_answer_is_compressed_and_every_response_arrives() {
    let world = World::new().await;
    let body = "the same words again and again\r\n".repeat(3000);
    let mut plain = world.bob().await;
    let offered = plain.ok("CAPABILITY").await;
    assert!(offered[0].contains(" COMPRESS=DEFLATE"), "{offered:?}");
    plain
        .append("INBOX", "", &format!("Subject: x\r\n\r\n{body}"))
        .await;
    let mut client = Deflated::begin(&world).await;
    client.send("a FETCH 1 BODY.PEEK[TEXT]\r\n").await;
    let octets = client.hear_until("a OK").await;
    assert!(client.text.contains(&body));
    assert!(octets < body.len() / 20, "{octets} of {}", body.len());
    // One after the other, and several at once; with a message that comes in.
    client.send("b NOOP\r\n").await;
    client.hear_until("b OK").await;
    client.send("c NOOP\r\nd APPEND INBOX {3}\r\n").await;
    client.hear_until("+ OK").await;
    client.send("new\r\ne CAPABILITY\r\n").await;
    client.hear_until("e OK").await;
    let behind = client
        .text
        .rsplit("* CAPABILITY")
        .next()
        .unwrap_or_default();
    assert!(!behind.contains("COMPRESS"), "{behind}");
    client.send("f COMPRESS DEFLATE\r\n").await;
    client.hear_until("f NO [COMPRESSIONACTIVE]").await;
    // A change that another session makes, while this one idles.
    client.send("g IDLE\r\n").await;
    client.hear_until("+ idling").await;
    plain.append("INBOX", "", "Subject: y\r\n\r\n").await;
    client.hear_until("* 3 EXISTS").await;
    client.send("DONE\r\n").await;
    client.hear_until("g OK").await;
}

/// An APPEND of so many octets, from its tag to its end.
fn append(tag: &str, octets: usize) -> String {
    let text = |size: usize| format!("{tag} APPEND INBOX {{{size}+}}\r\nSubject: x\r\n\r\n");
    let head = text(10_000).len();
    let size = octets - head - "\r\n".len() + "Subject: x\r\n\r\n".len();
    let mut text = text(size) + &"the same words ".repeat(octets / 15 + 1);
    text.truncate(octets - "\r\n".len());
    text + "\r\n"
}

/// All octets of a command may be read long before all that they stand for.
#[tokio::test]
async fn a_few_octets_that_stand_for_a_long_command_are_enough() {
    let world = World::new().await;
    for octets in [
        16_383, 16_384, 16_385, 25_000, 32_767, 32_768, 32_769, 49_152, 65_535, 65_536, 65_537,
    ] {
        let mut client = Deflated::begin(&world).await;
        // From the window's begin, and from within it.
        for tag in ["a", "b", "c"] {
            let text = append(tag, octets);
            assert_eq!(text.len(), octets);
            client.send(&text).await;
            client.hear_until(&format!("{tag} OK")).await;
        }
    }
}

/// RFC 8437 §4.1: the answer to UNAUTHENTICATE is the last that is compressed, whether the
/// client lets its stream be, or ends it and goes on.
#[tokio::test]
async fn unauthenticate_ends_the_compression() {
    let world = World::new().await;
    let mut client = Deflated::begin(&world).await;
    client.send("a UNAUTHENTICATE\r\n").await;
    let mut client = client.last_answer("a OK [CAPABILITY").await;
    client.ok("LOGIN bob@demo.test \"pass word\"").await;
    let offered = client.ok("CAPABILITY").await;
    assert!(offered[0].contains(" COMPRESS=DEFLATE"), "{offered:?}");
    client.ok("COMPRESS DEFLATE").await;

    let mut client = Deflated::begin(&world).await;
    client.finish("a UNAUTHENTICATE\r\n", "b NOOP\r\n").await;
    let mut client = client.last_answer("a OK [CAPABILITY").await;
    let heard = client.hear().await;
    assert!(heard.starts_with("b OK"), "{heard}");
    client.ok("LOGIN bob@demo.test \"pass word\"").await;

    // RFC 8437 §3: the next command may follow at once.
    let mut client = Deflated::begin(&world).await;
    let mut octets = client.flushed("a UNAUTHENTICATE\r\n");
    octets.extend_from_slice(b"b NOOP\r\n");
    client.client.send(&octets).await;
    let mut client = client.last_answer("a OK [CAPABILITY").await;
    let heard = client.hear().await;
    assert!(heard.starts_with("b OK"), "{heard}");

    // What is compressed behind it has no meaning.
    let mut client = Deflated::begin(&world).await;
    client.send("a UNAUTHENTICATE\r\nb NOOP\r\n").await;
    client.hear_until("* BYE wait").await;
    // A stream that ends otherwise ends the session, and nothing behind it is obeyed.
    let mut client = Deflated::begin(&world).await;
    client.finish("a NOOP\r\n", "b NOOP\r\n").await;
    let mut client = client.last_answer("a OK").await;
    assert_eq!(client.hear().await, "");
}

/// How many of these octets are all of the text; those behind only end its block.
fn octets_of(text: &str, octets: &[u8]) -> usize {
    let is_whole = |count: &usize| {
        let mut out = Vec::with_capacity(text.len() + 1);
        let none = FlushDecompress::None;
        Decompress::new(false)
            .decompress_vec(&octets[..*count], &mut out, none)
            .is_ok_and(|_| out == text.as_bytes())
    };
    (0..octets.len()).find(is_whole).expect("it is whole")
}

/// The octets that end a client's block, or its stream, come when they come: all of them
/// behind the answer, or some, each by itself, or together with the next command.
#[tokio::test]
async fn the_end_of_a_clients_compression_may_come_behind_the_answer() {
    let world = World::new().await;
    // Few lines make a block of fixed codes, many one with codes of its own.
    for (lines, end) in [
        (0, FlushCompress::Sync),
        (300, FlushCompress::Sync),
        (0, FlushCompress::Finish),
        (300, FlushCompress::Finish),
    ] {
        let lines = (0..lines).map(|n| format!("{n} NOOP\r\n"));
        let text = lines.collect::<String>() + "u UNAUTHENTICATE\r\n";
        let mut octets = Vec::with_capacity(10_000);
        Compress::new(Compression::best(), false)
            .compress_vec(text.as_bytes(), &mut octets, end)
            .expect("compressed");
        let whole = octets_of(&text, &octets);
        assert!(whole < octets.len(), "{whole}");
        for cut in whole..=octets.len() {
            let mut client = Deflated::begin(&world).await;
            client.client.send(&octets[..cut]).await;
            client.hear_until("u OK [CAPABILITY").await;
            let mut client = client.client;
            let mut rest = octets[cut..].to_vec();
            rest.extend_from_slice(b"b NOOP\r\n");
            match cut % 2 {
                0 => client.send(&rest).await,
                _ => {
                    for octet in rest {
                        client.send([octet]).await;
                    }
                }
            }
            let heard = client.hear().await;
            assert!(heard.starts_with("b OK"), "{cut} of {octets:?}: {heard}");
            client.ok("LOGIN bob@demo.test \"pass word\"").await;
        }
        if end == FlushCompress::Finish {
            continue;
        }
        // One that ends nothing goes on too.
        let mut client = Deflated::begin(&world).await;
        client.client.send(&octets[..whole]).await;
        client.hear_until("u OK [CAPABILITY").await;
        client.client.ok("NOOP").await;
    }
}

/// What is read at once, or little more, ends with UNAUTHENTICATE: what ends the block or the stream is
/// not read then, and what is compressed behind it is not lost.
#[tokio::test]
async fn the_end_of_a_clients_compression_may_be_the_end_of_what_is_read_at_once() {
    const LAST: &str = "u UNAUTHENTICATE\r\n";
    let world = World::new().await;
    for octets in [16_384, 32_768, 32_800, 33_000, 49_152, 65_536] {
        let text = append("a", octets - LAST.len()) + LAST;
        let mut client = Deflated::begin(&world).await;
        client.send(&text).await;
        client.hear_until("u OK [CAPABILITY").await;
        client.client.ok("NOOP").await;

        let mut client = Deflated::begin(&world).await;
        client.finish(&text, "").await;
        client.hear_until("u OK [CAPABILITY").await;
        client.client.ok("NOOP").await;

        let mut client = Deflated::begin(&world).await;
        let mut flushed = client.flushed(&text);
        flushed.extend_from_slice(b"n NOOP\r\n");
        let mut client = client.client;
        client.send(&flushed).await;
        while !client.input.windows(4).any(|four| four == b"n OK") {
            let read = tokio::time::timeout(Duration::from_secs(30), client.read());
            assert_eq!(read.await, Ok(true), "{octets}");
        }

        for behind in ["b", "b NOOP\r\n", &append("b", 20_000)] {
            let mut client = Deflated::begin(&world).await;
            client.send(&(text.clone() + behind)).await;
            client.hear_until("* BYE wait").await;
        }
    }
}

#[tokio::test]
async fn threat_16_a_few_octets_that_stand_for_very_many_are_read_bit_by_bit() {
    let world = World::new().await;
    let mut client = Deflated::begin(&world).await;
    let bomb = "x".repeat(10 << 20);
    client.send(&format!("a {bomb}\r\n")).await;
    // The line's limit and what is skipped behind it hold as ever.
    client.hear_until("* BYE").await;
}

#[tokio::test]
async fn what_is_no_deflate_ends_the_session_and_nothing_is_obeyed_in_the_clear() {
    let world = World::new().await;
    let mut client = Deflated::begin(&world).await.client;
    client.send("a NOOP\r\na NOOP\r\n").await;
    while client.read().await {}
    let mut client = world.bob_in_inbox().await;
    client.send("a COMPRESS DEFLATE\r\nb NOOP\r\n").await;
    client.hears_bye("* BYE wait …").await;
    let mut client = world.bob_in_inbox().await;
    client.check("COMPRESS LZ77", &["BAD …"]).await;
    client.ok("NOOP").await;
}
