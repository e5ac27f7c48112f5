-- Who does what this session records: whom it connected as, the role that it has set since, and the operating system's user and
-- the reason that its command told it. Locks: none.
SELECT jsonb_strip_nulls(
    jsonb_build_object('session_user', session_user, 'role', nullif(current_user, session_user))
    || coalesce(convert_from(decode(nullif(current_setting('stockfoil.by', true), ''), 'hex'), 'UTF8')::jsonb, '{}'))
