import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/** A token as the driver sends it, as one and as a password: Access.java ADDRESS TOKEN EXPIRED. The first is of a reader of `seen/**`. */
public class Access {
    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false", token = arguments[1], expired = arguments[2];
        for (String more : List.of("&token=" + token, "&user=anybody&password=" + token)) {
            try (Connection connection = DriverManager.getConnection(url + more)) {
                reads(connection);
            }
        }
        try (Connection connection = DriverManager.getConnection(url, "anybody", token)) {
            reads(connection);
        }
        for (String more : List.of("", "&token=" + expired, "&user=anybody&password=" + expired, "&user=anybody&password=secret")) {
            refused(url + more);
        }
    }

    static void reads(Connection connection) throws SQLException {
        check(connection.isValid(5), "a connection that answers is valid");
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT min(tag) AS first, max(tag) AS last FROM samples")) {
            check(rows.next() && rows.getString("first").equals("seen/here") && rows.getString("last").equals("seen/zz"), "tags that are seen");
        }
        int columns = 0;
        try (ResultSet rows = connection.getMetaData().getColumns(null, "public", "all_hourly", null)) {
            while (rows.next()) {
                columns++;
                String name = rows.getString("COLUMN_NAME");
                check(!name.contains("hidden"), name);
            }
        }
        check(columns > 3, "columns of tags that are seen");
    }

    static void refused(String url) {
        try (Connection connection = DriverManager.getConnection(url); Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT 1").close();
        } catch (SQLException | RuntimeException error) {
            StringBuilder words = new StringBuilder();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                words.append(cause.getMessage()).append('\n');
            }
            check(words.toString().contains("token"), "the reason is not told: " + words);
            return;
        }
        throw new AssertionError("a connection without a token reads");
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
