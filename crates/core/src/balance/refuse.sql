-- Ends the writer's statement: a balance that is not a number would stay so for ever.
-- Locks: nothing.
CREATE OR REPLACE FUNCTION {function}(quantity numeric, org text, item text, location text, lot text) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    RAISE EXCEPTION 'a ledger entry''s quantity can''t be %', quantity
        USING ERRCODE = 'numeric_value_out_of_range',
              DETAIL = format('Organization %s, item %s, location %s, lot %s.', org, item, location, coalesce(lot, '(none)')),
              HINT = 'Write a finite number.';
END
$body$
