-- Whether the partition {partition} ($3) is one of those with the oids $1, and if so, whether it holds entries below
-- watermark $2.
-- Locks: ACCESS SHARE on the partition, which stops no writer.
SELECT to_regclass($3)::oid::bigint = ANY ($1::bigint[]) AS is_new,
       EXISTS (SELECT FROM ONLY {partition}
               WHERE to_regclass($3)::oid::bigint = ANY ($1::bigint[])
                 AND (stockfoil_tx IS NULL OR stockfoil_tx < $2::bigint)) AS is_old
