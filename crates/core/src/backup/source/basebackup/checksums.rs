//! The checksums of a cluster's pages. A manifest is made of what was read, damaged or not: only these tell that a page had
//! been damaged before.
//!
//! Reckoned as PostgreSQL's own `pg_checksum_page` (src/include/storage/checksum_impl.h): 32 sums side by side, each by
//! FNV-1a with a shift.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    ops::Range,
    path::Path,
    sync::Arc,
};

use crate::{
    backup::{Finding, reading::Hole},
    progress::meter::Meter,
};

/// What pages look like in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) page_bytes: usize,
    pub(super) pages_per_file: u32,
    /// Whether pages have checksums.
    pub(super) has_checksums: bool,
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// How many were held against their checksums.
    pub(super) checked: u64,
    /// How many were written while the backup was made.
    pub(super) left_out: u64,
    /// How many were never written to, and so have no checksum.
    pub(super) empty: u64,
    /// How many differ.
    pub(super) wrong: u64,
    /// The first of them, each by file and number.
    pub(super) named: Vec<String>,
    /// Of the empty ones in tables those with a page behind them that is older than the backup, up to a number: they were there
    /// before, and what was in them had been written.
    pub(super) holes: Vec<Hole>,
}

impl Pages {
    /// What was seen, in words.
    ///
    /// # Errors
    /// That some are damaged.
    pub(super) fn judge(&self) -> Result<String, Finding> {
        let Self { checked, left_out, empty, wrong, named, holes: _ } = self;
        if *wrong == 0 {
            let empty = if *empty > 0 { format!("; {empty} are empty and have none") } else { String::new() };
            return Ok(format!(
                "the checksums of {checked} pages hold, and {left_out} were written meanwhile{empty}"
            ));
        }
        let text = format!(
            "{wrong} of {checked} pages are not as their checksums say: {}; where the manifest holds they were damaged in the cluster before",
            named.join(", ")
        );
        Err(Finding::critical("pages", text))
    }
}

/// What tells how the cluster was made.
pub(super) const CONTROL: &str = "global/pg_control";

/// More than any of them has.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// So many wrong pages are named.
const NAMED_MAX: usize = 3;

/// So many empty pages are looked into.
const HOLES_MAX: usize = 1000;

const PRIME: u32 = 16_777_619;

const OFFSETS: [u32; 32] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

impl Layout {
    /// That of every build that was not told otherwise.
    pub(super) const USUAL: Self = Self { page_bytes: 8192, pages_per_file: 131_072, has_checksums: true };

    /// Reads what `pg_controldata` says; none where it does not tell.
    pub(super) fn told(words: &str) -> Option<Self> {
        let number = |name: &str| {
            let line = words.lines().find(|line| line.starts_with(name))?;
            line.rsplit(' ').next()?.trim().parse::<u32>().ok()
        };
        let layout = Self {
            page_bytes: usize::try_from(number("Database block size:")?).ok()?,
            pages_per_file: number("Blocks per segment of large relation:")?,
            has_checksums: number("Data page checksum version:")? > 0,
        };
        (layout.page_bytes >= 512).then_some(layout)
    }

    /// Whether pages of the `other` lie alike.
    pub(super) fn is_like(self, other: Self) -> bool {
        (self.page_bytes, self.pages_per_file) == (other.page_bytes, other.pages_per_file)
    }
}

/// Holds every page below `data` against its checksum, but for those that were written in `meanwhile`, the WAL from where the
/// backup began to where it ended: recovery writes them anew. No page of it was written later, so one that says so is damaged.
///
/// # Errors
/// When a file can't be read.
pub(super) fn check(
    data: &Path,
    layout: Layout,
    meanwhile: &Range<u64>,
    meter: &Arc<Meter>,
) -> io::Result<Pages> {
    let mut pages = Pages::default();
    for name in ["global", "base", "pg_tblspc"] {
        let folder = data.join(name);
        if folder.is_dir() {
            check_folder(&folder, name, layout, meanwhile, meter, &mut pages)?;
        }
    }
    Ok(pages)
}

