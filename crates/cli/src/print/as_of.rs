use std::io::{self, Write};

use stockfoil_core::balance::as_of::{AsOfReport, BalanceAt};

use super::{balances::TIME, counted};
use crate::{Mark, Page, Print};

impl Print for AsOfReport {
    fn print(&self, page: &mut Page) {
        begin(self, page);
        let mut rows = Vec::new();
        let read = self.balances.each(&mut |balance| {
            rows.push(row(balance));
            Ok(())
        });
        page.table(["key", "quantity", ""], rows);
        if let Err(error) = read {
            page.marked(Mark::Bad, format!("they can't be read to their end: {error}"));
        }
        end(self, page);
    }

    /// Too many for a table are lines, as wide as the widest of them.
    fn write(&self, is_full: bool, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(is_full);
        if !self.balances.are_many() {
            self.print(&mut page);
            return out.write_all(page.into_text().as_bytes());
        }
        begin(self, &mut page);
        out.write_all(page.into_text().as_bytes())?;
        let [mut key_max, mut quantity_max] = ["key".len(), "quantity".len()];
        self.balances.each(&mut |balance| {
            key_max = key_max.max(balance.key.chars().count());
            quantity_max = quantity_max.max(balance.quantity.to_string().len());
            Ok(())
        })?;
        writeln!(out, "{:key_max$}  quantity", "key")?;
        self.balances.each(&mut |balance| {
            let [key, quantity, notes] = row(balance);
            let line = format!("{key:key_max$}  {quantity:quantity_max$}  {notes}");
            writeln!(out, "{}", line.trim_end())
        })?;
        let mut page = Page::new(is_full);
        end(self, &mut page);
        out.write_all(page.into_text().as_bytes())
    }
}

fn begin(report: &AsOfReport, page: &mut Page) {
    let end = if report.as_of.is_day { ", the end of that day in UTC" } else { "" };
    page.line(format!(
        "{} at {}{end}, as the ledger said at {}",
        counted(report.balances.len() as u64, "balance"),
        report.as_of,
        report.read_at.format(TIME)
    ));
}

fn end(report: &AsOfReport, page: &mut Page) {
    if report.undated_entries > 0 {
        page.marked(
            Mark::Warning,
            format!("{} without a time counted: there from the beginning", entries(report.undated_entries)),
        );
    }
    if report.not_a_number_entries > 0 {
        page.marked(
            Mark::Bad,
            format!(
                "{} no number, and in no balance; correct them in the ledger",
                match report.not_a_number_entries {
                    1 => "1 entry is".to_owned(),
                    number => format!("{number} entries are"),
                }
            ),
        );
    }
}

fn row(balance: &BalanceAt) -> [String; 3] {
    let undated = (balance.undated_entries, "without a time");
    let not_a_number = (balance.not_a_number_entries, "no number");
    let notes = [undated, not_a_number].into_iter().filter(|(number, _)| *number > 0);
    let notes: Vec<String> = notes.map(|(number, what)| format!("{} {what}", entries(number))).collect();
    [balance.key.clone(), balance.quantity.to_string(), notes.join(", ")]
}

fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}
