use stockfoil_core::rehearsal::Rehearsal;

use crate::{Mark, Page, Print};

/// So much of what could not be tried is shown to a person; all of it is in the JSON.
const SHOWN_MAX: usize = 10;

impl Print for Rehearsal {
    fn print(&self, page: &mut Page) {
        for obstacle in &self.obstacles {
            page.marked(Mark::Bad, format!("in the way: {obstacle}"));
        }
        for failing in &self.will_fail {
            page.marked(Mark::Plain, format!("means a change to the application: {failing}"));
        }
        for lookup in &self.lookups {
            let after = lookup.after.as_deref().unwrap_or("no index: it reads the whole table");
            let text = format!(
                "lookup of {} by ({}): by {}, afterwards by {after}",
                lookup.table, lookup.columns, lookup.before
            );
            page.marked(Mark::Plain, text);
        }
        let listed = |page: &mut Page, what: &str, items: &[String]| {
            for item in items.iter().take(SHOWN_MAX) {
                page.line(format!("{what}: {item}"));
            }
            if items.len() > SHOWN_MAX {
                page.line(format!("{what}: {} more, which --format json lists", items.len() - SHOWN_MAX));
            }
        };
        listed(page, "not rehearsed", &self.not_rehearsed);
        listed(page, "not tried", &self.probes.not_probed);
        for warning in &self.warnings {
            page.line(format!("note: {warning}"));
        }
        let phases: Vec<String> = self
            .phases
            .iter()
            .map(|phase| format!("{} {} ms", phase.name.replace('_', " "), phase.duration_ms))
            .collect();
        page.line(format!("{} ({})", self.summary(), phases.join(", ")));
        page.line(match self.obstacles.len() {
            0 if self.probes.tried == 0 => {
                "no step failed, and nothing else was tried; nothing was changed".to_owned()
            }
            0 => "nothing that was tried stands in its way; nothing was changed".to_owned(),
            1 => "one thing stands in its way; nothing was changed".to_owned(),
            count => format!("{count} things stand in its way; nothing was changed"),
        });
    }
}
