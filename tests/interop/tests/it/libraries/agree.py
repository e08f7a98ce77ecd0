"""Two IMAPClients at once in a mailbox, one marking and one moving to and fro; in the end every session
sees the same, each message is there once, and it has the flags that it was given last, wherever it went."""
import random, sys, threading, traceback
from imapclient import IMAPClient

password, rounds, messages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ID = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"
failures, gate, marks = [], threading.Barrier(2), {}

def session():
    imap = IMAPClient("127.0.0.10", port=143, ssl=False, timeout=60)
    imap.login("alice@demo.test", password)
    return imap

def ids(imap, uids):
    """The Message-IDs of those that are there."""
    answer = imap.fetch(uids, [ID])
    texts = {uid: [v for k, v in data.items() if k.startswith(b"BODY[")] for uid, data in answer.items()}
    return {uid: text[0] for uid, text in texts.items() if text}

def flags(imap):
    answer = imap.fetch("1:*", ["FLAGS"])
    assert sorted(answer) == sorted(imap.search()), "FETCH and SEARCH differ"
    return {uid: set(data[b"FLAGS"]) for uid, data in answer.items()}

def mark():
    imap, random_ = session(), random.Random(1)
    imap.select_folder("INBOX")
    uids = imap.search()
    gate.wait()
    for n in range(rounds):
        some = random_.sample(uids, 20)
        named = ids(imap, some)
        change = (imap.add_flags, imap.remove_flags)[n % 3 == 2]
        # What has gone meanwhile is passed over, and not told.
        for uid, now in change(some, ["\\Flagged", f"k{n % 3}"]).items():
            if uid in named:
                marks[named[uid]] = set(now)
        imap.noop()
    gate.wait()
    return imap

def move():
    imap, random_, here = session(), random.Random(2), "INBOX"
    imap.select_folder(here)
    uids = imap.search()
    gate.wait()
    for n in range(rounds):
        if n % 5 == 4:
            if here == "Archive" and uids:
                imap.move(uids, "INBOX")
            here = "Archive" if here == "INBOX" else "INBOX"
            imap.select_folder(here)
            uids = imap.search()
            continue
        if some := random_.sample(uids, min(20, len(uids))):
            imap.move(some, "Archive" if here == "INBOX" else "INBOX")
            uids = [uid for uid in uids if uid not in some]
    imap.select_folder("INBOX")
    gate.wait()
    return imap

def guarded(work, ended):
    def run():
        try:
            ended.append(work())
        except Exception as error:
            failures.append("".join(traceback.format_exception(error)))
            gate.abort()
    return threading.Thread(target=run)

ended = []
threads = [guarded(mark, ended), guarded(move, ended)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures, "\n".join(failures)

fresh = session()
fresh.select_folder("INBOX")
truth = flags(fresh)
for imap in ended:
    imap.noop()
    assert flags(imap) == truth, "sessions differ"
there = []
for mailbox in ("INBOX", "Archive"):
    fresh.select_folder(mailbox, readonly=True)
    now = flags(fresh)
    for uid, id in ids(fresh, "1:*").items():
        there.append(id)
        expected = marks.get(id)
        assert expected is None or expected == now[uid], (id, expected, now[uid])
assert len(there) == len(set(there)) == messages, (len(there), len(set(there)))
assert len(marks) > rounds, len(marks)
print("all as it should be")
