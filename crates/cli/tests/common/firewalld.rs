//! A firewalld that only knows which interface is in which zone, behind a bus of its own: it answers as the real one does,
//! in the words of the D-Bus specification. (docs/beside.md says with which real one this was tried.)

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

/// The zone of each interface, as it changes.
pub type Zones = Arc<Mutex<BTreeMap<String, String>>>;

/// Starts it; it ends with the process.
pub fn start() -> Zones {
    fs::create_dir_all("/run/dbus").expect("a folder");
    let listener = UnixListener::bind("/run/dbus/system_bus_socket").expect("a bus");
    let zones = Zones::default();
    let shared = Arc::clone(&zones);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // whoever only looks whether there is a bus says nothing
            drop(serve(client, &shared));
        }
    });
    zones
}

fn serve(mut client: UnixStream, zones: &Zones) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    for wanted in ["\0AUTH EXTERNAL ", "BEGIN"] {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        assert!(line.starts_with(wanted), "{line:?}");
        if wanted != "BEGIN" {
            client.write_all(b"OK 1234deadbeef\r\n")?;
        }
    }
    loop {
        let mut head = [0; 16];
        if reader.read_exact(&mut head).is_err() {
            return Ok(());
        }
        let number = |at: usize| u32::from_le_bytes(*head[at..].first_chunk().expect("four bytes")) as usize;
        let (body, serial, fields) = (number(4), &head[8..12], number(12));
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        reader.read_exact(&mut rest)?;
        let (fields, body) = rest.split_at(fields.next_multiple_of(8));
        let texts = texts(body);
        let is = |method: &str| fields.windows(method.len()).any(|window| window == method.as_bytes());
        let mut zones = zones.lock().expect("zones");
        let answer = if is("Hello") {
            Ok(":1.7".to_owned())
        } else if is("getZoneOfInterface") {
            Ok(zones.get(&texts[0]).cloned().unwrap_or_default())
        } else if is("addInterface") {
            match zones.get(&texts[1]) {
                Some(zone) if *zone == texts[0] => {
                    Err(format!("ZONE_ALREADY_SET: '{}' already bound to '{zone}'", texts[1]))
                }
                Some(zone) => Err(format!("ZONE_CONFLICT: '{}' already bound to '{zone}'", texts[1])),
                None => {
                    zones.insert(texts[1].clone(), texts[0].clone());
                    Ok(texts[0].clone())
                }
            }
        } else if is("removeInterface") {
            match zones.remove(&texts[1]) {
                Some(zone) => Ok(zone),
                None => Err(format!("UNKNOWN_INTERFACE: '{}' is not in any zone", texts[1])),
            }
        } else {
            Err("unknown".to_owned())
        };
        client.write_all(&message(serial, &answer))?;
    }
}

fn texts(mut body: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(length) = body.first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        texts.push(String::from_utf8_lossy(&body[4..4 + length]).into_owned());
        body = body.get((5 + length).next_multiple_of(4)..).unwrap_or_default();
    }
    texts
}

fn message(serial: &[u8], answer: &Result<String, String>) -> Vec<u8> {
    let put = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend(u32::try_from(text.len()).expect("short").to_le_bytes());
        bytes.extend(text.bytes().chain([0]));
    };
    let mut fields = [&[5, 1, b'u', 0], serial].concat();
    if answer.is_err() {
        fields.extend([4, 1, b's', 0]);
        put(&mut fields, "org.fedoraproject.FirewallD1.Exception");
        fields.resize(fields.len().next_multiple_of(8), 0);
    }
    fields.extend([8, 1, b'g', 0, 1, b's', 0]);
    let mut body = Vec::new();
    put(&mut body, answer.as_ref().unwrap_or_else(|error| error));
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short").to_le_bytes();
    let mut message = vec![b'l', if answer.is_ok() { 2 } else { 3 }, 0, 1];
    message.extend(length(&body));
    message.extend([1, 0, 0, 0]);
    message.extend(length(&fields));
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}
