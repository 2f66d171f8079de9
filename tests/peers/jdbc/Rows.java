import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;

/** Ten million rows, each of them read: Rows.java ADDRESS. */
public class Rows {
    static final int ROWS = 10_000_000;

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false&user=a&password=b";
        try (Connection connection = DriverManager.getConnection(url);
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT tag, timestamp, one.value, n.value AS n "
                        + "FROM (SELECT tag, timestamp, value FROM samples WHERE tag = 'types/f64' ORDER BY timestamp LIMIT 1) one "
                        + "CROSS JOIN generate_series(1, " + ROWS + ") n")) {
            long count = 0;
            long sum = 0;
            while (rows.next()) {
                if (!rows.getString(1).equals("types/f64") || rows.getDouble(3) != 1.5) {
                    throw new AssertionError("row " + count + ": " + rows.getString(1) + " " + rows.getDouble(3));
                }
                count++;
                sum += rows.getLong(4);
            }
            if (count != ROWS || sum != (long) ROWS * (ROWS + 1) / 2) {
                throw new AssertionError(count + " rows with a sum of " + sum);
            }
        }
    }
}
