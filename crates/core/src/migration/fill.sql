-- Gives up to $2 rows without an organization to organization $1. Locks: the rows that it changes.
UPDATE {table} SET {org} = $1::text::{org.type} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {org} IS NULL LIMIT $2::bigint))
