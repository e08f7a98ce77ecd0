"""poplib on a maildrop of ten thousand that is left on the server: the first visit takes every message, the
next ones what is new, known by its unique id (RFC 1939 §7); asking for the lists reads no message."""
import imaplib, poplib, re, sys

password, pid, messages = sys.argv[1], sys.argv[2], int(sys.argv[3])

def read():
    """Octets that the server has read from its files so far."""
    with open(f"/proc/{pid}/io") as file:
        return int(re.search(r"rchar: (\d+)", file.read())[1])

def visit(known, deletes=()):
    """Takes what is not known; gives the messages by their unique ids, and all ids in their order."""
    pop = poplib.POP3("127.0.0.10", 110, timeout=60)
    pop.user("alice@demo.test"); pop.pass_(password)
    before = read()
    ids = [line.split()[1].decode() for line in pop.uidl()[1]]
    sizes = [int(line.split()[1]) for line in pop.list()[1]]
    lists = read() - before
    assert len(ids) == len(set(ids)) == len(sizes) == pop.stat()[0]
    assert sum(sizes) == pop.stat()[1]
    taken = {}
    for number, (id, size) in enumerate(zip(ids, sizes), 1):
        if id not in known:
            lines = pop.retr(number)[1]
            taken[id] = b"\r\n".join(lines) + b"\r\n"
            assert len(taken[id]) == size, (number, size, len(taken[id]))
    whole = read() - before - lists
    for number, id in enumerate(ids, 1):
        if id in deletes:
            pop.dele(number)
    pop.quit()
    return taken, ids, lists, whole

first, ids, lists, whole = visit(())
assert len(first) == messages, len(first)
octets = sum(map(len, first.values()))
assert whole >= octets, (whole, octets)
# What is in memory already is read by nobody; a body would show.
assert lists < octets // 10, (lists, octets)
for number, id in enumerate(ids, 1):
    head, _, body = first[id].partition(b"\r\n\r\n")
    assert b"Message-ID: <%d@here.test>" % number in head, (number, head)
    assert all(line.endswith(b" of message %d" % number) for line in body.split(b"\r\n")[:-1]), (number, body)

# Nothing happened: nothing is taken.
again, same, _, whole = visit(set(ids))
assert not again and same == ids

# A day: some came, some went, some were marked, in the middle too.
imap = imaplib.IMAP4("127.0.0.10", 143, timeout=60)
imap.login("alice@demo.test", password); imap.select("INBOX")
for n in range(50):
    assert imap.append("INBOX", None, None, b"Subject: new %d\r\n\r\nx\r\n" % n)[0] == "OK"
assert imap.uid("STORE", "100:199,5000", "+FLAGS.SILENT", "(\\Deleted)")[0] == "OK"
assert imap.expunge()[0] == "OK"
assert imap.uid("STORE", "1:50", "+FLAGS.SILENT", "(\\Seen \\Flagged)")[0] == "OK"
left = ids[:99] + ids[199:4999] + ids[5000:]
deletes = set(left[::2])
new, now, _, _ = visit(set(ids), deletes)
assert len(new) == 50 and not set(new) & set(ids), len(new)
assert now[:-50] == left and now[-50:] == list(new)
assert [text.split(b"\r\n")[0] for text in new.values()] == [b"Subject: new %d" % n for n in range(50)]

# What was deleted is gone for IMAP too, and the rest has its ids.
nothing, last, _, _ = visit(set(now))
assert not nothing and last == [id for id in now if id not in deletes], (len(last), len(now))
imap.noop()
assert int(imap.select("INBOX")[1][0]) == len(last)
imap.logout()
print("all as it should be")
