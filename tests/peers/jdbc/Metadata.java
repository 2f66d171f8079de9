import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Every method of DatabaseMetaData and of ResultSetMetaData, and what the most used of them say: Metadata.java ADDRESS. */
public class Metadata {
    /** Methods in which the driver itself fails, whatever a server says: it has "todo: implement this method" in their place. */
    static final Set<String> DRIVER = Set.of("deletesAreDetected", "insertsAreDetected", "updatesAreDetected", "othersDeletesAreVisible",
            "othersInsertsAreVisible", "othersUpdatesAreVisible", "ownDeletesAreVisible", "ownInsertsAreVisible", "ownUpdatesAreVisible",
            "supportsResultSetHoldability");

    /** Name, type, size, digits after the point and nullability of each column of `samples`. */
    static final List<String> COLUMNS = List.of("tag VARCHAR 2147483647 null NO",
            "timestamp TIMESTAMP_WITH_TIMEZONE 29 9 NO", "value DOUBLE 15 null YES", "quality BIGINT 19 0 NO",
            "text VARCHAR 2147483647 null YES", "integer DECIMAL 20 0 YES");

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        try (Connection connection = DriverManager.getConnection(url)) {
            DatabaseMetaData metadata = connection.getMetaData();
            callEach(DatabaseMetaData.class, metadata, 170, DRIVER);
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("SELECT * FROM samples LIMIT 1")) {
                callEach(ResultSetMetaData.class, rows.getMetaData(), 20, Set.of());
            }
            says(metadata);
            columns(metadata);
            functions(connection, metadata);
        }
    }

    /** Calls each method with arguments that make sense; those that throw must be the driver's own. */
    static void callEach(Class<?> type, Object target, int atLeast, Set<String> driver) throws Exception {
        Map<String, String> thrown = new TreeMap<>();
        Method[] methods = type.getMethods();
        Arrays.sort(methods, Comparator.comparing(Method::toString));
        int called = 0;
        for (Method method : methods) {
            Object[] values = new Object[method.getParameterCount()];
            for (int index = 0; index < values.length; index++) {
                values[index] = value(method, method.getParameterTypes()[index], index);
            }
            called++;
            try {
                Object answer = method.invoke(target, values);
                if (answer instanceof ResultSet rows) {
                    System.out.println(method.getName() + ": " + readAll(rows) + " rows");
                } else {
                    System.out.println(method.getName() + " = " + answer);
                }
            } catch (InvocationTargetException error) {
                thrown.put(method.getName(), String.valueOf(error.getCause()));
            } catch (SQLException | RuntimeException error) {
                thrown.put(method.getName(), "while its rows are read: " + error);
            }
        }
        check(called >= atLeast, called + " methods called");
        Map<String, String> ours = new TreeMap<>(thrown);
        ours.keySet().removeAll(driver);
        check(ours.isEmpty(), "no method throws, but these do:\n" + lines(ours));
        check(thrown.keySet().containsAll(driver), "the driver has mended some of " + driver + ", of which now throw " + thrown.keySet());
    }

    static Object value(Method method, Class<?> type, int index) {
        String name = method.getName();
        if (type == int.class) {
            return switch (name) {
                case "supportsConvert" -> index == 0 ? Types.BIGINT : Types.VARCHAR;
                case "supportsTransactionIsolationLevel" -> Connection.TRANSACTION_NONE;
                case "supportsResultSetConcurrency" -> index == 0 ? ResultSet.TYPE_FORWARD_ONLY : ResultSet.CONCUR_READ_ONLY;
                case "getBestRowIdentifier" -> DatabaseMetaData.bestRowSession;
                case "supportsResultSetHoldability" -> ResultSet.HOLD_CURSORS_OVER_COMMIT;
                // A type of result sets for DatabaseMetaData, the first column for ResultSetMetaData.
                default -> method.getDeclaringClass() == DatabaseMetaData.class ? ResultSet.TYPE_FORWARD_ONLY : 1;
            };
        }
        if (type == boolean.class) {
            return true;
        }
        if (type == Class.class) {
            return Object.class;
        }
        if (type == String.class) {
            // The catalog, and patterns or names.
            boolean table = name.contains("Key") || name.contains("Index") || name.contains("RowIdentifier") || name.contains("Version");
            return index == 0 ? null : index == 1 ? "public" : table ? "samples" : "%";
        }
        return null;
    }

    static int readAll(ResultSet rows) throws SQLException {
        try (rows) {
            int columns = rows.getMetaData().getColumnCount();
            int count = 0;
            while (rows.next()) {
                count++;
                for (int column = 1; column <= columns; column++) {
                    rows.getString(column);
                }
            }
            return count;
        }
    }

    /** What tools decide by. */
    static void says(DatabaseMetaData metadata) throws SQLException {
        check(metadata.getDatabaseProductName().equals("historian"), "the name of the product");
        check(metadata.isReadOnly(), "read only");
        check(metadata.getIdentifierQuoteString().equals("\""), "the quote of names");
        check(!metadata.supportsTransactions(), "no transactions");
        check(metadata.getDefaultTransactionIsolation() == Connection.TRANSACTION_NONE, "no isolation");
        check(metadata.supportsGroupBy() && metadata.supportsUnionAll() && metadata.supportsFullOuterJoins(), "SQL that tools build");
        check(metadata.supportsSubqueriesInIns() && metadata.supportsCorrelatedSubqueries(), "subqueries");
        check(metadata.supportsConvert(Types.BIGINT, Types.VARCHAR) && !metadata.supportsConvert(Types.TIMESTAMP, Types.BIT), "casts");
        check(metadata.supportsResultSetType(ResultSet.TYPE_FORWARD_ONLY), "forward only");
        check(!metadata.supportsResultSetType(ResultSet.TYPE_SCROLL_SENSITIVE), "no scrolling");
        check(metadata.getCatalogTerm().equals("catalog") && metadata.isCatalogAtStart(), "catalog.schema.table");
        check(metadata.getExtraNameCharacters().isEmpty() && metadata.getSearchStringEscape().equals("\\"), "names and patterns");
    }

    static void columns(DatabaseMetaData metadata) throws SQLException {
        List<String> found = new ArrayList<>();
        try (ResultSet rows = metadata.getColumns(null, null, "samples", null)) {
            while (rows.next()) {
                found.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME") + " " + rows.getString("COLUMN_SIZE") + " "
                        + rows.getString("DECIMAL_DIGITS") + " " + rows.getString("IS_NULLABLE"));
            }
        }
        System.out.println(String.join("\n", found));
        check(found.equals(COLUMNS), "columns with their sizes: " + found);
        List<String> keys = new ArrayList<>();
        try (ResultSet rows = metadata.getPrimaryKeys(null, null, "samples")) {
            while (rows.next()) {
                keys.add(rows.getString("COLUMN_NAME"));
            }
        }
        check(keys.equals(List.of("tag", "timestamp")), "the key of samples: " + keys);
        // The pattern of one character, and the escaped one.
        for (String pattern : List.of("sample_", "%amples")) {
            try (ResultSet rows = metadata.getTables(null, null, pattern, null)) {
                check(rows.next() && rows.getString("TABLE_NAME").equals("samples") && !rows.next(), "the table of " + pattern);
            }
        }
        try (ResultSet rows = metadata.getTables(null, null, "sample\\_", null)) {
            check(!rows.next(), "no table has an underscore for its s");
        }
        try (ResultSet rows = metadata.getTables("another", null, null, null)) {
            check(!rows.next(), "another catalog has no table");
        }
    }

    /** The functions that are told are there. */
    static void functions(Connection connection, DatabaseMetaData metadata) throws SQLException {
        Set<String> routines = new HashSet<>();
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT DISTINCT routine_name FROM information_schema.routines")) {
            while (rows.next()) {
                routines.add(rows.getString(1));
            }
        }
        // Grammar rather than functions.
        routines.addAll(List.of("extract", "position", "current_timestamp"));
        String told = String.join(", ", metadata.getNumericFunctions(), metadata.getStringFunctions(), metadata.getTimeDateFunctions(),
                metadata.getSystemFunctions());
        List<String> missing = new ArrayList<>(List.of(told.split(", ")));
        check(missing.size() > 50, "functions are told: " + told);
        missing.removeAll(routines);
        check(missing.isEmpty(), "these functions are told, and are not there: " + missing);
    }

    static String lines(Map<String, String> map) {
        StringBuilder text = new StringBuilder();
        map.forEach((name, error) -> text.append("  ").append(name).append(": ").append(error).append('\n'));
        return text.toString();
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
