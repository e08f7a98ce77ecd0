// What imapflow knows of a mailbox, kept in a file between its visits: it learns
// by QRESYNC (RFC 7162) what happened while it was away, and by IDLE what happens
// while it is there.
const fs = require("node:fs");
const [, , modules, mode, file, password] = process.argv;
const { ImapFlow } = require(modules + "/imapflow");

const assert = (holds, what) => {
  if (!holds) throw new Error(what);
};

const connected = async () => {
  const client = new ImapFlow({
    host: "127.0.0.10",
    port: 143,
    secure: false,
    doSTARTTLS: false,
    auth: { user: "alice@demo.test", pass: password },
    qresync: true,
    logger: false,
  });
  await client.connect();
  assert(client.enabled.has("QRESYNC"), "QRESYNC is not enabled");
  return client;
};

const flagsOf = (flags) => [...flags].sort();

// Every message with its flags, asked for.
const read = async (client) => {
  const known = {};
  for await (const message of client.fetch("1:*", { uid: true, flags: true })) known[message.uid] = flagsOf(message.flags);
  return known;
};

const first = async () => {
  const client = await connected();
  const mailbox = await client.mailboxOpen("INBOX");
  const known = await read(client);
  assert(mailbox.exists === Object.keys(known).length, "EXISTS and FETCH differ");
  fs.writeFileSync(
    file,
    JSON.stringify({ validity: String(mailbox.uidValidity), modseq: String(mailbox.highestModseq), known }),
  );
  await client.logout();
};

// Tells what it knows after SELECT alone, and how much it was told.
const again = async () => {
  const { validity, modseq, known } = JSON.parse(fs.readFileSync(file));
  const client = await connected();
  const told = { flags: 0, gone: 0 };
  client.on("flags", (event) => {
    told.flags += 1;
    assert(event.modseq > BigInt(modseq), "a mod-sequence that is not new");
    known[event.uid] = flagsOf(event.flags);
  });
  client.on("expunge", (event) => {
    told.gone += 1;
    assert(event.vanished && event.earlier, "not VANISHED (EARLIER)");
    delete known[event.uid];
  });
  const mailbox = await client.mailboxOpen("INBOX", { changedSince: BigInt(modseq), uidValidity: BigInt(validity) });
  assert(mailbox.qresync, "no QRESYNC");
  assert(mailbox.exists === Object.keys(known).length, "EXISTS is not what is known");
  const state = { validity, modseq: String(mailbox.highestModseq), known };
  fs.writeFileSync(file, JSON.stringify(state));
  await client.logout();
  console.log(JSON.stringify({ ...told, known }));
};

// Two at once: what the idle one is told is what the busy one does.
const together = async () => {
  const [idle, busy] = [await connected(), await connected()];
  let known = {};
  const wakes = { exists: 0, flags: 0, expunge: 0 };
  idle.on("exists", () => (wakes.exists += 1));
  idle.on("flags", (event) => {
    wakes.flags += 1;
    known[event.uid] = flagsOf(event.flags);
  });
  idle.on("expunge", (event) => {
    wakes.expunge += 1;
    delete known[event.uid];
  });
  await idle.mailboxOpen("INBOX");
  known = await read(idle);
  const uids = Object.keys(known).map(Number);
  const idling = idle.idle();
  await busy.mailboxOpen("INBOX");
  await busy.messageFlagsAdd(uids.slice(0, 300), ["\\Flagged", "together"], { uid: true });
  await busy.messageMove(uids.slice(200, 400), "Archive", { uid: true });
  await busy.messageDelete(uids.slice(400, 450), { uid: true });
  for (let n = 0; n < 5; n++) {
    await busy.append("INBOX", `Subject: new ${n}\r\n\r\nx\r\n`, ["\\Seen"]);
  }
  // The last thing that happens is the last thing that is told.
  const done = new Promise((resolve) => {
    idle.on("flags", (event) => event.flags.has("last") && resolve());
  });
  await busy.messageFlagsAdd(uids[0], ["last"], { uid: true });
  await done;
  assert(wakes.expunge === 250, `${wakes.expunge} expunges were told`);
  // What is flagged and gone before the idle one looks is told as gone alone.
  assert(wakes.flags >= 201 && wakes.flags <= 351, `${wakes.flags} changes of flags were told`);
  assert(wakes.exists >= 1, "no new message was told");
  assert(idle.mailbox.exists === uids.length - 250 + 5, "EXISTS");
  for await (const message of idle.fetch(`${uids.at(-1) + 1}:*`, { uid: true, flags: true }, { uid: true }))
    known[message.uid] = flagsOf(message.flags);
  const truth = await read(busy);
  assert(JSON.stringify(known) === JSON.stringify(truth), "what was told is not what is there");
  await idle.logout();
  await idling;
  await busy.logout();
};

// The large part of the newest message, by chunks, and a piece of it.
const attachment = async () => {
  const client = await connected();
  const mailbox = await client.mailboxOpen("INBOX");
  const { meta, content } = await client.download(String(mailbox.exists), "2");
  assert(meta.contentType === "application/octet-stream" && meta.filename === "large.bin", "BODYSTRUCTURE");
  const hash = require("node:crypto").createHash("sha256");
  let octets = 0;
  for await (const chunk of content) {
    hash.update(chunk);
    octets += chunk.length;
  }
  await client.logout();
  console.log(`${octets} ${hash.digest("hex")}`);
};

// A mailbox that is renamed is the same one: what is known of it holds, and is kept up by QRESYNC.
const renamed = async () => {
  const [one, other] = [await connected(), await connected()];
  await one.mailboxOpen("INBOX");
  await one.messageMove("1:*", "Archive");
  await one.mailboxCreate("Archive/below");
  let { uidValidity, highestModseq, exists } = await one.mailboxOpen("Archive");
  const known = await read(one);
  const uids = Object.keys(known).map(Number);
  assert(exists === uids.length && exists > 0, "nothing was moved");
  await other.mailboxOpen("Archive");
  const told = { flags: 0, expunge: 0 };
  one.on("flags", (event) => {
    told.flags += 1;
    known[event.uid] = flagsOf(event.flags);
  });
  one.on("expunge", () => (told.expunge += 1));
  let here = "Archive";
  for (const [n, there] of ["旧邮件/2026", "Old & older", "Archive"].entries()) {
    const answer = await one.mailboxRename(here, there);
    assert(answer.newPath === there, "it has another name");
    const names = (await one.list()).map((mailbox) => mailbox.path);
    assert(!names.includes(here) && names.includes(there) && names.includes(`${there}/below`), names.join());
    // Whoever had it open goes on in it.
    await other.messageFlagsAdd(uids.slice(0, 100), [`renamed${n}`], { uid: true });
    const opened = await one.mailboxOpen(there, { changedSince: highestModseq, uidValidity });
    assert(opened.uidValidity === uidValidity && opened.exists === exists, "it is another mailbox");
    assert(told.flags === 100 * (n + 1) && told.expunge === 0, JSON.stringify(told));
    highestModseq = opened.highestModseq;
    here = there;
  }
  assert(JSON.stringify(known) === JSON.stringify(await read(other)), "what was told is not what is there");
  const archive = (await one.list()).find((mailbox) => mailbox.path === "Archive");
  assert(archive.specialUse === "\\Archive" && archive.subscribed, "its use or its subscription is lost");
  await one.logout();
  await other.logout();
};

const modes = { first, again, together, attachment, renamed };
modes[mode]().catch((error) => {
  console.error(error);
  process.exit(1);
});
