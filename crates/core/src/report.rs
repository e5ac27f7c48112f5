//! What commands return: plain values, serializable at this edge only.

use serde::Serialize;

/// What a finished run means for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is well (status 0).
    Clean,
    /// Something that a person must look at (status 1).
    Findings,
}

/// The value that a command returns when its work is done.
pub trait Report: Serialize {
    /// Name and version of the JSON form, such as `stockfoil.reconcile/1`.
    const SCHEMA: &'static str;

    /// What the run means for the exit status.
    fn outcome(&self) -> Outcome;

    /// The run's numbers for a scheduled command's Prometheus textfile; empty where there are none.
    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

impl<R: Report> Report for &R {
    const SCHEMA: &'static str = R::SCHEMA;

    fn outcome(&self) -> Outcome {
        (**self).outcome()
    }

    fn metrics(&self) -> Vec<Metric> {
        (**self).metrics()
    }
}

/// One sample of a gauge in the Prometheus text format.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Metric name with its unit last, such as `stockfoil_backup_last_success_timestamp_seconds`.
    pub name: &'static str,
    /// One line that says what is counted.
    pub help: &'static str,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value, already in decimal notation.
    pub value: String,
}
