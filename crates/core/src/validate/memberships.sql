-- What keeps memberships true: whether each column has a foreign key onto what it means, whether nobody is in an organization
-- twice, and whether an index leads from a user to the memberships; and how many memberships are of nobody. $1 is the table, $2 the
-- users', $3 the organizations', $4 and $5 are the columns. Locks: ACCESS SHARE, which stops no writer.
WITH columns AS (
    SELECT (SELECT attnum FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $4) AS member,
           (SELECT attnum FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $5) AS org
), refers AS (
    SELECT k.confrelid, k.conkey FROM pg_constraint AS k
    WHERE k.conrelid = $1::regclass AND k.contype = 'f' AND k.convalidated
), indexes AS (
    SELECT i.indisunique AND i.indpred IS NULL AND i.indimmediate AS is_unique, string_to_array(i.indkey::text, ' ')::smallint[] AS keys, i.indnkeyatts
    FROM pg_index AS i WHERE i.indrelid = $1::regclass AND i.indisvalid
)
SELECT EXISTS (SELECT FROM refers WHERE confrelid = $2::regclass AND conkey = ARRAY[c.member]) AS refers_to_users,
       EXISTS (SELECT FROM refers WHERE confrelid = $3::regclass AND conkey = ARRAY[c.org]) AS refers_to_organizations,
       EXISTS (SELECT FROM indexes AS i WHERE i.is_unique AND i.keys[1:i.indnkeyatts] <@ ARRAY[c.member, c.org]) AS is_unique,
       EXISTS (SELECT FROM indexes AS i WHERE i.keys[1] = c.member) AS is_indexed,
       (SELECT count(*) FROM {memberships} AS m
        WHERE NOT EXISTS (SELECT FROM {users} AS u WHERE u.{users.id} = m.{memberships.user})
           OR NOT EXISTS (SELECT FROM {organizations} AS o WHERE o.id = m.{memberships.org})) AS orphans,
       (SELECT count(*) FROM {memberships}) AS all_of_them,
       (SELECT count(*) FROM {users} AS u
        WHERE NOT EXISTS (SELECT FROM {memberships} AS m WHERE m.{memberships.user} = u.{users.id})) AS in_none
FROM columns AS c
