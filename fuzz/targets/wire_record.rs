//! Stored records: what is read is what was written, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::codec::{DecodeError, Reader, Writer};

/// Reads one field and writes it again.
fn copy_field(kind: u8, reader: &mut Reader<'_>, writer: &mut Writer) -> Result<(), DecodeError> {
    match kind % 7 {
        0 => writer.u8(reader.u8()?),
        1 => writer.varint(reader.varint()?),
        2 => writer.varint(u64::from(reader.varint32()?)),
        3 => writer.u64_be(reader.u64_be()?),
        4 => writer.bytes(reader.bytes()?),
        5 => writer.text(reader.text()?),
        _ => writer.raw(reader.raw(usize::from(kind))?),
    };
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let coded = wire::base64::encode(data);
    assert_eq!(
        wire::base64::decode(coded.as_bytes()).as_deref(),
        Some(data)
    );
    if let Some(bytes) = wire::base64::decode(data) {
        assert_eq!(
            wire::base64::encode(&bytes).as_bytes(),
            data,
            "not canonical"
        );
    }

    let Some((record, kinds)) = fuzz::knobs::<8>(data) else {
        return;
    };
    let mut reader = Reader::new(record);
    let mut writer = Writer::new();
    for kind in kinds {
        let before = reader.rest().len();
        if copy_field(kind, &mut reader, &mut writer).is_err() {
            return;
        }
        assert!(reader.rest().len() <= before);
    }
    let read = record.len() - reader.rest().len();
    assert_eq!(writer.finish(), &record[..read]);
    assert_eq!(reader.is_empty(), reader.finish().is_ok());
});
