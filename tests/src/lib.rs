//! Nothing but the end-to-end tests in `tests/`.