fn check_folder(
    folder: &Path,
    shown: &str,
    layout: Layout,
    meanwhile: &Range<u64>,
    meter: &Arc<Meter>,
    pages: &mut Pages,
) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let shown = format!("{shown}/{name}");
        if path.is_dir() {
            if !name.starts_with("pgsql_tmp") {
                check_folder(&path, &shown, layout, meanwhile, meter, pages)?;
            }
        } else if let Some(first) = first_page(&name, layout) {
            check_file(&path, &shown, (layout, first), meanwhile, meter, pages)?;
        }
    }
    Ok(())
}

/// The number of the first page in the file `name`; none where it is no relation's.
fn first_page(name: &str, layout: Layout) -> Option<u32> {
    let (relation, part) = match name.split_once('.') {
        Some((relation, part)) => (relation, part.parse::<u32>().ok()?),
        None => (name, 0),
    };
    let (number, fork) = relation.split_once('_').unwrap_or((relation, "main"));
    let is_relation = number.parse::<u32>().is_ok() && ["main", "fsm", "vm", "init"].contains(&fork);
    is_relation.then(|| part.wrapping_mul(layout.pages_per_file))
}

fn check_file(
    path: &Path,
    shown: &str,
    (layout, first): (Layout, u32),
    meanwhile: &Range<u64>,
    meter: &Arc<Meter>,
    pages: &mut Pages,
) -> io::Result<()> {
    let mut file = meter.read(File::open(path)?);
    let mut relation = Relation::new(shown, layout, first);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => relation.update(&buffer[..read], meanwhile, pages),
        }
    }
}

/// A relation's file, of which the bytes come one after the other.
pub(super) struct Relation {
    name: String,
    layout: Layout,
    /// Of the page that comes next.
    number: u32,
    /// What came of it.
    begun: Vec<u8>,
    /// The empty pages behind which no page came yet that tells of them.
    empty: Vec<u32>,
}

impl Relation {
    fn new(name: &str, layout: Layout, number: u32) -> Self {
        Self { name: name.to_owned(), layout, number, begun: Vec::new(), empty: Vec::new() }
    }

    /// The file `name` of a data folder; none where it is no relation's.
    pub(super) fn of(name: &str, layout: Layout) -> Option<Self> {
        let (folder, file) = name.rsplit_once('/')?;
        let mut parts = folder.split('/');
        let is_below = parts.next().is_some_and(|top| ["global", "base", "pg_tblspc"].contains(&top));
        if !is_below || parts.any(|part| part.starts_with("pgsql_tmp")) {
            return None;
        }
        let number = first_page(file, layout)?;
        Some(Self::new(name, layout, number))
    }

    /// Whether it is kept beside a table's rows: which of its pages have room, and which are all visible.
    fn is_beside(&self) -> bool {
        self.name.rsplit('/').next().is_some_and(|file| file.contains('_'))
    }

    /// Takes what comes next. Of a page that was being added, and so is not whole in the end, the rest comes from WAL.
    pub(super) fn update(&mut self, mut bytes: &[u8], meanwhile: &Range<u64>, pages: &mut Pages) {
        while self.begun.len() + bytes.len() >= self.layout.page_bytes {
            let (rest, after) = bytes.split_at(self.layout.page_bytes - self.begun.len());
            bytes = after;
            if self.begun.is_empty() {
                self.look_at(rest, meanwhile, pages);
            } else {
                let mut page = std::mem::take(&mut self.begun);
                page.extend_from_slice(rest);
                self.look_at(&page, meanwhile, pages);
            }
            self.number = self.number.wrapping_add(1);
        }
        self.begun.extend_from_slice(bytes);
    }

