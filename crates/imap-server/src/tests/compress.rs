//! COMPRESS=DEFLATE (RFC 4978).

use super::World;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

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

    async fn send(&mut self, text: &str) {
        let mut out = Vec::with_capacity(text.len() + 1000);
        let sync = FlushCompress::Sync;
        self.compress
            .compress_vec(text.as_bytes(), &mut out, sync)
            .expect("compressed");
        self.client.send(&out).await;
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
            assert!(self.client.read().await, "the end");
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
