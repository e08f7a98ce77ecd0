"""jmapc and imaplib on one account: the ids are one, and what one does the other sees."""
import imaplib, json, sys, warnings
from jmapc import Client, EmailQueryFilterCondition, MailboxQueryFilterCondition, Ref
from jmapc.methods import (CoreEcho, EmailChanges, EmailGet, EmailQuery, EmailSet, MailboxGet, MailboxQuery,
                           SearchSnippetGet, ThreadGet)

warnings.simplefilter("ignore")
password, host, user = sys.argv[1], "127.0.0.10", "alice@demo.test"
imaplib.Commands["GETJMAPACCESS"] = ("AUTH", "SELECTED")

imap = imaplib.IMAP4(host)
assert "JMAPACCESS" not in imap.capabilities
imap.login(user, password)
_, names = imap.capability()
assert b"JMAPACCESS" in names[0].split(), names
assert imap._simple_command("GETJMAPACCESS")[0] == "OK"
_, told = imap.response("JMAPACCESS")
assert told == [b'"https://127.0.0.10/jmap/session"'], told

client = Client.create_with_password(host=host, user=user, password=password)
client.requests_session.verify, client.requests_session.trust_env = False, False
session = client.jmap_session
assert session.api_url == "https://127.0.0.10/jmap/api", session.api_url
assert client.request(CoreEcho(data={"hello": "world"})).data == {"hello": "world"}

def ask(method):
    return client.request(method, raise_errors=True)

# Mailboxes are the same by the same ids.
boxes = {box.name: box for box in ask(MailboxGet(ids=None)).data}
for name, box in boxes.items():
    _, status = imap.status(f'"{name}"', "(MAILBOXID MESSAGES)")
    assert f"MAILBOXID ({box.id})".encode() in status[0], (name, status, box.id)
inbox = ask(MailboxQuery(filter=MailboxQueryFilterCondition(role="inbox"))).ids
assert inbox == [boxes["INBOX"].id]

# What IMAP puts in is pushed, and found.
stream = client.requests_session.get(
    session.event_source_url.format(types="*", closeafter="no", ping=0), stream=True, timeout=30)
lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
assert next(lines) == ": watching"

def pushed():
    for line in lines:
        if line.startswith("data: "):
            return json.loads(line[6:])["changed"][client.account_id]

imap.append("INBOX", "(\\Flagged work)", None, b"From: Ann <ann@a.test>\r\nSubject: noodles\r\n\r\nlet us eat noodles\r\n")
states = pushed()
results = client.request([
    EmailQuery(filter=EmailQueryFilterCondition(text="noodles", in_mailbox=inbox[0])),
    EmailGet(ids=Ref("/ids"), fetch_text_body_values=True),
    ThreadGet(ids=Ref("/list/*/threadId")),
], raise_errors=True)
found, got, threads = (result.response for result in results)
email = got.data[0]
assert states["Email"] == got.state and "EmailDelivery" in states, states
assert email.keywords == {"$flagged": True, "work": True} and email.subject == "noodles"
assert email.body_values[email.text_body[0].part_id].value == "let us eat noodles\n"
assert threads.data[0].email_ids == [email.id]
imap.select("INBOX")
_, fetched = imap.fetch("1", "(EMAILID THREADID)")
assert f"EMAILID ({email.id})".encode() in fetched[0] and f"THREADID ({email.thread_id})".encode() in fetched[0], fetched
snippets = ask(SearchSnippetGet(ids=[email.id], filter=EmailQueryFilterCondition(text="noodles")))
assert snippets.data[0].subject == "<mark>noodles</mark>", snippets

# Flags go both ways.
ask(EmailSet(update={email.id: {"keywords/$seen": True, "keywords/work": None}}))
assert pushed()["Email"] != states["Email"]
imap.noop()
_, fetched = imap.fetch("1", "(FLAGS)")
assert b"\\Seen" in fetched[0] and b"work" not in fetched[0], fetched
before = ask(EmailGet(ids=[])).state
imap.store("1", "+FLAGS", "(\\Answered)")
assert pushed()["Email"] != before
assert ask(EmailChanges(since_state=before)).updated == [email.id]
assert "$answered" in ask(EmailGet(ids=[email.id])).data[0].keywords

# A copy in another mailbox is the same email; what is marked deleted is not shown.
imap.copy("1", '"Archive"')
assert set(ask(EmailGet(ids=[email.id])).data[0].mailbox_ids) == {inbox[0], boxes["Archive"].id}
imap.store("1", "+FLAGS", "(\\Deleted)")
assert set(ask(EmailGet(ids=[email.id])).data[0].mailbox_ids) == {boxes["Archive"].id}
imap.expunge()
before = ask(EmailGet(ids=[])).state
ask(EmailSet(destroy=[email.id]))
assert ask(EmailChanges(since_state=before)).destroyed == [email.id]
_, status = imap.status('"Archive"', "(MESSAGES)")
assert b"MESSAGES 0" in status[0], status

# What is uploaded and put into a draft is read by IMAP.
path = sys.argv[0] + ".bin"
octets = bytes(range(256)) * 2000
with open(path, "wb") as file:
    file.write(octets)
blob = client.upload_blob(path)
assert blob.size == len(octets)
api = session.api_url
create = {"mailboxIds": {boxes["Drafts"].id: True}, "keywords": {"$draft": True}, "subject": "草稿",
          "textBody": [{"partId": "1", "type": "text/plain"}], "bodyValues": {"1": {"value": "hello"}},
          "attachments": [{"blobId": blob.id, "type": "application/octet-stream", "name": "a.bin"}]}
answer = client.requests_session.post(api, json={
    "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
    "methodCalls": [["Email/set", {"accountId": client.account_id, "create": {"k": create}}, "0"]]}).json()
made = answer["methodResponses"][0][1]["created"]["k"]["id"]
draft = ask(EmailGet(ids=[made])).data[0]
assert draft.subject == "草稿" and draft.attachments[0].size == len(octets), draft
client.download_attachment(draft.attachments[0], path)
with open(path, "rb") as file:
    assert file.read() == octets
imap.select("Drafts")
_, fetched = imap.fetch("1", "(FLAGS RFC822)")
import email as parsing
message = parsing.message_from_bytes(fetched[0][1])
assert b"\\Draft" in fetched[0][0]
parts = [part for part in message.walk() if part.get_filename() == "a.bin"]
assert len(parts) == 1 and parts[0].get_payload(decode=True) == octets
imap.logout()
print("all as it should be")
