import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Every way in which a reader ends before its answer does ends the work in the server, and mistakes are told: Ends.java ADDRESS HTTP. */
public class Ends {
    /** Would run for days: one gives no row before its end, the other gives rows without end. */
    static final String SILENT = "SELECT count(*) AS n FROM generate_series(1, 1000000000000) WHERE value * value = -1";
    static final String ENDLESS = "SELECT value AS n FROM generate_series(1, 1000000000000)";

    static String url;
    static URI metrics;

    public static void main(String[] arguments) throws Exception {
        url = "jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false";
        metrics = URI.create("http://" + arguments[1] + "/metrics");
        if (arguments.length > 2) {
            vanishes();
        }
        idle("a process that ended without a word");
        closed();
        cancelled();
        timeout();
        maxRows();
        mistakes();
        connectionClosed();
        // The driver's threads of the connection that it could not close would keep this machine running.
        System.exit(0);
    }

    static void closed() throws Exception {
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            ResultSet rows = statement.executeQuery(ENDLESS);
            check(rows.next() && running() == 1, "one statement runs");
            rows.close();
            idle("closing the rows");
            rows = statement.executeQuery(ENDLESS);
            check(rows.next() && running() == 1, "one statement runs");
            statement.close();
            idle("closing the statement");
        }
    }

    static void cancelled() throws Exception {
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            ResultSet rows = statement.executeQuery(ENDLESS);
            check(rows.next() && running() == 1, "one statement runs");
            statement.cancel();
            idle("cancelling a statement whose rows are read");
            rows.close();
        }
        // While executeQuery waits for the first row, in another thread.
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            CompletableFuture<Void> waiting = CompletableFuture.runAsync(() -> {
                try (ResultSet rows = statement.executeQuery(SILENT)) {
                    rows.next();
                } catch (SQLException error) {
                    throw new RuntimeException(error);
                }
            });
            until("the statement runs", 1);
            statement.cancel();
            idle("cancelling a statement that gives no row yet");
            try {
                waiting.get(10, TimeUnit.SECONDS);
                throw new AssertionError("a cancelled statement has no answer");
            } catch (ExecutionException expected) {
                check(String.valueOf(expected.getCause()).contains("Cancelling this FlightStream"), "it is cancelled: " + expected.getCause());
            }
        }
    }

    static void timeout() throws Exception {
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            try (ResultSet rows = statement.executeQuery(SILENT)) {
                throw new AssertionError("the statement should not end: " + rows);
            } catch (SQLException expected) {
                check(expected.getMessage().contains("Query timed out after 1 SECONDS"), expected.getMessage());
            }
            // The driver leaves its stream open until the connection is closed.
        }
        idle("a timeout, when the connection is closed");
    }

    static void maxRows() throws Exception {
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            statement.setMaxRows(10);
            try (ResultSet rows = statement.executeQuery(ENDLESS)) {
                int count = 0;
                while (rows.next()) {
                    count++;
                }
                check(count == 10, count + " of at most 10 rows");
            }
            idle("the last of at most ten rows");
        }
    }

    static void connectionClosed() throws Exception {
        Connection connection = open();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(ENDLESS);
        check(rows.next() && running() == 1, "one statement runs");
        // The driver waits for its stream instead of ending it, and fails: rows are to be closed before their connection. What nobody reads
        // is ended by the server, after stalled_reader_s.
        try {
            connection.close();
            throw new AssertionError("the driver closes a connection whose rows are open now: take this out of docs/clients.md");
        } catch (SQLException expected) {
            check(expected.getMessage().contains("Failed to clean up client resources"), expected.getMessage());
        }
        until("nobody reads any more", 0, 60);
    }

    /** The process ends without a word. */
    static void vanishes() throws Exception {
        Connection connection = open();
        ResultSet rows = connection.createStatement().executeQuery(ENDLESS);
        check(rows.next() && running() == 1, "one statement runs");
        Runtime.getRuntime().halt(0);
    }

    /** The driver tells neither SQLState nor vendor code; the message is the server's. */
    static void mistakes() throws Exception {
        Map<String, String> mistakes = Map.of("SELEC 1", "SELEC", "SELECT * FROM nowhere", "nowhere", "SELECT nothing FROM samples",
                "no column nothing", "DELETE FROM samples", "", "SELECT * FROM range('nothing', '*-1h', '*')", "no tag");
        try (Connection connection = open(); Statement statement = connection.createStatement()) {
            for (Map.Entry<String, String> mistake : mistakes.entrySet()) {
                try (ResultSet rows = statement.executeQuery(mistake.getKey())) {
                    throw new AssertionError(mistake.getKey() + " is answered: " + rows.next());
                } catch (SQLException error) {
                    System.out.println(error.getSQLState() + " " + error.getErrorCode() + " " + error.getMessage());
                    check(error.getMessage().contains(mistake.getValue()), mistake.getKey() + ": " + error.getMessage());
                    check(error.getSQLState() == null && error.getErrorCode() == 0, "the driver tells codes now: " + error.getSQLState());
                }
            }
            try (ResultSet rows = statement.executeQuery("SELECT 1 AS one")) {
                check(rows.next() && rows.getInt("one") == 1, "after mistakes a statement is answered");
            }
        }
        idle("mistakes");
    }

    static Connection open() throws SQLException {
        return DriverManager.getConnection(url);
    }

    static final HttpClient HTTP = HttpClient.newHttpClient();

    /** Statements that the server works on now. */
    static int running() throws IOException, InterruptedException {
        String text = HTTP.send(HttpRequest.newBuilder(metrics).build(), HttpResponse.BodyHandlers.ofString()).body();
        return text.lines().filter(line -> line.startsWith("historian_sql_statements_running ")).map(line -> line.split(" ")[1])
                .mapToInt(Integer::parseInt).findFirst().orElseThrow();
    }

    static void idle(String after) throws Exception {
        long begun = System.nanoTime();
        until("the server's work has ended after " + after, 0);
        System.out.println("after " + after + ": " + (System.nanoTime() - begun) / 1_000_000 + " ms");
    }

    static void until(String what, int statements) throws Exception {
        // About a second; more for a machine that does other things as well. Any of the statements would run for days.
        until(what, statements, 5);
    }

    static void until(String what, int statements, int seconds) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        int now;
        while ((now = running()) != statements) {
            check(System.nanoTime() < deadline, what + ": " + now + " statements run");
            Thread.sleep(10);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
