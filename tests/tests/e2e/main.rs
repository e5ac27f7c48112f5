//! The real binaries against real PostgreSQL, one module a subject.
#![allow(missing_docs, reason = "a test's name says what it shows")]

mod testkit_itself;
