use stockfoil_core::balance::as_of::{AsOfReport, BalanceAt};

use super::{balances::TIME, counted};
use crate::{Mark, Page, Print};

impl Print for AsOfReport {
    fn print(&self, page: &mut Page) {
        let end = if self.as_of.is_day { ", the end of that day in UTC" } else { "" };
        page.line(format!(
            "{} at {}{end}, as the ledger said at {}",
            counted(self.balances.len() as u64, "balance"),
            self.as_of,
            self.read_at.format(TIME)
        ));
        page.table(["key", "quantity", ""], self.balances.iter().map(row));
        if self.undated_entries > 0 {
            page.marked(
                Mark::Warning,
                format!("{} without a time counted: there from the beginning", entries(self.undated_entries)),
            );
        }
        if self.not_a_number_entries > 0 {
            page.marked(
                Mark::Bad,
                format!(
                    "{} no number, and in no balance; correct them in the ledger",
                    match self.not_a_number_entries {
                        1 => "1 entry is".to_owned(),
                        number => format!("{number} entries are"),
                    }
                ),
            );
        }
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
