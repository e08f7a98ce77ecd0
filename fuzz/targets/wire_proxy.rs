//! PROXY headers: nothing behind one is asked for, how it is read does not
//! matter, and what a line says is what it is written from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::proxy::{EXTENDED_BYTES_MAX, LINE_BYTES_MAX, Next, Proxied, ProxyError, needs};

/// Octets before those that a version 2 header says the number of.
const FIXED_BYTES: usize = 16;

/// Reads as much at a time as is asked for, or `most`; `None` where the data ends.
fn read(data: &[u8], most: usize) -> (Option<Result<Proxied, ProxyError>>, usize) {
    let mut at = 0;
    loop {
        match needs(&data[..at]) {
            Ok(Next::Done(proxied)) => return (Some(Ok(proxied)), at),
            Err(error) => return (Some(Err(error)), at),
            Ok(Next::Read(more)) => {
                assert!(more > 0, "it would wait for ever");
                at += more.min(most);
                assert!(at <= LINE_BYTES_MAX.max(FIXED_BYTES + EXTENDED_BYTES_MAX));
                if at > data.len() {
                    return (None, data.len());
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let data = fuzz::expand(data);
    let (whole, at) = read(&data, usize::MAX);
    let (slow, slow_at) = read(&data, 1);
    match (&whole, &slow) {
        (Some(Ok(one)), Some(Ok(two))) => assert_eq!((one, at), (two, slow_at)),
        // Who reads octet by octet sees what is wrong earlier, and no later.
        (Some(Err(_)), Some(Err(_))) => assert!(slow_at <= at),
        (None, None | Some(Err(_))) => {}
        other => panic!("{other:?}"),
    }
    if let Some(Ok(Proxied::Client {
        source,
        destination,
    })) = whole
        && source.is_ipv4() == destination.is_ipv4()
    {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!(
            "PROXY {family} {} {} {} {}\r\n",
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port()
        );
        let (again, read) = read(line.as_bytes(), usize::MAX);
        assert_eq!(
            (again.and_then(Result::ok), read),
            (whole.and_then(Result::ok), line.len())
        );
    }
});