    fn look_at(&mut self, page: &[u8], meanwhile: &Range<u64>, pages: &mut Pages) {
        if is_new(page) {
            pages.empty += 1;
            if self.empty.len() < HOLES_MAX {
                self.empty.push(self.number);
            }
            return;
        }
        // A file grows at its end, so what lies before a page from before the backup is as old. A page of what is UNLOGGED does not
        // tell its age, and need not be there.
        if !self.empty.is_empty() && (1..meanwhile.start).contains(&written_at(page)) {
            let empty = std::mem::take(&mut self.empty);
            if is_of_table(page) && !self.is_beside() {
                let room = HOLES_MAX.saturating_sub(pages.holes.len());
                let hole = |page| Hole { file: self.name.clone(), page };
                pages.holes.extend(empty.into_iter().take(room).map(hole));
            }
        }
        if !self.layout.has_checksums {
            return;
        }
        if meanwhile.contains(&written_at(page)) {
            pages.left_out += 1;
            return;
        }
        pages.checked += 1;
        if u16::from_ne_bytes([page[8], page[9]]) != checksum(page, self.number) {
            pages.wrong += 1;
            if pages.named.len() < NAMED_MAX {
                pages.named.push(format!("page {} in {}", self.number, self.name));
            }
        }
    }
}

/// The pages that come by where the files of a data folder are read for another reason.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) layout: Layout,
    pub(super) meanwhile: Range<u64>,
    pub(super) pages: Pages,
    /// What lay in pg_control, which tells the layout, and is the last of all.
    pub(super) control: Vec<u8>,
}

impl Watch {
    /// One that takes the pages to be as `layout` says.
    pub(super) fn new(layout: Layout, meanwhile: Range<u64>) -> Self {
        Self { layout, meanwhile, pages: Pages::default(), control: Vec::new() }
    }

    /// The file `name`, whose bytes come next.
    pub(super) fn file(&mut self, name: &str) -> Watched<'_> {
        let relation = Relation::of(name, self.layout);
        let is_control = name == CONTROL;
        if is_control {
            self.control.clear();
        }
        Watched { watch: self, relation, is_control }
    }
}

/// A file that comes by.
pub(super) struct Watched<'a> {
    watch: &'a mut Watch,
    relation: Option<Relation>,
    is_control: bool,
}

impl Watched<'_> {
    /// Takes what comes next.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let Watch { meanwhile, pages, control, .. } = &mut *self.watch;
        if let Some(relation) = &mut self.relation {
            relation.update(bytes, meanwhile, pages);
        }
        if self.is_control && control.len() + bytes.len() <= CONTROL_BYTES_MAX {
            control.extend_from_slice(bytes);
        }
    }
}

/// Whether nothing was ever written to the page: it has no content, and no checksum.
fn is_new(page: &[u8]) -> bool {
    page[14..16] == [0, 0]
}

/// Whether the page is of a table: it has nothing at its end, where indexes and sequences keep what is theirs.
fn is_of_table(page: &[u8]) -> bool {
    let size = usize::from(u16::from_ne_bytes([page[18], page[19]]) & 0xFF00);
    let special = usize::from(u16::from_ne_bytes([page[16], page[17]]));
    special == size && size == page.len()
}

/// The place in WAL of the page's last change.
fn written_at(page: &[u8]) -> u64 {
    let word =
        |at: usize| u64::from(u32::from_ne_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]));
    (word(0) << 32) | word(4)
}

