use stockfoil_core::alert::{Answer, Deliveries, Event, LOG};

use crate::{Mark, Page};

/// What became of each message. Nothing of the log, which speaks for itself.
pub(super) fn print(page: &mut Page, deliveries: &Deliveries) {
    for sent in deliveries {
        let what = match sent.event {
            Event::Problem => "alert",
            Event::Recovery => "recovery",
        };
        if sent.event == Event::Recovery {
            let details: String = sent.alert.details.iter().map(|detail| format!(" ({detail})")).collect();
            page.marked(Mark::Good, format!("recovered: {}{details}", sent.alert.summary));
        }
        for delivery in sent.channels.iter().filter(|delivery| delivery.channel != LOG) {
            let (key, channel) = (&sent.alert.key, &delivery.channel);
            match delivery.answer {
                Answer::Sent => page.marked(Mark::Plain, format!("{what} {key} sent: {channel}")),
                Answer::ToldBefore => {
                    page.marked(Mark::Plain, format!("{what} {key} not repeated yet: {channel}"));
                }
                Answer::Failed => {
                    let error = delivery.error.as_deref().unwrap_or_default();
                    page.marked(Mark::Bad, format!("{what} {key} not sent: {channel} {error}"));
                }
            }
        }
    }
}
