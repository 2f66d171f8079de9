import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;

/**
 * Times over the end of summer time in Berlin, where two o'clock comes twice: Times.java ADDRESS. What java.time says is right. Which calls of
 * the driver are right is what the table in docs/clients.md says, so that a version that mends or breaks one fails here.
 */
public class Times {
    static final Instant START = Instant.parse("2025-10-26T00:00:00Z");
    /** The moments of the samples. */
    static final List<Instant> MOMENTS = List.of(START, START.plusSeconds(1800).plusNanos(123456789), START.plusSeconds(3600),
            START.plusSeconds(5400), START.plusSeconds(7200), START.plusSeconds(9000));
    static final String SAMPLES = "SELECT timestamp FROM samples WHERE tag = 'types/i64' ORDER BY timestamp";
    static final ZoneId BERLIN = ZoneId.of("Europe/Berlin");

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        try (Connection connection = DriverManager.getConnection(url)) {
            zoned(connection, ZoneId.of("UTC"));
        }
        for (String property : List.of("&zone=Europe/Berlin", "&historian-zone=europe/berlin")) {
            try (Connection connection = DriverManager.getConnection(url + property)) {
                zoned(connection, BERLIN);
                civil(connection);
            }
        }
        try (Connection connection = DriverManager.getConnection(url + "&zone=Europe/Berlin&zoneless=true")) {
            zoneless(connection, BERLIN);
            civil(connection);
        }
        try (Connection connection = DriverManager.getConnection(url + "&zoneless=true")) {
            zoneless(connection, ZoneId.of("UTC"));
        }
    }

    /**
     * Instants: by these calls each is right to the nanosecond, whatever the machine is set to. But the driver loses which of two it is in the
     * hour that comes twice in a zone that was asked for, and takes the first.
     */
    static void zoned(Connection connection, ZoneId zone) throws Exception {
        List<Instant> instants = new ArrayList<>();
        List<OffsetDateTime> offsets = new ArrayList<>();
        List<LocalDateTime> locals = new ArrayList<>();
        List<String> texts = new ArrayList<>();
        List<Timestamp> timestamps = new ArrayList<>();
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(SAMPLES)) {
            while (rows.next()) {
                instants.add(rows.getObject(1, Instant.class));
                offsets.add(rows.getObject(1, OffsetDateTime.class));
                locals.add(rows.getObject(1, LocalDateTime.class));
                texts.add(rows.getString(1));
                timestamps.add(rows.getTimestamp(1));
            }
        }
        List<Instant> told = MOMENTS.stream().map(moment -> moment.atZone(zone).toLocalDateTime().atZone(zone).toInstant()).toList();
        equal(zone.equals(BERLIN), !told.equals(MOMENTS), "the hour comes twice in Berlin");
        equal(instants, told, "Instant");
        equal(offsets, told.stream().map(moment -> moment.atZone(zone).toOffsetDateTime()).toList(), "OffsetDateTime");
        equal(locals, MOMENTS.stream().map(moment -> moment.atZone(zone).toLocalDateTime()).toList(), "LocalDateTime");
        equal(texts, shown(zone), "getString");
        // Right only where the machine is set to the zone of the answer (apache/arrow-java#732).
        boolean right = zone.equals(ZoneId.systemDefault());
        List<LocalDateTime> clock = MOMENTS.stream().map(moment -> moment.atZone(ZoneId.systemDefault()).toLocalDateTime()).toList();
        equal(timestamps.stream().map(Timestamp::toLocalDateTime).toList().equals(clock), right, "getTimestamp of " + zone + " is right");
    }

    /** As the driver writes what the clock of a zone shows. */
    static List<String> shown(ZoneId zone) {
        return MOMENTS.stream().map(moment -> Timestamp.valueOf(moment.atZone(zone).toLocalDateTime()).toString()).toList();
    }

    /** Without a zone: what the clock on the wall shows. */
    static void zoneless(Connection connection, ZoneId zone) throws Exception {
        List<LocalDateTime> expected = MOMENTS.stream().map(moment -> moment.atZone(zone).toLocalDateTime()).toList();
        List<LocalDateTime> locals = new ArrayList<>();
        List<LocalDateTime> timestamps = new ArrayList<>();
        List<String> texts = new ArrayList<>();
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(SAMPLES)) {
            while (rows.next()) {
                locals.add(rows.getObject(1, LocalDateTime.class));
                timestamps.add(rows.getTimestamp(1).toLocalDateTime());
                texts.add(rows.getString(1));
            }
        }
        equal(locals, expected, "LocalDateTime");
        equal(texts, shown(zone), "getString");
        equal(timestamps.equals(expected), ZoneId.systemDefault().getId().equals("UTC"), "getTimestamp without a zone is right");
    }

    /** Hours, days and texts are of the zone, and a time without a zone means its clock. */
    static void civil(Connection connection) throws Exception {
        // A zone that the statement names is over that of the session; UTC by its name in the time zone database.
        one(connection, "SELECT date_part('hour', timestamp AT TIME ZONE 'Etc/UTC') AS hour FROM samples ORDER BY timestamp LIMIT 1", "0");
        rows(connection, "SELECT date_part('hour', timestamp) AS hour FROM samples WHERE tag = 'types/i64' ORDER BY timestamp",
                MOMENTS.stream().map(moment -> String.valueOf(moment.atZone(BERLIN).getHour())).toList());
        rows(connection, "SELECT CAST(timestamp AS DATE) AS day FROM samples WHERE tag = 'types/i64' ORDER BY timestamp",
                MOMENTS.stream().map(moment -> moment.atZone(BERLIN).toLocalDate().toString()).toList());
        rows(connection, "SELECT to_char(timestamp, '%H:%M') AS shown FROM samples WHERE tag = 'types/i64' ORDER BY timestamp",
                MOMENTS.stream().map(moment -> moment.atZone(BERLIN).toLocalTime().toString().substring(0, 5)).toList());
        // Two hours of the day, of which the first is twice as long.
        rows(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' GROUP BY date_part('hour', timestamp) ORDER BY 1 DESC",
                List.of("4", "2"));
        rows(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' GROUP BY date_trunc('day', timestamp)", List.of("6"));
        rows(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' GROUP BY time_bucket('1 day', timestamp)", List.of("6"));
        // Three in the morning in Berlin is two o'clock in UTC: the last two samples.
        for (String bound : List.of("TIMESTAMP '2025-10-26 03:00:00'", "'2025-10-26 03:00:00'", "'2025-10-26T02:00:00Z'")) {
            one(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' AND timestamp >= " + bound, "2");
        }
        one(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' AND timestamp BETWEEN DATE '2025-10-26' AND "
                + "TIMESTAMP '2025-10-26 03:00:00'", "5");
        one(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' AND CAST(timestamp AS DATE) = DATE '2025-10-26'", "6");
        one(connection, "SELECT count(*) AS n FROM samples WHERE tag = 'types/i64' AND timestamp < now() - INTERVAL '1 hour'", "6");
    }

    static void one(Connection connection, String statement, String expected) throws Exception {
        rows(connection, statement, List.of(expected));
    }

    static void rows(Connection connection, String text, List<String> expected) throws Exception {
        List<String> found = new ArrayList<>();
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(text)) {
            while (rows.next()) {
                found.add(rows.getString(1));
            }
        }
        equal(found, expected, text);
    }

    static void equal(Object found, Object expected, String what) {
        if (!found.equals(expected)) {
            throw new AssertionError(what + " in " + ZoneId.systemDefault() + ": " + found + " instead of " + expected);
        }
    }
}
