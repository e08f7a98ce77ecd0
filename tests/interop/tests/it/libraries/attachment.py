"""The large part of the newest message: whole, by pieces, decoded, and beyond its end."""
import hashlib, imaplib, re, sys

imap = imaplib.IMAP4("127.0.0.10", 143, timeout=60)
imap.login("alice@demo.test", sys.argv[1])
newest = imap.select("INBOX", readonly=True)[1][0].decode()

def fetch(item):
    kind, data = imap.fetch(newest, f"({item})")
    assert kind == "OK", data
    return data[0]

def get(item):
    """An item's octets, whether they came as a literal or, where there are none, as a string."""
    data = fetch(item)
    if isinstance(data, tuple):
        return data[1]
    return re.search(rb'"(.*)"\)$', data)[1]

structure = fetch("BODYSTRUCTURE")
size = int(re.search(rb'"application" "octet-stream" \(.*?\) NIL NIL "base64" (\d+)', structure, re.I)[1])
whole = get("BODY.PEEK[2]")
assert len(whole) == size, (len(whole), structure)
piece, pieces = 1_000_003, b""
while part := get(f"BODY.PEEK[2]<{len(pieces)}.{piece}>"):
    pieces += part
assert pieces == whole, "pieces differ"
octets = get("BINARY.PEEK[2]")
assert b"BINARY.SIZE[2] %d" % len(octets) in fetch("BINARY.SIZE[2]")
decoded = b""
while part := get(f"BINARY.PEEK[2]<{len(decoded)}.{piece}>"):
    decoded += part
assert decoded == octets, "decoded pieces differ"
assert get(f"BODY.PEEK[2]<{len(whole) - 5}.100>") == whole[-5:]
assert get("BODY.PEEK[1]") == b"see the attachment"
print(len(octets), hashlib.sha256(octets).hexdigest())
