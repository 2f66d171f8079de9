import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.sql.DataSource;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import org.apache.commons.dbcp2.BasicDataSource;

/** Connection strings as dialogs of BI tools make them, and the two usual pools as they come: Connect.java ADDRESS. */
public class Connect {
    static String url;

    public static void main(String[] arguments) throws Exception {
        url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        for (String more : List.of("", "&user=reader&password=secret", "&token=abc.def", "&user=reader&password=secret&token=abc.def",
                "&database=plant&nonsense=1")) {
            try (Connection connection = DriverManager.getConnection(url + more)) {
                reads(connection);
            } catch (SQLException | RuntimeException error) {
                throw new AssertionError(url + more, error);
            }
        }
        // Semicolons, and credentials apart from the string.
        try (Connection connection = DriverManager.getConnection(url.replace("/?", "?").replace('?', ';'))) {
            reads(connection);
        }
        try (Connection connection = DriverManager.getConnection(url, "reader", "Geheimnis, mit ü")) {
            reads(connection);
        }
        Properties properties = new Properties();
        properties.setProperty("user", "reader");
        properties.setProperty("password", "");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            reads(connection);
        }

        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(url);
        config.setUsername("reader");
        config.setPassword("secret");
        try (HikariDataSource pool = new HikariDataSource(config)) {
            pooled(pool);
        }
        try (BasicDataSource pool = new BasicDataSource()) {
            pool.setUrl(url);
            pool.setUsername("reader");
            pool.setPassword("secret");
            pooled(pool);
        }
        try (BasicDataSource pool = new BasicDataSource()) {
            pool.setUrl(url);
            pool.setPoolPreparedStatements(true);
            pooled(pool);
        }
    }

    static void reads(Connection connection) throws SQLException {
        check(connection.isValid(5), "a connection that answers is valid");
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery("SELECT count(*) AS n FROM samples WHERE tag LIKE 'types/%'")) {
            check(rows.next() && rows.getLong("n") == 42, "42 samples");
            check(!rows.next(), "one row");
        }
        // Pools, Spring, MyBatis and jOOQ prepare all they execute. Bound anew and executed again.
        try (PreparedStatement statement = connection.prepareStatement("SELECT count(*) AS n FROM samples WHERE tag LIKE ? AND quality >= ?")) {
            for (String tags : List.of("types/%", "nowhere/%")) {
                statement.setString(1, tags);
                statement.setLong(2, 0);
                try (ResultSet rows = statement.executeQuery()) {
                    long expected = tags.startsWith("types") ? 42 : 0;
                    check(rows.next() && rows.getLong("n") == expected, expected + " samples of " + tags);
                }
            }
        }
    }

    /** Connections are lent, given back and lent again, by more threads than there are. */
    static void pooled(DataSource pool) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(16);
        try {
            List<Future<Integer>> ended = new ArrayList<>();
            for (int thread = 0; thread < 16; thread++) {
                ended.add(threads.submit((Callable<Integer>) () -> {
                    for (int turn = 0; turn < 8; turn++) {
                        try (Connection connection = pool.getConnection()) {
                            reads(connection);
                        }
                    }
                    return 8;
                }));
            }
            int turns = 0;
            for (Future<Integer> each : ended) {
                turns += each.get();
            }
            check(turns == 128, turns + " turns");
        } finally {
            threads.shutdownNow();
        }
        // A mistake of one who borrows leaves the connection as it was.
        try (Connection connection = pool.getConnection(); Statement statement = connection.createStatement()) {
            try {
                statement.executeQuery("SELECT nonsense FROM nowhere").close();
                throw new AssertionError("a table that is not there is read");
            } catch (SQLException expected) {
                check(expected.getMessage().contains("nowhere"), expected.getMessage());
            }
        }
        try (Connection connection = pool.getConnection()) {
            reads(connection);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
