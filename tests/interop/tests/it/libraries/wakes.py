"""aioimaplib in IDLE: each thing that another session does wakes it, and it is told that thing."""
import asyncio, sys
from aioimaplib import IMAP4, STOP_WAIT_SERVER_PUSH

password, known = sys.argv[1], int(sys.argv[2])

async def session():
    imap = IMAP4("127.0.0.10", 143, timeout=30)
    await imap.wait_hello_from_server()
    assert (await imap.login("alice@demo.test", password)).result == "OK"
    assert (await imap.select("INBOX")).result == "OK"
    return imap

async def until(imap, expected):
    """Reads what is pushed until the expected line is there; gives what came besides it."""
    besides = []
    while True:
        lines = await imap.wait_server_push(timeout=30)
        assert lines != STOP_WAIT_SERVER_PUSH, (expected, besides)
        lines = [line.decode() for line in lines]
        if any(expected in line for line in lines):
            return besides + [line for line in lines if expected not in line]
        besides += lines

async def main():
    idle, busy = await session(), await session()
    waiting = await idle.idle_start(timeout=60)
    for n in range(20):
        number = known + n + 1
        assert (await busy.append(b"Subject: wake\r\n\r\nx\r\n", "INBOX")).result == "OK"
        besides = await until(idle, f"{number} EXISTS")
        assert all("RECENT" in line or "Still here" in line for line in besides), besides
        assert (await busy.noop()).result == "OK"
        assert (await busy.store(str(number), "+FLAGS", "(\\Flagged)")).result == "OK"
        line = f"{number} FETCH (UID "
        assert not await until(idle, line)
    # One at the front goes: every later number is one less from now on.
    assert (await busy.store("1", "+FLAGS", "(\\Deleted)")).result == "OK"
    await until(idle, "\\Deleted")
    assert (await busy.expunge()).result == "OK"
    assert not await until(idle, "1 EXPUNGE")
    # It sleeps on, stops, does something else, and sleeps again.
    idle.idle_done()
    await asyncio.wait_for(waiting, 30)
    assert (await idle.noop()).result == "OK"
    waiting = await idle.idle_start(timeout=60)
    assert (await busy.store("1", "+FLAGS", "(again)")).result == "OK"
    await until(idle, "again")
    idle.idle_done()
    await asyncio.wait_for(waiting, 30)
    await idle.logout()
    await busy.logout()
    print("all as it should be")

asyncio.run(main())
