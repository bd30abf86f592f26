-- A commit of the unit in one statement: who writes supposes what it will find, and nothing is written if that is not so.
-- `own` is the position of the unit's own last message, for a commit whose answer is lost.
ALTER TABLE unit ADD COLUMN own bigint;

CREATE FUNCTION commit_at_once(
    our_term bigint, number bigint,
    -- Of each stream: how many messages it gets, the version that it is supposed to end at, and whether it must.
    of_streams text[], counts bigint[], ends bigint[], sure boolean[],
    -- Of each message: which of these streams is its, and its columns.
    places int[], streams text[], versions bigint[], types text[], sources text[], sizes int[], heads bytea[], bodies bytea[],
    new_types text[],
    put_kinds text[], put_names text[], put_values bytea[], gone_kinds text[], gone_names text[],
    OUT last bigint, OUT shifts bigint[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    written text[];
    reached bigint[];
    count bigint := cardinality(places);
BEGIN
    -- First, as everywhere: what is seen below was committed before this lock was got.
    UPDATE unit SET position = position + count, own = position + count, commits = number
    WHERE term = our_term AND commits = number - 1 AND arriving IS NULL AND moved IS NULL
    RETURNING position INTO last;
    IF last IS NULL THEN
        RAISE 'another process leads, or the unit moves' USING ERRCODE = 'FM001';
    END IF;

    IF count > 0 THEN
        WITH ended AS (
            INSERT INTO stream AS known (stream, version) SELECT * FROM unnest(of_streams, counts)
            ON CONFLICT (stream) DO UPDATE SET version = known.version + excluded.version
            RETURNING known.stream, known.version
        )
        SELECT array_agg(stream), array_agg(version) INTO written, reached FROM ended;
        SELECT array_agg(end_at - supposed) INTO shifts FROM unnest(reached, ends) AS s (end_at, supposed);
        IF written IS DISTINCT FROM of_streams
            OR EXISTS (SELECT FROM unnest(shifts, sure) AS s (shift, must) WHERE must AND shift <> 0)
        THEN
            RAISE 'a stream does not end where it was supposed to' USING ERRCODE = 'FM001';
        END IF;
        INSERT INTO message (position, stream, version, type, source, size, head, data)
        SELECT last - count + nth, stream, version + shifts[place], type, source, size, head, body
        FROM unnest(places, streams, versions, types, sources, sizes, heads, bodies)
            WITH ORDINALITY AS m (place, stream, version, type, source, size, head, body, nth);
        IF cardinality(new_types) > 0 THEN
            INSERT INTO type (name) SELECT * FROM unnest(new_types) ON CONFLICT DO NOTHING;
        END IF;
    END IF;

    IF cardinality(put_names) > 0 THEN
        INSERT INTO cell (kind, name, revision, value)
        SELECT kind, name, number, value FROM unnest(put_kinds, put_names, put_values) AS put (kind, name, value)
        ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, value = excluded.value;
    END IF;
    IF cardinality(gone_names) > 0 THEN
        DELETE FROM cell USING unnest(gone_kinds, gone_names) AS gone (kind, name)
        WHERE cell.kind = gone.kind AND cell.name = gone.name;
    END IF;
END $$;
