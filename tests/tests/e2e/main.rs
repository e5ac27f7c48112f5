//! The real binaries against real PostgreSQL, one module a subject.
#![allow(missing_docs, reason = "a test's name says what it shows")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test a panic is the report")]
#![allow(clippy::too_many_lines, reason = "a test reads as one story, or as one list of inputs")]

mod alerts;
mod architecture;
mod backups;
mod balances;
mod generate;
mod guides;
mod history;
mod make;
mod mapping;
mod migration;
mod model;
mod prepare;
mod real_application;
mod studio;
mod templates;
mod tenancy;
mod testkit_itself;
mod with_postgres;
