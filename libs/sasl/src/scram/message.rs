//! The messages of RFC 5802 §7, read and written.
//!
//! ```text
//! client-first  = gs2-header client-first-bare      n,,n=user,r=fyko…
//! server-first  = r= s= i=
//! client-final  = c= r= [extensions] p=
//! server-final  = v=
//! ```
//! Not here: who the user is, and whether the proof is right.

use crate::binding::BindingKind;
use crate::limits::{NAME_BYTES_MAX, NONCE_BYTES_MAX};

/// The GS2 channel-binding flag (RFC 5802 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    /// `n`: the client cannot bind.
    None,
    /// `y`: it could, and thinks that the server cannot.
    NotOffered,
    /// `p=`: it binds; `None` for a kind that we do not know.
    Bind(Option<BindingKind>),
}

/// `client-first-message`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst<'a> {
    pub(crate) flag: Flag,
    /// `gs2-header`, with its commas.
    pub(crate) header: &'a str,
    /// `client-first-message-bare`.
    pub(crate) bare: &'a str,
    pub(crate) authorization: Option<String>,
    pub(crate) login: String,
    pub(crate) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Option<Self> {
        let text = core::str::from_utf8(message).ok()?;
        let (flag, rest) = text.split_once(',')?;
        let (authorization, bare) = rest.split_once(',')?;
        let header = &text[..text.len() - bare.len()];
        let flag = match flag {
            "n" => Flag::None,
            "y" => Flag::NotOffered,
            _ => Flag::Bind(BindingKind::parse(binding_name(flag)?)),
        };
        let authorization = match authorization {
            // An empty name is none by the grammar; accepted anyway, because GNU SASL
            // sends it where it was told to act for nobody else.
            "" | "a=" => None,
            named => Some(sasl_name(named.strip_prefix("a=")?)?),
        };
        let mut attributes = bare.split(',');
        // RFC 5802 §5.1: an "m=" before the name is an extension that must be understood.
        let login = sasl_name(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if !is_nonce(nonce) || !attributes.all(is_extension) {
            return None;
        }
        Some(Self {
            flag,
            header,
            bare,
            authorization: authorization.filter(|other| *other != login),
            login,
            nonce,
        })
    }
}

/// `client-final-message`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal<'a> {
    /// Everything before `,p=`.
    pub(crate) without_proof: &'a str,
    /// `cbind-input`, decoded.
    pub(crate) binding: Vec<u8>,
    pub(crate) nonce: &'a str,
    pub(crate) proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Option<Self> {
        let text = core::str::from_utf8(message).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if !attributes.all(is_extension) {
            return None;
        }
        Some(Self {
            without_proof,
            binding: wire::base64::decode(binding.as_bytes())?,
            nonce,
            proof: wire::base64::decode(proof.as_bytes())?,
        })
    }
}

/// `cb-name` behind `p=`: letters, digits, dots and dashes.
fn binding_name(flag: &str) -> Option<&str> {
    let name = flag.strip_prefix("p=")?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    (!name.is_empty() && name.bytes().all(fits)).then_some(name)
}

/// `saslname`: `=2C` for a comma, `=3D` for an equals sign, no others.
pub(crate) fn sasl_name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut pieces = text.split('=');
    name.push_str(pieces.next()?);
    for piece in pieces {
        name.push(match piece.get(..2)? {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(&piece[2..]);
    }
    let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0');
    fits.then_some(name)
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty()
        && nonce.len() <= NONCE_BYTES_MAX
        && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// `attr-val`: a letter, an equals sign and something. What it means is not known.
fn is_extension(attribute: &str) -> bool {
    let bytes = attribute.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b'=' && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(text: &str) -> Option<ClientFirst<'_>> {
        ClientFirst::parse(text.as_bytes())
    }

    #[test]
    fn first_messages_of_rfc_5802_section_7() {
        let plain = first("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL").expect("the example of §5");
        assert_eq!(plain.flag, Flag::None);
        assert_eq!(plain.header, "n,,");
        assert_eq!(plain.bare, "n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(plain.login, "user");
        assert_eq!(plain.nonce, "fyko+d2lbbFgONRv9qkxdawL");
        let bound = first("p=tls-exporter,a=kurt=2Cx,n=a=3Db,r=x,e=ext").expect("well formed");
        assert_eq!(bound.flag, Flag::Bind(Some(BindingKind::TlsExporter)));
        assert_eq!(bound.header, "p=tls-exporter,a=kurt=2Cx,");
        assert_eq!(bound.authorization.as_deref(), Some("kurt,x"));
        assert_eq!(bound.login, "a=b");
        let unique = first("p=tls-unique,,n=a,r=x").expect("well formed");
        assert_eq!(unique.flag, Flag::Bind(None));
        let nobody = first("n,a=,n=a,r=x").expect("as GNU SASL writes it");
        assert_eq!((nobody.header, nobody.authorization), ("n,a=,", None));
        let itself = first("y,a=a,n=a,r=x").expect("well formed");
        assert_eq!(
            (itself.flag, itself.authorization),
            (Flag::NotOffered, None)
        );
    }

    #[test]
    fn first_messages_that_are_none() {
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "n,,n=,r=x",
            "n,,n=user,r=",
            "n,,n=us=er,r=x",
            "n,,n=us=2c,r=x",
            "n,,n=user=,r=x",
            "n,,m=ext,n=user,r=x",
            "n,,r=x,n=user",
            "n,,n=user,r=a b",
            "n,,n=user,r=x,e",
            "n,,n=user,r=x,",
            "n,b=x,n=user,r=x",
            "z,,n=user,r=x",
            "p=,,n=user,r=x",
            "p,,n=user,r=x",
            "n,,n=u\0r,r=x",
        ] {
            assert_eq!(first(bad), None, "{bad:?}");
        }
        assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=x"), None);
        let long = format!("n,,n=user,r={}", "x".repeat(NONCE_BYTES_MAX + 1));
        assert_eq!(first(&long), None);
    }

    #[test]
    fn final_messages() {
        let text = b"c=biws,r=abc,x=y,p=AAAA";
        let parsed = ClientFinal::parse(text).expect("well formed");
        assert_eq!(parsed.without_proof, "c=biws,r=abc,x=y");
        assert_eq!(parsed.binding, b"n,,");
        assert_eq!(parsed.nonce, "abc");
        assert_eq!(parsed.proof, [0, 0, 0]);
        for bad in [
            &b""[..],
            b"c=biws,r=abc",
            b"c=biws,p=AAAA",
            b"r=abc,c=biws,p=AAAA",
            b"c=bi,r=abc,p=AAAA",
            b"c=biws,r=abc,p=A",
            b"c=biws,r=abc,p=AAAA,x=y",
            b"c=biws,r=abc,x,p=AAAA",
            b"c=biws,r=\xff,p=AAAA",
        ] {
            assert_eq!(ClientFinal::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_a_panic(message: Vec<u8>, text in "[nyp=,acr2CD3\\PC]{0,40}") {
            let _ = ClientFirst::parse(&message);
            let _ = ClientFinal::parse(&message);
            if let Some(parsed) = first(&text) {
                prop_assert_eq!([parsed.header, parsed.bare].concat(), text.clone());
            }
            let _ = ClientFinal::parse(text.as_bytes());
        }

        #[test]
        fn names_come_back(name in "[a-z=,é@]{1,20}") {
            let coded = name.replace('=', "=3D").replace(',', "=2C");
            let text = format!("n,,n={coded},r=x");
            prop_assert_eq!(first(&text).map(|parsed| parsed.login), Some(name));
        }
    }
}
