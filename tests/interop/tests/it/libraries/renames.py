"""IMAPClient renames mailboxes of ten thousand messages, alone, with all that lies below, and the inbox, while another
session has them open: it is the same mailbox under another name (RFC 9051 §6.3.6)."""
import sys
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

password, messages = sys.argv[1], int(sys.argv[2])

def session():
    imap = IMAPClient("127.0.0.10", port=143, ssl=False, timeout=60)
    imap.login("alice@demo.test", password)
    return imap

def names(imap):
    return {name for _, _, name in imap.list_folders()}

def state(imap, folder):
    now = imap.folder_status(folder, ["UIDVALIDITY", "UIDNEXT", "MESSAGES"])
    return now[b"UIDVALIDITY"], now[b"UIDNEXT"], now[b"MESSAGES"]

def marks(imap, folder):
    imap.select_folder(folder, readonly=True)
    answer = imap.fetch("1:*", ["FLAGS"])
    imap.unselect_folder()
    return {uid: set(data[b"FLAGS"]) for uid, data in answer.items()}

def refused(work):
    try:
        work()
    except IMAPClientError:
        return True
    return False

one, other = session(), session()
before, all_ = state(one, "INBOX"), marks(one, "INBOX")
assert before[2] == len(all_) == messages

# The inbox stays, and its messages go; who is in it sees them go.
other.select_folder("INBOX")
one.rename_folder("INBOX", "工作/2026")
other.noop()
assert other.search() == [] and state(one, "INBOX")[2] == 0
assert state(one, "INBOX")[:2] == before[:2], "the inbox is another one"
assert [flags for _, flags in sorted(marks(one, "工作/2026").items())] == [flags for _, flags in sorted(all_.items())]
assert "工作" in names(one)

# A tree of four takes another name, with a session in the middle of it.
one.select_folder("工作/2026")
uids = one.search()
for below, count in (("工作/2026/below", 100), ("工作/2026/below/deep", 10)):
    one.create_folder(below)
    one.copy(uids[:count], below)
one.unselect_folder()
tree = ("", "/2026", "/2026/below", "/2026/below/deep")
known = {end: (state(one, "工作" + end), marks(one, "工作" + end)) for end in tree}
assert [known[end][0][2] for end in tree] == [0, messages, 100, 10]
other.select_folder("工作/2026")
other.idle()
here = "工作"
for there in ("Work", "Much/deeper/down", "a & b", "工作 again", "Last"):
    one.rename_folder(here, there)
    now = names(one)
    assert not any(name == here or name.startswith(here + "/") for name in now), (here, now)
    assert all(there + end in now for end in tree), (there, now)
    assert all(state(one, there + end) == known[end][0] for end in tree), there
    here = there
assert all(marks(one, here + end) == known[end][1] for end in tree)
other.idle_done()
assert not [line for line in other.noop()[1] if line[-1] == b"EXPUNGE"], "messages went"
other.add_flags(uids[:500], ["renamed"], silent=True)
now = marks(one, here + "/2026")
assert [uid for uid, flags in sorted(now.items()) if b"renamed" in flags] == uids[:500]
other.unselect_folder()

# A name that was used is used for another mailbox.
used = {known[end][0][0] for end in tree}
one.create_folder("工作/2026")
assert state(one, "工作/2026")[0] not in used | {before[0]}, "a UIDVALIDITY comes again"

# What cannot be changes nothing.
whole = names(one)
assert refused(lambda: one.rename_folder(here, "INBOX"))
assert refused(lambda: one.rename_folder(here + "/2026", "工作/2026"))
assert refused(lambda: one.rename_folder(here, here + "/2026/below/itself"))
assert refused(lambda: one.rename_folder("nowhere", "somewhere"))
assert names(one) == whole and all(state(one, here + end)[2] == known[end][0][2] for end in tree)
print("all as it should be")
