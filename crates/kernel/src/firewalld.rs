//! firewalld, asked over D-Bus: which zone an interface is in, and to take it into another one.
//!
//! Its tables are its own: what others write into them is gone at the next reload. What is said here holds at run time and is
//! not kept either, but `raum status` sees that it is gone. Of D-Bus (D-Bus Specification 0.43, "Message Protocol") only a call
//! with texts as arguments and a text as answer is spoken; a library for that would be larger than the rest of raum.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use raum_core::beside::ZONE;
use raum_core::host::OpError;
use raum_core::name::IfName;
use rustix::process::getuid;

use crate::errno;

/// Where the system's bus listens.
const BUS: &str = "/run/dbus/system_bus_socket";
const SERVICE: &str = "org.fedoraproject.FirewallD1";
const OBJECT: &str = "/org/fedoraproject/FirewallD1";
const ZONES: &str = "org.fedoraproject.FirewallD1.zone";
/// It writes all its rules before it answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// No answer that is read here is longer.
const LONGEST: usize = 1 << 16;

/// Is there a bus to ask on?
#[must_use]
pub fn is_reachable() -> bool {
    UnixStream::connect(BUS).is_ok()
}

/// Those of the interfaces that are in the zone of raum's; none if firewalld does not run.
pub(crate) fn in_zone<'a>(interfaces: impl Iterator<Item = &'a IfName>) -> Result<Vec<IfName>, OpError> {
    let mut interfaces = interfaces.peekable();
    if interfaces.peek().is_none() || !is_reachable() {
        return Ok(Vec::new());
    }
    let mut bus = Bus::open()?;
    let mut found = Vec::new();
    for interface in interfaces {
        match bus.call(SERVICE, OBJECT, ZONES, "getZoneOfInterface", &[interface.as_str()])? {
            Ok(zone) if zone == ZONE => found.push(interface.clone()),
            // it does not run, or is being started
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// Takes an interface into the zone.
pub(crate) fn add(interface: &IfName) -> Result<(), OpError> {
    ask("addInterface", interface, &["ALREADY_ENABLED", "ZONE_ALREADY_SET"])
}

/// Takes it out again. One that is not in it is fine, and so is a firewalld that does not run any more.
pub(crate) fn remove(interface: &IfName) -> Result<(), OpError> {
    if !is_reachable() {
        return Ok(());
    }
    match ask("removeInterface", interface, &["NOT_ENABLED"]) {
        Err(error) if ["UNKNOWN_INTERFACE", "ServiceUnknown"].iter().any(|gone| error.message.contains(gone)) => Ok(()),
        done => done,
    }
}

fn ask(method: &str, interface: &IfName, done_already: &[&str]) -> Result<(), OpError> {
    match Bus::open()?.call(SERVICE, OBJECT, ZONES, method, &[ZONE, interface.as_str()])? {
        Err(words) if !done_already.iter().any(|done| words.contains(done)) => {
            Err(errno::refused(format!("firewalld: {words}")))
        }
        _ => Ok(()),
    }
}

struct Bus {
    stream: UnixStream,
    serial: u32,
}

impl Bus {
    fn open() -> Result<Self, OpError> {
        let at = |cause: std::io::Error| errno::at_io(BUS, &cause);
        let mut stream = UnixStream::connect(BUS).map_err(at)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(at)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(at)?;
        // who we are the kernel says; the number only has to be the same
        let user: String = getuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes()).map_err(at)?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(at)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK ") {
            return Err(errno::refused(format!("{BUS}: this user may not speak on the bus")));
        }
        stream.write_all(b"BEGIN\r\n").map_err(at)?;
        let mut bus = Self { stream, serial: 0 };
        let name = "org.freedesktop.DBus";
        match bus.call(name, "/org/freedesktop/DBus", name, "Hello", &[])? {
            Ok(_) => Ok(bus),
            Err(words) => Err(errno::refused(format!("{BUS}: {words}"))),
        }
    }

    /// Calls a method: the text that it answers with, or the error's name and text.
    fn call(
        &mut self,
        service: &str,
        object: &str,
        interface: &str,
        method: &str,
        texts: &[&str],
    ) -> Result<Result<String, String>, OpError> {
        let at = |cause: std::io::Error| errno::at_io(BUS, &cause);
        self.serial += 1;
        let message = call(self.serial, service, object, interface, method, texts);
        self.stream.write_all(&message).map_err(at)?;
        // signals may come in between; each reading waits at most PATIENCE
        for _ in 0..1_000 {
            let mut head = [0; 16];
            self.stream.read_exact(&mut head).map_err(at)?;
            let lengths = (number(&head, 4), number(&head, 12));
            let (Some(body), Some(fields)) = lengths else { break };
            let fields_padded = fields.next_multiple_of(8);
            if head[0] != b'l' || body > LONGEST || fields > LONGEST {
                break;
            }
            let mut rest = vec![0; fields_padded + body];
            self.stream.read_exact(&mut rest).map_err(at)?;
            let reply = read(rest.get(..fields).unwrap_or_default());
            if reply.to != Some(self.serial) {
                continue;
            }
            let text = if reply.has_text { text(rest.get(fields_padded..).unwrap_or_default()) } else { None };
            let text = text.unwrap_or_default();
            return match head[1] {
                METHOD_RETURN => Ok(Ok(text)),
                _ => Ok(Err(format!("{}: {text}", reply.error.unwrap_or_default()))),
            };
        }
        Err(errno::refused(format!("{BUS}: the answer cannot be read")))
    }
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;

/// A method call in little endian: fixed part, fields, body.
fn call(serial: u32, service: &str, object: &str, interface: &str, method: &str, texts: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in texts {
        put(&mut body, text);
    }
    let mut fields = Vec::new();
    let signature = "s".repeat(texts.len());
    for (code, kind, value) in
        [(1, b'o', object), (2, b's', interface), (3, b's', method), (6, b's', service), (8, b'g', signature.as_str())]
    {
        if value.is_empty() {
            continue;
        }
        // a struct begins at a multiple of eight: of the code, and a variant with its signature
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, kind, 0]);
        if kind == b'g' {
            fields.push(u8::try_from(value.len()).unwrap_or_default());
            fields.extend(value.bytes().chain([0]));
        } else {
            put(&mut fields, value);
        }
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    // NO_AUTO_START: a firewalld that somebody stopped is not to be started
    let mut message = vec![b'l', METHOD_CALL, 2, 1];
    message.extend(length(&body));
    message.extend(serial.to_le_bytes());
    message.extend(length(&fields));
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}

/// A text: its length at a multiple of four, its bytes, NUL.
fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
    bytes.extend(text.bytes().chain([0]));
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.get(4..)?.get(..number(bytes, 0)?)?;
    Some(String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// What the fields of an answer say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reply {
    to: Option<u32>,
    error: Option<String>,
    has_text: bool,
}

/// Reads fields as far as they can be read.
fn read(fields: &[u8]) -> Reply {
    let mut reply = Reply::default();
    let mut at = 0_usize;
    while let Some(field) = fields.get(at..) {
        let [code, 1, kind, 0, rest @ ..] = field else { break };
        let length = match kind {
            b'u' => {
                if *code == 5 {
                    reply.to = rest.first_chunk().copied().map(u32::from_le_bytes);
                }
                Some(4)
            }
            b's' | b'o' => {
                if *code == 4 {
                    reply.error = text(rest);
                }
                number(rest, 0).and_then(|length| length.checked_add(5))
            }
            b'g' => {
                let length = rest.first().map(|length| usize::from(*length));
                if *code == 8 {
                    reply.has_text = rest.get(1) == Some(&b's');
                }
                length.map(|length| length + 2)
            }
            _ => None,
        };
        let Some(next) = length.and_then(|length| at.checked_add(4)?.checked_add(length)) else { break };
        at = next.next_multiple_of(8);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_form_of_the_specification() {
        let message = call(7, "a.b", "/a", "a.c", "get", &["eth0", "x"]);
        let fields = number(&message, 12).expect("a length");
        assert_eq!((message[0], message[1], message[8]), (b'l', METHOD_CALL, 7));
        // the body begins at a multiple of eight, and its second text at a multiple of four
        let body = &message[(16 + fields).next_multiple_of(8)..];
        assert_eq!(number(&message, 4), Some(body.len()));
        assert_eq!(body, [4, 0, 0, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0, 1, 0, 0, 0, b'x', 0]);
        assert_eq!(read(&message[16..16 + fields]), Reply { to: None, error: None, has_text: true });
    }

    #[test]
    fn an_error_says_what_it_answers() {
        let mut fields = vec![5, 1, b'u', 0, 9, 0, 0, 0, 4, 1, b's', 0];
        put(&mut fields, "a.Error");
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        assert_eq!(read(&fields), Reply { to: Some(9), error: Some("a.Error".to_owned()), has_text: true });
    }

    #[test]
    fn garbage_says_nothing() {
        for length in 0..40 {
            assert_eq!(read(&vec![0xff; length]), Reply::default());
            assert_eq!(read(&vec![1; length]).to, None);
        }
        assert_eq!(read(&[4, 1, b's', 0, 0xff, 0xff, 0xff, 0xff]), Reply::default());
        assert_eq!(text(&[0xff; 8]), None);
    }
}
