import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** A connection string with TLS as it is, and the same without the authority, which is refused: Tls.java URL. */
public class Tls {
    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        try (Connection connection = DriverManager.getConnection(url);
                Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT 1 + 1")) {
            if (!rows.next() || rows.getInt(1) != 2) {
                throw new AssertionError("1 + 1 is not 2");
            }
        }
        String trusting = url.substring(0, url.indexOf("&tlsRootCerts="));
        try (Connection connection = DriverManager.getConnection(trusting); Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT 1");
            throw new AssertionError("an authority that nobody trusts was taken");
        } catch (SQLException expected) {
            System.out.println("refused: " + expected.getMessage());
        }
    }
}
