-- How many rows of {child} refer to the users with the primary keys $1 by a foreign key that holds the organization, and don't
-- move with them. Locks: ACCESS SHARE, which stops no writer.
SELECT count(*) FROM {child} AS c JOIN {users} AS t ON {refers} WHERE {t.key_text} = ANY ($1) AND NOT ({moves})
