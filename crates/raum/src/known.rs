//! What raum remembers of all labs of this host, read once for a command: which subnets and ports they have, and from which
//! file each came.
//!
//! A record that cannot be read is as none here. Who needs that very lab's record reads it with [`Record::read`], and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use raum_core::host::Surroundings;
use raum_core::lab::{Lab, is_settled, parse, settle};
use raum_core::name::{IfName, LabName, NsId};
use raum_kernel::namespace;

use crate::error::Error;
use crate::place::Place;
use crate::record::Record;

/// Bytes of a lab file that are read to see whose it is.
const FILE_MAX: u64 = 1 << 20;

/// Every lab that has files, with its record if that can be read.
#[derive(Debug)]
pub(crate) struct Known(BTreeMap<LabName, Option<Record>>);

impl Known {
    /// Reads what is there.
    pub fn read(place: &Place) -> Self {
        let record = |lab: LabName| {
            let record = Record::read(place, &lab).ok().flatten();
            (lab, record)
        };
        Self(place.labs().into_iter().map(record).collect())
    }

    /// Labs that have files.
    pub fn labs(&self) -> impl Iterator<Item = &LabName> {
        self.0.keys()
    }

    /// What is remembered of a lab.
    pub fn record(&self, lab: &LabName) -> Option<&Record> {
        self.0.get(lab)?.as_ref()
    }

    fn records(&self) -> impl Iterator<Item = (&LabName, &Record)> {
        self.0.iter().filter_map(|(lab, record)| Some((lab, record.as_ref()?)))
    }

    /// What labs noted about sysctls, and which ports they publish, is in their tables; where somebody flushed those, it is
    /// still here.
    pub fn complete(&self, around: &mut Surroundings, own: &LabName) {
        for (lab, record) in self.records() {
            let host = record.state.namespaces.get(&NsId::Host);
            let Some(table) = host.and_then(|ns| ns.table.as_ref()) else { continue };
            if !table.was.is_empty() {
                around.was.entry(lab.clone()).or_insert_with(|| table.was.clone());
            }
            if lab != own {
                around.published.entry(lab.clone()).or_insert_with(|| table.maps.values().cloned().collect());
            }
        }
    }

    /// With every subnet that was left to raum. A lab that is up keeps those that it has.
    pub fn settled(&self, lab: Lab, around: &Surroundings) -> Lab {
        if is_settled(&lab) {
            return lab;
        }
        let name = &lab.name.value;
        let before = self.record(name).and_then(|record| parse(record.text.as_ref()?, name).ok());
        settle(&lab, around, before.as_ref())
    }

    /// The interfaces that are in firewalld's zone by a lab's doing: the mark for that is in its table, which somebody may
    /// have flushed.
    pub fn zones(&self, lab: &LabName) -> BTreeSet<IfName> {
        let host = self.record(lab).and_then(|record| record.state.namespaces.get(&NsId::Host));
        host.map(|host| host.zones.clone()).unwrap_or_default()
    }

    /// Refuses the second of two files that give one name: it would take away all that the first one made, which is asked for
    /// in so many words, or a mistake. A file that was moved, or says something else now, has given the name away.
    ///
    /// # Errors
    /// [`Error::OtherFile`]
    pub fn refuse_other_file(&self, lab: &Lab, file: Option<&Path>) -> Result<(), Error> {
        let (Some(file), name) = (file.filter(|file| file.is_file()), &lab.name.value) else { return Ok(()) };
        let Some(record) = self.record(name) else { return Ok(()) };
        let first = record.file.as_ref().filter(|first| first.is_file() && !is_same(first, file));
        let Some(first) = first else { return Ok(()) };
        let mut text = String::new();
        let read = File::open(first).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
        let still = read.is_ok() && parse(&text, name).map_or(true, |first| first.name.value == *name);
        if !still || record.text.as_ref().is_some_and(|text| *text == lab.to_string()) {
            return Ok(());
        }
        Err(Error::OtherFile { lab: name.clone(), first: first.clone(), file: file.to_owned() })
    }

    /// Refuses to touch a lab from a network namespace that is not its host: bridges, rules and sysctls would be looked for where
    /// they never were, and made once more. Where its host is gone, nothing of it is left there.
    ///
    /// # Errors
    /// [`Error::Elsewhere`]
    pub fn refuse_elsewhere(&self, lab: &LabName) -> Result<(), Error> {
        let Some(host) = self.record(lab).and_then(|record| record.host) else { return Ok(()) };
        if namespace::number().is_ok_and(|here| here == host) {
            return Ok(());
        }
        namespace::way_to(host).map_or(Ok(()), |way| Err(Error::Elsewhere { lab: lab.clone(), way }))
    }

    /// Labs that came from this file under another name than this. Still there, unless `down` could not forget them.
    pub fn former(&self, now: &LabName, file: &Path) -> Vec<LabName> {
        let others = self.records().filter(|(lab, _)| *lab != now);
        let from = others.filter(|(_, record)| record.file.as_ref().is_some_and(|of| is_same(of, file)));
        from.map(|(lab, _)| lab.clone()).collect()
    }
}

/// Do two paths lead to one file?
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    one == other || real(one) == real(other)
}
