import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Calendar;
import java.util.Collections;
import java.util.List;
import java.util.TimeZone;

/**
 * Statements with parameters of every type: Parameters.java ADDRESS, in a virtual machine of any zone. The store holds the tags types/* of
 * tests/it/support/sample.rs.
 */
public class Parameters {
    static Connection connection;

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        try (Connection opened = DriverManager.getConnection(url)) {
            connection = opened;
            eachSetter();
            times();
            whatTheStatementDoesNotTell();
            nulls();
            calls();
            changedAndRunAgain();
            longLists();
            refused();
        }
    }

    static void eachSetter() throws SQLException {
        expect("6", "SELECT count(*) FROM samples WHERE tag = ?", "types/i64");
        expect("12", "SELECT count(*) FROM samples WHERE tag IN (?, ?)", "types/i64", "types/u64");
        expect("42", "SELECT count(*) FROM samples WHERE tag LIKE ?", "types/%");
        expect("3", "SELECT count(*) FROM samples WHERE tag = 'types/f64' AND value > ?", 0.5);
        expect("3", "SELECT count(*) FROM samples WHERE tag = 'types/f64' AND value > ?", 1);
        expect("3", "SELECT count(*) FROM samples WHERE tag = 'types/f64' AND value > ?", 1.0f);
        expect("2", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND quality >= ?", 2147483648L);
        expect("1", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND quality = ?", 0x808C0000L);
        expect("0", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND quality = ?", -1);
        expect("1", "SELECT count(*) FROM range('types/i64', '2025-10-26', '2025-10-27') WHERE value = ?", Long.MAX_VALUE);
        expect("1", "SELECT count(*) FROM range('types/u64', '2025-10-26', '2025-10-27') WHERE value = ?", new BigDecimal("18446744073709551615"));
        expect("1", "SELECT count(*) FROM range('types/u64', '2025-10-26', '2025-10-27') WHERE value = ?", new BigDecimal("42"));
        expect("3", "SELECT count(*) FROM range('types/bool', '2025-10-26', '2025-10-27') WHERE value = ?", true);
        expect("1", "SELECT count(*) FROM range('types/string', '2025-10-26', '2025-10-27') WHERE value = ?", "Grüße, 世界");
        expect("it's", "SELECT text FROM samples WHERE tag = 'types/string' AND text = ?", "it's");
        expect("2", "SELECT count(*) FROM (SELECT * FROM samples LIMIT ? OFFSET ?)", 2, 3);
        expect("types/i64 6", "SELECT tag, count(*) FROM samples WHERE tag = ? GROUP BY tag HAVING count(*) > ? ORDER BY tag", "types/i64", 5);
        try (PreparedStatement prepared = connection.prepareStatement(
                "SELECT 1 FROM samples WHERE tag = ? AND timestamp >= ? AND value > ? AND quality = ? LIMIT ?")) {
            ParameterMetaData told = prepared.getParameterMetaData();
            int[] expected = {Types.VARCHAR, Types.TIMESTAMP, Types.DOUBLE, Types.BIGINT, Types.BIGINT};
            check(told.getParameterCount() == expected.length, told.getParameterCount() + " parameters");
            for (int index = 0; index < expected.length; index++) {
                int type = told.getParameterType(index + 1);
                check(type == expected[index] || (index == 1 && type == Types.TIMESTAMP_WITH_TIMEZONE), "parameter " + (index + 1) + " has the type " + type);
            }
        }
    }

    static void times() throws SQLException {
        Timestamp second = Timestamp.from(Instant.parse("2025-10-26T00:30:00Z"));
        Timestamp third = Timestamp.from(Instant.parse("2025-10-26T01:00:00Z"));
        Timestamp last = Timestamp.from(Instant.parse("2025-10-26T02:30:00Z"));
        expect("3", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp BETWEEN ? AND ?", third, Timestamp.from(Instant.parse("2025-10-26T02:00:00Z")));
        expect("5", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp >= ?", second);
        expect("1", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp >= ?", last);
        expect("0", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp > ?", last);
        expect("1", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp = ?", third);
        expect("2", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp < ?", third);
        expect("4", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp >= ? - INTERVAL '90 minutes'", last);
        try (PreparedStatement prepared = connection.prepareStatement("SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp >= ?")) {
            prepared.setLong(1, second.getTime());
            try (ResultSet result = prepared.executeQuery()) {
                check(result.next() && result.getLong(1) == 5, "milliseconds as a number");
            }
            if (TimeZone.getDefault().getID().equals("UTC")) {
                prepared.setTimestamp(1, last);
                try (ResultSet result = prepared.executeQuery()) {
                    check(result.next() && result.getLong(1) == 1, "a time without a calendar, where it makes no difference");
                }
            }
        }
        // As programs write "no bound".
        expect("6", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp > ? AND timestamp < ?", Timestamp.from(Instant.parse("0001-01-03T00:00:00Z")), Timestamp.from(Instant.parse("9999-12-31T00:00:00Z")));
        expect("5", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp >= CAST(? AS TIMESTAMP)", "2025-10-26T00:30:00");
        expect("2025-10-26", "SELECT CAST(? AS DATE)", "2025-10-26");
    }

    static void whatTheStatementDoesNotTell() throws SQLException {
        expect("types/i64", "SELECT lower(?)", "TYPES/I64");
        expect("6", "SELECT count(*) FROM samples WHERE tag = lower(?)", "TYPES/I64");
        expect("6", "SELECT count(*) FROM samples WHERE lower(tag) = lower(?)", "TYPES/I64");
        expect("a value", "SELECT ?", "a value");
        expect("a value types/i64", "SELECT ? AS label, tag FROM samples WHERE tag = 'types/i64' LIMIT 1", "a value");
        expect("7.0", "SELECT coalesce(value, ?) AS filled FROM samples WHERE tag = 'types/i64' AND value IS NULL", 7.0);
        expect("1073741829", "SELECT quality + ? FROM samples WHERE tag = 'types/i64' AND quality = 1073741824", 5);
        expect("1.3", "SELECT round(1.25, ?)", 1);
        expect("2", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND abs(value) = abs(?)", -1.0);
        expect("6", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND (? IS NULL OR tag = ?)", "any", "types/i64");
        expect("4", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND timestamp >= TIMESTAMP '2025-10-26T02:30:00' - ?", "90 minutes");
    }

    static void nulls() throws SQLException {
        expect("0", "SELECT count(*) FROM samples WHERE tag = ?", (Object) null);
        expect("null", "SELECT ?", (Object) null);
        expect("0", "SELECT count(*) FROM samples WHERE timestamp > ?", (Object) null);
        expect("6", "SELECT count(*) FROM samples WHERE tag = 'types/i64' AND (CAST(? AS VARCHAR) IS NULL OR text = ?)", null, null);
        expect("null", "SELECT coalesce(value, ?) FROM samples WHERE tag = 'types/i64' AND value IS NULL", (Object) null);
    }

    /** Functions that stand for a table. */
    static void calls() throws SQLException {
        Timestamp start = Timestamp.from(Instant.parse("2025-10-26T00:00:00Z"));
        Timestamp end = Timestamp.from(Instant.parse("2025-10-26T02:00:00Z"));
        expect("4", "SELECT count(*) FROM range(?, ?, ?)", "types/i64", start, end);
        expect("1", "SELECT value FROM range(?, ?, ?) WHERE quality = ? ORDER BY timestamp LIMIT ?", "types/i64", start, end, 0, 1);
        // In the second hour nothing is Good: by Part 13 its count is Bad.
        expect("types/i64 2.0,types/i64 null", "SELECT tag, value FROM aggregate(?, ?, ?, ?, ?)", "types/i64", start, end, "1h", "count");
        expect("Grüße, 世界", "SELECT value FROM range(?, ?, ?) ORDER BY timestamp LIMIT 1 OFFSET 1", "types/string", start, end);
        expect("types/u64", "SELECT tag FROM current(?)", "types/u64");
    }

    /** One statement with value after value answers each for itself. */
    static void changedAndRunAgain() throws SQLException {
        try (PreparedStatement prepared = connection.prepareStatement("SELECT tag, count(*) FROM samples WHERE tag = ? AND value > ? GROUP BY tag")) {
            for (int turn = 0; turn < 50; turn++) {
                String tag = turn % 2 == 0 ? "types/i64" : "types/f64";
                prepared.setString(1, tag);
                prepared.setDouble(2, turn < 25 ? 0.5 : 1.25);
                String expected = tag + " " + (tag.endsWith("i64") && turn >= 25 ? 2 : 3);
                try (ResultSet result = prepared.executeQuery()) {
                    check(result.next(), "a row in turn " + turn);
                    String found = result.getString(1) + " " + result.getString(2);
                    check(expected.equals(found), "turn " + turn + ": expected " + expected + ", found " + found);
                }
            }
        }
        // The answer is read when its statement has long been closed: the driver asks for it first.
        PreparedStatement prepared = connection.prepareStatement("SELECT count(*) FROM samples WHERE tag = ?");
        prepared.setString(1, "types/i64");
        check(prepared.execute(), "a result");
        try (ResultSet result = prepared.getResultSet()) {
            check(result.next() && result.getLong(1) == 6, "6 samples");
        }
        prepared.close();
    }

    /** A statement may be long: names in it, and parameters in a list. */
    static void longLists() throws SQLException {
        List<String> names = new ArrayList<>();
        for (int number = 0; number < 5000; number++) {
            names.add(String.format("'area%04d/line/machine/temperature/actual'", number));
        }
        names.add("'types/i64'");
        String statement = "SELECT count(*) FROM samples WHERE tag IN (" + String.join(", ", names) + ")";
        check(statement.length() > 200_000, "it is long");
        expect("6", statement);
        expect("2", statement + " AND quality >= ?", 2147483648L);
        List<Object> values = new ArrayList<>(Collections.nCopies(2000, "types/nothing"));
        values.set(1234, "types/u64");
        expect("6", "SELECT count(*) FROM samples WHERE tag IN (" + String.join(",", Collections.nCopies(2000, "?")) + ")", values.toArray());
    }

    static void refused() throws SQLException {
        try (PreparedStatement prepared = connection.prepareStatement("SELECT count(*) FROM samples WHERE timestamp > CAST(? AS TIMESTAMP)")) {
            prepared.setString(1, "yesterday");
            failsWith(prepared::executeQuery, "yesterday");
        }
        // What a batch is for: changes.
        try (PreparedStatement prepared = connection.prepareStatement("SELECT count(*) FROM samples WHERE tag = ?")) {
            prepared.setString(1, "types/i64");
            prepared.addBatch();
            prepared.setString(1, "types/u64");
            prepared.addBatch();
            failsWith(prepared::executeBatch, "SQL reads only");
        }
    }

    interface Call {
        Object run() throws SQLException;
    }

    static void failsWith(Call call, String fragment) {
        try {
            call.run();
        } catch (SQLException | RuntimeException error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (String.valueOf(cause.getMessage()).contains(fragment)) {
                    return;
                }
            }
            throw new AssertionError("does not say " + fragment, error);
        }
        throw new AssertionError("was answered instead of saying " + fragment);
    }

    /** Binds each value by the setter of its type; the rows of the answer joined by commas, their columns by spaces. */
    static void expect(String expected, String statement, Object... values) throws SQLException {
        String shown = statement.length() > 300 ? statement.substring(0, 300) + "…" : statement;
        try (PreparedStatement prepared = connection.prepareStatement(statement)) {
            for (int index = 0; index < values.length; index++) {
                set(prepared, index + 1, values[index]);
            }
            List<String> rows = new ArrayList<>();
            try (ResultSet result = prepared.executeQuery()) {
                while (result.next()) {
                    StringBuilder row = new StringBuilder();
                    for (int column = 1; column <= result.getMetaData().getColumnCount(); column++) {
                        row.append(column == 1 ? "" : " ").append(result.getString(column));
                    }
                    rows.add(row.toString());
                }
            }
            String found = String.join(",", rows);
            check(expected.equals(found), shown + ": expected " + expected + ", found " + found);
        } catch (SQLException | RuntimeException error) {
            throw new AssertionError(shown, error);
        }
    }

    static void set(PreparedStatement prepared, int index, Object value) throws SQLException {
        if (value == null) {
            prepared.setNull(index, Types.NULL);
        } else if (value instanceof String text) {
            prepared.setString(index, text);
        } else if (value instanceof Integer number) {
            prepared.setInt(index, number);
        } else if (value instanceof Long number) {
            prepared.setLong(index, number);
        } else if (value instanceof Double number) {
            prepared.setDouble(index, number);
        } else if (value instanceof Float number) {
            prepared.setFloat(index, number);
        } else if (value instanceof BigDecimal number) {
            prepared.setBigDecimal(index, number);
        } else if (value instanceof Boolean flag) {
            prepared.setBoolean(index, flag);
        } else if (value instanceof Timestamp time) {
            // Without a calendar the driver sends what a clock in the zone of the virtual machine shows, as if it were UTC.
            prepared.setTimestamp(index, time, Calendar.getInstance(TimeZone.getTimeZone("UTC")));
        } else {
            prepared.setObject(index, value);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
