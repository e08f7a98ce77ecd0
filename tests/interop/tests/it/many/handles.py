"""imaplib on an account of ten thousand: lists, searches, sorts, marks, copies, moves and removes all of them."""
import imaplib, re, sys

password, messages = sys.argv[1], int(sys.argv[2])
imaplib._MAXLINE = 10_000_000
imap = imaplib.IMAP4("127.0.0.10", 143, timeout=60)
imap.login("alice@demo.test", password)

def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]

def found(*criteria):
    return [int(uid) for uid in ok(imap.uid("SEARCH", None, *criteria))[0].split()]

def flags():
    lines = ok(imap.uid("FETCH", "1:*", "(FLAGS)"))
    one = lambda line: (int(re.search(rb"UID (\d+)", line)[1]), set(re.search(rb"FLAGS \(([^)]*)\)", line)[1].decode().split()))
    return dict(map(one, lines))

def count(mailbox):
    return int(re.search(rb"MESSAGES (\d+)", ok(imap.status(mailbox, "(MESSAGES)"))[0])[1])

everything = list(range(1, messages + 1))
assert int(ok(imap.select("INBOX"))[0]) == messages
assert found("ALL") == everything
# As they were put there: each second is seen, each fifth flagged, each ninth answered.
assert found("SEEN") == everything[1::2] and found("FLAGGED") == everything[4::5]
assert found("UNSEEN", "ANSWERED") == [n for n in everything if n % 9 == 0 and n % 2]
assert found("SUBJECT", '"message 777"') == [777] + list(range(7770, 7780))
assert found("BODY", '"line 0 of message 4242"') == [4242]
assert found("LARGER", "10000") == everything[999::1000]

# All headers and all structures, in two answers.
texts = [part[1] for part in ok(imap.fetch("1:*", "(BODY.PEEK[HEADER])")) if isinstance(part, tuple)]
assert len(texts) == messages
assert all(b"Message-ID: <%d@here.test>" % n in text for n, text in enumerate(texts, 1))
lines = ok(imap.fetch("1:*", "(UID RFC822.SIZE BODYSTRUCTURE)"))
assert len(lines) == messages, len(lines)

# By size, the largest first, and by threads: each is there once.
sizes = {n: int(re.search(rb"RFC822.SIZE (\d+)", line)[1]) for n, line in enumerate(lines, 1)}
by_size = [int(n) for n in ok(imap.sort("(REVERSE SIZE)", "UTF-8", "ALL"))[0].split()]
assert by_size == sorted(everything, key=lambda n: (-sizes[n], n))
threads = ok(imap.thread("REFERENCES", "UTF-8", "ALL"))[0]
assert sorted(int(n) for n in re.findall(rb"\d+", threads)) == everything

# Marks on half of them; what was told is what is there.
told = ok(imap.store(f"1:{messages // 2}", "+FLAGS", "(\\Flagged half)"))
assert len(told) == messages // 2
now = flags()
assert all({"\\Flagged", "half"} <= now[n] for n in everything[: messages // 2])
assert not any("half" in now[n] for n in everything[messages // 2 :])
assert found("KEYWORD", "half") == everything[: messages // 2]

# All of them into another mailbox, with their marks; then to and fro.
ok(imap.create("kept"))
ok(imap.copy("1:*", "kept"))
assert count("kept") == count("INBOX") == messages
ok(imap.uid("MOVE", "1:*", "Archive"))
assert count("INBOX") == 0 and count("Archive") == messages
assert int(ok(imap.select("kept"))[0]) == messages
assert flags() == now
assert int(ok(imap.select("Archive"))[0]) == messages
assert list(flags().values()) == [now[n] for n in everything]

# Every third goes, by the set that SEARCH has given.
third = found("ALL")[::3]
ok(imap.uid("STORE", ",".join(map(str, third)), "+FLAGS.SILENT", "(\\Deleted)"))
gone = ok(imap.expunge())
assert len(gone) == len(third)
assert found("ALL") == sorted(set(everything) - set(third))
# A mailbox of ten thousand is closed and deleted.
ok(imap.select("kept"))
ok(imap.store("1:*", "+FLAGS.SILENT", "(\\Deleted)"))
ok(imap.close())
assert count("kept") == 0
ok(imap.delete("kept"))
assert count("Archive") == messages - len(third)
imap.logout()
print("all as it should be")
