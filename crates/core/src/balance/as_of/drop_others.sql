-- Removes a function of this name that has other parameters or another result, which replacing would leave: that of another
-- mapping, whose keys have other types.
-- Locks: what it drops.
DO $body$
DECLARE
    other regprocedure;
BEGIN
    FOR other IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname = {name_text}
          AND format('(%s) returns %s', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)) <> {signature}
    LOOP
        EXECUTE format('DROP ROUTINE %s', other);
    END LOOP;
END
$body$
