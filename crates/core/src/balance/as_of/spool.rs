//! Balances in the order in which they were read: in memory while they are few, then on disk, so that it matters to nobody how many
//! keys there are.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
};

use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeSeq as _},
};

use super::{BalanceAt, Row, read};
use crate::{Error, balance::BalanceError, org_id::OrgId};

/// So many are kept in memory.
const KEPT_MAX: usize = 1_000;

/// A line of the file: the place of the organization, and the other parts of a row.
type Line = (usize, String, String, Option<String>, String, i64, i64);

/// Balances, one after the other.
#[derive(Debug, Default)]
pub struct Balances {
    /// The first of them.
    kept: Vec<BalanceAt>,
    /// The others, a line each, in a file that has no name.
    file: Option<File>,
    spooled: usize,
    /// The organizations of those, which are in order.
    orgs: Vec<OrgId>,
    /// How many of their entries say no time, and how many are no number.
    pub(super) undated_entries: u64,
    pub(super) not_a_number_entries: u64,
}

/// What the rows of a query are put into.
#[derive(Default)]
pub(super) struct Spool {
    balances: Balances,
    writer: Option<BufWriter<File>>,
}

impl Spool {
    pub(super) fn push(&mut self, row: Row) -> Result<(), Error> {
        if self.balances.kept.len() < KEPT_MAX {
            self.balances.keep(read(row)?);
            return Ok(());
        }
        (self.balances.not_a_number_entries, self.balances.undated_entries) = (
            self.balances.not_a_number_entries + row.5.unsigned_abs(),
            self.balances.undated_entries + row.6.unsigned_abs(),
        );
        self.balances.spooled += 1;
        written(self.write(&row))
    }

    fn write(&mut self, row: &Row) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        let orgs = &mut self.balances.orgs;
        if orgs.last() != Some(&row.0) {
            orgs.push(row.0.clone());
        }
        let line = (orgs.len() - 1, &row.1, &row.2, &row.3, &row.4, row.5, row.6);
        serde_json::to_writer(&mut *writer, &line)?;
        writer.write_all(b"\n")
    }

    pub(super) fn end(self) -> Result<Balances, Error> {
        let Self { mut balances, writer } = self;
        if let Some(writer) = writer {
            balances.file = Some(written(writer.into_inner().map_err(io::IntoInnerError::into_error))?);
        }
        Ok(balances)
    }
}

fn written<T>(result: io::Result<T>) -> Result<T, Error> {
    Ok(result.map_err(BalanceError::Spool)?)
}

impl From<Vec<BalanceAt>> for Balances {
    fn from(kept: Vec<BalanceAt>) -> Self {
        let mut balances = Self::default();
        kept.into_iter().for_each(|balance| balances.keep(balance));
        balances
    }
}

impl Balances {
    fn keep(&mut self, balance: BalanceAt) {
        self.undated_entries += balance.undated_entries;
        self.not_a_number_entries += balance.not_a_number_entries;
        self.kept.push(balance);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len() + self.spooled
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there are more than are kept in memory.
    pub fn are_many(&self) -> bool {
        self.spooled > 0
    }

    /// Shows `see` each of them, in order.
    ///
    /// # Errors
    /// Those of `see`, and of reading them again.
    pub fn each(&self, see: &mut dyn FnMut(&BalanceAt) -> io::Result<()>) -> io::Result<()> {
        self.kept.iter().try_for_each(&mut *see)?;
        let Some(file) = &self.file else { return Ok(()) };
        let mut file = file;
        file.seek(SeekFrom::Start(0))?;
        for line in BufReader::new(file).lines() {
            let (org, item, location, lot, quantity, not_a_number, undated): Line =
                serde_json::from_str(&line?)?;
            let org = self.orgs.get(org).ok_or_else(|| io::Error::other("it is not what was written"))?;
            let row = (org.clone(), item, location, lot, quantity, not_a_number, undated);
            see(&read(row).map_err(|error| io::Error::other(error.to_string()))?)?;
        }
        Ok(())
    }
}

impl Serialize for Balances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.len()))?;
        let mut refused = None;
        let seen = self.each(&mut |balance| {
            list.serialize_element(balance).map_err(|error| {
                let told = io::Error::other(error.to_string());
                refused = Some(error);
                told
            })
        });
        match (refused, seen) {
            // What the writer said, in its own kind.
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(S::Error::custom(error)),
            (None, Ok(())) => list.end(),
        }
    }
}
