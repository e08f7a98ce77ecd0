//! Sessions that a client compresses (RFC 4978), with zlib at the other end.

use anyhow::ensure;
use interop::posthouse::{PASSWORD, Posthouse};
use interop::world::{Needs, run};

const COMPRESSED: &str = r#"
import imaplib, sys, zlib
password = sys.argv[1]
imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")

class Deflated(imaplib.IMAP4):
    deflated = False
    octets = 0

    def begin(self):
        assert self._simple_command("COMPRESS", "DEFLATE")[0] == "OK"
        self.compress, self.inflate = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
        self.text, self.deflated = b"", True

    def send(self, data):
        if self.deflated:
            data = self.compress.compress(data) + self.compress.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def fill(self):
        data = self.sock.recv(65536)
        assert data, "the server went"
        self.octets += len(data)
        self.text += self.inflate.decompress(data)

    def read(self, size):
        if not self.deflated:
            return super().read(size)
        while len(self.text) < size:
            self.fill()
        data, self.text = self.text[:size], self.text[size:]
        return data

    def readline(self):
        if not self.deflated:
            return super().readline()
        while b"\n" not in self.text:
            self.fill()
        line, _, self.text = self.text.partition(b"\n")
        return line + b"\n"

imap = Deflated("127.0.0.10")
imap.sock.settimeout(20)
imap.login("alice@demo.test", password)
imap.begin()
body = b"".join(b"line %d of very many that are much alike\r\n" % n for n in range(60000))
message = b"Subject: large\r\n\r\n" + body
assert imap.append("INBOX", None, None, message)[0] == "OK"
for n in range(50):
    assert imap.append("INBOX", None, None, b"Subject: small %d\r\n\r\nx\r\n" % n)[0] == "OK"
assert imap.select("INBOX") == ("OK", [b"51"])
imap.octets = 0
kind, data = imap.fetch("1", "(BODY.PEEK[])")
assert data[0][1] == message
assert imap.octets * 4 < len(message), imap.octets
kind, data = imap.fetch("1:*", "(FLAGS ENVELOPE)")
assert len(data) == 51, len(data)
for n in range(200):
    assert imap.noop()[0] == "OK"
assert imap.logout()[0] == "BYE"
print("all as it should be")
"#;

#[test]
fn python_reads_and_writes_through_zlib() {
    run(
        "compressed::python_reads_and_writes_through_zlib",
        Needs::Nothing,
        |world| {
            let mut ours = Posthouse::init(world, "127.0.0.10", "demo.test", &["alice"])?;
            ours.serve(world)?;
            let script = world.dir().join("compressed.py");
            std::fs::write(&script, COMPRESSED)?;
            let out = world.output("python3", [script.display().to_string(), PASSWORD.into()])?;
            ensure!(out.trim() == "all as it should be", "{out}");
            ours.assert_sound()
        },
    );
}
