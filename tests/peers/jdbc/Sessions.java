import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.CloseSessionRequest;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.CloseSessionResult;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.FlightClient;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.FlightInfo;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.FlightStream;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.GetSessionOptionsRequest;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.Location;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.NoOpSessionOptionValueVisitor;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.SessionOptionValue;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.SessionOptionValueFactory;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.SetSessionOptionsRequest;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.SetSessionOptionsResult;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.client.ClientCookieMiddleware;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.flight.sql.FlightSqlClient;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.driver.jdbc.shaded.org.apache.arrow.memory.RootAllocator;

/** Sessions of Arrow's Java client, which the JDBC driver has inside, and of the driver: Sessions.java ADDRESS. */
public class Sessions {
    public static void main(String[] arguments) throws Exception {
        String[] address = arguments[0].split(":");
        try (BufferAllocator allocator = new RootAllocator();
                FlightSqlClient client = new FlightSqlClient(FlightClient
                        .builder(allocator, Location.forGrpcInsecure(address[0], Integer.parseInt(address[1])))
                        .intercept(new ClientCookieMiddleware.Factory()).build())) {
            client(client);
        }
        driver("jdbc:arrow-flight-sql://" + arguments[0] + "/?useEncryption=false");
    }

    static void client(FlightSqlClient client) throws Exception {
        check(options(client).equals(Map.of("catalog", "historian", "schema", "public", "zone", "UTC", "zoneless", "false",
                "dictionaries", "false")), "what holds without a session: " + options(client));

        SetSessionOptionsResult set = client.setSessionOptions(new SetSessionOptionsRequest(Map.of(
                "zone", SessionOptionValueFactory.makeSessionOptionValue("Europe/Berlin"),
                "zoneless", SessionOptionValueFactory.makeSessionOptionValue(true),
                "catalog", SessionOptionValueFactory.makeSessionOptionValue("historian"),
                "schema", SessionOptionValueFactory.makeSessionOptionValue("nowhere"),
                "colour", SessionOptionValueFactory.makeSessionOptionValue(7L))));
        Map<String, SetSessionOptionsResult.ErrorValue> errors = new HashMap<>();
        set.getErrors().forEach((name, error) -> errors.put(name, error.value));
        check(errors.equals(Map.of("schema", SetSessionOptionsResult.ErrorValue.INVALID_VALUE, "colour",
                SetSessionOptionsResult.ErrorValue.INVALID_NAME)), "what cannot be set: " + errors);
        check(options(client).get("zone").equals("Europe/Berlin") && options(client).get("zoneless").equals("true"), "what can be is set");

        // Answers are of the session, from GetFlightInfo on.
        String type = type(client, "SELECT timestamp FROM samples LIMIT 1");
        check(type.equals("Timestamp(NANOSECOND, null)"), "civil times: " + type);
        client.setSessionOptions(new SetSessionOptionsRequest(Map.of("zoneless", SessionOptionValueFactory.makeEmptySessionOptionValue())));
        type = type(client, "SELECT timestamp FROM samples LIMIT 1");
        check(type.equals("Timestamp(NANOSECOND, Europe/Berlin)"), "times of the zone: " + type);

        check(client.closeSession(new CloseSessionRequest()).getStatus() == CloseSessionResult.Status.CLOSED, "the session is closed");
        check(options(client).get("zone").equals("UTC"), "and forgotten: " + options(client));
        check(client.closeSession(new CloseSessionRequest()).getStatus() == CloseSessionResult.Status.CLOSED, "closed it stays");
    }

    static Map<String, String> options(FlightSqlClient client) {
        Map<String, String> options = new HashMap<>();
        client.getSessionOptions(new GetSessionOptionsRequest()).getSessionOptions()
                .forEach((name, value) -> options.put(name, value.acceptVisitor(new NoOpSessionOptionValueVisitor<String>() {
                    @Override
                    public String visit(String text) {
                        return text;
                    }

                    @Override
                    public String visit(boolean flag) {
                        return String.valueOf(flag);
                    }
                })));
        return options;
    }

    /** The type of the first column, which the stream has as it was told. */
    static String type(FlightSqlClient client, String statement) throws Exception {
        FlightInfo info = client.execute(statement);
        try (FlightStream stream = client.getStream(info.getEndpoints().get(0).getTicket())) {
            check(stream.getSchema().equals(info.getSchemaOptional().get()), "one schema in FlightInfo and stream");
            while (stream.next()) {
                check(stream.getRoot().getRowCount() == 1, "one row");
            }
            return stream.getSchema().getFields().get(0).getType().toString();
        }
    }

    /** The driver opens a session for a catalog. */
    static void driver(String url) throws Exception {
        Connection connection = DriverManager.getConnection(url + "&catalog=historian&user=a&password=b");
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SELECT 1 AS one")) {
            check(rows.next() && rows.getInt(1) == 1, "one");
        }
        // The driver closes the session a second time when its channel is closed already.
        try {
            connection.close();
            throw new AssertionError("the driver closes connections with a catalog now: take this out of docs/clients.md");
        } catch (SQLException expected) {
            check(expected.getMessage().contains("Channel shutdown invoked"), expected.getMessage());
        }
        try (Connection other = DriverManager.getConnection(url + "&catalog=another")) {
            throw new AssertionError("there is no such catalog: " + other);
        } catch (SQLException expected) {
            check(expected.getMessage().contains("catalog"), expected.getMessage());
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
    }
}