/// The checksum of the page with this number in its relation; the one that is in it counts as zeros.
fn checksum(page: &[u8], number: u32) -> u16 {
    let mix = |sum: u32, value: u32| {
        let mixed = sum ^ value;
        mixed.wrapping_mul(PRIME) ^ (mixed >> 17)
    };
    let mut sums = OFFSETS;
    for (row, words) in page.chunks_exact(4 * OFFSETS.len()).enumerate() {
        for (column, (sum, word)) in sums.iter_mut().zip(words.chunks_exact(4)).enumerate() {
            let mut value = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            if (row, column) == (0, 2) {
                value = u32::from_ne_bytes([0, 0, word[2], word[3]]);
            }
            *sum = mix(*sum, value);
        }
    }
    let sum = sums.into_iter().fold(0, |all, sum| all ^ mix(mix(sum, 0), 0));
    // Never zero, which an empty page has; the remainder fits.
    u16::try_from((sum ^ number) % 65_535 + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_data_tells_whether_there_are_checksums() {
        let told = |version: u32| {
            Layout::told(&format!(
                "Database block size:                  8192\nBlocks per segment of large relation: 131072\nData page checksum version:           {version}\n"
            ))
        };
        assert_eq!(told(1), Some(Layout::USUAL));
        assert_eq!(told(0), Some(Layout { has_checksums: false, ..Layout::USUAL }));
        assert_eq!(Layout::told(""), None);
    }

    #[test]
    fn pages_may_come_in_pieces() {
        let layout = Layout { page_bytes: 512, pages_per_file: 4, has_checksums: true };
        let page = |number: u32, is_right: bool| {
            let mut page = vec![7; 512];
            let sum = checksum(&page, number) ^ u16::from(!is_right);
            page[8..10].copy_from_slice(&sum.to_ne_bytes());
            page
        };
        let bytes = [page(4, true), page(5, false), page(6, true), vec![1; 100]].concat();
        for piece in [1, 100, 511, 512, 700, 5000] {
            let mut pages = Pages::default();
            let mut relation = Relation::of("base/5/16384.1", layout).unwrap();
            bytes.chunks(piece).for_each(|bytes| relation.update(bytes, &(0..1), &mut pages));
            let named = vec!["page 5 in base/5/16384.1".to_owned()];
            let expected = Pages { checked: 3, wrong: 1, named, ..Pages::default() };
            assert_eq!(pages, expected, "{piece}");
        }
        for name in ["16384", "pg_wal/16384", "base/5/PG_VERSION", "base/pgsql_tmp/16384"] {
            assert!(Relation::of(name, layout).is_none(), "{name}");
        }
    }

    #[test]
    fn empty_pages_before_old_ones_of_a_table_are_told() {
        let layout = Layout { page_bytes: 512, pages_per_file: 100, has_checksums: false };
        let page = |lsn: u8, special: u16| {
            let mut page = vec![0; 512];
            page[4] = lsn;
            page[14] = 9;
            page[16..18].copy_from_slice(&special.to_ne_bytes());
            page[18..20].copy_from_slice(&(512_u16 | 4).to_ne_bytes());
            page
        };
        let holes = |pages_in: &[Vec<u8>]| {
            let mut pages = Pages::default();
            let mut relation = Relation::of("base/5/16384", layout).unwrap();
            relation.update(&pages_in.concat(), &(10..20), &mut pages);
            pages.holes.iter().map(|hole| hole.page).collect::<Vec<_>>()
        };
        let empty = || vec![0; 512];
        assert_eq!(holes(&[empty(), page(12, 512), empty(), page(3, 512), empty()]), [0, 2]);
        // What was added since the backup began, and what lies at the end, is nobody's loss.
        assert_eq!(holes(&[page(3, 512), empty(), page(12, 512), empty()]), [0; 0]);
        // Indexes keep empty pages.
        assert_eq!(holes(&[page(3, 496), empty(), page(3, 496)]), [0; 0]);
    }

    #[test]
    fn relations_are_told_by_their_files_names() {
        let layout = Layout::USUAL;
        assert_eq!(first_page("16384", layout), Some(0));
        assert_eq!(first_page("16384.2", layout), Some(262_144));
        assert_eq!(first_page("16384_vm", layout), Some(0));
        for name in ["pg_filenode.map", "PG_VERSION", "pg_control", "t3_16384", "16384_x", "16384.tmp"] {
            assert_eq!(first_page(name, layout), None, "{name}");
        }
    }
}
