import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeMap;

/** Values of every type of tag as the JDBC driver shows them: Types.java ADDRESS. The store holds the tags types/* of tests/it/support/sample.rs. */
public class Types {
    static final String[] QUALITIES = {"0", "0", "1073741824", "2156658688", "2147483648", "0"};
    static Connection connection;

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        try (Connection opened = DriverManager.getConnection(url)) {
            connection = opened;
            names();
            qualities();
            eachType();
            structure();
            tables();
        }
        // A client that asks for dictionaries gets them; this one shows their keys.
        Properties asking = new Properties();
        asking.setProperty("historian-dictionaries", "true");
        try (Connection opened = DriverManager.getConnection(url, asking)) {
            connection = opened;
            expect(List.of("0"), column("SELECT DISTINCT tag FROM samples WHERE tag = 'types/i64'"));
        }
    }

    /** Names of tags are names wherever they come from, and the same in each answer. */
    static void names() throws SQLException {
        expect(List.of("types/i64", "types/u64"),
                column("SELECT DISTINCT tag FROM samples WHERE tag IN ('types/u64', 'types/i64') ORDER BY tag"));
        expect(List.of("types/f64"), column("SELECT DISTINCT tag FROM range('types/f64', '2025-10-26', '2025-10-27')"));
        expect(List.of("types/f64"), column("SELECT DISTINCT tag FROM current('types/f64')"));
        expect(List.of("types/f64"), column("SELECT DISTINCT tag FROM downsample('types/f64', '2025-10-26', '2025-10-27', 10, 'M4')"));
        expect(List.of("types/f64 maximum 1.5"),
                rows("SELECT tag, function, value FROM aggregate('types/f64', '2025-10-26', '2025-10-27', '1d', 'maximum')"));
        expect(List.of("types/bool 6", "types/i64 6"), rows("SELECT tag, count(*) FROM samples WHERE tag IN ('types/bool', 'types/i64') GROUP BY tag ORDER BY tag"));
        expect(List.of("types/bool", "types/f32", "types/f64", "types/i64", "types/state", "types/string", "types/u64"), column("SELECT name FROM tags ORDER BY name"));
    }

    /** A quality is the number that the manual tells, by every way to read it, and a filter on Bad finds the Bad. */
    static void qualities() throws SQLException {
        String statement = "SELECT quality FROM samples WHERE tag = 'types/i64' ORDER BY timestamp";
        expect(List.of(QUALITIES), column(statement));
        try (Statement made = connection.createStatement(); ResultSet result = made.executeQuery(statement)) {
            for (String quality : QUALITIES) {
                check(result.next(), "a row of quality " + quality);
                check(result.getLong(1) == Long.parseLong(quality), "getLong gives " + result.getLong(1));
                check(result.getObject(1) instanceof Long, "getObject gives a " + result.getObject(1).getClass());
                check(result.getBigDecimal(1).compareTo(new BigDecimal(quality)) == 0, "getBigDecimal gives " + result.getBigDecimal(1));
            }
        }
        expect(List.of("2"), column("SELECT count(*) FROM samples WHERE tag = 'types/i64' AND quality >= 2147483648"));
    }

    static void eachType() throws SQLException {
        expect(values("1.5", "-2.25", "1.0E300", null, "7.0", "4.9E-324"), ofTag("f64"));
        expect(values("1.5", "0.1", "-3.0E38", null, "7.0", "1.4E-45"), ofTag("f32"));
        expect(values("1", "-1", "-9223372036854775808", null, "7", "9223372036854775807"), ofTag("i64"));
        expect(values("1", "9223372036854775808", "42", null, "7", "18446744073709551615"), ofTag("u64"));
        expect(values("true", "false", "true", null, "false", "true"), ofTag("bool"));
        expect(values("on", "Grüße, 世界", "", null, "it's", "a \"quoted\" text"), ofTag("string"));
        expect(values("0", "1", "2", null, "1", "2"), ofTag("state"));
        try (Statement made = connection.createStatement();
                ResultSet result = made.executeQuery(range("u64") + " ORDER BY timestamp DESC LIMIT 1")) {
            check(result.next(), "a row");
            check(result.getBigDecimal(1).equals(new BigDecimal("18446744073709551615")), "getBigDecimal gives " + result.getBigDecimal(1));
        }
    }

    /** What the driver tells of an answer before it is read is what it tells while it is read. */
    static void structure() throws SQLException {
        String statement = "SELECT tag, timestamp, value, quality, text FROM samples WHERE tag = 'types/i64'";
        String[] expected = {"tag VARCHAR", "timestamp TIMESTAMP", "value DOUBLE", "quality BIGINT", "text VARCHAR"};
        try (PreparedStatement prepared = connection.prepareStatement(statement); ResultSet result = prepared.executeQuery()) {
            for (ResultSetMetaData told : new ResultSetMetaData[] {prepared.getMetaData(), result.getMetaData()}) {
                for (int index = 0; index < expected.length; index++) {
                    check(expected[index].startsWith(told.getColumnLabel(index + 1) + " "), told.getColumnLabel(index + 1));
                    String type = told.getColumnTypeName(index + 1);
                    check(expected[index].endsWith(" " + type) || type.startsWith("TIMESTAMP"), expected[index] + " is a " + type);
                }
                check(told.getColumnType(4) == java.sql.Types.BIGINT, "the type of quality is " + told.getColumnType(4));
            }
        }
        try (Statement made = connection.createStatement(); ResultSet result = made.executeQuery(range("u64"))) {
            check(result.getMetaData().getColumnType(1) == java.sql.Types.DECIMAL, "a u64 is a " + result.getMetaData().getColumnTypeName(1));
        }
    }

    /** The types in the catalog are those of answers. */
    static void tables() throws SQLException {
        TreeMap<String, String> types = new TreeMap<>();
        try (ResultSet columns = connection.getMetaData().getColumns("historian", "public", "samples", null)) {
            while (columns.next()) {
                types.put(columns.getString("COLUMN_NAME"), columns.getString("TYPE_NAME"));
            }
        }
        check("VARCHAR".equals(types.get("tag")) && "BIGINT".equals(types.get("quality")), types.toString());
    }

    static String range(String type) {
        return "SELECT value FROM range('types/" + type + "', '2025-10-26', '2025-10-27')";
    }

    static List<String> ofTag(String type) throws SQLException {
        return column(range(type) + " ORDER BY timestamp");
    }

    static List<String> values(String... values) {
        List<String> list = new ArrayList<>();
        for (String value : values) {
            list.add(String.valueOf(value));
        }
        return list;
    }

    static List<String> column(String statement) throws SQLException {
        return rows(statement);
    }

    static List<String> rows(String statement) throws SQLException {
        List<String> rows = new ArrayList<>();
        try (Statement made = connection.createStatement(); ResultSet result = made.executeQuery(statement)) {
            while (result.next()) {
                StringBuilder row = new StringBuilder();
                for (int index = 1; index <= result.getMetaData().getColumnCount(); index++) {
                    row.append(index == 1 ? "" : " ").append(result.getString(index));
                }
                rows.add(row.toString());
            }
        }
        return rows;
    }

    static void expect(List<String> expected, List<String> found) {
        check(expected.equals(found), "expected " + expected + ", found " + found);
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
